# SPDX-License-Identifier: GPL-3.0-or-later
"""A viewport's camera against closed forms and Blender's own projection of points."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kernels.cameras import pixel_rays, project

SIZE = (320, 200)
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture
def viewport_camera(addon_module: Callable[[str], ModuleType]) -> ModuleType:
    return addon_module("neural_implicit_addon.viewport_camera")


def perspective(focal: float, shift: tuple[float, float] = (0.0, 0.0), near: float = 0.1, far: float = 100.0) -> Any:
    """A projection with ndc = focal * x / depth + shift, as Blender makes window matrices."""
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = focal, focal * SIZE[0] / SIZE[1]
    matrix[0, 2], matrix[1, 2] = -shift[0], -shift[1]
    matrix[2, 2], matrix[2, 3] = (far + near) / (near - far), 2.0 * far * near / (near - far)
    matrix[3, 2] = -1.0
    return matrix


def orthographic(scale: float) -> Any:
    """A projection that shows `scale` units over the whole width."""
    return np.diag([2.0 / scale, 2.0 / scale * SIZE[0] / SIZE[1], -0.01, 1.0])


def looking(location: tuple[float, float, float], turn: float) -> Any:
    """World -> camera space of a camera at `location`, turned around the world's z."""
    to_world = np.eye(4)
    to_world[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    to_world[:3, 3] = location
    return np.linalg.inv(to_world)


def test_points_in_closed_form(viewport_camera: ModuleType) -> None:
    # Two units in front, one to the right: ndc 1.5 * 1 / 2 = 0.75 plus the shift.
    view = viewport_camera.view_from_matrices(
        looking((1.0, 2.0, 3.0), 0.0), perspective(1.5, (0.1, -0.2)), SIZE, (0.1, 100.0)
    )
    pixels, depths = project(view.camera, np.array([[2.0, 2.0, 1.0]]), SIZE)
    assert pixels[0] == pytest.approx([(1.0 + 0.85) * 160, (1.0 - 0.2) * 100])
    assert depths[0] == pytest.approx(2.0)
    assert view.region == (0, 0, *SIZE)


@pytest.mark.parametrize("window", [perspective(1.2), perspective(2.0, (0.3, -0.4)), orthographic(5.0)])
def test_points_are_where_blender_draws_them(blender: ModuleType, viewport_camera: ModuleType, window: Any) -> None:
    from bpy_extras.view3d_utils import location_3d_to_region_2d
    from mathutils import Matrix

    rng = np.random.default_rng(0)
    matrix = looking((0.3, -0.2, 4.0), 0.7)
    view = viewport_camera.view_from_matrices(Matrix(matrix), Matrix(window), SIZE, (0.1, 100.0))
    region = SimpleNamespace(width=SIZE[0], height=SIZE[1])
    region_data = SimpleNamespace(perspective_matrix=Matrix(window @ matrix))
    points = rng.uniform(-1.0, 1.0, (20, 3))
    drawn = np.array([location_3d_to_region_2d(region, region_data, point) for point in points])
    pixels, _ = project(view.camera, points, SIZE)
    assert pixels == pytest.approx(drawn, abs=1e-3)


def test_rays_go_through_the_pixels_of_the_points(viewport_camera: ModuleType) -> None:
    # Back and forth: the ray through a pixel meets the points that are projected to it.
    for window in (perspective(1.2, (0.2, 0.1)), orthographic(3.0)):
        view = viewport_camera.view_from_matrices(looking((0.0, 0.5, 2.0), 1.0), window, SIZE, (0.1, 100.0))
        rays = pixel_rays(view.camera, SIZE, (17, 42, 3, 2))
        pixels, _ = project(view.camera, rays.origins + 2.5 * rays.directions, SIZE)
        assert pixels[0] == pytest.approx([17.5, 42.5])
        assert pixels[5] == pytest.approx([19.5, 43.5])


def test_borders(viewport_camera: ModuleType) -> None:
    def region(*border: float, size: tuple[int, int] = SIZE) -> Any:
        return viewport_camera.view_from_matrices(np.eye(4), perspective(1.0), size, (0.1, 100.0), border)

    assert region(0.25, 0.5, 0.75, 1.0).region == (80, 100, 160, 100)
    # A camera's border may reach beyond the viewport, or lie outside of it.
    assert region(-0.5, 0.5, 2.0, 3.0).region == (0, 100, 320, 100)
    assert region(1.5, 0.0, 2.0, 1.0).is_empty
    assert region(0.5, 0.5, 0.5, 0.5).is_empty
    assert region(*WHOLE, size=(0, 0)).is_empty
    assert not region(*WHOLE).is_empty


def test_equal_views(viewport_camera: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    is_same = addon_module("neural_implicit_addon.viewport_state").is_same

    def view(focal: float = 1.0, size: tuple[int, int] = SIZE, clip: float = 100.0, x: float = 0.0) -> Any:
        return viewport_camera.view_from_matrices(looking((x, 0.0, 0.0), 0.0), perspective(focal), size, (0.1, clip))

    assert is_same(view(), view())
    assert not any(
        is_same(view(), other) for other in (view(1.1), view(size=(320, 201)), view(clip=99.0), view(x=1e-3))
    )


def context(blender: ModuleType, size: tuple[int, int] = SIZE, **settings: Any) -> Any:
    """A viewport as Blender hands it to an engine; `settings` are those of its space and region data."""
    space = {
        "camera": None,
        "use_local_camera": False,
        "use_render_border": False,
        "render_border_min_x": 0.25,
        "render_border_min_y": 0.25,
        "render_border_max_x": 0.75,
        "render_border_max_y": 0.5,
        "clip_start": 0.02,
        "clip_end": 500.0,
        "view_matrix": np.eye(4),
        "window_matrix": perspective(1.0),
        "view_perspective": "PERSP",
        **settings,
    }
    space["is_perspective"] = space["window_matrix"][3][3] == 0.0
    return SimpleNamespace(
        region=SimpleNamespace(width=size[0], height=size[1]),
        space_data=SimpleNamespace(**space),
        region_data=SimpleNamespace(**space),
    )


@pytest.fixture
def scene_camera(blender: ModuleType) -> Any:
    """A scene's camera with lens, shift, and a scale, which must not count."""
    camera = blender.data.objects.new("camera", blender.data.cameras.new("camera"))
    camera.location, camera.rotation_euler, camera.scale = (1.0, -4.0, 2.0), (1.1, 0.1, 0.3), (2.0, 2.0, 2.0)
    camera.data.lens, camera.data.shift_x, camera.data.shift_y = 35.0, 0.2, -0.1
    camera.data.clip_start, camera.data.clip_end = 0.5, 50.0
    scene = blender.context.scene
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = 400, 300
    blender.context.view_layer.update()
    return camera


def zoomed(scene_camera: Any, depsgraph: Any, zoom: float, offset: tuple[float, float]) -> dict[str, Any]:
    """Matrices of a viewport of size SIZE that shows the camera's frame over `zoom` of its width."""
    from mathutils import Matrix

    projection = np.array(scene_camera.calc_matrix_camera(depsgraph, x=400, y=300))
    height = zoom * SIZE[0] / SIZE[1] * 300 / 400
    to_window = np.diag([zoom, height, 1.0, 1.0])
    to_window[:2, 3] = offset
    return {
        "view_matrix": scene_camera.matrix_world.normalized().inverted(),
        "window_matrix": Matrix(to_window @ projection),
        "view_perspective": "CAMERA",
    }


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_camera_frame_and_border(
    blender: ModuleType, viewport_camera: ModuleType, scene_camera: Any, kind: str
) -> None:
    scene_camera.data.type = kind
    depsgraph = blender.context.evaluated_depsgraph_get()
    looked = context(blender, **zoomed(scene_camera, depsgraph, 0.5, (0.1, 0.0)))
    view = viewport_camera.view_of(looked, depsgraph)
    assert view.region == (0, 0, *SIZE)
    assert (view.camera.clip_start, view.camera.clip_end) == pytest.approx((0.5, 50.0))
    # Half of the width around the middle, which is moved by 0.1 of half the width; 120 of 200 pixels high.
    frame = viewport_camera.camera_frame(scene_camera, blender.context.scene, view)
    assert np.multiply(frame, (*SIZE, *SIZE)) == pytest.approx([96.0, 40.0, 256.0, 160.0], abs=1e-2)

    render = blender.context.scene.render
    render.use_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.75, 0.5, 1.0
    view = viewport_camera.view_of(looked, depsgraph)
    assert np.abs(np.subtract(view.region, (136, 100, 80, 60))).max() <= 1


def test_border_of_the_viewport_counts_outside_of_camera_view(
    blender: ModuleType, viewport_camera: ModuleType, scene_camera: Any
) -> None:
    blender.context.scene.render.use_border = True
    depsgraph = blender.context.evaluated_depsgraph_get()
    assert viewport_camera.view_of(context(blender), depsgraph).region == (0, 0, *SIZE)
    assert viewport_camera.view_of(context(blender, use_render_border=True), depsgraph).region == (80, 50, 160, 50)


def test_clip_ranges(blender: ModuleType, viewport_camera: ModuleType, scene_camera: Any) -> None:
    depsgraph = blender.context.evaluated_depsgraph_get()

    def clip(**settings: Any) -> tuple[float, float]:
        camera = viewport_camera.view_of(context(blender, **settings), depsgraph).camera
        return camera.clip_start, camera.clip_end

    assert clip() == (0.02, 500.0)
    assert clip(window_matrix=orthographic(3.0)) == (-250.0, 250.0)


def test_view_through_a_local_camera_or_an_object_that_is_none(
    blender: ModuleType, viewport_camera: ModuleType, scene_camera: Any
) -> None:
    other = blender.data.objects.new("other", blender.data.cameras.new("other"))
    empty = blender.data.objects.new("empty", None)
    for obj in (other, empty):
        blender.context.scene.collection.objects.link(obj)
    depsgraph = blender.context.evaluated_depsgraph_get()

    def viewed(**settings: Any) -> Any:
        looked = context(blender, **settings)
        found = viewport_camera.viewed_camera(looked.space_data, looked.region_data, depsgraph)
        return found and found.name

    assert viewed() is None
    assert viewed(view_perspective="CAMERA") == "camera"
    assert viewed(view_perspective="CAMERA", use_local_camera=True, camera=other) == "other"
    assert viewed(view_perspective="CAMERA", use_local_camera=True, camera=empty) is None
