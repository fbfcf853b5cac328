# SPDX-License-Identifier: GPL-3.0-or-later
"""What the presets reach on the shared meshes, in how many seconds, each trained anew.

The seconds are those of the worker's process from its start to its end: sampling, training, bands and proxy. The
normals are compared with the source's, smooth but for creases, at 20,000 random points of the source that bound its
solid. The sequences are kept, and measured by other benchmarks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.deepest_level import deepest_distance
from kernels.jobs import Request
from kernels.nsdf import load

from . import fitted, metrics, report, subjects
from .subjects import BUNNY, IGEA, NEFERTITI, Subject, Training

POINTS = 20_000
# Seconds in which each preset has to be done, on two cores without a GPU.
SECONDS = {"PREVIEW": 30.0, "BALANCED": 120.0, "FINE": 600.0}
SECONDS_ON_GPU = {"FINE": 30.0}
MOST_PARAMETERS = {"FINE": 250_000}


@dataclass(frozen=True)
class Goal:
    """A training and what it has to reach.

    Attributes:
        training: the preset and the mesh.
        degrees: mean angle between the finest level's normals and the source's; None where nothing is asked.
    """

    training: Training
    degrees: float | None = None


GOALS = (
    Goal(Training(BUNNY, "PREVIEW"), 2.5),
    *(
        Goal(Training(mesh, "PREVIEW"))
        for mesh in (IGEA, NEFERTITI, "fandisk.obj", "spot.obj", "teapot.obj", "beetle.obj")
    ),
    Goal(Training(BUNNY, "BALANCED"), 1.5),
    Goal(Training(IGEA, "BALANCED"), 2.0),
    Goal(Training(NEFERTITI, "BALANCED"), 2.0),
    Goal(Training(BUNNY, "FINE"), 1.0),
    Goal(Training(IGEA, "FINE"), 1.3),
)


def rows_of(subject: Subject, preset: str, degrees: float | None) -> Iterator[report.Row]:
    """What one training reached.

    Args:
        preset: that it was trained with.
        degrees: what its mean normal error has to be; None where nothing is asked.
    """
    sequence, source = subject.sequence, subject.source()
    on_gpu = str(sequence.training.get("device", "cpu")).startswith("cuda")
    most_seconds = (SECONDS_ON_GPU if on_gpu else SECONDS).get(preset)
    yield report.at_most(f"{subject.name}: seconds", subject.seconds, "s", most_seconds)
    angles = metrics.normal_angles(subject.normals_at, *metrics.outward_normals(source, POINTS))
    yield report.at_most(f"{subject.name}: normal error, mean", angles.mean, "degrees", degrees)
    yield report.Row(f"{subject.name}: median", angles.median, "degrees")
    yield report.Row(f"{subject.name}: 95th percentile", angles.percentile_95, "degrees")
    points = sequence.to_network(metrics.random_points(source, POINTS, seed=6)).astype(np.float32)
    distance = float(np.abs(deepest_distance(sequence, points)[0]).mean()) * sequence.radius
    extent = float(np.ptp(source.vertices, axis=0).max())
    yield report.Row(f"{subject.name}: distance to the surface, mean", 100.0 * distance / extent, "% of extent")
    yield report.at_most(f"{subject.name}: parameters", sequence.parameter_count, "", MOST_PARAMETERS.get(preset))


def run(quick: bool = False) -> Iterator[report.Row]:
    """Train anew; no row for a mesh that is absent."""
    if quick:
        yield from quick_rows()
        return
    for goal in GOALS:
        subject = subjects.trained(goal.training, again=True)
        if subject is not None:
            yield from rows_of(subject, goal.training.preset, goal.degrees)


def quick_rows() -> Iterator[report.Row]:
    """A twentieth of PREVIEW, on a shape in closed form."""
    with tempfile.TemporaryDirectory() as folder:
        mesh = fitted.bumpy_torus_mesh()
        request = Request("PREVIEW", "torus", budget=0.05)
        seconds = subjects.train(mesh, request, Path(folder))
        subject = Subject("torus", load(Path(folder) / "sequence.nsdf"), subjects.fitted_subject().mesh, seconds)
    yield from rows_of(subject, "PREVIEW", None)
