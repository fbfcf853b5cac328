# SPDX-License-Identifier: GPL-3.0-or-later
"""What is gathered from Blender: cameras, lights, materials, worlds, instances."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering
import shapes


@pytest.fixture
def gather(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> Callable[[], Any]:
    """Gathers the current scene as a final render would."""
    gathering = addon_module("neural_implicit_addon.scene")

    def gather_scene() -> Any:
        depsgraph = blender.context.evaluated_depsgraph_get()
        scene = depsgraph.scene
        return gathering.gather(depsgraph, scene.camera.evaluated_get(depsgraph), gathering.render_config(scene))

    return gather_scene


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.2, -0.15)])
@pytest.mark.parametrize(
    ("aspect", "size"), [((1.0, 1.0), (160, 90)), ((2.0, 1.0), (90, 160)), ((1.0, 1.5), (100, 100))]
)
def test_cameras_project_as_blender_does(
    blender: ModuleType,
    gather: Callable[[], Any],
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
    pixels, depths = addon_module("kernels.cameras").project(gather().scene.camera, points, size)
    np.testing.assert_allclose(pixels / size, expected[:, :2], atol=2e-5)
    np.testing.assert_allclose(depths, expected[:, 2], rtol=1e-5)


def test_lights(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    assert len(gather().scene.lights) == 3, "a pleasant rig where there are no lights"
    for number, kind in enumerate(("SUN", "POINT", "SPOT", "AREA")):
        light = blender.data.lights.new(kind, kind)
        light.energy, light.color, light.exposure = 10.0, (1.0, 0.5, 0.25), 1.0
        obj = blender.data.objects.new(kind, light)
        obj.location, obj.rotation_euler = (number, 0.0, 2.0), (math.radians(90.0), 0.0, 0.0)
        blender.context.scene.collection.objects.link(obj)
    hidden = blender.data.objects.new("hidden", light)
    hidden.hide_viewport = True
    blender.context.scene.collection.objects.link(hidden)
    lights = {type(light).__name__ + str(number): light for number, light in enumerate(gather().scene.lights)}
    assert sorted(lights) == ["PointLight1", "PointLight2", "PointLight3", "SunLight0"]
    np.testing.assert_allclose(lights["SunLight0"].irradiance, (20.0, 10.0, 5.0))
    # Lights shine along -z; turned by 90 degrees about x, that is +y, and the light is found along -y.
    np.testing.assert_allclose(lights["SunLight0"].direction, (0.0, -1.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(lights["PointLight2"].position, (2.0, 0.0, 2.0))
    np.testing.assert_allclose(lights["PointLight3"].axis, (0.0, 1.0, 0.0), atol=1e-6)


def test_materials_and_world(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    obj = rendering.add_neural_object(blender, shapes.sphere_sequence())
    material = blender.data.materials.new("paint")
    material.diffuse_color, material.roughness = (0.1, 0.2, 0.3, 1.0), 0.9
    rendering.use_nodes(blender, material)
    obj.data.materials.append(material)
    principled = material.node_tree.nodes["Principled BSDF"]
    principled.inputs["Base Color"].default_value = (0.9, 0.1, 0.2, 1)
    principled.inputs["Roughness"].default_value = 0.3
    world = blender.data.worlds.new("sky")
    rendering.use_nodes(blender, world)
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.1, 0.2, 0.4, 1)
    background.inputs["Strength"].default_value = 2.0
    blender.context.scene.world = world
    scene = gather().scene
    np.testing.assert_allclose(scene.instances[0].material.base_color, (0.9, 0.1, 0.2))
    assert scene.instances[0].material.roughness == pytest.approx(0.3)
    np.testing.assert_allclose(scene.world.color, (0.2, 0.4, 0.8))
    material.node_tree.nodes.remove(principled)
    blender.context.scene.world = None
    scene = gather().scene
    np.testing.assert_allclose(scene.instances[0].material.base_color, (0.1, 0.2, 0.3))
    assert scene.world.color == (0.0, 0.0, 0.0)


def test_instances_duplicates_parents_and_hidden_objects(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -9.0, 0.0))
    scene = blender.context.scene
    sequence = shapes.sphere_sequence()
    original = rendering.add_neural_object(blender, sequence, "original")
    parent = blender.data.objects.new("parent", None)
    parent.location, parent.scale = (3.0, 0.0, 0.0), (2.0, 1.0, -1.0)
    scene.collection.objects.link(parent)
    linked = original.copy()
    linked.parent, linked.location = parent, (1.0, 0.0, 0.0)
    scene.collection.objects.link(linked)
    group = blender.data.collections.new("group")
    member = original.copy()
    member.location = (0.0, 0.0, 1.0)
    group.objects.link(member)
    for x in (-2.0, -4.0):
        empty = blender.data.objects.new("empty", None)
        empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", group, (x, 0.0, 0.0)
        scene.collection.objects.link(empty)
    hidden = original.copy()
    hidden.hide_viewport = True
    scene.collection.objects.link(hidden)
    blender.context.view_layer.update()
    instances = gather().scene.instances
    positions = sorted(tuple(np.round(item.network_to_world[:3, 3], 4)) for item in instances)
    assert positions == [(-4.0, 0.0, 1.0), (-2.0, 0.0, 1.0), (0.0, 0.0, 0.0), (5.0, 0.0, 0.0)]
    assert len({id(item.sequence) for item in instances}) == 1, "one sequence, read once"
    stretched = next(item for item in instances if item.network_to_world[0, 3] == 5.0)
    np.testing.assert_allclose(stretched.network_to_world[:3, :3], np.diag([2.0, 1.0, -1.0]), atol=1e-6)


def test_center_and_radius(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -9.0, 0.0))
    sequence = shapes.fitted_sequence(shapes.sphere(), (32, 48), center=(1.0, 2.0, 3.0), radius=0.5)
    obj = rendering.add_neural_object(blender, sequence)
    obj.scale = (1.0, 1.0, 4.0)
    blender.context.view_layer.update()
    matrix = gather().scene.instances[0].network_to_world
    np.testing.assert_allclose(matrix @ (0, 0, 0, 1), (1.0, 2.0, 12.0, 1.0))
    np.testing.assert_allclose(matrix @ (1, 1, 1, 1), (1.5, 2.5, 14.0, 1.0))


def test_other_objects_with_faces_are_counted(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -9.0, 0.0))
    rendering.add_neural_object(blender, shapes.sphere_sequence(), "sound")
    blender.ops.object.light_add()
    blender.ops.object.empty_add()
    blender.ops.curve.primitive_bezier_circle_add()
    blender.context.scene.collection.objects.link(blender.data.objects.new("bare", blender.data.meshes.new("bare")))
    assert gather().problems == ()
    blender.ops.mesh.primitive_cube_add()
    assert gather().problems == ("1 other object is not rendered: this engine shows neural objects only",)
    blender.ops.object.text_add()
    blender.context.object.data.body = "text"
    blender.ops.curve.primitive_bezier_circle_add()
    blender.context.object.data.bevel_depth = 0.1
    assert gather().problems == ("3 other objects are not rendered: this engine shows neural objects only",)


def test_problems_name_the_object_once(blender: ModuleType, gather: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -9.0, 0.0))
    assert "no neural object" in gather().problems[0]
    broken = rendering.add_neural_object(blender, b"no network at all", "broken")
    second = broken.copy()
    blender.context.scene.collection.objects.link(second)
    rendering.add_neural_object(blender, shapes.sphere_sequence(), "sound")
    gathered = gather()
    assert [item.name for item in gathered.scene.instances] == ["sound"]
    assert any("'broken'" in problem for problem in gathered.problems)
    blender.context.scene.camera.data.type = "PANO"
    assert any("panoramic" in problem for problem in gather().problems)
