# SPDX-License-Identifier: GPL-3.0-or-later
"""How pictures come about on the two backends: the CPU's thread, and the GPU's bounded pieces of work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapes

SIZE = (48, 40)


@pytest.fixture
def parts(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> SimpleNamespace:
    """The extension's modules that matter here."""
    names = ("kernels.scenes", "kernels.cameras", "kernels.rendering", "kernels.sequence", "kernels.networks")
    addon = ("neural_implicit_addon.viewport_cpu", "neural_implicit_addon.viewport_gpu")
    return SimpleNamespace(**{name.rpartition(".")[2]: addon_module(name) for name in (*names, *addon)})


def scene_of(parts: SimpleNamespace, x: float = 0.0) -> Any:
    """A ball at `x`, seen from in front."""
    placed = np.eye(4)
    placed[0, 3] = x
    projection = np.diag([1.0, SIZE[0] / SIZE[1], -1.0, 0.0])
    projection[2, 3], projection[3, 2] = -0.2, -1.0
    camera_to_world = np.eye(4)
    camera_to_world[2, 3] = 3.0
    camera = parts.cameras.Camera(projection, camera_to_world, 0.1, 100.0)
    return parts.scenes.Scene(camera, (parts.scenes.NeuralInstance("ball", shapes.sphere_sequence(), placed),))


def config_of(parts: SimpleNamespace, samples: int = 2) -> Any:
    return parts.scenes.RenderConfig(*SIZE, region=(0, 0, *SIZE), samples=samples)


# On the CPU


class Uploads:
    """Takes the pictures that would go to the GPU."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []

    def __call__(self, pixels: np.ndarray) -> Any:
        self.pictures.append(pixels)
        return SimpleNamespace(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0])


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def on_cpu(parts: SimpleNamespace, uploads: Uploads) -> Iterator[Any]:
    backend = parts.viewport_cpu.CpuBackend(uploads)
    yield backend
    backend.free()


def finish(backend: Any) -> None:
    """Draw again and again, as Blender does while there is work."""
    end = time.monotonic() + 60.0
    while not backend.finished:
        assert time.monotonic() < end, "the picture is not finished"
        if backend.has_news():
            backend.advance()
        time.sleep(0.002)


def test_cpu_ends_with_the_picture_of_the_renderer(parts: SimpleNamespace, on_cpu: Any) -> None:
    scene, config = scene_of(parts), config_of(parts)
    assert on_cpu.picture is None
    on_cpu.show(scene, config, patient=False)
    finish(on_cpu)
    expected = parts.rendering.render(scene, config).combined
    assert on_cpu.picture.texture.pixels == pytest.approx(expected, abs=1e-5)
    assert on_cpu.picture.rectangle == (0, 0, *SIZE)
    assert on_cpu.picture.size == SIZE


def test_cpu_puts_a_picture_on_the_gpu_once(parts: SimpleNamespace, on_cpu: Any, uploads: Uploads) -> None:
    on_cpu.show(scene_of(parts), config_of(parts), patient=False)
    finish(on_cpu)
    count = len(uploads.pictures)
    for _ in range(5):
        on_cpu.advance()
    assert len(uploads.pictures) == count


def test_cpu_shows_a_patient_change_only_when_it_is_complete(
    parts: SimpleNamespace, on_cpu: Any, uploads: Uploads
) -> None:
    on_cpu.show(scene_of(parts), config_of(parts), patient=False)
    finish(on_cpu)
    del uploads.pictures[:]
    for x in (0.1, 0.2, 0.3):
        on_cpu.show(scene_of(parts, x), config_of(parts), patient=True)
    finish(on_cpu)
    assert [pixels.shape[:2] for pixels in uploads.pictures] == [(SIZE[1], SIZE[0])] * len(uploads.pictures)
    # The first state was begun at once and completed, the second was overtaken by the third.
    complete = [parts.rendering.render(scene_of(parts, x), config_of(parts, 1)).combined for x in (0.1, 0.2, 0.3)]
    assert uploads.pictures[0] == pytest.approx(complete[0], abs=1e-5)
    assert not any(np.allclose(pixels, complete[1], atol=1e-3) for pixels in uploads.pictures)
    expected = parts.rendering.render(scene_of(parts, 0.3), config_of(parts)).combined
    assert on_cpu.picture.texture.pixels == pytest.approx(expected, abs=1e-5)


def test_cpu_leaves_no_thread(parts: SimpleNamespace, uploads: Uploads) -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        backend = parts.viewport_cpu.CpuBackend(uploads)
        backend.show(scene_of(parts), config_of(parts, samples=64), patient=False)
        backend.free()
    parts.viewport_cpu.wait_for_threads()
    assert set(threading.enumerate()) <= before


def test_cpu_is_freed_without_waiting_for_its_thread(
    parts: SimpleNamespace, uploads: Uploads, monkeypatch: pytest.MonkeyPatch, addon_module: Callable[[str], ModuleType]
) -> None:
    entered, may_end = threading.Event(), threading.Event()

    def slow(*_arguments: Any) -> Iterator[Any]:
        """A tile that takes its time."""
        entered.set()
        assert may_end.wait(60.0)
        yield from ()

    monkeypatch.setattr(addon_module("kernels.progressive"), "render_tiles", slow)
    before = set(threading.enumerate())
    backend = parts.viewport_cpu.CpuBackend(uploads)
    backend.show(scene_of(parts), config_of(parts), patient=False)
    assert entered.wait(60.0)
    # With a wait for the tile, which ends only afterwards, this would not come back.
    backend.free()
    assert set(threading.enumerate()) - before
    may_end.set()
    parts.viewport_cpu.wait_for_threads()
    assert set(threading.enumerate()) <= before


def test_cpu_says_what_went_wrong(parts: SimpleNamespace, on_cpu: Any) -> None:
    scene = scene_of(parts)
    on_cpu.show(scene, config_of(parts), patient=False)
    finish(on_cpu)
    picture = on_cpu.picture
    broken = parts.scenes.Scene(scene.camera, (parts.scenes.NeuralInstance("broken", None, np.eye(4)),))
    on_cpu.show(broken, config_of(parts), patient=False)
    finish(on_cpu)
    assert on_cpu.problem
    assert on_cpu.picture is picture


# On the GPU


class FakePicture:
    """A picture that needs some work for each of its samples."""

    def __init__(self, renderer: FakeRenderer, scene: Any, config: Any) -> None:
        self.renderer, self.scene, self.config = renderer, scene, config
        _, _, width, height = config.rendered_region
        self.texture = SimpleNamespace(width=width, height=height)
        self.samples = 0
        self.worked = 0.0

    @property
    def finished(self) -> bool:
        return self.samples >= self.config.samples

    def advance(self, seconds: float) -> None:
        needed = self.texture.width * self.texture.height / self.renderer.pixels_per_second
        spent = min(seconds, needed - self.worked)
        self.worked += spent
        self.renderer.now += spent + 1e-4
        if self.worked >= needed - 1e-9:
            self.worked, self.samples = 0.0, self.samples + 1

    def free(self) -> None:
        self.renderer.freed.append(self)


class FakeRenderer:
    """A GPU with a clock of its own."""

    def __init__(self, pixels_per_second: float) -> None:
        self.pixels_per_second = pixels_per_second
        self.now = 100.0
        self.begun: list[FakePicture] = []
        self.freed: list[FakePicture] = []

    def begin(self, scene: Any, config: Any) -> FakePicture:
        self.begun.append(FakePicture(self, scene, config))
        return self.begun[-1]

    @property
    def alive(self) -> list[FakePicture]:
        return [picture for picture in self.begun if picture not in self.freed]


@pytest.fixture
def gpu(parts: SimpleNamespace) -> FakeRenderer:
    """A GPU that makes a full picture in a tenth of a second."""
    return FakeRenderer(pixels_per_second=SIZE[0] * SIZE[1] / 0.1)


@pytest.fixture
def on_gpu(parts: SimpleNamespace, gpu: FakeRenderer) -> Any:
    return parts.viewport_gpu.GpuBackend(gpu, clock=lambda: gpu.now)


def rest(backend: Any, gpu: FakeRenderer) -> None:
    """Draw whenever there is something to draw, until nothing is left."""
    for _ in range(1000):
        if backend.finished:
            return
        if backend.has_news():
            began = gpu.now
            backend.advance()
            assert gpu.now - began < 0.1, "a draw call took too long"
        else:
            gpu.now += 0.01
    raise AssertionError("never finished")


def test_gpu_shows_a_coarse_picture_first_and_then_the_whole(
    parts: SimpleNamespace, gpu: FakeRenderer, on_gpu: Any
) -> None:
    scene, config = scene_of(parts), config_of(parts, samples=3)
    on_gpu.show(scene, config, patient=False)
    on_gpu.advance()
    assert on_gpu.picture.texture.width == SIZE[0] / 4
    assert on_gpu.picture.rectangle == (0, 0, *SIZE)
    rest(on_gpu, gpu)
    assert (on_gpu.picture.texture.width, on_gpu.picture.texture.height) == SIZE
    assert [picture.samples for picture in gpu.begun] == [1, 3]
    assert gpu.alive == [gpu.begun[-1]]


def test_gpu_goes_down_to_the_resolution_that_it_can_make_in_time(
    parts: SimpleNamespace, gpu: FakeRenderer, on_gpu: Any
) -> None:
    for step in range(10):
        on_gpu.show(scene_of(parts, 0.01 * step), config_of(parts), patient=False)
        on_gpu.advance()
        gpu.now += 0.01
    # 0.03 s of the 0.1 s that a full picture takes: half as many pixels a side.
    assert gpu.begun[-1].texture.width == SIZE[0] / 2
    assert on_gpu.picture.texture is gpu.begun[-1].texture
    assert len(gpu.alive) == 1


def test_gpu_shows_something_of_a_view_that_never_rests(parts: SimpleNamespace) -> None:
    # Too slow by far: one coarse picture takes several draw calls, and every one of them has a new view.
    slow = FakeRenderer(pixels_per_second=SIZE[0] * SIZE[1] / 10.0)
    backend = parts.viewport_gpu.GpuBackend(slow, clock=lambda: slow.now)
    pictures = set()
    for step in range(60):
        backend.show(scene_of(parts, 0.01 * step), config_of(parts), patient=False)
        backend.advance()
        if backend.picture is not None:
            pictures.add(id(backend.picture.texture))
    assert len(pictures) > 2


def test_gpu_keeps_a_fine_picture_until_the_changed_network_has_one(
    parts: SimpleNamespace, gpu: FakeRenderer, on_gpu: Any
) -> None:
    on_gpu.show(scene_of(parts), config_of(parts), patient=False)
    rest(on_gpu, gpu)
    for step in range(40):
        if step % 4 == 0:
            on_gpu.show(scene_of(parts, 0.01 * step), config_of(parts), patient=True)
        on_gpu.advance()
        assert on_gpu.picture.texture.width == SIZE[0]
    assert on_gpu.picture.texture is not gpu.begun[1].texture
    rest(on_gpu, gpu)
    assert gpu.begun[-1].scene.instances[0].network_to_world[0, 3] == pytest.approx(0.36)
    assert gpu.alive == [gpu.begun[-1]]


def test_gpu_is_left_empty(parts: SimpleNamespace, gpu: FakeRenderer, on_gpu: Any) -> None:
    for step in range(100):
        on_gpu.show(scene_of(parts, 0.01 * step), config_of(parts), patient=bool(step % 3))
        on_gpu.advance()
        gpu.now += 0.05 * (step % 5)
    on_gpu.free()
    assert not gpu.alive
    assert on_gpu.finished
