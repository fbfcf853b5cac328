# SPDX-License-Identifier: GPL-3.0-or-later
"""One view rendered better and better on the CPU, in a thread of its own, for a window that must stay fluid.

A small picture first, as large as the speed measured so far allows; then full resolution, from the centre outwards;
then one antialiasing sample a pixel after the other, until the picture is that of `rendering.render`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, replace

import numpy as np

from .rendering import render_tiles
from .scenes import Region, RenderConfig, Scene, Tile

Rectangle = tuple[float, float, float, float]  # x, y, width, height

_log = logging.getLogger(__name__)

# How long the first picture of a view may take. While the view moves, a new view may have to wait for the picture of
# the view before it, so that it is on screen after twice this time.
FIRST_PICTURE_SECONDS = 0.045

# Evaluations of a ray of the first picture: the few that graze the surface for longer would hold up all others.
FIRST_PICTURE_STEPS = 32

# The first picture has at least one pixel for so many pixels a side of the full one.
LARGEST_REDUCTION = 8

# Before anything is measured: seconds that one pixel of a first picture takes.
SECONDS_PER_PIXEL = 5e-6

# How often a picture growing tile by tile is handed out: copying and drawing one costs time, too.
SECONDS_BETWEEN_PICTURES = 0.1


@dataclass(frozen=True, eq=False)
class ProgressivePicture:
    """The state of a view at some moment. Nobody changes it any more.

    Attributes:
        pixels: (h, w, 4) float32 scene-linear colours, premultiplied by alpha, rows from the bottom up.
        rectangle: x, y, width and height of what `pixels` cover, in pixels of the whole picture at full resolution:
            the rendered region, or a little more around it where that is no whole number of the larger pixels.
        scale: pixels a side for each pixel at full resolution: 1, or 1/2, 1/3, ...
        samples: rays a pixel that every pixel has at full resolution; 0 while parts of it are still missing.
        finished: nothing will be added.
        serial: counts pictures of one renderer, so that a window knows whether it has drawn this one.
        view: the number that `show` returned for it.
        problem: why rendering failed, for people; empty where it did not. `pixels` are then what was there before.
    """

    pixels: np.ndarray
    rectangle: Rectangle
    scale: float
    samples: int
    finished: bool
    serial: int
    view: int
    problem: str = ""


@dataclass(frozen=True, eq=False)
class _View:
    """What `show` was asked for."""

    number: int
    scene: Scene
    config: RenderConfig


def reduced(config: RenderConfig, reduction: int) -> tuple[RenderConfig, Rectangle]:
    """The same view with `reduction` times fewer pixels a side and one sample, and the rectangle that it covers.

    The rectangle counts in pixels of the full picture; it encloses the region of `config`. Rays are traced as closely
    as the larger pixels ask for, and the finest level gives the normals alone.
    """
    width, height = max(1, round(config.width / reduction)), max(1, round(config.height / reduction))
    across, up = width / config.width, height / config.height
    x, y, region_width, region_height = config.rendered_region
    # Rounding must not add a pixel where the borders meet exactly.
    left, bottom = math.floor(x * across + 1e-6), math.floor(y * up + 1e-6)
    right = min(width, math.ceil((x + region_width) * across - 1e-6))
    top = min(height, math.ceil((y + region_height) * up - 1e-6))
    region = (left, bottom, max(1, right - left), max(1, top - bottom))
    trace = replace(
        config.trace,
        tolerance=config.trace.tolerance * math.sqrt(reduction),
        max_steps=min(config.trace.max_steps, FIRST_PICTURE_STEPS),
    )
    small = replace(
        config, width=width, height=height, region=region, samples=1, first_sample=0, trace_finest=False, trace=trace
    )
    return small, (left / across, bottom / up, region[2] / across, region[3] / up)


def _positions(first: float, step: float, count: int, available: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For linear interpolation at `count` places: the indices on both sides, and the share of the second."""
    places = (first + step * np.arange(count)).clip(0.0, available - 1.0)
    before = np.floor(places).astype(np.int64)
    return before, np.minimum(before + 1, available - 1), (places - before).astype(np.float32)


def enlarged(pixels: np.ndarray, rectangle: Rectangle, region: Region) -> np.ndarray:
    """A small picture that covers `rectangle`, enlarged linearly to the pixels of `region`: (height, width, 4)."""
    rows, columns = pixels.shape[:2]
    x, y, width, height = region
    step = columns / rectangle[2]
    before, after, share = _positions((x + 0.5 - rectangle[0]) * step - 0.5, step, width, columns)
    pixels = pixels[:, before] * (1.0 - share)[:, None] + pixels[:, after] * share[:, None]
    step = rows / rectangle[3]
    before, after, share = _positions((y + 0.5 - rectangle[1]) * step - 0.5, step, height, rows)
    return pixels[before] * (1.0 - share)[:, None, None] + pixels[after] * share[:, None, None]


def _place(tile: Tile, origin: tuple[int, int], canvas: np.ndarray) -> np.ndarray:
    """The part of `canvas`, whose first pixel is `origin`, that a tile covers: a view of it."""
    left, bottom, width, height = tile.region
    return canvas[bottom - origin[1] : bottom - origin[1] + height, left - origin[0] : left - origin[0] + width]


class ProgressiveRenderer:
    """Renders the view shown last, better and better, without ever making its caller wait.

    `show` and `newest` come back at once. The thread starts with the first view, and sleeps when a picture is
    finished. A new view ends the work on the one before, except on its first, small picture: were that given up
    too, a view that moves all the time would never be seen.
    """

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._wanted: _View | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._newest: ProgressivePicture | None = None
        self._views = 0
        # What the thread alone uses.
        self._serial = 0
        self._seconds_per_pixel = SECONDS_PER_PIXEL
        self._published = 0.0

    def show(self, scene: Scene, config: RenderConfig) -> int:
        """Start with a new view; returns its number, which its pictures bear. Not to be called again after `stop`."""
        with self._wake:
            self._views += 1
            self._wanted = _View(self._views, scene, config)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progressive renderer", daemon=True)
                self._thread.start()
            self._wake.notify()
            return self._views

    def newest(self) -> ProgressivePicture | None:
        """The newest picture, perhaps still of an earlier view; None before there is one."""
        return self._newest

    def stop(self, wait: bool = True) -> None:
        """End the thread. It does so after the steps that its tiles are at: up to some tenths of a second.

        Args:
            wait: for that end. May be done later by another call.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if wait and self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        view = None
        while (view := self._next_after(view)) is not None:
            try:
                self._refine(view)
            except Exception as error:  # noqa: BLE001 Whatever a scene makes fail, the next view may work.
                _log.exception("The picture could not be rendered")
                self._publish_problem(view, error)

    def _next_after(self, done: _View | None) -> _View | None:
        """Sleeps until another view than `done` is wanted; None when the thread is to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or self._wanted is not done)
            return None if self._stopping else self._wanted

    def _outdated(self, view: _View) -> bool:
        """Whether nobody wants the view any more."""
        return self._stopping or self._wanted is not view

    def _publish(
        self,
        view: _View,
        pixels: np.ndarray,
        rectangle: Rectangle,
        scale: float,
        samples: int,
        problem: str = "",
    ) -> None:
        self._serial += 1
        self._published = time.perf_counter()
        finished = bool(problem) or samples >= max(1, view.config.samples)
        self._newest = ProgressivePicture(
            pixels, rectangle, scale, samples, finished, self._serial, view.number, problem
        )

    def _publish_problem(self, view: _View, error: Exception) -> None:
        problem = str(error) or type(error).__name__
        before = self._newest
        if before is None:
            nothing = np.zeros((1, 1, 4), dtype=np.float32)
            self._publish(view, nothing, (0.0, 0.0, 1.0, 1.0), 1.0, 0, problem)
        else:
            self._publish(view, before.pixels, before.rectangle, before.scale, before.samples, problem)

    def _refine(self, view: _View) -> None:
        """All pictures of one view, until it is finished or outdated."""
        config = view.config
        region = config.rendered_region
        width, height = region[2:]
        if width < 1 or height < 1:
            self._publish(view, np.zeros((max(0, height), max(0, width), 4), np.float32), region, 1.0, config.samples)
            return
        reduction = self._affordable_reduction(width * height)
        canvas = np.zeros((height, width, 4), dtype=np.float32)
        if reduction > 1:
            first = self._first_picture(view, reduction)
            if first is None or self._outdated(view):
                return
            canvas = enlarged(*first, region)
        # Tiles are pasted over the enlarged first picture; what is there in the end is the first sample.
        if not self._add_sample(view, 0, canvas, growing=reduction > 1):
            return
        self._publish(view, canvas.copy(), region, 1.0, 1)
        for sample in range(1, config.samples):
            if not self._add_sample(view, sample, canvas):
                return
            self._publish(view, canvas / np.float32(sample + 1), region, 1.0, sample + 1)

    def _affordable_reduction(self, pixels: int) -> int:
        """Pixels of the full picture for each pixel a side of a first one that is there in time."""
        affordable = FIRST_PICTURE_SECONDS / self._seconds_per_pixel
        return min(LARGEST_REDUCTION, math.ceil(math.sqrt(pixels / affordable)))

    def _first_picture(self, view: _View, reduction: int) -> tuple[np.ndarray, Rectangle] | None:
        """Render and hand out the small picture; it and its rectangle, or None when it was given up."""
        config, rectangle = reduced(view.config, reduction)
        x, y, width, height = config.rendered_region
        started = time.perf_counter()

        def given_up() -> bool:
            # At the smallest size there is nothing faster to turn to.
            slow = reduction < LARGEST_REDUCTION and time.perf_counter() - started > 2.0 * FIRST_PICTURE_SECONDS
            return self._stopping or (slow and self._wanted is not view)

        pixels = np.zeros((height, width, 4), dtype=np.float32)
        covered = 0
        for tile in render_tiles(view.scene, config, given_up):
            _place(tile, (x, y), pixels)[...] = tile.combined
            covered += tile.combined[..., 0].size
        seconds = (time.perf_counter() - started) / (width * height)
        if covered < width * height:
            self._seconds_per_pixel = max(self._seconds_per_pixel, 2.0 * seconds)
            return None
        # A slow picture counts at once, a fast one gradually: resolution must not jump to and fro.
        self._seconds_per_pixel = max(seconds, 0.5 * (seconds + self._seconds_per_pixel))
        self._publish(view, pixels, rectangle, 1.0 / reduction, 0)
        return pixels, rectangle

    def _add_sample(self, view: _View, sample: int, canvas: np.ndarray, growing: bool = False) -> bool:
        """Render one sample of every pixel: the first replaces what `canvas` holds, later ones are added to it.

        Args:
            growing: hand out `canvas` now and then while it is worked on.

        Returns:
            Whether it was completed.
        """
        config = replace(view.config, samples=1, first_sample=view.config.first_sample + sample)
        region = config.rendered_region
        covered = 0
        for tile in render_tiles(view.scene, config, lambda: self._outdated(view)):
            where = _place(tile, region[:2], canvas)
            where[...] = tile.combined if sample == 0 else where + tile.combined
            covered += tile.combined[..., 0].size
            if growing and time.perf_counter() - self._published > SECONDS_BETWEEN_PICTURES:
                self._publish(view, canvas.copy(), region, 1.0, 0)
        return covered == canvas[..., 0].size
