# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `python -m kernels train JOB_FOLDER|MESH_FILE` and `python -m kernels info FILE.nsdf`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

from . import nsdf
from .cores import available_cores, give_way, thread_count
from .jobs import JobError, JobFolder, Request
from .meshes import MeshError, TriangleMesh
from .presets import PRESETS


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 when it did what was asked, 1 when not, 130 when interrupted."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.command(parsed)
    except KeyboardInterrupt:
        print("Cancelled", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kernels", description="Nested neural SDFs without Blender.")
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a job folder, or a mesh file (.obj, .ply, .stl, .off)")
    train.add_argument("path", type=Path, help="a job folder (a job that was stopped resumes) or a mesh file")
    train.add_argument("--preset", default="BALANCED", help=f"{', '.join(PRESETS)}, for a mesh file")
    train.add_argument("--output", type=Path, help="the .nsdf to write, for a mesh file; beside the mesh when left out")
    train.add_argument(
        "--threads",
        type=int,
        default=0,
        help="CPU threads; when left out, as the job says, or all cores",
    )
    train.add_argument("--device", default="auto", help="torch device, for a mesh file; a GPU where there is one")
    train.add_argument("--budget", type=float, default=1.0, help="factor on the preset's time, for a mesh file")
    train.add_argument("--end-with-parent", action="store_true", help="stop when standard input is closed")
    train.set_defaults(command=_train)
    info = commands.add_parser("info", help="print what a .nsdf file is")
    info.add_argument("path", type=Path)
    info.set_defaults(command=_info)
    return parser


def _limit_native_threads(threads: int) -> None:
    """Tell the native libraries, before they are loaded, how many threads to use and not to spin while they wait.

    Spinning threads of two libraries slow each other, and Blender, many times over on a small machine.
    """
    count = str(thread_count(threads or available_cores()))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "IGL_NUM_THREADS"):
        os.environ.setdefault(name, count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however it went."""

    def wait() -> None:
        # Not through sys.stdin: Python cannot end while a thread waits in one of its own files.
        while os.read(0, 4096):
            pass
        os._exit(130)

    threading.Thread(target=wait, daemon=True).start()


def _train(parsed: argparse.Namespace) -> int:
    if parsed.end_with_parent:
        _end_with_parent()
    try:
        return _train_folder(parsed) if parsed.path.is_dir() else _train_file(parsed)
    except (MeshError, JobError) as error:
        message = str(error)
    except OSError as error:
        message = f"The job folder could not be written: {error}"
    print(f"Error: {message}", file=sys.stderr)
    return 1


def _train_folder(parsed: argparse.Namespace) -> int:
    job = JobFolder(parsed.path)
    # Asked before anything is written: this may be any folder.
    job.request()
    with job.locked():
        return _run(job, parsed.threads)


def _train_file(parsed: argparse.Namespace) -> int:
    """Train a mesh file in a job folder beside the output, which is removed when the job is done."""
    output = parsed.output or parsed.path.with_suffix(".nsdf")
    job = JobFolder(output.with_name(output.name + ".job"), echo=sys.stdout)
    mesh = _read_mesh_file(parsed.path)
    job.path.mkdir(parents=True, exist_ok=True)
    with job.locked():
        job.create(Request(parsed.preset, parsed.path.name, parsed.threads, parsed.device, parsed.budget), mesh)
        status = _run(job, parsed.threads)
    if status == 0:
        os.replace(job.sequence_path, output)
        shutil.rmtree(job.path)
        print(f"Wrote {output}")
    return status


def _read_mesh_file(path: Path) -> TriangleMesh:
    if not path.is_file():
        raise MeshError(f"{path} is neither a job folder nor a mesh file")
    try:
        import igl
    except ImportError as error:
        raise MeshError(_not_installed(error)) from error
    try:
        vertices, faces = igl.read_triangle_mesh(str(path))[:2]
    except (RuntimeError, ValueError) as error:
        raise MeshError(f"{path} could not be read as a triangle mesh (.obj, .ply, .stl, .off)") from error
    return TriangleMesh(vertices, faces)


def _run(job: JobFolder, threads: int) -> int:
    """Run a job; whatever stops it is the last line of its log."""
    request = job.request()
    give_way()
    _limit_native_threads(threads or request.threads)
    try:
        from .training import TrainingError
        from .worker import Worker
    except (ImportError, OSError) as error:
        return _fail(job, _not_installed(error))
    try:
        Worker(job, threads).run()
    except (MeshError, TrainingError, JobError) as error:
        return _fail(job, str(error))
    except OSError as error:
        return _fail(job, f"The job folder could not be written: {error}")
    except MemoryError:
        return _fail(job, "There is not enough memory: close other programs or reduce the mesh")
    return 0


def _not_installed(error: ImportError | OSError) -> str:
    """What to tell whoever lacks a package, or has one that the system cannot load."""
    what = f"{error.name} is missing" if isinstance(error, ModuleNotFoundError) else f"A package does not load: {error}"
    return f"{what}. Install with  {sys.executable} -m pip install 'torch>=2.9' 'libigl>=2.6'"


def _fail(job: JobFolder, message: str) -> int:
    print(f"Error: {message}", file=sys.stderr)
    # A full disk, say: it has just been printed.
    with suppress(OSError):
        job.log("error", message=message)
    return 1


def _info(parsed: argparse.Namespace) -> int:
    try:
        sequence = nsdf.load(parsed.path)
    except (OSError, nsdf.NsdfError) as error:
        print(f"Error: {parsed.path}: {error}", file=sys.stderr)
        return 1
    print(f"{parsed.path.name}: {sequence.notation}, {sequence.kind}, {sequence.parameter_count:,} parameters")
    print(f"inputs {sequence.inputs}, center {sequence.center}, radius {sequence.radius:g}")
    for index, network in enumerate(sequence.networks):
        line = f"level {index}: {network.name}, {network.activation}, {network.parameter_count:,} parameters"
        if index < len(sequence.bands):
            band = sequence.bands[index]
            line += f", band {band.delta:.5f} ({band.evidence})"
        print(line)
    # As JSON, which has no characters that a terminal would obey or could not show.
    print(f"training: {json.dumps(dict(sequence.training), indent=2)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
