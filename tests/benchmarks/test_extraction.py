# SPDX-License-Identifier: GPL-3.0-or-later
"""What extraction is held against: the whole grid, walked plane by plane."""

from __future__ import annotations

import numpy as np
import shapes

from benchmarks.extraction import differing_cells, whole_cells
from kernels.deepest_level import deepest_distance
from kernels.dual_tables import CORNERS
from kernels.extraction import surface_through
from kernels.sparse_grid import Cells, cell_key
from kernels.surface_blocks import network_points

RESOLUTION = 20


def test_whole_grid_has_every_cell_that_the_surface_crosses() -> None:
    sequence = shapes.sphere_sequence()
    cells = whole_cells(sequence, RESOLUTION)
    coords = np.stack(np.meshgrid(*[np.arange(RESOLUTION)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = (coords[:, None] + CORNERS).reshape(-1, 3)
    values = deepest_distance(sequence, network_points(corners, RESOLUTION))[0].reshape(-1, 8)
    crossed = (values.min(axis=1) < 0.0) & (values.max(axis=1) >= 0.0)
    np.testing.assert_array_equal(cells.keys, cell_key(coords[crossed], RESOLUTION))
    np.testing.assert_array_equal(cells.coords, coords[crossed])
    np.testing.assert_allclose(cells.values, values[crossed], atol=1e-6)
    np.testing.assert_array_equal(cells.cases, (values[crossed] < 0.0) @ (1 << np.arange(8)))


def test_cells_that_differ_are_counted() -> None:
    sequence = shapes.sphere_sequence()
    cells = whole_cells(sequence, RESOLUTION)
    surface = surface_through(sequence, cells, RESOLUTION)[0]
    assert differing_cells(cells, surface, cells, surface) == 0
    cases = cells.cases.copy()
    cases[:3] ^= 255
    assert differing_cells(cells, surface, Cells(cells.keys, cells.coords, cells.values, cases), surface) == 3
    fewer = surface._replace(owners=surface.owners[5:])
    assert differing_cells(cells, fewer, cells, surface) == 5
