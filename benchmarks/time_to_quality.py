# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds until normals are off by 3.3 degrees in the mean on the bunny: PREVIEW beside SIREN's reference training.

Both run in the same run on as many threads, and are measured at the same points of the mesh. PREVIEW is the worker's
own process, looked at from outside: what it leaves in its folder for whoever watches. It is timed from the first line
of its log, so without the start of Python, and with sampling, bands and proxies. SIREN's time is its steps, and, where
it says so, the sampling of its surface points. The curves are in time_to_quality_curves.json beside the rows.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kernels import nsdf
from kernels.cores import available_cores
from kernels.jobs import JobFolder, Request
from kernels.meshes import TriangleMesh, clean, in_network_space
from kernels.sampling import Samples, sample
from kernels.sequence import NestedSequence
from kernels.training_config import SamplingConfig

from . import fitted, measures, metrics, report, subjects
from .siren_reference import SirenConfig, siren_steps

DEGREES = 3.3
LEAST_FACTOR = 20.0
# SIREN's training is ended there, whatever it has reached.
MOST_SECONDS = 1200.0
# SIREN is measured when it has trained for this much longer than at the last time.
GROWTH = 1.05
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Moment:
    """What a training had reached.

    Attributes:
        seconds: since it began.
        degrees: mean angle between its normals and the source's.
    """

    seconds: float
    degrees: float


def reached(curve: list[Moment], degrees: float) -> float | None:
    """Seconds of the first moment at which a curve is at most at `degrees`; None where it never is."""
    return next((moment.seconds for moment in curve if moment.degrees <= degrees), None)


class Judge:
    """Measures sequences at the same points of one mesh, in network space.

    Args:
        mesh: in network space.
    """

    def __init__(self, mesh: TriangleMesh) -> None:
        self._points, self._normals = metrics.outward_normals(mesh)

    def degrees(self, sequence: NestedSequence) -> float:
        """Mean angle between the normals of a sequence and of the mesh."""
        in_network_space = replace(sequence, center=(0.0, 0.0, 0.0), radius=1.0)
        subject = subjects.Subject("", in_network_space, Path(), 0.0)
        return metrics.normal_angles(subject.normals_at, self._points, self._normals).mean


def watch(job: JobFolder, threads: int) -> tuple[list[tuple[float, bytes]], float]:
    """Run a job and keep every sequence that it shows.

    Returns:
        (seconds, file) of each sequence, and the seconds that sampling took.

    Raises:
        subprocess.CalledProcessError: the training failed; the worker has printed why.
    """
    command = [*subjects.worker_command(job), "--threads", str(threads)]
    shown: list[tuple[float, bytes]] = []
    started, sampling, offset, is_over = None, 0.0, 0, False
    with subprocess.Popen(command, cwd=report.REPOSITORY) as process:
        while not is_over:
            # Looked at before the log is read, so that its last lines are read as well.
            is_over = process.poll() is not None
            events, offset = job.events(offset)
            for event in events:
                started = event["time"] if started is None else started
                if event["event"] == "sampled":
                    sampling = event["time"] - started
            if any(event["event"] in ("snapshot", "done") for event in events):
                file = job.sequence_path.read_bytes()
                shown.append((time.time() - started, file))
            time.sleep(POLL_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return shown, sampling


def our_curve(mesh: TriangleMesh, judge: Judge, budget: float, threads: int) -> tuple[list[Moment], float]:
    """PREVIEW on a mesh in its local space: its curve, and the seconds of it that sampling took."""
    with tempfile.TemporaryDirectory() as folder:
        job = subjects.new_job(mesh, Request("PREVIEW", "bunny", budget=budget), Path(folder))
        shown, sampling = watch(job, threads)
    return [Moment(seconds, judge.degrees(nsdf.loads(file))) for seconds, file in shown], sampling


def siren_curve(samples: Samples, judge: Judge, most_seconds: float) -> list[Moment]:
    """SIREN on samples, until it has reached what is asked or its time is over."""
    curve: list[Moment] = []
    for state in siren_steps(samples, SirenConfig()):
        is_last = state.seconds >= most_seconds
        if is_last or not curve or state.seconds >= GROWTH * curve[-1].seconds:
            curve.append(Moment(state.seconds, judge.degrees(state.sequence())))
            if is_last or curve[-1].degrees <= DEGREES:
                break
    return curve


def surface_sampling_seconds(mesh: TriangleMesh, count: int) -> float:
    """How long it takes to draw points with normals on a mesh, all that SIREN needs."""
    began = time.perf_counter()
    measures.surface_points(metrics.surface(mesh), count)
    return time.perf_counter() - began


def rows_of(name: str, ours: list[Moment], sampling: float, siren: list[Moment], siren_sampling: float) -> list:
    """The curves as rows."""
    our_seconds, siren_seconds = reached(ours, DEGREES), reached(siren, DEGREES)
    what = f"to {DEGREES} degrees"
    rows = [
        report.Row(f"{name}, PREVIEW: {what}, with sampling", our_seconds, "s"),
        report.Row(f"{name}, SIREN: {what}, with sampling", _plus(siren_seconds, siren_sampling), "s"),
        report.Row(f"{name}, PREVIEW: {what}, without", _plus(our_seconds, -sampling), "s"),
        report.Row(f"{name}, SIREN: {what}, without", siren_seconds, "s"),
        report.Row(f"{name}, PREVIEW: degrees at the end", ours[-1].degrees, "degrees"),
        report.Row(f"{name}, SIREN: degrees at the end", siren[-1].degrees, "degrees"),
    ]
    factor = f"{name}: SIREN's time over PREVIEW's {what}, with sampling"
    if our_seconds is None:
        rows.append(report.Row(f"{factor}: PREVIEW never reached them", None, "x"))
    elif siren_seconds is None:
        # It would have taken longer still.
        rows.append(report.at_least(f"{factor}, at least", siren[-1].seconds / our_seconds, "x", LEAST_FACTOR))
    else:
        rows.append(report.at_least(factor, (siren_seconds + siren_sampling) / our_seconds, "x", LEAST_FACTOR))
    return rows


def _plus(seconds: float | None, more: float) -> float | None:
    return None if seconds is None else seconds + more


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure on the bunny; no row where it is absent."""
    threads = available_cores()
    torch.set_num_threads(threads)
    path = report.shared_mesh(subjects.BUNNY)
    if not quick and path is None:
        return
    name, mesh = ("torus", fitted.bumpy_torus_mesh()) if quick else (path.stem, subjects.read_mesh(path))
    network_mesh = in_network_space(clean(mesh))
    judge = Judge(network_mesh)
    ours, sampling = our_curve(mesh, judge, 0.05 if quick else 1.0, threads)
    samples = sample(network_mesh, SamplingConfig())
    siren = siren_curve(samples, judge, 0.0 if quick else MOST_SECONDS)
    siren_sampling = surface_sampling_seconds(clean(mesh), len(samples.surface_points))
    folder = report.BENCH_FOLDER / "quick" if quick else report.BENCH_FOLDER
    curves: dict[str, Any] = {"PREVIEW": [vars(m) for m in ours], "SIREN": [vars(m) for m in siren]}
    report.write_json(folder / "time_to_quality_curves.json", {"threads": threads, "curves": curves})
    yield report.Row(f"{name}: threads", threads)
    yield from rows_of(name, ours, sampling, siren, siren_sampling)
