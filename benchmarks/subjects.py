# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: sequences that presets trained on the shared meshes, each trained once and kept in build/bench.

They are trained as Blender trains them, by a worker process on a job folder. A quick run takes a fitted sequence of a
shape in closed form instead, and trains nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels import nsdf
from kernels.deepest_level import deepest_gradient
from kernels.jobs import JobFolder, Request
from kernels.meshes import TriangleMesh, clean
from kernels.sequence import NestedSequence

from . import fitted, report


@dataclass(frozen=True)
class Training:
    """A preset on one of the shared meshes.

    Attributes:
        mesh: file among the shared meshes.
        preset: of the Train operator.
    """

    mesh: str
    preset: str

    @property
    def name(self) -> str:
        """What the rows of the report call it."""
        return f"{Path(self.mesh).stem} {self.preset}"

    @property
    def folder(self) -> Path:
        """Where its sequence and its record are kept."""
        return report.BENCH_FOLDER / "trained" / self.name.replace(" ", "-").lower()


@dataclass(frozen=True)
class Subject:
    """A sequence and the mesh that it stands for.

    Attributes:
        name: what the rows of the report call it.
        sequence: in the mesh's local space.
        mesh: the file.
        seconds: from the start of the worker's process to its end; 0 where nothing was trained.
    """

    name: str
    sequence: NestedSequence
    mesh: Path
    seconds: float

    def source(self) -> TriangleMesh:
        """The mesh, coincident vertices merged, in local space."""
        return clean(read_mesh(self.mesh))

    def normals_at(self, points: np.ndarray) -> np.ndarray:
        """Gradients of the deepest level whose bands hold them: (N, 3) points in local space -> (N, 3)."""
        return deepest_gradient(self.sequence, self.sequence.to_network(points).astype(np.float32))[1]


BUNNY, IGEA, NEFERTITI = "stanford-bunny.obj", "igea.ply", "nefertiti.obj"
BUNNY_PREVIEW, BUNNY_BALANCED, BUNNY_FINE = (Training(BUNNY, preset) for preset in ("PREVIEW", "BALANCED", "FINE"))
IGEA_BALANCED, IGEA_FINE = Training(IGEA, "BALANCED"), Training(IGEA, "FINE")
NEFERTITI_BALANCED = Training(NEFERTITI, "BALANCED")


def subjects(trainings: Iterable[Training], quick: bool = False) -> Iterator[Subject]:
    """What the trainings left, training what was not trained yet; a mesh that is absent is passed over.

    Args:
        quick: the fitted subject instead of all of them.
    """
    if quick:
        yield fitted_subject()
        return
    for training in trainings:
        subject = trained(training)
        if subject is not None:
            yield subject


def trained(training: Training, again: bool = False) -> Subject | None:
    """What one training left, from an earlier run unless `again`; None where the mesh is absent.

    Raises:
        subprocess.CalledProcessError: the training failed; the worker has printed why.
    """
    mesh = report.shared_mesh(training.mesh)
    if mesh is None:
        return None
    record, sequence = training.folder / "record.json", training.folder / "sequence.nsdf"
    if again or not record.is_file():
        record.unlink(missing_ok=True)
        print(f"training {training.name}", flush=True)
        seconds = train(read_mesh(mesh), Request(training.preset, mesh.name), training.folder)
        report.write_json(record, {"seconds": seconds, "machine": report.machine()})
    seconds = json.loads(record.read_text(encoding="utf-8"))["seconds"]
    return Subject(training.name, nsdf.load(sequence), mesh, seconds)


def train(mesh: TriangleMesh, request: Request, folder: Path) -> float:
    """Train in a worker process, as Blender does; leaves sequence.nsdf and the log in `folder`, returns the seconds.

    Raises:
        subprocess.CalledProcessError: the training failed; the worker has printed why.
    """
    job = new_job(mesh, request, folder)
    started = time.perf_counter()
    subprocess.run(worker_command(job), cwd=report.REPOSITORY, check=True)
    seconds = time.perf_counter() - started
    for path in (job.sequence_path, job.log_path):
        path.replace(folder / path.name)
    shutil.rmtree(job.path)
    return seconds


def new_job(mesh: TriangleMesh, request: Request, folder: Path) -> JobFolder:
    """A job that nothing was done for yet, inside `folder`."""
    job = JobFolder(folder / "job")
    shutil.rmtree(job.path, ignore_errors=True)
    job.create(request, mesh)
    return job


def worker_command(job: JobFolder) -> list[str]:
    """The command line that runs a job; its working folder is the repository."""
    return [sys.executable, "-m", "kernels", "train", str(job.path)]


def read_mesh(path: Path) -> TriangleMesh:
    """The triangles of a mesh file, as they are in it."""
    import igl

    vertices, faces = igl.read_triangle_mesh(str(path))[:2]
    return TriangleMesh(vertices, faces)


def fitted_subject() -> Subject:
    """The fitted sequence of a shape in closed form, and its mesh as a file."""
    path = report.BENCH_FOLDER / "quick" / "torus.obj"
    if not path.is_file():
        write_obj(fitted.bumpy_torus_mesh(), path)
    return Subject("fitted torus", fitted.fitted_sequence(), path, 0.0)


def write_obj(mesh: TriangleMesh, path: Path) -> None:
    """Write a mesh as a .obj file, the folder made where it is absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
