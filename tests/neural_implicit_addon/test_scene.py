# SPDX-License-Identifier: GPL-3.0-or-later
"""What is gathered from Blender: lights, materials, worlds, instances."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering
import shapes


@pytest.fixture
def gather(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> Callable[[], Any]:
    """Gathers what the current view layer shows."""
    gathering = addon_module("neural_implicit_addon.scene")
    return lambda: gathering.gather(blender.context.evaluated_depsgraph_get())


@pytest.fixture
def seen(
    blender: ModuleType, addon_module: Callable[[str], ModuleType], gather: Callable[[], Any]
) -> Callable[[], Any]:
    """The scene as its camera sees it."""
    picture_settings = addon_module("neural_implicit_addon.picture_settings")

    def seen_scene() -> Any:
        gathered, depsgraph = gather(), blender.context.evaluated_depsgraph_get()
        scene = depsgraph.scene
        config = picture_settings.render_config(scene)
        camera = picture_settings.scene_camera(depsgraph, scene.camera.evaluated_get(depsgraph), config)
        return gathered.seen_by(camera)

    return seen_scene


def test_lights(blender: ModuleType, gather: Callable[[], Any], seen: Callable[[], Any]) -> None:
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    assert gather().lights == ()
    assert len(seen().lights) == 3, "a pleasant rig where there are no lights"
    for number, kind in enumerate(("SUN", "POINT", "SPOT", "AREA")):
        light = blender.data.lights.new(kind, kind)
        light.energy, light.color, light.exposure = 10.0, (1.0, 0.5, 0.25), 1.0
        if kind == "SPOT":
            light.spot_size, light.spot_blend = 0.5, 0.25
        obj = blender.data.objects.new(kind, light)
        obj.location, obj.rotation_euler = (number, 0.0, 2.0), (math.radians(90.0), 0.0, 0.0)
        blender.context.scene.collection.objects.link(obj)
    hidden = blender.data.objects.new("hidden", light)
    hidden.hide_viewport = True
    blender.context.scene.collection.objects.link(hidden)
    lights = {type(light).__name__ + str(number): light for number, light in enumerate(gather().lights)}
    assert sorted(lights) == ["PointLight1", "PointLight3", "SpotLight2", "SunLight0"]
    np.testing.assert_allclose(lights["SunLight0"].irradiance, (20.0, 10.0, 5.0))
    # Lights shine along -z; turned by 90 degrees about x, that is +y, and the light is found along -y.
    np.testing.assert_allclose(lights["SunLight0"].direction, (0.0, -1.0, 0.0), atol=1e-6)
    spot = lights["SpotLight2"]
    np.testing.assert_allclose(spot.position, (2.0, 0.0, 2.0))
    np.testing.assert_allclose(spot.axis, (0.0, 1.0, 0.0), atol=1e-6)
    assert (spot.angle, spot.blend) == pytest.approx((0.5, 0.25))
    np.testing.assert_allclose(lights["PointLight3"].axis, (0.0, 1.0, 0.0), atol=1e-6)


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
    instances = gather().instances
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
    matrix = gather().instances[0].network_to_world
    np.testing.assert_allclose(matrix @ (0, 0, 0, 1), (1.0, 2.0, 12.0, 1.0))
    np.testing.assert_allclose(matrix @ (1, 1, 1, 1), (1.5, 2.5, 14.0, 1.0))


def add_empty(bpy: Any, group: Any, location: tuple[float, float, float]) -> Any:
    """An object that instances a collection."""
    empty = bpy.data.objects.new("empty", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", group, location
    bpy.context.scene.collection.objects.link(empty)
    return empty


def test_meshes_are_what_blender_evaluates(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_cube_add(location=(1.0, 2.0, 3.0), scale=(1.0, 2.0, 3.0))
    cube = blender.context.object
    cube.pass_index = 7
    cube.modifiers.new("array", "ARRAY").count = 3
    blender.ops.curve.primitive_bezier_circle_add()
    bare = blender.context.object
    blender.ops.object.text_add()
    blender.context.object.data.body = "text"
    blender.ops.object.metaball_add()
    blender.ops.object.empty_add()
    blender.context.scene.collection.objects.link(blender.data.objects.new("bare", blender.data.meshes.new("bare")))
    blender.context.view_layer.update()
    meshes = {mesh.name: mesh for mesh in gather().meshes}
    assert sorted(meshes) == ["Cube", "Mball", "Text"], "without what has no faces"
    array = meshes["Cube"]
    assert array.object_index == 7
    assert array.geometry.triangles.shape == (36, 3)
    np.testing.assert_allclose(array.local_to_world, np.array(cube.matrix_world))
    corners = array.geometry.positions[array.geometry.triangles]
    np.testing.assert_allclose((corners[..., 0].min(), corners[..., 0].max()), (-1.0, 5.0), atol=1e-6)
    # The sides of a cube are flat: the normals are those of the triangles.
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    np.testing.assert_allclose(array.geometry.normals, np.repeat(flat[:, None], 3, axis=1), atol=1e-6)
    bare.data.bevel_depth = 0.1
    blender.context.view_layer.update()
    assert len(gather().meshes) == 4
    assert gather().problems == ()


def test_normals_are_smooth_sharp_or_custom_as_blender_shades(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_uv_sphere_add(radius=2.0)
    sphere = blender.context.object
    blender.ops.object.shade_smooth()
    geometry = gather().meshes[0].geometry
    expected = geometry.positions[geometry.triangles] / 2.0
    assert np.median(np.linalg.norm(geometry.normals - expected, axis=-1)) < 0.01
    custom = np.tile(np.array([0.0, 0.6, 0.8], np.float32), (len(sphere.data.vertices), 1))
    sphere.data.normals_split_custom_set_from_vertices(custom)
    blender.context.view_layer.update()
    normals = gather().meshes[0].geometry.normals.reshape(-1, 3)
    np.testing.assert_allclose(normals, np.broadcast_to(custom[0], normals.shape), atol=1e-3)


def test_meshes_are_instanced_with_one_geometry(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_monkey_add()
    original = blender.context.object
    linked = original.copy()
    linked.location.x = 5.0
    blender.context.scene.collection.objects.link(linked)
    group = blender.data.collections.new("group")
    member = original.copy()
    member.location.z = 1.0
    group.objects.link(member)
    for x in (-2.0, -4.0):
        add_empty(blender, group, (x, 0.0, 0.0))
    blender.context.view_layer.update()
    meshes = gather().meshes
    positions = sorted(tuple(np.round(mesh.local_to_world[:3, 3], 4)) for mesh in meshes)
    assert positions == [(-4.0, 0.0, 1.0), (-2.0, 0.0, 1.0), (0.0, 0.0, 0.0), (5.0, 0.0, 0.0)]
    assert len({id(mesh.geometry) for mesh in meshes}) == 1


def scatter(bpy: Any, instanced: Any, points: int) -> Any:
    """An object whose geometry nodes put a cube and an object on each point of a line, one unit apart."""
    tree = bpy.data.node_groups.new("scatter", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    add = tree.nodes.new
    line, cube, join, out = (
        add(f"GeometryNode{kind}") if kind != "out" else add("NodeGroupOutput")
        for kind in ("MeshLine", "MeshCube", "JoinGeometry", "out")
    )
    line.inputs["Count"].default_value = points
    line.inputs["Offset"].default_value = (1.0, 0.0, 0.0)
    info = add("GeometryNodeObjectInfo")
    info.inputs["Object"].default_value = instanced
    info.inputs["As Instance"].default_value = True
    for source in (cube.outputs["Mesh"], info.outputs["Geometry"]):
        scattered = add("GeometryNodeInstanceOnPoints")
        tree.links.new(line.outputs["Mesh"], scattered.inputs["Points"])
        tree.links.new(source, scattered.inputs["Instance"])
        tree.links.new(scattered.outputs["Instances"], join.inputs[0])
    tree.links.new(join.outputs[0], out.inputs[0])
    obj = bpy.data.objects.new("scattered", bpy.data.meshes.new("scattered"))
    bpy.context.scene.collection.objects.link(obj)
    obj.modifiers.new("scatter", "NODES").node_group = tree
    bpy.context.view_layer.update()
    return obj


def test_instances_of_geometry_nodes(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_monkey_add(location=(0.0, 9.0, 0.0))
    scatter(blender, blender.context.object, 3)
    meshes = gather().meshes
    triangles = sorted(len(mesh.geometry.triangles) for mesh in meshes)
    assert triangles == [12, 12, 12, 968, 968, 968, 968]
    assert len({id(mesh.geometry) for mesh in meshes}) == 2
    cubes = [mesh.local_to_world[0, 3] for mesh in meshes if len(mesh.geometry.triangles) == 12]
    np.testing.assert_allclose(sorted(cubes), (0.0, 1.0, 2.0))


def test_neural_objects_scattered_by_geometry_nodes(blender: ModuleType, gather: Callable[[], Any]) -> None:
    scatter(blender, rendering.add_neural_object(blender, shapes.sphere_sequence()), 2)
    gathered = gather()
    assert len(gathered.instances) == 3
    assert len(gathered.meshes) == 2


def test_proxies_and_what_geometry_nodes_make_of_neural_objects(blender: ModuleType, gather: Callable[[], Any]) -> None:
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    neural.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    assert len(gather().instances) == 1
    assert gather().meshes == ()
    blender.ops.mesh.primitive_plane_add()
    tree = scatter(blender, blender.context.object, 2).modifiers[0].node_group
    blender.context.scene.collection.objects.unlink(blender.data.objects["scattered"])
    neural.modifiers.new("scatter", "NODES").node_group = tree
    blender.context.view_layer.update()
    gathered = gather()
    assert len(gathered.instances) == 1
    assert sorted(len(mesh.geometry.triangles) for mesh in gathered.meshes) == [2, 2, 2, 12, 12]


def test_edit_mode_shows_the_edited_mesh(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_cube_add()
    blender.ops.object.mode_set(mode="EDIT")
    blender.ops.mesh.select_all(action="SELECT")
    for height in (0.0, 3.0, 6.0):
        assert gather().meshes[0].geometry.positions[:, 2].min() == pytest.approx(height - 1.0)
        blender.ops.transform.translate(value=(0.0, 0.0, 3.0))
    blender.ops.object.mode_set(mode="OBJECT")
    assert gather().meshes[0].geometry.positions[:, 2].min() == pytest.approx(8.0)


def test_meshes_are_read_again_only_when_they_change(
    blender: ModuleType, gather: Callable[[], Any], addon_module: Callable[[str], ModuleType]
) -> None:
    cache = addon_module("neural_implicit_addon.scene")._viewport_geometries
    blender.ops.mesh.primitive_monkey_add()
    monkey = blender.context.object
    other = blender.data.objects.new("other", blender.data.meshes.new("other"))
    other.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    blender.context.scene.collection.objects.link(other)
    first = {mesh.name: mesh.geometry for mesh in gather().meshes}
    reads = cache.reads
    monkey.location.x, monkey.scale.z = 2.0, 3.0
    monkey.data.materials.append(blender.data.materials.new("paint"))
    other.select_set(True)
    blender.context.view_layer.update()
    moved = {mesh.name: mesh.geometry for mesh in gather().meshes}
    assert moved == first
    assert cache.reads <= reads + 1, "at most the mesh that got a material"
    reads = cache.reads
    # Anything that an artist may do to a mesh, and its undoing.
    vertex = monkey.data.vertices[0]
    vertex.co.x += 1.0
    monkey.data.update()
    blender.context.view_layer.update()
    edited = {mesh.name: mesh.geometry for mesh in gather().meshes}
    assert edited["other"] is first["other"]
    np.testing.assert_allclose(edited["Suzanne"].positions[0], vertex.co)
    assert cache.reads == reads + 1
    for change in (
        lambda: monkey.modifiers.new("subdivision", "SUBSURF"),
        lambda: monkey.data.shade_smooth(),
        lambda: setattr(monkey.data.polygons[0], "material_index", 1),
        lambda: setattr(monkey.modifiers["subdivision"], "show_viewport", False),
        lambda: monkey.shape_key_add(name="Basis") and setattr(monkey.shape_key_add(name="up"), "value", 1.0),
    ):
        before = {mesh.name: mesh.geometry for mesh in gather().meshes}["Suzanne"]
        change()
        blender.context.view_layer.update()
        shown = monkey.evaluated_get(blender.context.evaluated_depsgraph_get()).data
        now = {mesh.name: mesh.geometry for mesh in gather().meshes}["Suzanne"]
        assert len(now.positions) == len(shown.vertices)
        positions = np.empty((len(shown.vertices), 3), np.float32)
        shown.vertices.foreach_get("co", positions.reshape(-1))
        np.testing.assert_array_equal(now.positions, positions)
        assert now.key == before.key or now is not before
    assert now.material_slots.max() == 1


def test_geometry_in_memory_is_bounded(
    blender: ModuleType, addon_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = addon_module("neural_implicit_addon.scene")
    cache = addon_module("neural_implicit_addon.geometry").GeometryCache(spare_bytes=100_000)
    monkeypatch.setattr(gathering, "_viewport_geometries", cache)
    blender.ops.mesh.primitive_grid_add(x_subdivisions=40, y_subdivisions=40)
    grid = blender.context.object
    for height in range(5):
        grid.data.vertices[0].co.z = height
        grid.data.update()
        blender.context.view_layer.update()
        gathered = gathering.gather(blender.context.evaluated_depsgraph_get())
        assert gathered.meshes[0].geometry.positions[0, 2] == height
    assert len(cache._geometries) == 1
    small = blender.data.meshes.new("small")
    small.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = blender.data.objects.new("small", small)
    blender.context.scene.collection.objects.link(obj)
    gathering.gather(blender.context.evaluated_depsgraph_get())
    blender.data.objects.remove(obj)
    blender.context.view_layer.update()
    gathering.gather(blender.context.evaluated_depsgraph_get())
    assert len(cache._geometries) == 2, "what is small stays for a while"


def test_viewports_show_what_is_visible_in_them(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    gathering = addon_module("neural_implicit_addon.scene")
    scene = blender.context.scene
    window = blender.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    space = area.spaces.active
    hidden_collection = blender.data.collections.new("hidden")
    scene.collection.children.link(hidden_collection)
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    group = blender.data.collections.new("group")
    group.objects.link(cube)
    empty = add_empty(blender, group, (5.0, 0.0, 0.0))
    curve = blender.data.objects.new("curve", blender.data.curves.new("curve", "FONT"))
    curve.data.body = "o"
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence(), "neural")
    outlined = blender.data.objects.new("outlined", cube.data)
    for obj in (curve, outlined):
        scene.collection.objects.link(obj)
    inside = blender.data.objects.new("inside", cube.data)
    hidden_collection.objects.link(inside)

    def shown() -> list[str]:
        blender.context.view_layer.update()
        gathered = gathering.gather(blender.context.evaluated_depsgraph_get(), space)
        return sorted(item.name for item in (*gathered.meshes, *gathered.instances))

    everything = ["Cube", "Cube", "curve", "inside", "neural", "outlined"]
    assert shown() == everything
    outlined.display_type = "WIRE"
    assert shown() == ["Cube", "Cube", "curve", "inside", "neural"]
    outlined.hide_set(True)
    blender.context.view_layer.layer_collection.children["hidden"].hide_viewport = True
    assert shown() == ["Cube", "Cube", "curve", "neural"]
    cube.hide_set(True)
    assert shown() == ["Cube", "curve", "neural"], "the instance is still there"
    empty.hide_set(True)
    assert shown() == ["curve", "neural"]
    space.show_object_viewport_font = False
    assert shown() == ["neural"]
    space.show_object_viewport_font = True
    region = next(region for region in area.regions if region.type == "WINDOW")
    for obj in (curve, neural):
        obj.select_set(obj is curve)
    blender.context.view_layer.objects.active = curve
    with blender.context.temp_override(window=window, area=area, region=region):
        blender.ops.view3d.localview(frame_selected=False)
    assert shown() == ["curve"]
    with blender.context.temp_override(window=window, area=area, region=region):
        blender.ops.view3d.localview(frame_selected=False)
    assert shown() == ["curve", "neural"]


def test_flat_and_damaged_meshes_do_no_harm(blender: ModuleType, gather: Callable[[], Any]) -> None:
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    cube.scale = (1.0, 0.0, 1.0)
    blender.context.view_layer.update()
    assert len(gather().meshes) == 1
    cube.scale = (float("nan"),) * 3
    blender.context.view_layer.update()
    gathered = gather()
    assert gathered.meshes == ()
    assert [problem for problem in gathered.problems if "'Cube'" in problem and "not finite" in problem]


@pytest.mark.parametrize("broken", ["energy", "location"])
def test_lights_that_are_not_finite_do_not_shine(blender: ModuleType, gather: Callable[[], Any], broken: str) -> None:
    for name in ("well", "broken"):
        lamp = blender.data.objects.new(name, blender.data.lights.new(name, "POINT"))
        blender.context.collection.objects.link(lamp)
    if broken == "energy":
        lamp.data.energy = float("inf")
    else:
        lamp.location.x = float("nan")
    blender.context.view_layer.update()
    gathered = gather()
    assert len(gathered.lights) == 1
    assert ["'broken'" in problem for problem in gathered.problems] == [True]


def test_neural_normals(blender: ModuleType, gather: Callable[[], Any]) -> None:
    sequence = shapes.fitted_sequence(shapes.sphere(), (32, 48), center=(1.0, 2.0, 3.0), radius=0.5)
    source = rendering.add_neural_object(blender, sequence, "source")
    source.location, source.scale = (3.0, 0.0, 1.0), (2.0, 1.0, -1.0)
    blender.ops.mesh.primitive_ico_sphere_add(location=(0.0, 1.0, 0.0), rotation=(0.3, 0.2, 0.9))
    mesh = blender.context.object
    mesh.neural_implicit.normals_source, mesh.neural_implicit.transition = source, 0.5
    blender.context.view_layer.update()
    shown = gather().meshes[0]
    normals = shown.neural_normals
    assert normals.transition == pytest.approx(0.5)
    assert normals.sequence is gather().instances[0].sequence
    # From the mesh to the world and from the world to the network is the same way as the short one.
    local = np.array([0.3, -0.2, 0.5, 1.0])
    expected = np.linalg.inv(gather().instances[0].network_to_world) @ shown.local_to_world @ local
    np.testing.assert_allclose(normals.local_to_network @ local, expected, atol=1e-6)
    source.scale.z = 0.0
    blender.context.view_layer.update()
    gathered = gather()
    assert gathered.meshes[0].neural_normals is None
    assert any("'Icosphere'" in problem and "scale of zero" in problem for problem in gathered.problems)
    source.scale.z = 1.0
    del source.data["neural_implicit"]
    source.data["neural_implicit"] = b"damaged"
    blender.context.view_layer.update()
    gathered = gather()
    assert gathered.meshes[0].neural_normals is None
    assert any("'Icosphere'" in problem and "own normals" in problem for problem in gathered.problems)
    del source.data["neural_implicit"]
    blender.context.view_layer.update()
    assert any("carries no network" in problem for problem in gather().problems)
    blender.data.objects.remove(source)
    blender.context.view_layer.update()
    assert mesh.neural_implicit.normals_source is None
    assert gather().problems == ()


@pytest.mark.parametrize("hidden_by", ["viewport and render", "exclusion", "no collection"])
def test_neural_normals_of_a_hidden_source(
    blender: ModuleType, gather: Callable[[], Any], tmp_path: Path, hidden_by: str
) -> None:
    """Blender leaves hidden objects where they were, and at the origin after a file was loaded."""
    scene = blender.context.scene
    source = rendering.add_neural_object(blender, shapes.sphere_sequence(), "source")
    source.parent = blender.data.objects.new("parent", None)
    scene.collection.objects.link(source.parent)
    source.matrix_parent_inverse.translation = (0.0, 0.5, 0.0)
    source.location, source.scale = (3.0, 0.0, 1.0), (2.0, 1.0, -1.0)
    blender.ops.mesh.primitive_ico_sphere_add(location=(0.0, 1.0, 0.0))
    blender.context.object.neural_implicit.normals_source = source
    blender.context.view_layer.update()
    hidden = blender.data.collections.new("hidden")
    scene.collection.children.link(hidden)
    scene.collection.objects.unlink(source)
    if hidden_by != "no collection":
        hidden.objects.link(source)
    source.hide_viewport = source.hide_render = hidden_by == "viewport and render"
    blender.context.view_layer.layer_collection.children["hidden"].exclude = hidden_by == "exclusion"
    source.location.x, source.parent.location.z, source.parent.rotation_euler.y = -2.0, 4.0, 0.3
    blender.context.view_layer.update()

    def found() -> np.ndarray:
        (shown,) = (mesh for mesh in gather().meshes)
        return shown.neural_normals.local_to_network @ np.linalg.inv(shown.local_to_world)

    parent = source.parent.matrix_world
    expected = np.linalg.inv(np.array(parent @ source.matrix_parent_inverse @ source.matrix_basis))
    np.testing.assert_allclose(found(), expected, atol=1e-5)
    path = str(tmp_path / "hidden.blend")
    blender.ops.wm.save_as_mainfile(filepath=path, check_existing=False)
    blender.ops.wm.open_mainfile(filepath=path)
    np.testing.assert_allclose(found(), expected, atol=1e-5)


def test_what_is_left_out_is_said(blender: ModuleType, gather: Callable[[], Any]) -> None:
    curves = blender.data.objects.new("fur", blender.data.hair_curves.new("fur"))
    volume = blender.data.objects.new("smoke", blender.data.volumes.new("smoke"))
    for obj in (curves, volume):
        blender.context.scene.collection.objects.link(obj)
    blender.context.view_layer.update()
    problems = gather().problems
    assert any("'fur'" in problem and "hair" in problem for problem in problems)
    assert any("'smoke'" in problem and "volumes" in problem for problem in problems)


def test_problems_name_the_object_once(blender: ModuleType, gather: Callable[[], Any]) -> None:
    broken = rendering.add_neural_object(blender, b"no network at all", "broken")
    second = broken.copy()
    blender.context.scene.collection.objects.link(second)
    sound = rendering.add_neural_object(blender, shapes.sphere_sequence(), "sound")
    sound.pass_index = 3
    gathered = gather()
    assert [(item.name, item.object_index) for item in gathered.instances] == [("sound", 3)]
    assert len({problem.partition(" ")[0] for problem in gathered.problems}) == len(gathered.problems) == 2
