# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's lighting, chosen by a scene's settings, as the renderers are told of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rendering
import shapes


@pytest.fixture
def studio_lights(addon_module: Callable[[str], ModuleType]) -> ModuleType:
    return addon_module("neural_implicit_addon.studio_lights")


@pytest.fixture
def chosen(blender: ModuleType, studio_lights: ModuleType) -> Callable[[], Any]:
    """The lighting that the current scene asks for, with no problem."""

    def lighting() -> Any:
        result, problem = studio_lights.chosen(blender.context.scene)
        assert problem == ""
        return result

    return lighting


def test_scene_lighting_is_the_default(blender: ModuleType, chosen: Callable[[], Any]) -> None:
    assert blender.context.scene.neural_implicit.lighting == "SCENE"
    assert chosen() is None


def test_every_choice_is_kept_and_sets_the_display(blender: ModuleType) -> None:
    scene = blender.context.scene
    for choice in ("STUDIO", "MATCAP", "FLAT", "SCENE", "MATCAP"):
        scene.neural_implicit.lighting = choice
        assert scene.neural_implicit.lighting == choice
        assert choice in {"SCENE", scene.display.shading.light}


def test_studio_lights_turn_with_the_view(
    blender: ModuleType, chosen: Callable[[], Any], addon_module: Callable[[str], ModuleType]
) -> None:
    scene = blender.context.scene
    scene.neural_implicit.lighting = "STUDIO"
    scene.display.shading.studio_light = "basic.sl"
    expected = next(light for light in blender.context.preferences.studio_lights if light.name == "basic.sl")
    solid = [light for light in expected.solid_lights if light.use]
    lighting = chosen().lighting
    assert [tuple(light.direction) for light in lighting.lights] == [tuple(light.direction) for light in solid]
    np.testing.assert_allclose(lighting.lights[0].diffuse_color, solid[0].diffuse_color)
    # A camera that looks along +y: its right is +x, its up is +z, and what is behind it is -y.
    to_world = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    camera = addon_module("kernels.cameras").Camera(np.eye(4), to_world)
    x, y, z = lighting.lights[0].direction
    np.testing.assert_allclose(chosen().seen_by(camera).lights[0].direction, (x, -z, y), atol=1e-6)
    scene.display.shading.show_specular_highlight = False
    assert not chosen().lighting.specular


def test_studio_lights_fixed_to_the_world(
    blender: ModuleType, chosen: Callable[[], Any], addon_module: Callable[[str], ModuleType]
) -> None:
    """They are as they look from the front, unless they are turned: seen from above, clockwise."""
    scene = blender.context.scene
    scene.neural_implicit.lighting = "STUDIO"
    shading = scene.display.shading
    shading.studio_light = "basic.sl"
    x, y, z = chosen().lighting.lights[1].direction
    shading.use_world_space_lighting = True
    for angle, expected in ((0.0, (x, -z, y)), (np.pi / 2, (-z, -x, y)), (-np.pi / 2, (z, x, y))):
        shading.studiolight_rotate_z = angle
        np.testing.assert_allclose(chosen().lights[1].direction, expected, atol=1e-6)
    # Cameras change nothing about it.
    lighting = chosen()
    gathered = addon_module("neural_implicit_addon.scene").gather(blender.context.evaluated_depsgraph_get())
    camera = addon_module("kernels.cameras").Camera(np.eye(4), np.diag([1.0, -1.0, -1.0, 1.0]))
    assert gathered.seen_by(camera).lighting == lighting


def test_flat_lighting_is_the_color_alone(blender: ModuleType, tmp_path: Path) -> None:
    blender.ops.mesh.primitive_uv_sphere_add(radius=1.0)
    material = blender.data.materials.new("paint")
    rendering.use_nodes(blender, material)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.2, 0.4, 0.6, 1.0)
    blender.context.object.data.materials.append(material)
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    rendering.set_size(blender, 16, 16)
    blender.context.scene.neural_implicit.lighting = "FLAT"
    picture = rendering.render(blender, tmp_path / "a.exr")["Combined"]
    np.testing.assert_allclose(picture[8, 8], (0.2, 0.4, 0.6, 1.0), atol=1e-3)


def test_matcaps_of_blender_are_read_and_leave_nothing_behind(
    blender: ModuleType, chosen: Callable[[], Any], studio_lights: ModuleType
) -> None:
    scene = blender.context.scene
    before = [len(blender.data.images), len(blender.data.textures)]
    names = [light.name for light in blender.context.preferences.studio_lights if light.type == "MATCAP"]
    assert len(names) > 20
    for name in names[::6]:
        scene.neural_implicit.lighting = "MATCAP"
        scene.display.shading.studio_light = name
        studio_lights.prepare(scene)
        diffuse = chosen().diffuse
        assert diffuse.dtype == np.float32
        assert diffuse.ndim == 3
        assert np.isfinite(diffuse).all()
        assert 0.002 < diffuse.max() < 8.0
        assert chosen() is chosen(), "read once"
    assert [len(blender.data.images), len(blender.data.textures)] == before


def test_layers_stand_upright(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    """A MatCap lit from above: the upper half of the sphere is the brighter one."""
    read = addon_module("neural_implicit_addon.matcap_images").read
    path = next(
        light.path for light in blender.context.preferences.studio_lights if light.name == "ceramic_lightbulb.exr"
    )
    pixels = read(path)
    assert pixels.shape == (256, 256, 3)
    assert pixels[160:224, 96:160].mean() > pixels[32:96, 96:160].mean()


def test_matcaps_of_8_bits_and_damaged_ones(
    blender: ModuleType, addon_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    read = addon_module("neural_implicit_addon.matcap_images").read
    image = blender.data.images.new("grey", 4, 4)
    image.pixels.foreach_set(np.tile(np.array([0.5, 0.5, 0.5, 1.0], np.float32), 16))
    image.filepath_raw, image.file_format = str(tmp_path / "grey.png"), "PNG"
    image.save()
    np.testing.assert_allclose(read(str(tmp_path / "grey.png")), 0.2140, atol=3e-3)
    (tmp_path / "damaged.exr").write_bytes(b"v/1\x01 nothing of the kind")
    assert read(str(tmp_path / "damaged.exr")) is None
    assert read(str(tmp_path / "absent.png")) is None


def test_unreadable_matcap_is_a_problem(
    blender: ModuleType, studio_lights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio_lights, "_matcaps", {})
    monkeypatch.setattr(studio_lights.matcap_images, "read", lambda _path: None)
    scene = blender.context.scene
    scene.neural_implicit.lighting = "MATCAP"
    lighting, problem = studio_lights.chosen(scene)
    assert lighting is None
    assert "cannot be read" in problem


def test_matcap_in_the_final_picture(blender: ModuleType, tmp_path: Path) -> None:
    """The middle of a sphere that faces the camera has the colour of the middle of the capture."""
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    rendering.set_size(blender, 33, 33)
    scene = blender.context.scene
    scene.neural_implicit.lighting, scene.neural_implicit.samples = "MATCAP", 1
    scene.neural_implicit.ambient_occlusion = False
    scene.display.shading.studio_light = "check_normal+y.exr"
    neural.data.materials.append(blender.data.materials.new("white"))
    material = neural.data.materials[0]
    rendering.use_nodes(blender, material)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    pixel = rendering.render(blender, tmp_path / "a.exr")["Combined"][16, 16]
    np.testing.assert_allclose(pixel[:3], (0.5, 0.5, 1.0), atol=0.3)
    assert pixel[2] > pixel[:2].max() + 0.2


def test_nothing_is_read_after_the_add_on_is_disabled(
    blender: ModuleType, studio_lights: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the window, where MatCaps that a picture lacks are read later."""
    app = SimpleNamespace(background=False, timers=blender.app.timers, handlers=blender.app.handlers)
    monkeypatch.setattr(studio_lights, "bpy", SimpleNamespace(app=app, msgbus=blender.msgbus, types=blender.types))
    for _ in range(2):
        studio_lights._request("capture.exr")
    (request,) = studio_lights._requests.values()
    assert blender.app.timers.is_registered(request)
    studio_lights.unregister()
    try:
        assert not blender.app.timers.is_registered(request)
        assert not studio_lights._requests
    finally:
        studio_lights.register()
