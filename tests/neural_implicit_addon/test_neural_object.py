# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural objects: what a mesh datablock carries, where the object stands, and that nothing of it is ever lost."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import shapes

from kernels import nsdf
from kernels.networks import random_network
from kernels.sequence import NestedSequence

FACES = 800


@pytest.fixture(scope="module")
def data() -> bytes:
    """The bytes of a sphere's sequence."""
    return nsdf.dumps(shapes.sphere_sequence())


@pytest.fixture
def neural(addon_module) -> ModuleType:
    return addon_module("neural_implicit_addon.neural_object")


@pytest.fixture
def extension_nsdf(addon_module) -> ModuleType:
    """The extension's own nsdf module, whose exceptions are other classes than those of the repository's."""
    return addon_module("kernels.nsdf")


@pytest.fixture
def sphere_object(blender, neural, extension_nsdf, data):
    """A neural object of the sphere."""
    return neural.create(blender.context, extension_nsdf.loads(data), "Sphere", data=data, faces=FACES)


def geometry(mesh) -> dict[str, np.ndarray]:
    """All that a proxy consists of."""
    positions = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", positions)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    normals = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.attributes["custom_normal"].data.foreach_get("vector", normals)
    return {"positions": positions, "corners": corners, "normals": normals}


def assert_same(mesh, data: bytes, expected: dict[str, np.ndarray]) -> None:
    """The mesh carries the same bytes and shows the same proxy, bit for bit."""
    assert mesh["neural_implicit"] == data
    for name, values in geometry(mesh).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_proxy_is_a_smooth_mesh_of_quads_with_the_networks_normals(sphere_object) -> None:
    mesh = sphere_object.data
    assert mesh.validate() is False, "Blender found something to repair"
    assert {len(polygon.vertices) for polygon in mesh.polygons} == {4}
    corner_normals = np.empty(len(mesh.loops) * 3, np.float32)
    mesh.corner_normals.foreach_get("vector", corner_normals)
    corners = geometry(mesh)["corners"]
    outwards = geometry(mesh)["positions"].reshape(-1, 3)[corners]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert np.degrees(np.linalg.norm(corner_normals.reshape(-1, 3) - outwards, axis=1)).max() < 0.3


def test_is_neural_tells_neural_objects_from_others(blender, neural, sphere_object) -> None:
    assert neural.is_neural(sphere_object)
    assert not neural.is_neural(None)
    assert not neural.is_neural(blender.data.objects.new("empty", None))
    assert not neural.is_neural(blender.data.objects.new("plain", blender.data.meshes.new("plain")))


def test_read_sequence_parses_the_same_bytes_once(blender, neural, sphere_object) -> None:
    copy = sphere_object.data.copy()
    assert neural.read_sequence(sphere_object.data) is neural.read_sequence(copy)


def test_cache_is_bounded(blender, neural, extension_nsdf) -> None:
    mesh = blender.data.meshes.new("mesh")
    for seed in range(neural.CACHED_SEQUENCES + 5):
        neural.write_sequence(mesh, nsdf.dumps(NestedSequence((random_network((8,), seed=seed),), ())))
        neural.read_sequence(mesh)
    assert len(neural._parsed) <= neural.CACHED_SEQUENCES


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text", "overwritten"),
        (3, "overwritten"),
        ([1, 2, 3], "overwritten"),
        (b"", "too short"),
        (b"\xff" * 64, "absurdly large"),
    ],
)
def test_damaged_property_is_a_clear_error(blender, neural, extension_nsdf, value, message) -> None:
    mesh = blender.data.meshes.new("mesh")
    mesh["neural_implicit"] = value
    for _ in range(2):  # the second time from the cache
        with pytest.raises(extension_nsdf.NsdfError, match=message):
            neural.read_sequence(mesh)


def test_truncated_and_tampered_bytes_are_a_clear_error(blender, neural, extension_nsdf, data) -> None:
    mesh = blender.data.meshes.new("mesh")
    for damaged in (data[:-10], data[: len(data) // 2], data.replace(b"F32", b"F64", 1), b"x" + data):
        mesh["neural_implicit"] = damaged
        with pytest.raises(extension_nsdf.NsdfError):
            neural.read_sequence(mesh)


def test_missing_property_is_a_clear_error(blender, neural, extension_nsdf) -> None:
    with pytest.raises(extension_nsdf.NsdfError, match="carries no network"):
        neural.read_sequence(blender.data.meshes.new("plain"))


def test_moving_sequence_is_refused_with_a_reason(blender, neural, extension_nsdf) -> None:
    mesh = blender.data.meshes.new("mesh")
    moving = NestedSequence((random_network((8,), inputs=4),), (), time=(0.0, 1.0))
    neural.write_sequence(mesh, nsdf.dumps(moving))
    with pytest.raises(extension_nsdf.NsdfError, match="moves in time"):
        neural.read_sequence(mesh)


def test_update_proxy_keeps_datablock_material_and_transform(blender, neural, extension_nsdf, sphere_object) -> None:
    mesh = sphere_object.data
    mesh.materials.append(blender.data.materials.new("red"))
    sphere_object.location = (1, 2, 3)
    torus = extension_nsdf.loads(nsdf.dumps(shapes.torus_sequence()))
    neural.update_proxy(sphere_object, torus, faces=FACES)
    assert sphere_object.data == mesh
    assert mesh.materials[0].name == "red"
    assert tuple(sphere_object.location) == (1, 2, 3)
    positions = geometry(mesh)["positions"].reshape(-1, 3)
    np.testing.assert_allclose(shapes.torus()(positions), 0.0, atol=0.01)
    assert neural.read_sequence(mesh).notation == torus.notation


def test_failed_update_leaves_the_object_as_it_was(blender, neural, extension_nsdf, sphere_object, data) -> None:
    before = geometry(sphere_object.data)
    nowhere = extension_nsdf.loads(nsdf.dumps(shapes.fitted_sequence(lambda p: np.full(len(p), 1.0), (16,))))
    with pytest.raises(ValueError, match="empty"):
        neural.update_proxy(sphere_object, nowhere, faces=FACES)
    assert_same(sphere_object.data, data, before)


def test_failed_creation_leaves_nothing_behind(blender, neural, extension_nsdf) -> None:
    nowhere = extension_nsdf.loads(nsdf.dumps(shapes.fitted_sequence(lambda p: np.full(len(p), 1.0), (16,))))
    with pytest.raises(ValueError, match="empty"):
        neural.create(blender.context, nowhere, "Nowhere", faces=FACES)
    assert not blender.data.objects
    assert not blender.data.meshes


def test_neural_object_stands_exactly_where_its_source_stands(blender, neural, extension_nsdf, data) -> None:
    from mathutils import Matrix

    context = blender.context
    collection = blender.data.collections.new("props")
    context.scene.collection.children.link(collection)
    grandparent = blender.data.objects.new("grandparent", None)
    parent = blender.data.objects.new("parent", None)
    source = blender.data.objects.new("source", blender.data.meshes.new("source"))
    source.data.materials.append(blender.data.materials.new("red"))
    for obj in (grandparent, parent, source):
        collection.objects.link(obj)
    parent.parent, source.parent = grandparent, parent
    # Two non-uniform scales with a rotation between them make a shear, which no single object's channels can hold.
    grandparent.scale = (1, 3, 0.5)
    parent.rotation_euler = (0.3, 0.7, -0.2)
    parent.scale = (2, -1, 1)
    source.rotation_mode = "QUATERNION"
    source.rotation_quaternion = (0.8, 0.1, 0.5, 0.2)
    source.location = (4, 5, 6)
    source.delta_scale = (1, 1, -2)
    source.matrix_parent_inverse = Matrix.Translation((7, 8, 9))
    context.view_layer.update()

    obj = neural.create(context, extension_nsdf.loads(data), "Neural", source, faces=FACES)

    assert obj.matrix_world == source.matrix_world
    assert obj.parent == parent
    assert list(obj.users_collection) == [collection]
    assert obj.data.materials[0].name == "red"
    parent.location.x += 1.0
    context.view_layer.update()
    assert obj.matrix_world == source.matrix_world, "it no longer follows its parent as the source does"


def test_constrained_source_gives_a_neural_object_in_its_place(blender, neural, extension_nsdf, data) -> None:
    source = blender.data.objects.new("source", blender.data.meshes.new("source"))
    goal = blender.data.objects.new("goal", None)
    for obj in (source, goal):
        blender.context.collection.objects.link(obj)
    goal.location = (3, 2, 1)
    source.constraints.new("COPY_LOCATION").target = goal
    blender.context.view_layer.update()
    obj = neural.create(blender.context, extension_nsdf.loads(data), "Neural", source, faces=FACES)
    np.testing.assert_allclose(obj.matrix_world, source.matrix_world, atol=1e-6)


def test_source_that_is_disabled_in_viewports_stands_where_its_channels_say(
    blender, neural, extension_nsdf, data, tmp_path: Path
) -> None:
    parent = blender.data.objects.new("parent", None)
    source = blender.data.objects.new("source", blender.data.meshes.new("source"))
    for obj in (parent, source):
        blender.context.collection.objects.link(obj)
    source.parent = parent
    parent.location, source.location, source.scale = (5, 0, 0), (0, 2, 0), (1, 2, 3)
    source.hide_viewport = True
    # In a loaded file Blender has the object at the origin.
    path = str(tmp_path / "scene.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.open_mainfile(filepath=path)
    source = blender.data.objects["source"]
    obj = neural.create(blender.context, extension_nsdf.loads(data), "Neural", source, faces=FACES)
    np.testing.assert_allclose(obj.matrix_world.translation, (5, 2, 0), atol=1e-6)
    assert tuple(obj.location) == (0, 2, 0), "its numbers are not the artist's"


def test_materials_of_the_object_count(blender, neural, extension_nsdf, data) -> None:
    source = blender.data.objects.new("source", blender.data.meshes.new("source"))
    blender.context.collection.objects.link(source)
    source.data.materials.append(blender.data.materials.new("of the mesh"))
    source.data.materials.append(blender.data.materials.new("hidden"))
    source.material_slots[1].link = "OBJECT"
    source.material_slots[1].material = blender.data.materials.new("of the object")
    obj = neural.create(blender.context, extension_nsdf.loads(data), "Neural", source, faces=FACES)
    assert [material.name for material in obj.data.materials] == ["of the mesh", "of the object"]


def test_save_and_reopen(blender, sphere_object, data, tmp_path: Path) -> None:
    before = geometry(sphere_object.data)
    path = str(tmp_path / "scene.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.read_homefile(use_empty=True)
    assert not blender.data.objects
    blender.ops.wm.open_mainfile(filepath=path)
    assert_same(blender.data.objects["Sphere"].data, data, before)


def test_append_and_link(blender, sphere_object, data, tmp_path: Path) -> None:
    before = geometry(sphere_object.data)
    path = str(tmp_path / "library.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    for link in (False, True):
        blender.ops.wm.read_homefile(use_empty=True)
        with blender.data.libraries.load(path, link=link) as (available, wanted):
            wanted.objects = available.objects
        assert_same(wanted.objects[0].data, data, before)


def test_duplicate_copies_the_networks(blender, neural, sphere_object, data) -> None:
    before = geometry(sphere_object.data)
    neural.select_only(blender.context, sphere_object)
    blender.ops.object.duplicate(linked=False)
    copy = blender.context.active_object
    assert copy.data != sphere_object.data
    neural.write_sequence(sphere_object.data, b"changed")
    assert_same(copy.data, data, before)


def test_linked_duplicate_shares_the_networks(blender, neural, sphere_object, data) -> None:
    before = geometry(sphere_object.data)
    neural.select_only(blender.context, sphere_object)
    blender.ops.object.duplicate(linked=True)
    copy = blender.context.active_object
    assert copy != sphere_object
    assert copy.data == sphere_object.data
    assert_same(copy.data, data, before)


def test_undo_and_redo(blender, neural, extension_nsdf, sphere_object, data) -> None:
    before = geometry(sphere_object.data)
    blender.context.preferences.edit.use_global_undo = True
    blender.ops.ed.undo_push(message="Sphere")
    torus = shapes.torus_sequence()
    neural.update_proxy(sphere_object, extension_nsdf.loads(nsdf.dumps(torus)), faces=FACES)
    after_bytes, after = sphere_object.data["neural_implicit"], geometry(sphere_object.data)
    blender.ops.ed.undo_push(message="Torus")
    blender.ops.ed.undo()
    assert_same(blender.data.objects["Sphere"].data, data, before)
    blender.ops.ed.redo()
    assert_same(blender.data.objects["Sphere"].data, after_bytes, after)
