# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewports drawn into framebuffers: blitting, messages, whole pictures on both backends, and that nothing is left."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rendering
import shapes
from processes import wait_until

SIZE = (64, 48)


def offscreen(device: Any, size: tuple[int, int] = SIZE) -> tuple[Any, Any]:
    """A framebuffer of 32-bit floats, so that nothing is rounded, and its texture. Transparent black, as Blender's."""
    import gpu

    texture = device.empty_texture(*size)
    framebuffer = gpu.types.GPUFrameBuffer(color_slots=[texture])
    with framebuffer.bind():
        framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0))
    return framebuffer, texture


@pytest.fixture
def drawer(device: Any, addon_module: Callable[[str], ModuleType]) -> Any:
    return addon_module("neural_implicit_addon.viewport_blit").PictureDrawer()


def drawn(device: Any, drawer: Any, pixels: np.ndarray, rectangle: tuple[float, float, float, float]) -> np.ndarray:
    """What a framebuffer of size SIZE has after a picture was drawn into it."""
    framebuffer, texture = offscreen(device)
    with framebuffer.bind():
        drawer.draw(device.texture(pixels), rectangle, SIZE)
    return device.read(texture)


# Blitting


def test_a_picture_of_the_viewports_size_is_copied_exactly(device: Any, drawer: Any) -> None:
    # Scene-linear colours may be above one and, premultiplied, above their alpha.
    pixels = np.random.default_rng(0).uniform(0.0, 5.0, (SIZE[1], SIZE[0], 4)).astype(np.float32)
    assert np.array_equal(drawn(device, drawer, pixels, (0, 0, *SIZE)), pixels)


def test_a_picture_replaces_its_rectangle_alone(device: Any, drawer: Any) -> None:
    pixels = np.random.default_rng(0).uniform(0.0, 1.0, (20, 30, 4)).astype(np.float32)
    found = drawn(device, drawer, pixels, (10, 5, 30, 20))
    assert np.array_equal(found[5:25, 10:40], pixels)
    found[5:25, 10:40] = 0.0
    assert not found.any()


def test_a_small_picture_is_enlarged_smoothly(device: Any, drawer: Any) -> None:
    rows, columns = SIZE[1] // 8, SIZE[0] // 8
    x = (np.arange(columns) + 0.5) / columns
    pixels = np.empty((rows, columns, 4), dtype=np.float32)
    pixels[..., 0], pixels[..., 1] = 0.7, x
    pixels[..., 2] = x > 0.5
    pixels[..., 3] = 1.0
    found = drawn(device, drawer, pixels, (0, 0, *SIZE))
    assert found[..., 0] == pytest.approx(0.7, abs=1e-6)
    # A slope stays one, away from the borders where it has no neighbours.
    expected = (np.arange(SIZE[0]) + 0.5) / SIZE[0]
    assert found[:, 8:-8, 1] == pytest.approx(np.tile(expected[8:-8], (SIZE[1], 1)), abs=1e-5)
    # A step has neither rings nor the stairs of the small picture.
    step = found[SIZE[1] // 2, :, 2]
    assert step.min() == 0.0
    assert step.max() == 1.0
    assert np.diff(step).min() >= 0.0
    assert np.diff(step).max() < 0.15


def test_blenders_drawing_state_is_left_alone(device: Any, drawer: Any) -> None:
    import gpu

    state = gpu.state
    pixels = np.zeros((*SIZE[::-1], 4), dtype=np.float32)
    framebuffer, _ = offscreen(device)
    picture = device.texture(pixels)
    try:
        with framebuffer.bind():
            for blend, depth_test, depth_mask in (("ALPHA", "LESS_EQUAL", True), ("ADDITIVE", "NONE", False)):
                state.blend_set(blend)
                state.depth_test_set(depth_test)
                state.depth_mask_set(depth_mask)
                drawer.draw(picture, (0, 0, *SIZE), SIZE)
                assert (state.blend_get(), state.depth_test_get()) == (blend, depth_test)
                assert state.depth_mask_get() == depth_mask
    finally:
        state.blend_set("NONE")


# Messages


def message_pixels(
    device: Any, addon_module: Callable[[str], ModuleType], messages: list[str], free: tuple[int, int, int, int]
) -> np.ndarray:
    """A framebuffer of 300 x 200 with messages in it."""
    import gpu
    from mathutils import Matrix

    framebuffer, texture = offscreen(device, (300, 200))
    with framebuffer.bind(), gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        # As Blender sets them for an engine: units are pixels.
        gpu.matrix.load_matrix(Matrix.Identity(4))
        to_pixels = np.diag([2.0 / 300, 2.0 / 200, -0.01, 1.0])
        to_pixels[:2, 3] = -1.0
        gpu.matrix.load_projection_matrix(Matrix(to_pixels))
        addon_module("neural_implicit_addon.viewport_messages").draw(messages, free, 1.0)
    return device.read(texture)


def test_messages_are_in_the_lower_left_of_what_is_free(device: Any, addon_module: Callable[[str], ModuleType]) -> None:
    message = "'ball' is not rendered: its data are damaged; train it again or undo what happened to it " * 2
    written = message_pixels(device, addon_module, [message, "Another one"], (40, 30, 280, 190))
    letters = written[..., :3].min(axis=2) > 0.4
    rows, columns = np.nonzero(letters)
    assert 40 <= columns.min() <= 60
    assert columns.max() < 280
    assert 30 <= rows.min() <= 50
    assert rows.max() < 190
    # Several lines, with space between them.
    lines = np.diff(letters.any(axis=1).astype(int)).clip(0).sum()
    assert lines >= 4
    # On a dark ground, within what is free too.
    rows, columns = np.nonzero(written[..., 3])
    assert (columns.min(), rows.min()) >= (40, 30)
    assert written[rows, columns, 3].min() > 0.7


def test_nothing_is_written_where_there_is_no_space_or_nothing_to_say(
    device: Any, addon_module: Callable[[str], ModuleType]
) -> None:
    assert not message_pixels(device, addon_module, [], (0, 0, 300, 200)).any()
    assert not message_pixels(device, addon_module, ["Something"], (0, 0, 30, 200)).any()
    assert not message_pixels(device, addon_module, ["Something"], (0, 0, 300, 10)).any()


# Whole pictures


@pytest.fixture
def viewport(
    blender: ModuleType, device: Any, addon_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A 3D viewport with a neural ball in it, drawn by `draw()` as Blender would draw it, and read back."""
    module = addon_module("neural_implicit_addon.viewport")
    window = blender.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    space = area.spaces.active
    window.scene.render.engine = "NEURAL_IMPLICIT"
    space.shading.type = "RENDERED"
    settings = window.scene.neural_implicit
    settings.viewport_samples = 2
    ball = rendering.add_neural_object(blender, shapes.sphere_sequence())
    blender.context.view_layer.update()
    space.region_3d.view_perspective = "PERSP"
    context = SimpleNamespace(
        region=SimpleNamespace(x=0, y=0, width=SIZE[0], height=SIZE[1]),
        area=area,
        space_data=space,
        region_data=SimpleNamespace(
            as_pointer=space.region_3d.as_pointer,
            view_matrix=np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -3.0], [0, 0, 0, 1.0]]),
            window_matrix=np.array([[1.6, 0, 0, 0], [0, 1.6 * 4 / 3, 0, 0], [0, 0, -1.0, -0.2], [0, 0, -1.0, 0]]),
            is_perspective=True,
            view_perspective="PERSP",
        ),
        preferences=blender.context.preferences,
    )
    viewports = module.Viewports()
    backends = addon_module("neural_implicit_addon.backends")
    backends.forget_failure()

    def draw(backend: str = "CPU", engine: int = 1) -> np.ndarray:
        monkeypatch.setattr(backends, "device_for", lambda _: device if backend == "GPU" else None)
        framebuffer, texture = offscreen(device)
        with framebuffer.bind():
            depsgraph = blender.context.evaluated_depsgraph_get()
            viewports.draw(SimpleNamespace(as_pointer=lambda: engine), context, depsgraph)
        return device.read(texture)

    def finish(backend: str = "CPU") -> np.ndarray:
        end = time.monotonic() + 120.0
        pixels = draw(backend)
        while viewports.is_working:
            assert time.monotonic() < end, "the picture is not finished"
            time.sleep(0.005)
            pixels = draw(backend)
        return pixels

    yield SimpleNamespace(
        draw=draw, finish=finish, viewports=viewports, space=space, context=context, ball=ball, window=window
    )
    viewports.free()
    backends.forget_failure()
    space.shading.type = "SOLID"


def reference(blender: ModuleType, viewport: Any, addon_module: Callable[[str], ModuleType]) -> np.ndarray:
    """The CPU renderer's picture of what the viewport shows."""
    scene = addon_module("neural_implicit_addon.scene")
    camera = addon_module("neural_implicit_addon.viewport_camera")
    depsgraph = blender.context.evaluated_depsgraph_get()
    view = camera.view_of(viewport.context, depsgraph)
    config = addon_module("neural_implicit_addon.picture_settings").viewport_config(depsgraph.scene, *SIZE, view.region)
    gathered = scene.gather(depsgraph, viewport.space)
    return addon_module("kernels.rendering").render(gathered.seen_by(view.camera), config).combined


def test_the_finished_picture_is_that_of_the_cpu_renderer(
    blender: ModuleType, viewport: Any, addon_module: Callable[[str], ModuleType]
) -> None:
    expected = reference(blender, viewport, addon_module)
    found = viewport.finish("CPU")
    assert expected[24, 32, :3].max() > 2.0 * expected[2, 2, :3].max(), "the ball is seen"
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_gpu_shows_the_same(blender: ModuleType, viewport: Any, addon_module: Callable[[str], ModuleType]) -> None:
    expected = reference(blender, viewport, addon_module)
    found = viewport.finish("GPU")
    assert not addon_module("neural_implicit_addon.backends").failure()
    # Single outline pixels may fall to either side.
    assert np.quantile(np.abs(found - expected).max(axis=2), 0.98) < 5e-3


def test_a_border_is_drawn_alone(viewport: Any) -> None:
    space = viewport.space
    space.use_render_border = True
    space.render_border_min_x, space.render_border_min_y = 0.25, 0.5
    space.render_border_max_x, space.render_border_max_y = 0.75, 1.0
    try:
        found = viewport.finish()
    finally:
        space.use_render_border = False
    assert (found[24:, 16:48, 3] == 1.0).all()
    found[24:, 16:48] = 0.0
    assert not found.any()


def test_a_region_of_no_size_and_a_camera_inside_are_drawn_without_complaint(viewport: Any) -> None:
    viewport.context.region.width = 0
    viewport.draw()
    viewport.context.region.width = SIZE[0]
    viewport.context.region_data.view_matrix = np.eye(4)
    assert viewport.finish()[..., 3].min() == 1.0


def test_changed_scenes_are_gathered_again(blender: ModuleType, viewport: Any) -> None:
    middle = viewport.finish()[24, 32].copy()
    viewport.ball.location.x = 50.0
    blender.context.view_layer.update()
    redrawn: list[int] = []

    def tell(engine: int) -> None:
        viewport.viewports.update(SimpleNamespace(as_pointer=lambda: engine, tag_redraw=lambda: redrawn.append(engine)))

    tell(2)
    assert viewport.finish()[24, 32] == pytest.approx(middle), "another viewport's engine"
    tell(1)
    # Blender draws nothing by itself for what scripts and trainings change.
    assert redrawn == [2, 1]
    assert viewport.finish()[24, 32] != pytest.approx(middle, abs=1e-2)


def texture_count() -> int:
    """The textures that there are in Blender's OpenGL context."""
    import gpu

    if not sys.platform.startswith("linux") or gpu.platform.backend_type_get() != "OPENGL":
        pytest.skip("only OpenGL can be asked for its textures")
    library = ctypes.CDLL("libGL.so.1")
    library.glIsTexture.restype = ctypes.c_ubyte
    return sum(library.glIsTexture(number) for number in range(1, 4000))


def renderer_threads() -> list[threading.Thread]:
    """The threads that render viewports on the CPU."""
    return [thread for thread in threading.enumerate() if thread.name == "progressive renderer"]


@pytest.mark.parametrize("backend", ["CPU", "GPU"])
def test_a_hundred_switches_leave_nothing(viewport: Any, backend: str) -> None:
    viewport.window.scene.neural_implicit.viewport_samples = 1
    viewport.finish(backend)
    viewport.viewports.free()
    # Threads end by themselves a little later, and what other tests have left must not end while this one counts.
    wait_until(lambda: not renderer_threads())
    gc.collect()
    textures = texture_count()
    for number in range(100):
        viewport.draw(backend, engine=number)
        if number % 20 == 19:
            viewport.finish(backend)
        if number % 2:
            # Blender's window says that the viewport is gone: nobody else does.
            viewport.space.shading.type = "SOLID"
            assert viewport.viewports.tend() is None
            viewport.space.shading.type = "RENDERED"
    wait_until(lambda: not renderer_threads())
    assert texture_count() <= textures


def test_viewports_that_are_still_shown_are_kept(viewport: Any) -> None:
    viewport.finish()
    assert viewport.viewports.tend() is not None
    assert viewport.viewports.is_working is False
    viewport.window.scene.render.engine = "BLENDER_WORKBENCH"
    assert viewport.viewports.tend() is None
