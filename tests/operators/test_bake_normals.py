# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake Normals on a sphere whose normals are known, as an artist would call it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapes

from benchmarks import measures
from kernels import nsdf
from kernels.meshes import TriangleMesh
from kernels.sequence import NestedSequence

RADIUS = 0.6


@pytest.fixture(scope="module")
def data() -> bytes:
    return nsdf.dumps(shapes.sphere_sequence())


@pytest.fixture
def source(blender, addon_module, data):
    """The active, selected neural object of a sphere of radius 0.6."""
    neural_object = addon_module("neural_implicit_addon.neural_object")
    sequence = addon_module("kernels.nsdf").loads(data)
    obj = neural_object.create(blender.context, sequence, "Neural", data=data, faces=300)
    neural_object.select_only(blender.context, obj)
    return obj


def add_mesh(blender, vertices, faces, name="Low"):
    """A selected mesh object."""
    mesh = blender.data.meshes.new(name)
    mesh.from_pydata(np.asarray(vertices).tolist(), [], [list(map(int, face)) for face in faces])
    obj = blender.data.objects.new(name, mesh)
    blender.context.collection.objects.link(obj)
    obj.select_set(True)
    return obj


def add_low_sphere(blender, name="Low", radius=RADIUS):
    """A selected octahedron, subdivided twice onto a sphere: 66 vertices, flat shaded."""
    vertices = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    vertices = [np.array(v, float) for v in vertices]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(2):
        middles, finer = {}, []
        for face in faces:
            ring = []
            for a, b in zip(face, (*face[1:], face[0]), strict=True):
                if frozenset((a, b)) not in middles:
                    middles[frozenset((a, b))] = len(vertices)
                    vertices.append((vertices[a] + vertices[b]) / np.linalg.norm(vertices[a] + vertices[b]))
                ring.append(middles[frozenset((a, b))])
            finer += [ring, *[(face[i], ring[i], ring[i - 1]) for i in range(3)]]
        faces = finer
    return add_mesh(blender, np.array(vertices) * radius, faces, name)


def positions(mesh) -> np.ndarray:
    values = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", values)
    return values.reshape(-1, 3)


def corner_normals(mesh) -> np.ndarray:
    values = np.empty(len(mesh.loops) * 3, np.float32)
    mesh.corner_normals.foreach_get("vector", values)
    return values.reshape(-1, 3)


def corner_vertices(mesh) -> np.ndarray:
    values = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", values)
    return values


def vectors(attribute, name="vector", width=3) -> np.ndarray:
    values = np.empty(len(attribute.data) * width, np.float32)
    attribute.data.foreach_get(name, values)
    return values.reshape(-1, width)


def radial(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(axis=1)))


def bake(blender, **options) -> set[str]:
    return blender.ops.neural_implicit.bake_normals(**options)


def assert_refused(blender, message: str, **options) -> None:
    """The operator ends with an error that says `message`, as a script sees it."""
    with pytest.raises(RuntimeError, match=message):
        bake(blender, **options)


def test_free_normals_are_the_spheres(blender, source) -> None:
    low = add_low_sphere(blender)
    assert degrees_between(corner_normals(low.data), radial(positions(low.data))[corner_vertices(low.data)]).max() > 5.0
    assert bake(blender) == {"FINISHED"}
    attribute = low.data.attributes["custom_normal"]
    assert (attribute.data_type, attribute.domain) == ("FLOAT_VECTOR", "POINT")
    expected = radial(positions(low.data))[corner_vertices(low.data)]
    assert degrees_between(corner_normals(low.data), expected).max() < 0.5
    assert blender.context.active_object == source, "the bake changed the selection"


def test_tangent_normals_are_the_spheres(blender, source) -> None:
    low = add_low_sphere(blender)
    bake(blender, target="TANGENT_NORMALS")
    attribute = low.data.attributes["custom_normal"]
    assert (attribute.data_type, attribute.domain) == ("INT16_2D", "CORNER")
    expected = radial(positions(low.data))[corner_vertices(low.data)]
    assert degrees_between(corner_normals(low.data), expected).max() < 1.0


@pytest.mark.parametrize(("target", "turns"), [("TANGENT_NORMALS", True), ("CUSTOM_NORMALS", False)])
def test_tangent_normals_follow_deformation_and_free_ones_do_not(blender, source, target, turns) -> None:
    low = add_low_sphere(blender)
    bake(blender, target=target)
    before = corner_normals(low.data).copy()
    modifier = low.modifiers.new("Twist", "SIMPLE_DEFORM")
    modifier.deform_method, modifier.angle = "TWIST", np.pi
    evaluated = low.evaluated_get(blender.context.evaluated_depsgraph_get()).data
    assert (degrees_between(corner_normals(evaluated), before).mean() > 20.0) == turns


@pytest.mark.parametrize(
    "sequence_of_targets", [("CUSTOM_NORMALS", "TANGENT_NORMALS"), ("TANGENT_NORMALS", "CUSTOM_NORMALS")]
)
def test_one_kind_of_custom_normals_replaces_the_other(blender, source, sequence_of_targets) -> None:
    low = add_low_sphere(blender)
    for target in (*sequence_of_targets, sequence_of_targets[0]):
        bake(blender, target=target)
        assert [a.name for a in low.data.attributes if "custom_normal" in a.name] == ["custom_normal"]
    expected = radial(positions(low.data))[corner_vertices(low.data)]
    assert degrees_between(corner_normals(low.data), expected).max() < 1.0


def test_color_attribute_encodes_the_normals(blender, source) -> None:
    low = add_low_sphere(blender)
    bake(blender, target="COLOR", name="Bent")
    attribute = low.data.color_attributes["Bent"]
    assert (attribute.data_type, attribute.domain) == ("FLOAT_COLOR", "POINT")
    colors = vectors(attribute, "color", 4)
    np.testing.assert_allclose(colors[:, :3] * 2.0 - 1.0, radial(positions(low.data)), atol=0.01)
    np.testing.assert_array_equal(colors[:, 3], 1.0)
    assert "custom_normal" not in low.data.attributes


def test_vector_attribute_holds_the_normals_and_replaces_a_color_of_that_name(blender, source) -> None:
    low = add_low_sphere(blender)
    bake(blender, target="COLOR", name="Bent")
    bake(blender, target="ATTRIBUTE", name="Bent")
    attribute = low.data.attributes["Bent"]
    assert (attribute.data_type, attribute.domain) == ("FLOAT_VECTOR", "POINT")
    assert [a.name for a in low.data.attributes if a.name.startswith("Bent")] == ["Bent"]
    np.testing.assert_allclose(vectors(attribute), radial(positions(low.data)), atol=0.01)


def test_scaled_mirrored_and_parented_objects(blender, source) -> None:
    low = add_low_sphere(blender)
    parent = blender.data.objects.new("parent", None)
    blender.context.collection.objects.link(parent)
    parent.scale, parent.rotation_euler = (1, 2, -0.5), (0.4, 0.2, 0.1)
    source.parent = parent
    source.location, source.rotation_euler, source.scale = (3, 2, 1), (0.5, 1.0, -0.3), (2, -1, 1.5)
    low.location, low.rotation_euler, low.scale = (-1, 5, 2), (1.0, 0.0, 2.0), (-0.7, 1.3, 2.0)
    blender.context.view_layer.update()
    # The low-poly sphere is put where the source shows its sphere: the same world points, other local coordinates.
    to_low = np.array(low.matrix_world.inverted() @ source.matrix_world)
    on_sphere = positions(low.data)
    moved = on_sphere @ to_low[:3, :3].T + to_low[:3, 3]
    low.data.vertices.foreach_set("co", moved.astype(np.float32).reshape(-1))
    low.data.update()

    bake(blender, target="ATTRIBUTE", name="Normal")

    expected = radial(radial(on_sphere) @ np.linalg.inv(to_low[:3, :3]))
    assert degrees_between(vectors(low.data.attributes["Normal"]), expected).max() < 3.0


def test_neural_object_that_is_disabled_in_viewports(blender, source) -> None:
    low = add_low_sphere(blender)
    low.location = (7.0, 0.0, 0.0)
    source.hide_viewport = True
    source.location = (7.0, 0.0, 0.0)
    assert bake(blender) == {"FINISHED"}
    np.testing.assert_allclose(vectors(low.data.attributes["custom_normal"]), radial(positions(low.data)), atol=0.01)


def test_transform_set_by_the_same_script_counts(blender, source) -> None:
    low = add_low_sphere(blender)
    low.location.x = source.location.x = 10.0  # no update of the view layer in between
    assert bake(blender) == {"FINISHED"}
    low.location.x = 30.0
    assert_refused(blender, "no vertex lies in the band")


@pytest.mark.parametrize("target", ["CUSTOM_NORMALS", "TANGENT_NORMALS", "COLOR", "ATTRIBUTE"])
def test_vertices_outside_the_band_keep_what_they_have(blender, source, target) -> None:
    """A flat-shaded sphere of which one half is stretched away: those corners keep their several normals."""
    low = add_low_sphere(blender)
    points = positions(low.data)
    away = points[:, 0] > 0.01
    points[away, 0] += 3.0
    low.data.vertices.foreach_set("co", points.reshape(-1))
    low.data.update()
    before, smooth = corner_normals(low.data).copy(), vectors_of_vertices(low.data)
    bake(blender, target=target, name="Normal")
    corners = corner_vertices(low.data)
    if target in {"CUSTOM_NORMALS", "TANGENT_NORMALS"}:
        after = corner_normals(low.data)
        tolerance = 1e-4 if target == "CUSTOM_NORMALS" else 0.3
        assert degrees_between(after, before)[away[corners]].max() < max(tolerance, 0.05)
        assert degrees_between(after, radial(points)[corners])[~away[corners]].max() < 1.0
        return
    attribute = low.data.attributes["Normal"]
    values = vectors(attribute) if target == "ATTRIBUTE" else vectors(attribute, "color", 4)[:, :3] * 2.0 - 1.0
    np.testing.assert_allclose(values[away], smooth[away], atol=2e-5)  # Blender measures angles in float32
    np.testing.assert_allclose(values[~away], radial(points)[~away], atol=0.01)


def vectors_of_vertices(mesh) -> np.ndarray:
    values = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertex_normals.foreach_get("vector", values)
    return values.reshape(-1, 3)


def test_second_bake_keeps_what_the_first_one_put_elsewhere(blender, source) -> None:
    """Two neural objects baked one after the other onto a mesh that spans both."""
    low = add_low_sphere(blender)
    points = positions(low.data)
    away = points[:, 0] > 0.01
    bake(blender, target="ATTRIBUTE")
    first = vectors(low.data.attributes["Neural Normal"])
    points[away, 0] += 3.0
    low.data.vertices.foreach_set("co", points.reshape(-1))
    bake(blender, target="ATTRIBUTE", factor=0.5)
    np.testing.assert_array_equal(vectors(low.data.attributes["Neural Normal"])[away], first[away])


def test_factor_mixes_with_the_existing_normals(blender, source) -> None:
    low = add_low_sphere(blender)
    before = corner_normals(low.data).copy()
    expected = radial(positions(low.data))[corner_vertices(low.data)]
    bake(blender, factor=0.0)
    assert degrees_between(corner_normals(low.data), before).max() < 0.05
    bake(blender, factor=0.5)
    half = corner_normals(low.data)
    assert degrees_between(half, radial(before + expected)).max() < 0.5


def test_adaptive_bake_leans_on_a_mesh_as_fine_as_the_network(blender, addon_module, source) -> None:
    """The low-poly sphere's own normals are nearly exact, and the network claims an error of 20 degrees."""
    low = add_low_sphere(blender)
    doubted(addon_module, source, 20.0)
    own = vectors_of_vertices(low.data)
    bake(blender, target="ATTRIBUTE", name="Adaptive")
    np.testing.assert_allclose(vectors(low.data.attributes["Adaptive"]), own, atol=2e-5)
    bake(blender, target="ATTRIBUTE", name="Plain", adaptive=False)
    assert np.abs(vectors(low.data.attributes["Plain"]) - own).max() > 1e-4


def doubted(addon_module, source, degrees: float) -> None:
    """Let the source's network claim a normal error of so many degrees."""
    sequence = shapes.sphere_sequence()
    claiming = NestedSequence(sequence.networks, sequence.bands, training={"normal_error_rms_degrees": degrees})
    addon_module("neural_implicit_addon.neural_object").write_sequence(source.data, nsdf.dumps(claiming))


@pytest.mark.parametrize("target", ["CUSTOM_NORMALS", "TANGENT_NORMALS"])
def test_adaptive_bake_does_not_take_an_earlier_bake_for_the_meshs_own_normals(
    blender, addon_module, source, target
) -> None:
    doubted(addon_module, source, 0.3)
    fresh, baked = add_low_sphere(blender, "Fresh"), add_low_sphere(blender, "Baked")
    fresh.select_set(False)
    bake(blender, target=target, adaptive=False)
    fresh.select_set(True)
    bake(blender, target=target, adaptive=True)
    tolerance = 1e-6 if target == "CUSTOM_NORMALS" else 1e-4
    np.testing.assert_allclose(corner_normals(baked.data), corner_normals(fresh.data), atol=tolerance)
    bake(blender, target="ATTRIBUTE", factor=0.5)
    first, second = (vectors(obj.data.attributes["Neural Normal"]) for obj in (fresh, baked))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_report_says_how_much_of_the_bake_is_the_networks(blender, addon_module, source, capfd) -> None:
    add_low_sphere(blender)
    bake(blender, target="ATTRIBUTE")
    assert "neural share" not in capfd.readouterr().out
    doubted(addon_module, source, 20.0)
    bake(blender, target="ATTRIBUTE")
    assert "neural share 0 %, the rest from the mesh's own smooth normals" in capfd.readouterr().out
    bake(blender, target="ATTRIBUTE", adaptive=False)
    assert "neural share" not in capfd.readouterr().out


def test_smooth_normals_are_blenders(blender, source) -> None:
    """On triangles, quads and a concave polygon, some of them far from flat, and on a loose vertex."""
    points = np.random.default_rng(3).normal(0.0, 1.0, (12, 3))
    points[6:11, :2] = [(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)]
    mesh = add_mesh(blender, points, [(0, 1, 2), (2, 1, 3, 4), (0, 2, 5), (4, 3, 0)]).data
    polygon = add_mesh(blender, points, [(0, 1, 2), (6, 7, 8, 9, 10)]).data
    for each in (mesh, polygon, add_low_sphere(blender).data):
        own = measures.surface_of(each)
        np.testing.assert_allclose(own.corner_normals, vectors_of_vertices(each)[own.triangles], atol=1e-3)


def detailed_source(blender, addon_module, distance) -> None:
    """Make a neural object of a detailed shape the active, selected one; its record names its error."""
    fitted = shapes.fitted_sequence(distance, (128, 768), omega=6.0)
    points = shapes.surface_points(distance, 2000, seed=5)
    errors = degrees_between(fitted.normals(points.astype(np.float32)), shapes.unit_normals(distance, points))
    record = {"normal_error_rms_degrees": float(np.sqrt((errors**2).mean()))}
    data = nsdf.dumps(NestedSequence(fitted.networks, fitted.bands, training=record))
    neural_object = addon_module("neural_implicit_addon.neural_object")
    obj = neural_object.create(blender.context, addon_module("kernels.nsdf").loads(data), "Detailed", data=data)
    neural_object.select_only(blender.context, obj)


def decimated(blender, dense, ratio: float):
    """A selected mesh object, what Blender's Decimate modifier leaves of a dense mesh."""
    full = add_mesh(blender, dense.vertices, dense.faces, "Dense")
    modifier = full.modifiers.new("Decimate", "DECIMATE")
    modifier.ratio = ratio
    evaluated = full.evaluated_get(blender.context.evaluated_depsgraph_get())
    low = blender.data.objects.new("Low", blender.data.meshes.new_from_object(evaluated))
    blender.data.objects.remove(full)
    low.data.shade_smooth()
    blender.context.collection.objects.link(low)
    low.select_set(True)
    return low


SPHERE = shapes.sphere(), shapes.sphere_mesh(5, 0.6)
TORUS = shapes.torus(), shapes.torus_mesh()


@pytest.mark.parametrize(
    ("shape", "mesh", "ratio"),
    [
        *[(*SPHERE, ratio) for ratio in (0.02, 0.1, 0.4)],
        *[(*TORUS, ratio) for ratio in (0.02, 0.1)],
        (*TORUS, 0.4),
    ],
)
def test_baked_normals_are_not_worse_than_the_meshs_own(blender, addon_module, shape, mesh, ratio) -> None:
    from mathutils.bvhtree import BVHTree

    distance = shapes.bumpy(shape)
    dense = TriangleMesh(shapes.projected(distance, mesh.vertices), mesh.faces)
    closest = BVHTree.FromPolygons(dense.vertices.tolist(), dense.faces.tolist())
    detailed_source(blender, addon_module, distance)
    low = decimated(blender, dense, ratio)
    own = measures.surface_of(low.data)

    def errors(surface: measures.Surface) -> tuple[float, float]:
        """Mean error at the vertices and all over the surface, in degrees."""
        samples = (surface.vertices, surface.vertex_normals), measures.surface_points(surface, 2000)
        means = []
        for points, normals in samples:
            feet = np.array([closest.find_nearest(point)[0] for point in points.tolist()])
            truth = shapes.unit_normals(distance, shapes.projected(distance, feet))
            means.append(float(degrees_between(normals, truth).mean()))
        return means[0], means[1]

    assert bake(blender) == {"FINISHED"}
    own_vertex, own_shaded = errors(own)
    baked_vertex, baked_shaded = errors(measures.surface_of(low.data, shown=True))
    assert baked_vertex <= own_vertex
    assert baked_shaded <= own_shaded


@pytest.mark.parametrize("invert", [False, True])
def test_vertex_group_limits_the_bake(blender, source, invert) -> None:
    low = add_low_sphere(blender)
    group = low.vertex_groups.new(name="Face")
    members = np.flatnonzero(positions(low.data)[:, 2] > 0.0)
    group.add(members.tolist(), 1.0, "REPLACE")
    before = corner_normals(low.data).copy()
    bake(blender, vertex_group="Face", invert_vertex_group=invert)
    baked = np.isin(corner_vertices(low.data), members) != invert
    expected = radial(positions(low.data))[corner_vertices(low.data)]
    after = corner_normals(low.data)
    assert degrees_between(after, before)[~baked].max() < 0.05
    assert degrees_between(after, expected)[baked].max() < 0.5


def test_several_targets_at_once(blender, source) -> None:
    first, second = add_low_sphere(blender, "First"), add_low_sphere(blender, "Second")
    far = add_low_sphere(blender, "Far", radius=5.0)
    assert bake(blender) == {"FINISHED"}
    for obj in (first, second):
        assert "custom_normal" in obj.data.attributes
    assert "custom_normal" not in far.data.attributes


def test_undo_is_one_step(blender, source) -> None:
    low = add_low_sphere(blender)
    blender.ops.ed.undo_push(message="before")
    before = corner_normals(low.data).copy()
    bake(blender)
    blender.ops.ed.undo_push(message="after")  # Blender pushes this itself for operators called from the interface
    blender.ops.ed.undo()
    mesh = blender.data.objects["Low"].data
    assert "custom_normal" not in mesh.attributes
    np.testing.assert_array_equal(corner_normals(mesh), before)
    assert {"REGISTER", "UNDO"} <= blender.types.NEURAL_IMPLICIT_OT_bake_normals.bl_options


def test_own_mesh_is_baked_and_not_what_modifiers_make_of_it(blender, source) -> None:
    low = add_low_sphere(blender)
    low.modifiers.new("Subdivision", "SUBSURF").levels = 2
    bake(blender)
    assert len(low.data.attributes["custom_normal"].data) == len(low.data.vertices) == 66


def test_nothing_selected(blender, source) -> None:
    assert_refused(blender, "Select the meshes")
    source.select_set(False)
    assert_refused(blender, "Select the meshes")
    blender.context.view_layer.objects.active = None
    assert_refused(blender, "neural object the active one")


def test_active_object_is_not_neural(blender, source) -> None:
    low = add_low_sphere(blender)
    blender.context.view_layer.objects.active = low
    assert_refused(blender, "neural object the active one")


def test_target_is_not_a_mesh(blender, source) -> None:
    curve = blender.data.objects.new("Path", blender.data.curves.new("Path", "CURVE"))
    blender.context.collection.objects.link(curve)
    curve.select_set(True)
    assert_refused(blender, "Path: is not a mesh")


def test_target_in_edit_mode(blender, source) -> None:
    low = add_low_sphere(blender)
    blender.context.view_layer.objects.active = low
    source.select_set(False)
    blender.ops.object.mode_set(mode="EDIT")
    source.select_set(True)
    blender.context.view_layer.objects.active = source
    assert_refused(blender, "edit mode")


def test_linked_target(blender, source, tmp_path: Path) -> None:
    low = add_low_sphere(blender)
    path = str(tmp_path / "library.blend")
    blender.data.libraries.write(path, {low})
    blender.data.objects.remove(low)
    with blender.data.libraries.load(path, link=True) as (available, wanted):
        wanted.objects = ["Low"]
    linked = wanted.objects[0]
    blender.context.collection.objects.link(linked)
    linked.select_set(True)
    assert_refused(blender, "linked from a library")
    assert "custom_normal" not in linked.data.attributes


def test_target_without_vertices(blender, source) -> None:
    add_mesh(blender, np.zeros((0, 3)), [], "Empty")
    assert_refused(blender, "Empty: has no vertices")


def test_target_without_faces(blender, source) -> None:
    cloud = add_mesh(blender, [(RADIUS, 0, 0), (0, RADIUS, 0)], [], "Cloud")
    assert_refused(blender, "Cloud: has no faces")
    assert bake(blender, target="ATTRIBUTE", name="Normal") == {"FINISHED"}
    np.testing.assert_allclose(vectors(cloud.data.attributes["Normal"]), [(1, 0, 0), (0, 1, 0)], atol=0.01)


def test_mesh_shared_by_two_targets_is_baked_once(blender, source) -> None:
    low = add_low_sphere(blender)
    twin = blender.data.objects.new("Twin", low.data)
    blender.context.collection.objects.link(twin)
    twin.select_set(True)
    twin.location.x = 50.0
    assert bake(blender) == {"FINISHED"}
    assert degrees_between(corner_normals(low.data), radial(positions(low.data))[corner_vertices(low.data)]).max() < 0.5


def test_linked_duplicate_of_the_neural_object_is_not_a_target(blender, source, data) -> None:
    twin = blender.data.objects.new("Twin", source.data)
    blender.context.collection.objects.link(twin)
    twin.select_set(True)
    assert_refused(blender, "shares its mesh")
    assert source.data["neural_implicit"] == data


@pytest.mark.parametrize("which", ["source", "target"])
def test_scale_of_zero(blender, source, which) -> None:
    low = add_low_sphere(blender)
    (source if which == "source" else low).scale = (1, 0, 1)
    assert_refused(blender, f"the {which}'s scale is zero")


@pytest.mark.parametrize("damaged", ["text", 5, b"too short", b"\x00" * 4096])
def test_damaged_network(blender, source, damaged) -> None:
    low = add_low_sphere(blender)
    del source.data["neural_implicit"]
    source.data["neural_implicit"] = damaged
    assert_refused(blender, "The network of 'Neural'")
    assert "custom_normal" not in low.data.attributes


def test_target_far_away(blender, source) -> None:
    low = add_low_sphere(blender)
    low.location = (100, 0, 0)
    before = corner_normals(low.data).copy()
    assert_refused(blender, "no vertex lies in the band")
    np.testing.assert_array_equal(corner_normals(low.data), before)


def test_vertices_that_are_not_finite_are_left_alone(blender, source) -> None:
    low = add_low_sphere(blender)
    low.data.vertices[0].co = (float("nan"), 0, 0)
    low.data.vertices[1].co = (0, float("inf"), 0)
    assert bake(blender, target="ATTRIBUTE", name="Normal") == {"FINISHED"}
    values = vectors(low.data.attributes["Normal"])
    np.testing.assert_allclose(values[2:], radial(positions(low.data)[2:]), atol=0.01)


def test_missing_vertex_group(blender, source) -> None:
    add_low_sphere(blender)
    assert_refused(blender, "no vertex group 'Hands'", vertex_group="Hands")


@pytest.mark.parametrize("name", ["", "position", ".corner_vert", "custom_normal", "Corners", "Hands"])
@pytest.mark.parametrize("target", ["COLOR", "ATTRIBUTE"])
def test_name_that_is_taken_by_something_else(blender, source, target, name) -> None:
    low = add_low_sphere(blender)
    low.data.attributes.new("Corners", "FLOAT2", "CORNER")
    low.vertex_groups.new(name="Hands")
    before = positions(low.data)
    assert_refused(blender, "name", target=target, name=name)
    assert low.data.attributes["Corners"].data_type == "FLOAT2"
    np.testing.assert_array_equal(positions(low.data), before)
