# SPDX-License-Identifier: GPL-3.0-or-later
"""The sparse grid against the whole one: every corner evaluated, every cell looked at."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from counting import counted_points
from hypothesis import given, settings
from hypothesis import strategies as st
from sharp_boxes import sharp_box

from kernels import sparse_grid, surface_blocks
from kernels.deepest_level import deepest_distance
from kernels.dual_tables import CORNERS
from kernels.networks import Network, random_network
from kernels.sequence import Band, NestedSequence
from kernels.sparse_grid import BORDER_DISTANCE, Cells, cell_key, surface_cells
from kernels.stages import Stage
from kernels.surface_blocks import Blocks, blocks_near_surface, network_points


def whole_grid(sequence: NestedSequence, resolution: int) -> np.ndarray:
    """Distances at all corners, outside on the border: (R + 1, R + 1, R + 1)."""
    side = resolution + 1
    corners = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    values, _ = deepest_distance(sequence, network_points(corners, resolution))
    border = ((corners == 0) | (corners == resolution)).any(axis=1)
    values[border] = np.maximum(np.abs(values[border]), BORDER_DISTANCE)
    return values.reshape(side, side, side)


def exact_cells(values: np.ndarray, coords: np.ndarray) -> Cells:
    """The cells at (M, 3) coordinates of a whole grid."""
    around = values[tuple(np.moveaxis(coords[:, None] + CORNERS, -1, 0))]
    return Cells(cell_key(coords, values.shape[0] - 1), coords, around, (around < 0.0) @ (1 << np.arange(8)))


def whole_cells(values: np.ndarray) -> Cells:
    """All cells of a whole grid that have a crossing."""
    coords = np.stack(np.meshgrid(*[np.arange(values.shape[0] - 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = exact_cells(values, coords)
    crossed = (cells.cases > 0) & (cells.cases < 255)
    return Cells(*(array[crossed] for array in cells))


def assert_same(cells: Cells, values: np.ndarray, shape: shapes.Distance) -> None:
    """The cells are all those of a whole grid that have a crossing, and have the same corners inside.

    Around the shape: elsewhere fitted networks are anything, and bands mean nothing. Cells with a corner on the surface
    are left out, as rounding decides about them.
    """
    kept = []
    for part in (cells, whole_cells(values)):
        points = network_points(part.coords + 0.5, values.shape[0] - 1).astype(np.float64)
        clear = np.abs(exact_cells(values, part.coords).values).min(axis=1) > 1e-5
        kept.append(Cells(*(array[clear & (np.abs(shape(points)) < 0.1)] for array in part)))
    found, expected = kept
    assert len(expected.keys) > 100
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.coords, expected.coords)
    np.testing.assert_array_equal(found.cases, expected.cases)
    # Where the surface crosses an edge, it crosses it at the same place.
    cell = 2.0 / (values.shape[0] - 1)
    small = np.abs(expected.values) < 0.25 * cell
    assert np.abs(found.values - expected.values)[small].max(initial=0.0) < 0.1 * cell


def residual_sequence() -> NestedSequence:
    """The torus with its second level as a correction: both networks side by side in one, fine - coarse."""
    coarse, fine = shapes.torus_sequence().networks
    difference = Network(
        (
            np.concatenate([fine.weights[0], coarse.weights[0]]),
            np.concatenate([fine.weights[-1], -coarse.weights[-1]], axis=1),
        ),
        (np.concatenate([fine.biases[0], coarse.biases[0]]), fine.biases[-1] - coarse.biases[-1]),
    )
    return NestedSequence((coarse, difference), shapes.torus_sequence().bands, kind="residual")


BOX, SHEET = shapes.box((0.5, 0.3, 0.4)), shapes.box((0.6, 0.5, 0.03))


def shell(points: np.ndarray) -> np.ndarray:
    """A sphere of radius 0.7 that is hollow: (N, 3) -> (N,)."""
    return np.maximum(shapes.sphere(0.7)(points), -shapes.sphere(0.5)(points))


SUBJECTS = {
    "sphere": (shapes.sphere(), shapes.sphere_sequence),
    "torus": (shapes.torus(), shapes.torus_sequence),
    "residual": (shapes.torus(), residual_sequence),
    "box": (BOX, lambda: shapes.fitted_sequence(BOX, (128, 256), 5.0)),
    "shell": (shell, lambda: shapes.fitted_sequence(shell, (128, 256), 5.0)),
    "sheet": (SHEET, lambda: shapes.fitted_sequence(SHEET, (128, 256), 8.0)),
}


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("resolution", [23, 64])
def test_same_cells_as_the_whole_grid(name: str, resolution: int) -> None:
    shape, make = SUBJECTS[name]
    sequence = make()
    assert_same(surface_cells(sequence, resolution, Stage()), whole_grid(sequence, resolution), shape)


@pytest.mark.parametrize("resolution", [48, 64, 128])
@pytest.mark.parametrize("half_thickness", [0.002, 0.005, 0.009])
def test_wall_that_is_thinner_than_its_cells(half_thickness: float, resolution: int) -> None:
    """A layer of corners lies inside of it, between blocks that all say that they are outside."""
    half = (0.6, 0.5, half_thickness)
    sequence = sharp_box(half)
    assert_same(surface_cells(sequence, resolution, Stage()), whole_grid(sequence, resolution), shapes.box(half))


def test_predictions_take_the_place_of_most_evaluations_in_a_fine_grid(monkeypatch) -> None:
    original = sparse_grid.deepest_distance
    evaluated = counted_points(monkeypatch, sparse_grid, "deepest_distance")
    sequence, resolution = NestedSequence(shapes.sphere_sequence().networks[:1], ()), 256
    cells = surface_cells(sequence, resolution, Stage())
    # There are more corners than cells.
    assert sum(evaluated) < 0.5 * len(cells.keys)
    exact, _ = original(sequence, network_points((cells.coords[:, None] + CORNERS).reshape(-1, 3), resolution))
    exact = exact.reshape(-1, 8)
    assert (np.abs(exact)[(cells.values < 0.0) != (exact < 0.0)] < 1e-5).all()
    small = np.abs(exact) < 1.0 / resolution
    assert np.abs(cells.values - exact)[small].max() < 0.02 * 2.0 / resolution


def test_work_grows_with_the_surface_and_not_with_the_volume(monkeypatch) -> None:
    evaluated = counted_points(monkeypatch, surface_blocks, "deepest_gradient")
    points = {}
    for resolution in (128, 256):
        evaluated.clear()
        blocks_near_surface(shapes.sphere_sequence(), resolution, Stage())
        points[resolution] = sum(evaluated)
    assert points[256] < 5.0 * points[128]
    assert points[256] < 0.03 * 257**3


def one_block(sequence: NestedSequence, resolution: int, coords: list[int]) -> Blocks:
    """A single block, as refinement that has overlooked all others would give it."""
    points = network_points(np.array([coords]) * 2 + 1.0, resolution)
    values, gradients = sequence.distance_and_gradient(sequence.finest, points)
    return Blocks(np.array([coords]), values, gradients * (2.0 / resolution), np.array([sequence.finest]))


def test_overlooked_blocks_are_found_by_following_the_surface(monkeypatch) -> None:
    sequence, resolution = shapes.sphere_sequence(), 32
    block = one_block(sequence, resolution, [8, 8, 12])
    monkeypatch.setattr(sparse_grid, "blocks_near_surface", lambda *_: block)
    cells = surface_cells(sequence, resolution, Stage())
    assert_same(cells, whole_grid(sequence, resolution), shapes.sphere())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), omega=st.floats(5.0, 25.0), resolution=st.integers(8, 24))
def test_neighbours_agree_about_the_corners_that_they_share(seed: int, omega: float, resolution: int) -> None:
    """Whatever was predicted: a corner has one value, or the surface would have gaps."""
    networks = (random_network((16,), seed=seed), random_network((32, 32), omega=omega, seed=seed + 1))
    sequence = NestedSequence(networks, (Band(0.1),), kind="residual")
    cells = surface_cells(sequence, resolution, Stage())
    corners = cell_key((cells.coords[:, None] + CORNERS).reshape(-1, 3), resolution + 1)
    _, first, inverse = np.unique(corners, return_index=True, return_inverse=True)
    values = cells.values.reshape(-1)
    np.testing.assert_array_equal(values[first][inverse], values)


def test_residual_does_not_matter_outside_its_band() -> None:
    coarse, correction = residual_sequence().networks
    enormous = Network((correction.weights[0], correction.weights[1] * 1e6), correction.biases)
    narrow = NestedSequence((coarse, enormous), (Band(1e-9),), kind="residual")
    found, expected = (surface_cells(each, 48, Stage()) for each in (narrow, NestedSequence((coarse,), ())))
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.cases, expected.cases)
