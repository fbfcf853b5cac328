# SPDX-License-Identifier: GPL-3.0-or-later
"""Traits of shapes against what geometry says of spheres and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels.meshes import TriangleMesh
from kernels.shape_traits import shape_traits, sharp_edges


def test_a_sphere_bends_by_its_radius_and_has_no_edges() -> None:
    for radius in (0.3, 0.8):
        traits = shape_traits(shapes.sphere_mesh(5, radius), 50.0)
        assert traits.edge_share == 0.0
        assert traits.noise == 0.0
        # From a tangent 0.03 long back to the sphere: the angle's tangent is 0.03 / radius.
        assert traits.detail == pytest.approx(np.degrees(np.arctan(0.03 / radius)), rel=0.05)


def test_few_triangles_do_not_look_like_detail() -> None:
    # Normals are blended over 128 triangles as over 8192.
    coarse, fine = (shape_traits(shapes.sphere_mesh(n, 0.8), 50.0).detail for n in (2, 5))
    assert coarse == pytest.approx(fine, rel=0.25)


def test_the_share_of_edges_is_that_of_a_box() -> None:
    extents = np.array([0.9, 0.6, 0.3])
    traits = shape_traits(shapes.box_mesh(tuple(extents)), 50.0)
    # Of each side of 2a x 2b, a frame of 0.02 is near an edge.
    sides = [(extents[i], extents[j]) for i, j in ((0, 1), (1, 2), (0, 2))]
    area = sum(4 * a * b for a, b in sides)
    near = area - sum(4 * (a - 0.02) * (b - 0.02) for a, b in sides)
    assert traits.edge_share == pytest.approx(near / area, abs=0.02)
    # No edge counts where only sharper ones are creases.
    assert shape_traits(shapes.box_mesh(tuple(extents)), 95.0).edge_share == 0.0


def test_sharp_edges_of_a_box_are_its_twelve() -> None:
    box = shapes.box_mesh()
    edges = sharp_edges(box, 50.0)
    assert len(edges) == 12
    np.testing.assert_allclose(np.linalg.norm(box.vertices[edges[:, 0]] - box.vertices[edges[:, 1]], axis=1), 2.0)
    assert len(sharp_edges(box, 95.0)) == 0


def test_bumps_are_detail() -> None:
    def detail(height: float) -> float:
        torus = shapes.torus_mesh(240, 96)
        outward = shapes.unit_normals(shapes.torus(), torus.vertices)
        bumps = height * np.sin(40.0 * torus.vertices).prod(axis=1)[:, None]
        return shape_traits(TriangleMesh(torus.vertices + bumps * outward, torus.faces), 50.0).detail

    assert detail(0.0) < detail(0.005) < detail(0.01)


def test_noise_is_handed_through() -> None:
    assert shape_traits(shapes.sphere_mesh(2), 50.0, noise=0.01).noise == 0.01
