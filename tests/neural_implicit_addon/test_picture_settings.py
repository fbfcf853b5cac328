# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a scene's settings: size, part, quality and camera of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import rendering


@pytest.fixture
def picture_settings(addon_module: Callable[[str], ModuleType]) -> ModuleType:
    return addon_module("neural_implicit_addon.picture_settings")


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.2, -0.15)])
@pytest.mark.parametrize(
    ("aspect", "size"), [((1.0, 1.0), (160, 90)), ((2.0, 1.0), (90, 160)), ((1.0, 1.5), (100, 100))]
)
def test_cameras_project_as_blender_does(
    blender: ModuleType,
    picture_settings: ModuleType,
    addon_module: Callable[[str], ModuleType],
    kind: str,
    shift: tuple[float, float],
    aspect: tuple[float, float],
    size: tuple[int, int],
) -> None:
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    camera = rendering.add_camera(blender, (2.0, -4.0, 1.5))
    camera.scale = (2.0, 0.5, 3.0)
    camera.data.type = kind
    camera.data.shift_x, camera.data.shift_y = shift
    rendering.set_size(blender, *size)
    scene = blender.context.scene
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    blender.context.view_layer.update()
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (40, 3))
    # world_to_camera_view takes the camera's scale into the view, which rendering does not.
    unscaled = camera.copy()
    scene.collection.objects.link(unscaled)
    unscaled.scale = (1.0, 1.0, 1.0)
    blender.context.view_layer.update()
    expected = np.array([world_to_camera_view(scene, unscaled, Vector(p)) for p in points])
    depsgraph = blender.context.evaluated_depsgraph_get()
    described = picture_settings.scene_camera(
        depsgraph, camera.evaluated_get(depsgraph), picture_settings.render_config(scene)
    )
    pixels, depths = addon_module("kernels.cameras").project(described, points, size)
    np.testing.assert_allclose(pixels / size, expected[:, :2], atol=2e-5)
    np.testing.assert_allclose(depths, expected[:, 2], rtol=1e-5)


def test_settings_become_render_configs(blender: ModuleType, picture_settings: ModuleType) -> None:
    scene = blender.context.scene
    settings = scene.neural_implicit
    final = picture_settings.render_config(scene)
    view = picture_settings.viewport_config(scene, 320, 200, (1, 2, 30, 40))
    assert (final.samples, view.samples) == (4, 8)
    assert (view.width, view.height, view.region) == (320, 200, (1, 2, 30, 40))
    assert (view.traced_level, view.normal_level) == (None, None)
    assert view.ambient_occlusion
    settings.level_of_detail, settings.traced_level, settings.normal_level = "LOCKED", 1, 2
    settings.display, settings.ambient_occlusion, settings.sun_shadows = "BAND", False, False
    final = picture_settings.render_config(scene)
    view = picture_settings.viewport_config(scene, 320, 200)
    for config in (final, view):
        assert (config.traced_level, config.normal_level) == (1, 2)
        assert not config.ambient_occlusion
        assert not config.sun_shadows
    assert (final.display.value, view.display.value) == ("SHADED", "BAND")
