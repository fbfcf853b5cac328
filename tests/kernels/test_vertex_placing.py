# SPDX-License-Identifier: GPL-3.0-or-later
"""Vertices on the zero set: how exact they are, what they cost, and where edges are sharp."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from counting import counted_points
from hypothesis import given
from hypothesis import strategies as st

from kernels import vertex_placing
from kernels.dual_surface import dual_surface
from kernels.networks import Network
from kernels.sequence import NestedSequence
from kernels.sparse_grid import surface_cells
from kernels.stages import Stage
from kernels.vertex_placing import NEWTON_TOLERANCE, _newton_step, placed_vertices


def placed(sequence: NestedSequence, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and normals of the whole surface, in network space."""
    cells = surface_cells(sequence, resolution, Stage())
    return placed_vertices(sequence, cells, dual_surface(cells, resolution), resolution, Stage())


def wedge(normal: tuple[float, float, float]) -> NestedSequence:
    """The exact largest of x - 0.013 and n p - 0.021, as ReLUs: two planes that meet in a sharp edge."""
    first, offset = np.array([1.0, 0.0, 0.0]), 0.013
    second = np.array(normal) / np.linalg.norm(normal)
    # Shifted by 2, the first plane's unit is linear in the whole cube; the other is what its plane is above the first.
    weights = np.stack([first, second - first]), np.ones((1, 2))
    biases = np.array([2.0 - offset, offset - 0.021]), np.array([-2.0])
    network = Network(tuple(np.float32(w) for w in weights), tuple(np.float32(b) for b in biases), "relu")
    return NestedSequence((network,), ())


@pytest.mark.parametrize("normal", [(0.0, 1.0, 0.0), (0.3, 1.0, 0.2), (-0.6, 1.0, 0.0)])
def test_vertices_of_sharp_cells_lie_on_the_edge(normal: tuple[float, float, float]) -> None:
    resolution, unit = 40, np.array(normal) / np.linalg.norm(normal)
    points, normals = placed(wedge(normal), resolution)
    inner = np.abs(points).max(axis=1) < 0.9
    points, normals = points[inner].astype(np.float64), normals[inner]
    heights = np.stack([points[:, 0] - 0.013, points @ unit - 0.021], axis=1)
    cell = 2.0 / resolution
    assert np.abs(heights.max(axis=1)).max() < 2.0 * NEWTON_TOLERANCE * cell
    # Along the edge there is a vertex of its own for each cell, and nearly.
    on_edge = np.abs(heights).max(axis=1) < 0.01 * cell
    assert on_edge.sum() > 0.9 * 0.9 * resolution
    # Each vertex beside it has the normal of its plane.
    on_first = (heights[:, 0] > heights[:, 1]) & ~on_edge
    np.testing.assert_allclose(normals[on_first], np.broadcast_to([1.0, 0.0, 0.0], (on_first.sum(), 3)), atol=1e-5)
    on_second = (heights[:, 0] < heights[:, 1]) & ~on_edge
    np.testing.assert_allclose(normals[on_second], np.broadcast_to(unit, (on_second.sum(), 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("sequence", "shape"),
    [(shapes.sphere_sequence, shapes.sphere()), (shapes.torus_sequence, shapes.torus())],
    ids=["sphere", "torus"],
)
def test_one_gradient_a_vertex_is_enough_on_smooth_surfaces(monkeypatch, sequence, shape) -> None:
    original = vertex_placing.deepest_gradient
    evaluated = counted_points(monkeypatch, vertex_placing, "deepest_gradient")
    resolution = 160
    points, normals = placed(sequence(), resolution)
    assert sum(evaluated) < 1.1 * len(points)
    values, gradients, _ = original(sequence(), points)
    assert np.abs(values).max() < 2.0 * NEWTON_TOLERANCE * 2.0 / resolution
    exact = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    assert np.degrees(np.linalg.norm(normals - exact, axis=1)).max() < 0.1
    assert np.abs(shape(points.astype(np.float64))).max() < 0.006


# Opposite corners of the bounds of the steps below.
CORNERS = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]], np.float32)


def stepped(point: tuple[float, ...], gradient: tuple[float, ...], offset: float) -> tuple[np.ndarray, float]:
    """A step of one point in the cube [-1, 1]^3 towards gradient . p = offset, and how far it then is from that."""
    points, gradients = np.array([point], np.float32), np.array([gradient], np.float32)
    values = (points * gradients).sum(axis=1) - np.float32(offset)
    moved = _newton_step(points, values, gradients, CORNERS[:1], CORNERS[1:])
    return moved[0], float((moved * gradients).sum() - offset)


def test_a_step_within_bounds_is_newtons() -> None:
    moved, left = stepped((0.1, 0.2, 0.3), (0.0, 0.6, 0.8), 0.0)
    np.testing.assert_allclose(moved, (0.1, 0.2 - 0.36 * 0.6, 0.3 - 0.36 * 0.8), atol=1e-6)
    assert abs(left) < 1e-6


def test_a_step_against_a_bound_goes_along_it() -> None:
    # The plane x + y / 2 = 1.2 lies beyond x = 1, where the point is, but for y of 0.4 and more.
    moved, left = stepped((1.0, 0.0, 0.5), (1.0, 0.5, 0.0), 1.2)
    np.testing.assert_allclose(moved, (1.0, 0.4, 0.5), atol=1e-6)
    assert abs(left) < 1e-6


coordinates = st.tuples(*[st.floats(-1.0, 1.0, width=32)] * 3)


@given(point=coordinates, gradient=coordinates, offset=st.floats(-1.0, 1.0, width=32))
def test_a_step_stays_within_bounds_and_never_ends_farther_away(
    point: tuple[float, ...], gradient: tuple[float, ...], offset: float
) -> None:
    moved, left = stepped(point, gradient, offset)
    assert (np.abs(moved) <= 1.0).all()
    assert abs(left) <= abs(np.dot(point, gradient) - offset) + 1e-5
