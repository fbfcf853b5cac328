# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewport without a GPU: how soon a picture of a moving view is there, and how soon all of its pixels are.

`python -m benchmarks viewport` takes a sequence that the presets trained; `python benchmarks/viewport.py
FILE.nsdf...` takes any sequence.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report, subjects, views
from kernels import nsdf
from kernels.cameras import Camera
from kernels.lighting import camera_rig
from kernels.progressive import ProgressivePicture, ProgressiveRenderer
from kernels.scenes import NeuralInstance, RenderConfig, Scene
from kernels.sequence import NestedSequence

WIDTH, HEIGHT = 640, 360
# Blender's viewport as it starts: 50 mm in front of a sensor of 36 mm, seen twice as wide.
ZOOM = 50.0 / 36.0
# A framed object: the sphere of radius 1 in network space fits the picture's height. Closer: it covers about half of
# all pixels.
FRAMED, CLOSE = 5.0, 3.4

VIEWS = 24
SECONDS_BETWEEN_VIEWS = 1.0 / 30.0
RESTING_VIEWS = 5

FIRST_PICTURE_SECONDS = 0.1
FULL_RESOLUTION_SECONDS = 1.0


def orbiting_scene(sequence: NestedSequence, distance: float, angle: float) -> Scene:
    """The sequence seen from `angle` (radians) around z, from a little above."""
    position = distance * np.array([0.95 * np.sin(angle), -0.95 * np.cos(angle), 0.31])
    camera = Camera(views.perspective(ZOOM, WIDTH / HEIGHT), views.looking_from(position))
    instance = NeuralInstance("object", sequence, np.eye(4))
    return Scene(camera, (instance,), lights=camera_rig(camera.camera_to_world))


@dataclass
class Orbit:
    """What was measured, in seconds.

    Attributes:
        first: from each view shown to the first picture of it, or of a later view.
        full: from each view at which the camera rested until every pixel was there.
        calls: how long each `show` and `newest` took.
        scales: pixels a side of each first picture, as shares of the full one.
    """

    first: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)


class _Viewer:
    """A window that looks for a new picture every millisecond."""

    def __init__(self, sequence: NestedSequence, distance: float, measured: Orbit) -> None:
        self.renderer = ProgressiveRenderer()
        self.sequence, self.distance, self.measured = sequence, distance, measured
        self.config = RenderConfig(WIDTH, HEIGHT, samples=2)

    def show(self, angle: float) -> int:
        """Turn the view; the call is timed."""
        scene = orbiting_scene(self.sequence, self.distance, angle)
        started = time.perf_counter()
        view = self.renderer.show(scene, self.config)
        self.measured.calls.append(time.perf_counter() - started)
        return view

    def look(self) -> ProgressivePicture | None:
        """The newest picture, after a millisecond; the call is timed."""
        time.sleep(0.001)
        started = time.perf_counter()
        picture = self.renderer.newest()
        self.measured.calls.append(time.perf_counter() - started)
        return picture

    def wait(self, wanted: Callable[[ProgressivePicture], bool]) -> ProgressivePicture:
        """Look until there is a picture as `wanted`."""
        while (picture := self.look()) is None or not wanted(picture):
            pass
        return picture


def orbit(
    sequence: NestedSequence, distance: float, view_count: int = VIEWS, resting_views: int = RESTING_VIEWS
) -> Orbit:
    """Turn around the object without a pause, then rest at some views until all their pixels are there."""
    measured = Orbit()
    viewer = _Viewer(sequence, distance, measured)
    try:
        # The first pictures of all tell how fast the machine is.
        for warm_up in range(3):
            view = viewer.show(-0.2 * warm_up)
            viewer.wait(lambda picture, view=view: picture.view == view)
        shown: dict[int, float] = {}
        started = time.perf_counter()
        while shown or len(measured.first) < view_count:
            number = len(measured.first) + len(shown)
            if number < view_count and time.perf_counter() >= started + number * SECONDS_BETWEEN_VIEWS:
                shown[viewer.show(2.0 * np.pi * number / view_count)] = time.perf_counter()
            picture = viewer.look()
            for view in [view for view in shown if picture.view >= view]:
                measured.first.append(time.perf_counter() - shown.pop(view))
                measured.scales.append(picture.scale)
        for number in range(resting_views):
            started = time.perf_counter()
            view = viewer.show(2.0 * np.pi * (number + 0.5) / resting_views)
            viewer.wait(lambda picture, view=view: picture.view == view and picture.samples >= 1)
            measured.full.append(time.perf_counter() - started)
    finally:
        viewer.renderer.stop()
    return measured


def rows_of(
    name: str, sequence: NestedSequence, view_count: int = VIEWS, resting_views: int = RESTING_VIEWS
) -> list[report.Row]:
    """What `orbit` found, as rows of the report."""
    rows = []
    # What is asked for holds for a framed object; closer, there are twice as many pixels to trace.
    for place, distance, asked in (("framed", FRAMED, True), ("close", CLOSE, False)):
        measured = orbit(sequence, distance, view_count, resting_views)
        what = f"{name} {sequence.notation}, {place}, CPU, {WIDTH} x {HEIGHT}"
        first, full = statistics.median(measured.first), statistics.median(measured.full)
        first_what, full_what = f"{what}: first picture of a moving view, median", f"{what}: full resolution, median"
        rows += [
            report.at_most(first_what, first, "s", FIRST_PICTURE_SECONDS)
            if asked
            else report.Row(first_what, first, "s"),
            report.Row(f"{what}: first picture of a moving view, longest", max(measured.first), "s"),
            report.Row(f"{what}: its pixels a side, share, median", statistics.median(measured.scales)),
            report.at_most(full_what, full, "s", FULL_RESOLUTION_SECONDS)
            if asked
            else report.Row(full_what, full, "s"),
            report.Row(f"{what}: full resolution, longest", max(measured.full), "s"),
            report.Row(f"{what}: longest call of show or newest", 1e3 * max(measured.calls), "ms"),
        ]
    return rows


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained on the bunny."""
    views_and_rests = (2, 1) if quick else (VIEWS, RESTING_VIEWS)
    for subject in subjects.subjects([subjects.BUNNY_BALANCED], quick):
        yield from rows_of(subject.name, subject.sequence, *views_and_rests)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/viewport.py FILE.nsdf...")
    paths = [Path(argument) for argument in sys.argv[1:]]
    print(report.table([row for path in paths for row in rows_of(path.stem, nsdf.load(path))]))
