# SPDX-License-Identifier: GPL-3.0-or-later
"""What the renderers are told of Blender's materials."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import rendering
import shapes


@pytest.fixture
def describe(addon_module: Callable[[str], ModuleType]) -> Callable[[Any], Any]:
    return addon_module("neural_implicit_addon.materials").describe


@pytest.fixture
def paint(blender: ModuleType) -> Any:
    """A material with a Principled BSDF and other values for Solid shading."""
    material = blender.data.materials.new("paint")
    material.diffuse_color, material.roughness, material.metallic = (0.1, 0.2, 0.3, 1.0), 0.9, 0.7
    rendering.use_nodes(blender, material)
    inputs = material.node_tree.nodes["Principled BSDF"].inputs
    inputs["Base Color"].default_value = (0.9, 0.1, 0.2, 1.0)
    inputs["Roughness"].default_value, inputs["Metallic"].default_value = 0.3, 0.4
    return material


def values(material: Any) -> tuple[float, ...]:
    return pytest.approx((*material.base_color, material.roughness, material.metallic))


def test_principled_values(paint: Any, describe: Callable[[Any], Any]) -> None:
    assert values(describe(paint)) == (0.9, 0.1, 0.2, 0.3, 0.4)


def test_solid_shading_without_a_principled_shader(paint: Any, describe: Callable[[Any], Any]) -> None:
    tree = paint.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    assert values(describe(paint)) == (0.1, 0.2, 0.3, 0.9, 0.7)
    tree.nodes.clear()
    assert values(describe(paint)) == (0.1, 0.2, 0.3, 0.9, 0.7)


def test_constants_of_nodes_are_followed(paint: Any, describe: Callable[[Any], Any]) -> None:
    tree = paint.node_tree
    inputs = tree.nodes["Principled BSDF"].inputs
    color, value, reroute = (tree.nodes.new(kind) for kind in ("ShaderNodeRGB", "ShaderNodeValue", "NodeReroute"))
    color.outputs[0].default_value, value.outputs[0].default_value = (0.2, 0.4, 0.6, 1.0), 0.8
    tree.links.new(color.outputs[0], reroute.inputs[0])
    tree.links.new(reroute.outputs[0], inputs["Base Color"])
    tree.links.new(value.outputs[0], inputs["Roughness"])
    assert values(describe(paint)) == (0.2, 0.4, 0.6, 0.8, 0.4)
    tree.links.new(value.outputs[0], inputs["Base Color"])
    tree.links.new(color.outputs[0], inputs["Roughness"])
    assert values(describe(paint)) == (0.8, 0.8, 0.8, 0.4, 0.4), "as Blender turns numbers into colors and back"


def test_what_varies_is_shown_as_in_solid_shading(paint: Any, describe: Callable[[Any], Any]) -> None:
    tree = paint.node_tree
    noise = tree.nodes.new("ShaderNodeTexNoise")
    tree.links.new(noise.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    assert values(describe(paint)) == (0.1, 0.2, 0.3, 0.3, 0.4), "value by value"
    tree.links.new(noise.outputs[0], tree.nodes["Principled BSDF"].inputs["Metallic"])
    assert values(describe(paint)) == (0.1, 0.2, 0.3, 0.3, 0.7)


def test_slots_of_data_and_objects_and_overrides(
    blender: ModuleType, paint: Any, addon_module: Callable[[str], ModuleType]
) -> None:
    gathering = addon_module("neural_implicit_addon.scene")
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    plain = blender.data.materials.new("plain")
    plain.diffuse_color = (0.5, 0.5, 0.5, 1.0)
    plain.node_tree and plain.node_tree.nodes.clear()
    for material in (paint, None, paint):
        cube.data.materials.append(material)
    cube.material_slots[2].link, cube.material_slots[2].material = "OBJECT", plain
    cube.data.polygons[3].material_index = 2
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    neural.data.materials.append(paint)
    depsgraph = blender.context.evaluated_depsgraph_get()
    gathered = gathering.gather(depsgraph)
    colors = [material.base_color for material in gathered.meshes[0].materials]
    assert colors == [pytest.approx((0.9, 0.1, 0.2)), pytest.approx((0.8, 0.8, 0.8)), pytest.approx((0.5, 0.5, 0.5))]
    assert sorted(gathered.meshes[0].geometry.material_slots.tolist()) == [0] * 10 + [2] * 2
    assert gathered.instances[0].material.base_color == pytest.approx((0.9, 0.1, 0.2))
    blender.context.view_layer.material_override = plain
    gathered = gathering.gather(blender.context.evaluated_depsgraph_get())
    assert [material.base_color for material in gathered.meshes[0].materials] == [pytest.approx((0.5, 0.5, 0.5))]
    assert gathered.instances[0].material.base_color == pytest.approx((0.5, 0.5, 0.5))


def test_values_that_are_not_finite_count_as_zero(paint: Any, describe: Callable[[Any], Any]) -> None:
    inputs = paint.node_tree.nodes["Principled BSDF"].inputs
    inputs["Base Color"].default_value = (float("nan"), 0.5, 0.1, 1.0)
    inputs["Roughness"].default_value = float("nan")
    described = describe(paint)
    assert described.base_color == pytest.approx((0.0, 0.5, 0.1))
    assert described.roughness == 0.0
