# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of meshes: counted, turned one way, without doubles, against volumes and areas in closed form."""

from __future__ import annotations

import igl
import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.mesh_parts import mesh_parts
from kernels.meshes import TriangleMesh

SPHERE = shapes.sphere_mesh(3, radius=0.5)
BOX = shapes.box_mesh((0.1, 0.2, 0.3))


def test_closed_parts_with_their_areas_and_volumes() -> None:
    parts = mesh_parts(shapes.joined(SPHERE, shapes.moved(BOX, (0.8, 0.0, 0.0)), shapes.inside_out(BOX)))
    assert parts.is_closed.tolist() == [True] * 3
    assert parts.holes == 0
    assert parts.doubled_share == parts.turned_share == 0.0
    np.testing.assert_allclose(parts.volumes[1:], [8 * 0.006, -8 * 0.006])
    np.testing.assert_allclose(parts.areas[1:], 8 * (0.02 + 0.03 + 0.06))
    assert parts.volumes[0] == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.05)
    turned = parts.turned(np.array([False, False, True]))
    assert (turned.volumes > 0.0).all()
    np.testing.assert_array_equal(turned.faces_of(np.array([False, False, True])), parts.mesh.faces[-12:, ::-1])


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, len(SPHERE.faces) - 1), max_size=len(SPHERE.faces) // 3))
def test_single_faces_turned_around_are_turned_back(turned: set[int]) -> None:
    faces = SPHERE.faces.copy()
    rows = list(turned)
    faces[rows] = faces[rows, ::-1]
    parts = mesh_parts(TriangleMesh(SPHERE.vertices, faces))
    # The corners may start elsewhere: the normals are those of the sphere.
    normals = igl.per_face_normals(parts.mesh.vertices, parts.mesh.faces)
    np.testing.assert_allclose(normals, igl.per_face_normals(SPHERE.vertices, SPHERE.faces), atol=1e-12)
    areas = igl.doublearea(SPHERE.vertices, SPHERE.faces)
    assert parts.turned_share == pytest.approx(areas[rows].sum() / areas.sum())
    assert len(parts.areas) == 1


def test_faces_that_are_there_twice_count_once() -> None:
    doubled = TriangleMesh(BOX.vertices, np.concatenate([BOX.faces, BOX.faces[:6, ::-1], BOX.faces[:, [1, 2, 0]]]))
    parts = mesh_parts(doubled)
    assert len(parts.mesh.faces) == 12
    assert parts.is_closed.all()
    assert parts.doubled_share == pytest.approx(1.0 - 0.88 / igl.doublearea(doubled.vertices, doubled.faces).sum() * 2)


def test_holes_are_counted() -> None:
    centers = SPHERE.vertices[SPHERE.faces].mean(axis=1)
    parts = mesh_parts(TriangleMesh(SPHERE.vertices, SPHERE.faces[np.abs(centers[:, 2]) < 0.4]))
    assert parts.holes == 2
    assert not parts.is_closed.any()
    assert mesh_parts(TriangleMesh(SPHERE.vertices, SPHERE.faces[centers[:, 2] < 0.4])).holes == 1


def test_a_moebius_strip_does_not_stop_anything() -> None:
    turns = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    across = np.array([-0.2, 0.2])[:, None]
    radius = 0.6 + across * np.cos(turns / 2)
    vertices = np.stack([radius * np.cos(turns), radius * np.sin(turns), across * np.sin(turns / 2)], -1).reshape(-1, 3)
    low = np.arange(40)
    ahead = (low + 1) % 40
    # The ends are joined with the sides exchanged.
    other, other_ahead = low + 40, ahead + 40
    swap = ahead == 0
    ahead, other_ahead = np.where(swap, other_ahead, ahead), np.where(swap, ahead, other_ahead)
    faces = np.concatenate([np.column_stack([low, ahead, other]), np.column_stack([ahead, other_ahead, other])])
    parts = mesh_parts(TriangleMesh(vertices, faces))
    assert len(parts.areas) == 1
    assert parts.holes == 1
    assert len(parts.mesh.faces) == 80
