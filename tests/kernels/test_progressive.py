# SPDX-License-Identifier: GPL-3.0-or-later
"""The progressive renderer against the renderer of finished pictures, and what a window asks of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import shapes

from kernels import progressive, rendering
from kernels.cameras import Camera
from kernels.lighting import SunLight
from kernels.progressive import ProgressivePicture, ProgressiveRenderer, enlarged, reduced
from kernels.scenes import NeuralInstance, RenderConfig, Scene, Tile


def camera(distance: float = 3.0) -> Camera:
    """Looks along -z at the origin."""
    to_world = np.eye(4)
    to_world[2, 3] = distance
    projection = np.diag([2.0, 2.0, -1.0, 0.0])
    projection[3, 2] = -1.0
    return Camera(projection, to_world)


def scene(distance: float = 3.0) -> Scene:
    instance = NeuralInstance("sphere", shapes.sphere_sequence(), np.eye(4))
    return Scene(camera(distance), (instance,), lights=(SunLight((0.0, 0.0, 1.0), (2.0, 2.0, 2.0)),))


def wait_for(renderer: ProgressiveRenderer, wanted: Callable[[ProgressivePicture], bool]) -> ProgressivePicture:
    """The first picture looked at that is as `wanted`; fails after a time that no machine needs."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        picture = renderer.newest()
        if picture is not None and wanted(picture):
            return picture
        time.sleep(0.001)
    raise AssertionError("the picture did not come")


def finished(view: int) -> Callable[[ProgressivePicture], bool]:
    return lambda picture: picture.view == view and picture.finished


@pytest.fixture
def renderer() -> Iterator[ProgressiveRenderer]:
    made = ProgressiveRenderer()
    yield made
    made.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "progressive renderer"]


class Recorder:
    """Stands in for `render_tiles`: one tile of one colour, and a note of what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
        self.asked: list[RenderConfig] = []
        self.cancelled = 0
        self.seconds = seconds
        monkeypatch.setattr(progressive, "render_tiles", self)

    def __call__(self, scene: Scene, config: RenderConfig, cancelled: Callable[[], bool]) -> Iterator[Tile]:
        # Before the call is noted: whoever waits for that may change the seconds at once.
        end = time.monotonic() + self.seconds
        self.asked.append(config)
        while time.monotonic() < end:
            time.sleep(0.001)
            if cancelled():
                self.cancelled += 1
                return
        shape = config.rendered_region[3], config.rendered_region[2]
        value = float(config.first_sample)
        yield Tile(config.rendered_region, np.full((*shape, 4), value, np.float32), *3 * [np.zeros(shape)])


@pytest.mark.parametrize("region", [None, (13, 5, 37, 22)])
def test_finished_picture_is_that_of_the_renderer(
    renderer: ProgressiveRenderer, region: tuple[int, int, int, int] | None
) -> None:
    config = RenderConfig(71, 40, region=region, samples=3)
    view = renderer.show(scene(), config)
    picture = wait_for(renderer, finished(view))
    assert picture.problem == ""
    assert picture.samples == 3
    assert picture.rectangle == config.rendered_region
    np.testing.assert_allclose(picture.pixels, rendering.render(scene(), config).combined, atol=1e-5)


def test_a_small_picture_comes_first(renderer: ProgressiveRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    view = renderer.show(scene(), RenderConfig(1600, 900, samples=2))
    picture = wait_for(renderer, finished(view))
    first, full, second = recorder.asked
    assert first.width < 1600
    assert first.samples == full.samples == second.samples == 1
    assert (full.width, full.height, full.first_sample) == (1600, 900, 0)
    assert (second.width, second.height, second.first_sample) == (1600, 900, 1)
    assert picture.serial >= 3
    np.testing.assert_array_equal(picture.pixels, 0.5)


def test_resolution_of_the_first_picture_follows_the_speed(
    renderer: ProgressiveRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a clock that goes on while tiles are rendered, and only then.
    recorder, clock = Recorder(monkeypatch), SimpleNamespace(now=0.0, tick=4.0 * progressive.FIRST_PICTURE_SECONDS)

    def timed(*arguments: object) -> Iterator[Tile]:
        clock.now += clock.tick
        yield from recorder(*arguments)

    monkeypatch.setattr(progressive, "render_tiles", timed)
    monkeypatch.setattr(progressive, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    config = RenderConfig(640, 360, samples=1)
    for _ in range(4):
        wait_for(renderer, finished(renderer.show(scene(), config)))
    widths = [asked.width for asked in recorder.asked if asked.width < 640]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] == 640 // progressive.LARGEST_REDUCTION
    clock.tick = 0.0
    recorder.asked.clear()
    for _ in range(30):
        wait_for(renderer, finished(renderer.show(scene(), config)))
    assert recorder.asked[-1].width == 640
    assert len(recorder.asked) < 60


def test_a_new_view_ends_the_work_on_the_one_before(
    renderer: ProgressiveRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    wait_for(renderer, finished(renderer.show(scene(), RenderConfig(8, 8, samples=1))))
    recorder.seconds = 30.0
    first = renderer.show(scene(), RenderConfig(8, 8, samples=1))
    while len(recorder.asked) < 2:
        time.sleep(0.001)
    recorder.seconds = 0.0
    second = renderer.show(scene(2.5), RenderConfig(8, 8, samples=1))
    picture = wait_for(renderer, finished(second))
    assert second == first + 1
    assert recorder.cancelled == 1
    assert picture.serial == 2


def test_a_view_that_moves_all_the_time_is_seen(renderer: ProgressiveRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder(monkeypatch, seconds=0.02)
    seen = set()
    end = time.monotonic() + 60.0
    while len(seen) < 4 and time.monotonic() < end:
        renderer.show(scene(), RenderConfig(1600, 900))
        time.sleep(0.002)
        if renderer.newest() is not None:
            seen.add(renderer.newest().view)
    assert len(seen) == 4


def test_what_is_published_does_not_change(renderer: ProgressiveRenderer) -> None:
    view = renderer.show(scene(), RenderConfig(64, 36, samples=2))
    kept = {}
    while not (kept and finished(view)(max(kept.values(), key=lambda entry: entry[0].serial)[0])):
        picture = renderer.newest()
        if picture is not None:
            kept.setdefault(picture.serial, (picture, picture.pixels.copy()))
    for picture, pixels in kept.values():
        np.testing.assert_array_equal(picture.pixels, pixels)


def test_problems_are_reported_and_the_next_view_works(
    renderer: ProgressiveRenderer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: object) -> Iterator[Tile]:
        raise ValueError("the networks are too wide")

    with monkeypatch.context() as patched:
        patched.setattr(progressive, "render_tiles", fails)
        picture = wait_for(renderer, finished(renderer.show(scene(), RenderConfig(8, 8))))
        assert picture.problem == "the networks are too wide"
        assert "the networks are too wide" in caplog.text
    assert wait_for(renderer, finished(renderer.show(scene(), RenderConfig(8, 8)))).problem == ""


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 7), (1, 1), (2, 1), (1, 300)])
def test_tiny_and_empty_pictures(renderer: ProgressiveRenderer, width: int, height: int) -> None:
    picture = wait_for(renderer, finished(renderer.show(scene(), RenderConfig(width, height, samples=1))))
    assert picture.problem == ""
    assert picture.pixels.shape == (height, width, 4)


def test_empty_scene(renderer: ProgressiveRenderer) -> None:
    picture = wait_for(renderer, finished(renderer.show(Scene(camera()), RenderConfig(16, 9, samples=1))))
    assert picture.problem == ""
    assert (picture.pixels[..., 3] == 1.0).all()


def test_stopping_before_anything_and_twice() -> None:
    made = ProgressiveRenderer()
    made.stop()
    made.stop()
    assert made.newest() is None


def test_stopping_in_the_middle(renderer: ProgressiveRenderer) -> None:
    view = renderer.show(scene(), RenderConfig(1600, 900, samples=64))
    wait_for(renderer, lambda picture: picture.view == view)
    renderer.stop()
    assert not renderer.newest().finished


def test_stopping_without_waiting(renderer: ProgressiveRenderer) -> None:
    view = renderer.show(scene(), RenderConfig(1600, 900, samples=64))
    wait_for(renderer, lambda picture: picture.view == view)
    renderer.stop(wait=False)
    renderer.stop()
    assert not renderer.newest().finished
    assert not [thread for thread in threading.enumerate() if thread.name == "progressive renderer"]


@pytest.mark.parametrize("reduction", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("region", [None, (0, 0, 1, 1), (30, 11, 71, 49), (100, 59, 1, 1)])
def test_reduced_pictures_cover_the_region(reduction: int, region: tuple[int, int, int, int] | None) -> None:
    config = RenderConfig(101, 60, region=region, samples=9)
    small, rectangle = reduced(config, reduction)
    x, y, width, height = config.rendered_region
    left, bottom, right, top = rectangle[0], rectangle[1], rectangle[0] + rectangle[2], rectangle[1] + rectangle[3]
    assert left <= x + 1e-4
    assert bottom <= y + 1e-4
    assert right >= x + width - 1e-4
    assert top >= y + height - 1e-4
    small_x, small_y, small_width, small_height = small.rendered_region
    assert small_x >= 0
    assert small_x + small_width <= small.width
    assert small_y >= 0
    assert small_y + small_height <= small.height
    assert small_width * reduction < width + 2.5 * reduction


def test_enlarged_keeps_a_ramp() -> None:
    """Linear interpolation of a function that is linear in the picture's coordinates, away from the borders."""
    rectangle, region = (6.0, 3.0, 40.0, 20.0), (9, 5, 33, 16)
    y, x = np.mgrid[0:10, 0:20]
    ramp = (6.0 + (x + 0.5) * 2.0) + 10.0 * (3.0 + (y + 0.5) * 2.0)
    large = enlarged(np.repeat(ramp[..., None], 4, axis=2).astype(np.float32), rectangle, region)
    y, x = np.mgrid[5:21, 9:42]
    np.testing.assert_allclose(large[..., 2], (x + 0.5) + 10.0 * (y + 0.5), rtol=1e-5)
