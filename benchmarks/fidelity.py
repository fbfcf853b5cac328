# SPDX-License-Identifier: GPL-3.0-or-later
"""Final quality of presets and of the reference trainings on the same meshes, by the same points, with what each costs.

The seconds of the presets are those of the whole worker's process; those of the references are their training steps
alone, as many as the finest preset measured took. All meshes are extracted by the product at 512 cells a side, and lose
small components that the source has not, which the references have more of. Chamfer is the sum of both directions at
500,000 points a surface, squared, the source scaled to the unit sphere; `source` measures the source against other
points of itself, which no network goes below. Where a scan has holes, closed surfaces are away from it: `but for holes`
leaves out what is nearest to its borders.
The references are kept in build/bench/trained, and trained when they are not there or were given other seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import igl
import numpy as np
import torch

from kernels import nsdf
from kernels.cores import available_cores
from kernels.deepest_level import deepest_distance
from kernels.extraction import extract
from kernels.meshes import TriangleMesh, in_network_space, network_space
from kernels.sampling import Samples, sample
from kernels.sequence import NestedSequence
from kernels.training_config import SamplingConfig

from . import metrics, report, subjects
from .mplicits_reference import MplicitsConfig, MplicitsLevel, mplicits_steps
from .references import State
from .siren_reference import SirenConfig, siren_steps
from .subjects import BUNNY, IGEA, NEFERTITI, Subject, Training

RESOLUTION = 512
CHAMFER_TARGETS = {f"{Path(mesh).stem} FINE": 1.2e-5 for mesh in (BUNNY, IGEA)}


@dataclass(frozen=True)
class Effort:
    """How thoroughly is measured.

    Attributes:
        resolution: cells along each side of the cube.
        points: on each surface, for Chamfer.
        grid: cells along each side of the grid of the solids' IoU.
    """

    resolution: int = RESOLUTION
    points: int = metrics.CHAMFER_POINTS
    grid: int = metrics.GRID


FULL, QUICK = Effort(), Effort(40, 5_000, 24)


class Source:
    """A source mesh, and what all are compared with.

    Args:
        mesh: clean, in local space.
    """

    def __init__(self, mesh: TriangleMesh, effort: Effort) -> None:
        self.mesh, self.effort = mesh, effort
        self.placed = metrics.unit_sphere(mesh)
        self.on_sphere = self.placed.mesh(mesh)
        self.points = metrics.random_points(self.on_sphere, effort.points, seed=1)
        self.normals = metrics.outward_normals(mesh)
        self.components = int(igl.facet_components(mesh.faces)[0])
        center, radius = network_space(mesh)
        self.network_mesh = in_network_space(mesh)
        self.grid = metrics.grid_centers(effort.grid)
        self.inside = metrics.is_inside(self.network_mesh, self.grid)
        self.place = {"center": center, "radius": radius}

    def rows(self, subject: Subject) -> Iterator[report.Row]:
        """Everything that is measured of a sequence in the source's local space."""
        name, sequence = subject.name, subject.sequence
        began = time.perf_counter()
        try:
            quads = extract(sequence, self.effort.resolution, components=self.components)
        except ValueError as error:
            yield report.not_measured(name, str(error))
            return
        extraction_seconds = time.perf_counter() - began
        faces = np.concatenate([quads.quads[:, [0, 1, 2]], quads.quads[:, [0, 2, 3]]]).astype(np.int64)
        surface = self.placed.mesh(TriangleMesh(quads.vertices.astype(np.float64), faces))
        yield from self._distances(name, surface)
        inside = deepest_distance(sequence, self.grid.astype(np.float32))[0] < 0.0
        yield report.Row(f"{name}: IoU of the solids", measured_overlap(inside, self.inside))
        angles = metrics.normal_angles(subject.normals_at, *self.normals)
        yield report.Row(f"{name}: normals, mean", angles.mean, "degrees")
        yield report.Row(f"{name}: normals, median", angles.median, "degrees")
        yield report.Row(f"{name}: normals, 95th percentile", angles.percentile_95, "degrees")
        yield report.Row(f"{name}: parameters", sequence.parameter_count)
        yield report.Row(f"{name}: file", len(nsdf.dumps(sequence)) / 1000.0, "KB")
        yield report.Row(f"{name}: training", subject.seconds, "s")
        yield report.Row(f"{name}: extraction", extraction_seconds, "s")

    def _distances(self, name: str, surface: TriangleMesh) -> Iterator[report.Row]:
        """Rows of a surface on the source's sphere."""
        points = metrics.random_points(surface, self.effort.points, seed=2)
        both = metrics.chamfer(points, self.points)
        target = CHAMFER_TARGETS.get(name)
        yield report.at_most(f"{name}: Chamfer", 1e5 * both.total, "1e-5", None if target is None else 1e5 * target)
        kept = points[~metrics.over_holes(points, self.on_sphere)]
        yield report.Row(f"{name}: but for holes", 1e5 * metrics.chamfer(kept, self.points).total, "1e-5")
        farthest = metrics.hausdorff(surface, self.on_sphere, min(self.effort.points, metrics.HAUSDORFF_POINTS))
        yield report.Row(f"{name}: Hausdorff", 100.0 * farthest, "% of the radius")
        yield report.Row(f"{name}: IoU of voxels of 0.01", metrics.shell_overlap(points, self.points))

    def own_rows(self, name: str) -> Iterator[report.Row]:
        """The source against other points of itself."""
        points = metrics.random_points(self.on_sphere, self.effort.points, seed=2)
        yield report.Row(f"{name}: Chamfer", 1e5 * metrics.chamfer(points, self.points).total, "1e-5")
        yield report.Row(f"{name}: IoU of voxels of 0.01", metrics.shell_overlap(points, self.points))


def measured_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two solids on one grid, (N,) booleans."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def reference_path(name: str) -> Path:
    """Where a reference training is kept."""
    return report.BENCH_FOLDER / "trained" / f"{name.replace(' ', '-').replace(',', '').lower()}.nsdf"


def kept(name: str, seconds: float) -> NestedSequence | None:
    """A reference training that was kept, of as many seconds; None where there is none."""
    path = reference_path(name)
    sequence = nsdf.load(path) if path.is_file() else None
    return sequence if sequence is not None and sequence.training["given_seconds"] == seconds else None


def trained_for(states: Iterator[State], seconds: float, place: dict[str, Any]) -> NestedSequence:
    """What a training has learned after some seconds, or at its end where that comes before.

    Args:
        states: of the training, in network space; at least one.
        place: center and radius of the mesh's network space.

    Returns:
        The sequence in the mesh's local space.
    """
    for state in states:
        if state.seconds >= seconds:
            break
    return replace(state.sequence(), **place, training={"seconds": state.seconds, "steps": state.step})


def references(
    stem: str, mesh: Path, source: Source, samples: Samples, seconds: float, mplicits: MplicitsConfig, keep: bool
) -> Iterator[Subject]:
    """All reference trainings for one source, one after the other.

    Args:
        seconds: what ours took.
        keep: whether to keep them, and to take what was kept.
    """
    trainings = {
        "SIREN": lambda: trained_for(siren_steps(samples, SirenConfig()), seconds, source.place),
        # Its levels share the time by themselves: the last of them has it at the end.
        "M-plicits": lambda: trained_for(
            mplicits_steps(samples, source.network_mesh, mplicits), float("inf"), source.place
        ),
    }
    for reference, train in trainings.items():
        name = f"{stem} {reference}, same time"
        sequence = kept(name, seconds) if keep else None
        if sequence is None:
            print(f"training {name}", flush=True)
            sequence = train()
            sequence = replace(sequence, training={**sequence.training, "given_seconds": seconds})
            if keep:
                reference_path(name).parent.mkdir(parents=True, exist_ok=True)
                nsdf.save(sequence, reference_path(name))
        yield Subject(name, sequence, mesh, float(sequence.training["seconds"]))


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure on bunny, igea and nefertiti."""
    torch.set_num_threads(available_cores())
    if quick:
        yield from _quick_rows()
        return
    for mesh, presets in (
        (BUNNY, ("PREVIEW", "BALANCED", "FINE")),
        (IGEA, ("PREVIEW", "BALANCED", "FINE")),
        (NEFERTITI, ("PREVIEW", "BALANCED")),
    ):
        ours = list(subjects.subjects([Training(mesh, preset) for preset in presets]))
        if not ours:
            continue
        source = Source(ours[0].source(), FULL)
        yield from source.own_rows(f"{ours[0].mesh.stem} source")
        for subject in ours:
            yield from source.rows(subject)
        samples = sample(source.network_mesh, SamplingConfig())
        seconds = ours[-1].seconds
        mplicits = MplicitsConfig(seconds=seconds)
        for subject in references(ours[0].mesh.stem, ours[0].mesh, source, samples, seconds, mplicits, keep=True):
            yield from source.rows(subject)


def _quick_rows() -> Iterator[report.Row]:
    """The fitted sequence, and a step or two of every reference."""
    subject = subjects.fitted_subject()
    source = Source(subject.source(), QUICK)
    yield from source.own_rows(f"{subject.name} source")
    yield from source.rows(subject)
    samples = sample(source.network_mesh, SamplingConfig(surface_count=4000, near_count=1000, uniform_count=1000))
    levels = (MplicitsLevel((16, 16), 30.0, 2, 0.5), MplicitsLevel((16, 16), 45.0, 2, 0.5))
    mplicits = MplicitsConfig(levels, batch=200, band_points=200)
    for trained in references(subject.name, subject.mesh, source, samples, 0.0, mplicits, keep=False):
        # So early there may be no surface to extract.
        yield report.Row(f"{trained.name}: parameters", trained.sequence.parameter_count)
