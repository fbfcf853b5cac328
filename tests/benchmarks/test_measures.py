# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures themselves, on shapes whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import measures


def octahedron() -> measures.Surface:
    """The unit octahedron with the normals of the sphere around it."""
    vertices = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    triangles = np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], np.int32
    )
    return measures.Surface(vertices, triangles, vertices[triangles])


def test_angles_are_exact_where_small() -> None:
    turned = np.array([[math.cos(1e-6), math.sin(1e-6), 0.0], [0.0, 2.0, 0.0], [-3.0, 0.0, 0.0]])
    found = measures.angles(np.array([[1.0, 0.0, 0.0]] * 3), turned)
    np.testing.assert_allclose(found, [math.degrees(1e-6), 90.0, 180.0], rtol=1e-9)


def test_points_lie_on_the_surface_and_are_spread_by_area() -> None:
    points, normals = measures.surface_points(octahedron(), 8000)
    np.testing.assert_allclose(np.abs(points).sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(normals, measures.unit(points), atol=1e-12)
    octants = (points > 0) @ [1, 2, 4]
    assert np.bincount(octants, minlength=8).min() > 880


def test_vertex_normals_are_the_mean_of_the_corners() -> None:
    np.testing.assert_allclose(octahedron().vertex_normals, octahedron().vertices)


def test_normals_at_the_closest_point() -> None:
    pytest.importorskip("igl")
    outside = np.array([[2.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    normals, distances = measures.closest_normals(octahedron(), outside)
    np.testing.assert_allclose(normals, measures.unit(outside), atol=1e-9)
    np.testing.assert_allclose(distances, [1.0, 2.0 / math.sqrt(3.0)])


def test_normal_error_of_a_surface_with_itself_and_turned() -> None:
    pytest.importorskip("igl")
    shape = octahedron()
    turned = measures.Surface(shape.vertices, shape.triangles, -shape.corner_normals)
    assert measures.vertex_normal_error(shape, shape) == pytest.approx(0.0, abs=1e-6)
    assert measures.shaded_normal_error(shape, shape, 500) == pytest.approx(0.0, abs=1e-6)
    assert measures.vertex_normal_error(turned, shape) == pytest.approx(180.0)


def test_intersection_over_union() -> None:
    square = np.zeros((4, 4), bool)
    square[:2] = True
    assert measures.intersection_over_union(square, square) == 1.0
    assert measures.intersection_over_union(square, ~square) == 0.0
    assert measures.intersection_over_union(square, np.ones((4, 4), bool)) == 0.5


def test_psnr() -> None:
    black = np.zeros((8, 8, 3))
    assert measures.psnr(black, black) == math.inf
    assert measures.psnr(black + 0.1, black) == pytest.approx(20.0)
