# SPDX-License-Identifier: GPL-3.0-or-later
"""When a viewport renders anew, what it shows meanwhile, and what it does when a GPU fails: with backends of glass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapes

from kernels import nsdf as repository_nsdf

SIZE = (64, 48)


@pytest.fixture
def backends(addon_module: Callable[[str], ModuleType]) -> Any:
    """The module that chooses backends, with its memory of failures clean before and after."""
    module = addon_module("neural_implicit_addon.backends")
    module.forget_failure()
    yield module
    module.forget_failure()


@dataclass
class FakeBackend:
    """Notes what it is asked for, and shows a picture from the first `advance` on."""

    device: Any
    shown: list[tuple[Any, Any, bool]] = field(default_factory=list)
    picture: Any = None
    problem: str = ""
    freed: bool = False
    error: Exception | None = None

    def show(self, scene: Any, config: Any, patient: bool) -> None:
        self.shown.append((scene, config, patient))

    def advance(self) -> None:
        if self.error is not None:
            raise self.error
        self.picture = SimpleNamespace(texture=self, rectangle=(0, 0, *SIZE), size=SIZE)

    def has_news(self) -> bool:
        return False

    @property
    def finished(self) -> bool:
        return bool(self.picture)

    def free(self) -> None:
        self.freed = True


class Drawn:
    """A viewport drawn by hand, with everything around it in reach."""

    def __init__(self, addon_module: Callable[[str], ModuleType]) -> None:
        self.camera = addon_module("neural_implicit_addon.viewport_camera")
        self.scene = addon_module("neural_implicit_addon.scene")
        self.scenes = addon_module("kernels.scenes")
        self.lighting = addon_module("kernels.lighting")
        # Parsed by the extension, as those that it finds on meshes.
        nsdf = addon_module("kernels.nsdf")
        self.ball, self.ring = (
            nsdf.loads(repository_nsdf.dumps(made())) for made in (shapes.sphere_sequence, shapes.torus_sequence)
        )
        self.backends: list[FakeBackend] = []
        self.error: Exception | None = None
        self.viewport = addon_module("neural_implicit_addon.viewport_state").Viewport(self._make)
        self.gathered = self.gather_result()
        self.gather_count = 0
        self.rectangles: list[Any] = []
        self.device: Any = None
        self.config = self.scenes.RenderConfig(*SIZE, region=(0, 0, *SIZE))

    def _make(self, device: Any) -> FakeBackend:
        self.backends.append(FakeBackend(device, error=self.error if device else None))
        return self.backends[-1]

    def gather_result(self, x: float = 0.0, sequence: Any = None, problems: tuple[str, ...] = ()) -> Any:
        """What gathering finds: an object at `x`, all of it new objects, as gathering anew makes them."""
        placed = np.eye(4)
        placed[0, 3] = x
        instance = self.scenes.NeuralInstance("ball", sequence or self.ball, placed)
        world = self.lighting.World((0.1, 0.2, 0.3))
        return self.scene.Gathered((instance,), (), (), world, None, False, problems)

    def gather(self) -> Any:
        self.gather_count += 1
        return self.gathered

    def draw(self, x: float = 0.0, size: tuple[int, int] = SIZE) -> None:
        """Draw from a camera at `x`."""
        view_matrix = np.eye(4)
        view_matrix[0, 3] = -x
        view = self.camera.view_from_matrices(view_matrix, np.eye(4), size, (0.1, 10.0))
        drawer = SimpleNamespace(draw=lambda texture, rectangle, size: self.rectangles.append(rectangle))
        self.viewport.draw(view, self.config, self.gather, self.device, drawer)

    @property
    def patiences(self) -> list[bool]:
        """One for each time that the newest backend had to render anew."""
        return [patient for _, _, patient in self.backends[-1].shown]


@pytest.fixture
def drawn(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> Drawn:
    return Drawn(addon_module)


def test_nothing_is_rendered_anew_while_nothing_changes(drawn: Drawn) -> None:
    for _ in range(3):
        drawn.draw()
    assert drawn.patiences == [False]
    assert drawn.gather_count == 1
    assert drawn.rectangles == [(0, 0, *SIZE)] * 3
    assert not drawn.viewport.is_working


def test_moved_views_and_changed_settings_are_rendered_without_gathering(drawn: Drawn) -> None:
    drawn.draw()
    drawn.draw(x=0.5)
    drawn.config = replace(drawn.config, ambient_occlusion=False)
    drawn.draw(x=0.5)
    assert drawn.patiences == [False, False, False]
    assert drawn.gather_count == 1
    scene, config, _ = drawn.backends[-1].shown[-1]
    assert scene.camera.camera_to_world[0, 3] == 0.5
    assert not config.ambient_occlusion


def test_another_number_of_threads_is_no_reason_to_render_anew(drawn: Drawn) -> None:
    drawn.draw()
    drawn.config = replace(drawn.config, threads=1)
    drawn.draw()
    assert drawn.patiences == [False]
    # What is rendered for another reason is rendered with them.
    drawn.draw(x=1.0)
    assert [config.threads for _, config, _ in drawn.backends[0].shown] == [None, 1]


def test_a_scene_that_is_the_same_again_is_not_rendered_anew(drawn: Drawn) -> None:
    # As after selecting something: Blender announces a change, but none that is seen.
    drawn.draw()
    drawn.gathered = drawn.gather_result()
    drawn.viewport.invalidate()
    drawn.draw()
    assert drawn.gather_count == 2
    assert drawn.patiences == [False]


def test_a_moved_object_is_rendered_at_once_and_a_trained_network_patiently(drawn: Drawn) -> None:
    drawn.draw()
    for gathered in (drawn.gather_result(x=1.0), drawn.gather_result(x=1.0, sequence=drawn.ring)):
        drawn.gathered = gathered
        drawn.viewport.invalidate()
        drawn.draw()
    assert drawn.patiences == [False, False, True]
    assert drawn.backends[-1].shown[-1][0].instances == drawn.gathered.instances


def test_messages(drawn: Drawn) -> None:
    drawn.gathered = drawn.gather_result(problems=("'ball' is damaged",))
    drawn.draw()
    assert drawn.viewport.messages == ("'ball' is damaged",)
    drawn.backends[-1].problem = "out of memory"
    drawn.draw()
    assert drawn.viewport.messages == ("out of memory", "'ball' is damaged")


def test_a_failing_gpu_gives_way_to_the_cpu_in_the_same_draw_call(
    drawn: Drawn, backends: ModuleType, addon_module: Callable[[str], ModuleType]
) -> None:
    drawn.error = addon_module("kernels.gpu.device").GpuError("no more memory")
    drawn.device = SimpleNamespace(name="a GPU")
    drawn.draw()
    on_gpu, on_cpu = drawn.backends
    assert on_gpu.freed
    assert on_cpu.device is None
    assert len(drawn.rectangles) == 1
    assert "no more memory" in drawn.viewport.messages[0]
    assert "no more memory" in backends.failure()
    # The next call finds that there is no GPU any more, and goes on with the CPU as if nothing had been.
    drawn.device = None
    drawn.draw()
    assert len(drawn.backends) == 2
    assert drawn.patiences == [False]
    assert "no more memory" in drawn.viewport.messages[0]
    # Until the artist chooses a backend again.
    backends.forget_failure()
    drawn.draw()
    assert drawn.viewport.messages == ()


def test_networks_that_the_gpu_cannot_render_are_rendered_by_the_cpu_while_they_are_there(
    drawn: Drawn, backends: ModuleType, addon_module: Callable[[str], ModuleType]
) -> None:
    drawn.error = addon_module("kernels.gpu.device").UnsupportedNetworkError("a network 516 wide is too wide")
    drawn.device = SimpleNamespace(name="a GPU")
    drawn.draw()
    # The GPU is not tried again for another view, nor when the object has moved.
    drawn.draw(x=0.5)
    drawn.gathered = drawn.gather_result(x=1.0)
    drawn.viewport.invalidate()
    drawn.draw(x=0.5)
    assert [backend.device for backend in drawn.backends] == [drawn.device, None]
    assert drawn.viewport.messages == ("Rendering on the CPU: a network 516 wide is too wide",)
    assert backends.failure() == ""
    # The rest of the scene is rendered on the GPU.
    drawn.error = None
    drawn.gathered = replace(drawn.gathered, instances=())
    drawn.viewport.invalidate()
    drawn.draw()
    assert [backend.device for backend in drawn.backends] == [drawn.device, None, drawn.device]
    assert drawn.backends[1].freed
    assert drawn.backends[2].picture is not None
    assert drawn.viewport.messages == ()


def test_a_picture_that_cannot_be_shown_is_no_failure_of_a_gpu(
    drawn: Drawn, backends: ModuleType, addon_module: Callable[[str], ModuleType]
) -> None:
    drawn.draw()
    drawn.backends[-1].error = addon_module("kernels.gpu.device").GpuError("a texture is too large")
    drawn.draw()
    assert "too large" in drawn.viewport.messages[0]
    assert backends.failure() == ""


def test_another_device(drawn: Drawn) -> None:
    drawn.draw()
    drawn.device = SimpleNamespace(name="a GPU")
    drawn.draw()
    assert [backend.device for backend in drawn.backends] == [None, drawn.device]
    assert drawn.backends[0].freed
    assert drawn.patiences == [False]


def test_a_region_of_no_size_draws_nothing(drawn: Drawn) -> None:
    drawn.draw(size=(0, 48))
    assert not drawn.rectangles
    assert drawn.gather_count == 0
    drawn.draw()
    assert drawn.rectangles == [(0, 0, *SIZE)]


def test_a_picture_of_the_former_size_is_stretched(drawn: Drawn) -> None:
    drawn.draw()
    drawn.draw(size=(128, 48))
    assert drawn.rectangles[-1] == (0, 0, 128, 48)


def test_freed_and_drawn_again(drawn: Drawn) -> None:
    drawn.draw()
    drawn.viewport.free()
    assert drawn.backends[0].freed
    assert not drawn.viewport.is_working
    drawn.draw()
    assert drawn.gather_count == 2
    assert drawn.patiences == [False]
