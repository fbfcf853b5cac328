# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes are checked and cleaned: what cannot be trained on is refused with a reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernels.meshes import FILLED_SHARE, MeshError, TriangleMesh, clean, doubled_areas, in_network_space, network_space

TRIANGLE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
FACE = np.array([[0, 1, 2]])


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3), int), "no faces"),
        (TRIANGLE, np.zeros((0, 3), int), "no faces"),
        (TRIANGLE, [[0, 1, 3]], "do not exist"),
        (TRIANGLE, [[0, 1, -1]], "do not exist"),
        (TRIANGLE, [[0, 1, 2**62]], "do not exist"),
        (TRIANGLE * [np.nan, 1, 1], FACE, "not a finite number"),
        (TRIANGLE + [[0, 0, 0], [np.inf, 0, 0], [0, 0, 0]], FACE, "not a finite number"),
        (TRIANGLE * 1e30, FACE, "too far"),
        (TRIANGLE + 1e30, FACE, "too far"),
        (TRIANGLE * 0.0 + 5.0, FACE, "in one point"),
        (TRIANGLE * [1, 0, 0], FACE, "zero area"),
        (TRIANGLE, [[0, 0, 1], [2, 2, 2]], "zero area"),
        (TRIANGLE[:, :2], FACE, "damaged"),
        (TRIANGLE, [[0, 1]], "damaged"),
        (TRIANGLE[0], FACE, "damaged"),
        (TRIANGLE.astype(str), FACE, "damaged"),
        (TRIANGLE * 1j, FACE, "damaged"),
        (TRIANGLE, [[0.0, 1.0, np.nan]], "damaged"),
    ],
)
def test_what_is_refused(vertices: np.ndarray, faces: np.ndarray, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MeshError, match=message):
            clean(TriangleMesh(np.asarray(vertices), np.asarray(faces)))


@settings(max_examples=200, deadline=None)
@given(
    vertices=hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.just(3)), elements=st.floats(width=32)),
    faces=hnp.arrays(np.int64, st.tuples(st.integers(0, 5), st.just(3)), elements=st.integers(-1, 6)),
)
def test_any_mesh_is_refused_or_comes_out_clean(vertices: np.ndarray, faces: np.ndarray) -> None:
    try:
        mesh = clean(TriangleMesh(vertices, faces))
    except MeshError:
        return
    assert np.isfinite(mesh.vertices).all()
    assert set(np.unique(mesh.faces)) == set(range(len(mesh.vertices)))
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    placed = in_network_space(mesh)
    assert np.abs(placed.vertices).max() <= FILLED_SHARE * (1 + 1e-9)
    assert (doubled_areas(placed.vertices, placed.faces) > 0.0).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_one_triangle_of_any_size_is_kept(scale: float) -> None:
    mesh = clean(TriangleMesh(TRIANGLE * scale, FACE))
    assert len(mesh.faces) == 1
    center, radius = network_space(mesh)
    assert center == pytest.approx((0.5 * scale, 0.5 * scale, 0.0))
    assert radius == pytest.approx(0.5 * scale / FILLED_SHARE)


def test_bad_vertices_that_no_face_uses_do_not_matter() -> None:
    vertices = np.concatenate([TRIANGLE, [[np.nan, 0.0, np.inf]]])
    assert len(clean(TriangleMesh(vertices, FACE)).vertices) == 3


def test_seams_are_joined_and_empty_triangles_dropped() -> None:
    # Two triangles of a square with vertices of their own, as exporters write them, and a triangle without area.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0], [9, 9, 9]], float)
    mesh = clean(TriangleMesh(vertices, np.array([[0, 1, 2], [3, 4, 5], [0, 3, 6]])))
    assert len(mesh.vertices) == 4
    assert len(mesh.faces) == 2
    assert len(set(mesh.faces[0]) & set(mesh.faces[1])) == 2


def test_a_good_mesh_keeps_its_shape_and_orientation() -> None:
    sphere = shapes.sphere_mesh(2)
    mesh = clean(sphere)
    assert len(mesh.vertices) == len(sphere.vertices)
    np.testing.assert_allclose(mesh.vertices[mesh.faces], sphere.vertices[sphere.faces])


def test_network_space_is_centred_and_uniformly_scaled() -> None:
    sphere = shapes.sphere_mesh(3)
    mesh = clean(TriangleMesh(sphere.vertices * [1.0, 2.0, 4.0] + [10.0, 20.0, 30.0], sphere.faces))
    placed = in_network_space(mesh)
    assert np.ptp(placed.vertices, axis=0) == pytest.approx(np.array([0.25, 0.5, 1.0]) * 2 * FILLED_SHARE, rel=0.02)
    center, radius = network_space(mesh)
    np.testing.assert_allclose(np.array(center) + radius * placed.vertices, mesh.vertices)


def test_doubled_areas() -> None:
    assert doubled_areas(TRIANGLE * 3.0, FACE).tolist() == [9.0]
