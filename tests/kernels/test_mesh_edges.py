# SPDX-License-Identifier: GPL-3.0-or-later
"""Edges of meshes against counts known in closed form."""

from __future__ import annotations

import numpy as np
import shapes

from kernels.mesh_edges import mesh_edges


def test_a_closed_mesh_has_two_faces_at_every_edge() -> None:
    mesh = shapes.torus_mesh(20, 10)
    edges = mesh_edges(mesh.faces)
    # Euler's formula for a torus: V - E + F = 0.
    assert len(edges.first) == len(mesh.vertices) + len(mesh.faces)
    assert len(edges.pairs) == len(edges.first)
    assert len(edges.borders) == 0
    # Consistently turned: the two faces run along their edge in opposite directions.
    assert (edges.forward[edges.pairs] != edges.forward[edges.pairs + 1]).all()
    for row in (0, 1):
        # Both faces have both ends among their corners.
        corners = mesh.faces[edges.faces[edges.pairs + row]]
        ends = edges.vertices[edges.pairs]
        assert (corners[:, :, None] == ends[:, None, :]).any(axis=1).all()


def test_borders_and_edges_of_three_faces() -> None:
    # Three triangles that share the edge 0-1: a fan with six borders.
    faces = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    edges = mesh_edges(faces)
    assert sorted(edges.counts) == [1] * 6 + [3]
    assert len(edges.pairs) == 0
    assert len(edges.borders) == 6
    shared = edges.first[edges.counts == 3][0]
    np.testing.assert_array_equal(edges.vertices[shared : shared + 3], [[0, 1]] * 3)
    assert sorted(edges.faces[shared : shared + 3]) == [0, 1, 2]
    assert edges.forward[shared : shared + 3].tolist() == [True, False, True]
