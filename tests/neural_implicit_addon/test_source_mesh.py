# SPDX-License-Identifier: GPL-3.0-or-later
"""From mesh objects to triangles: what the artist sees is trained on, and what cannot be trained on is named."""

from __future__ import annotations

import numpy as np
import pytest

CUBE = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
CUBE_FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


@pytest.fixture
def source_mesh(addon_module):
    return addon_module("neural_implicit_addon.source_mesh")


@pytest.fixture
def triangles(blender, source_mesh):
    """A function from an object to its triangles."""

    def evaluate(obj):
        blender.context.view_layer.update()
        return source_mesh.evaluated_triangles(obj, blender.context.evaluated_depsgraph_get())

    return evaluate


def add(blender, vertices=CUBE, faces=CUBE_FACES):
    mesh = blender.data.meshes.new("Mesh")
    mesh.from_pydata([tuple(map(float, v)) for v in vertices], [], faces)
    obj = blender.data.objects.new("Mesh", mesh)
    blender.context.collection.objects.link(obj)
    return obj


def test_faces_become_triangles_in_local_space(blender, triangles) -> None:
    obj = add(blender)
    obj.location, obj.scale = (5, 0, 0), (2, 1, -1)
    mesh = triangles(obj)
    assert len(mesh.vertices) == 8
    assert len(mesh.faces) == 12
    np.testing.assert_array_equal(np.abs(mesh.vertices), 1.0)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * corners.mean(axis=1)).sum(axis=1) > 0).all(), "the faces no longer look outwards"


def test_modifiers_and_shape_keys_are_applied(blender, triangles) -> None:
    obj = add(blender)
    obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="Wide")
    for point in key.data:
        point.co.x *= 3.0
    key.value = 1.0
    obj.modifiers.new("Subdivision", "SUBSURF").subdivision_type = "SIMPLE"
    mesh = triangles(obj)
    assert len(mesh.faces) == 48
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [6, 2, 2], atol=1e-6)
    assert len(obj.data.polygons) == 6, "the source was changed"


def test_geometry_that_modifiers_hide_is_not_trained_on(blender, triangles) -> None:
    obj = add(blender)
    modifier = obj.modifiers.new("Subdivision", "SUBSURF")
    modifier.show_viewport = False
    assert len(triangles(obj).faces) == 12


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        ([], [], "no faces"),
        ([(0, 0, 0), (1, 0, 0)], [], "no faces"),
        ([(float("nan"), 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "not a finite number"),
        ([(float("inf"), 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "not a finite number"),
        ([(2, 2, 2)] * 3, [(0, 1, 2)], "one point"),
        ([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 1, 2)], "zero area"),
    ],
    ids=["empty", "no faces", "nan", "infinite", "one point", "zero area"],
)
def test_meshes_without_a_surface_are_refused(blender, source_mesh, triangles, vertices, faces, message) -> None:
    with pytest.raises(source_mesh.MeshError, match=message):
        triangles(add(blender, vertices, faces))


def test_zero_area_faces_among_others_are_dropped(blender, triangles) -> None:
    obj = add(blender, [*CUBE, (3, 3, 3)], [*CUBE_FACES, (0, 1, 8)])
    obj.data.vertices[8].co = obj.data.vertices[1].co
    assert len(triangles(obj).faces) == 12


def test_a_scale_of_zero_is_refused(blender, source_mesh, triangles) -> None:
    obj = add(blender)
    obj.scale.y = 0.0
    with pytest.raises(source_mesh.MeshError, match="scale of zero"):
        triangles(obj)


@pytest.mark.parametrize("channel", ["location", "scale"])
def test_a_transform_that_is_not_finite_is_refused(blender, source_mesh, triangles, channel) -> None:
    obj = add(blender)
    getattr(obj, channel).y = float("nan")
    with pytest.raises(source_mesh.MeshError, match="not finite"):
        triangles(obj)


def test_a_small_scale_is_not_refused(blender, triangles) -> None:
    obj = add(blender)
    obj.scale = (1e-6, 1e-6, 1e-6)
    assert len(triangles(obj).faces) == 12


def test_edit_mode_is_refused(blender, source_mesh, triangles) -> None:
    obj = add(blender)
    blender.context.view_layer.objects.active = obj
    blender.ops.object.mode_set(mode="EDIT")
    try:
        with pytest.raises(source_mesh.MeshError, match="edit mode"):
            triangles(obj)
    finally:
        blender.ops.object.mode_set(mode="OBJECT")
