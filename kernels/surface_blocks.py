# SPDX-License-Identifier: GPL-3.0-or-later
"""Which blocks of 2 x 2 x 2 cells of a grid over [-1, 1]^3 may hold surface, with the distance at their centres.

Found by refinement from blocks of many cells. Where bands are certified, range analysis proves of the largest blocks
that they hold no surface. Other large ones are kept while the surface can be as near as their farthest corner, by the
steepest slope that was measured. A small one predicts the distance at the centres of its children, and
those are kept which the surface may then reach. Refinement can overlook a block where a network is steeper or more
curved than that; `sparse_grid` finds it again by following the surface.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from .deepest_level import deepest_gradient
from .dual_tables import CORNERS
from .range_analysis import enclose
from .sequence import NestedSequence
from .stages import Stage

# Cells an axis, at most, of the grid that is evaluated as a whole before refinement begins.
COARSE_CELLS = 16
# How much steeper than the steepest measured gradient a level may be elsewhere before refinement overlooks surface.
STEEPNESS_MARGIN = 1.1
# Blocks with a half diagonal below this, in network units, are small: the distance changes about linearly in them.
SMALL_BLOCK = 0.03
# A gradient shorter than this part of the usual one is near a crease of the distance, and predicts nothing.
TRUSTED_SLOPE = 0.7
# How far a prediction for a child's centre may be off, in parts of what the way there can change.
PREDICTION_MARGIN = 0.2
# How much more a child's distance may change inside of it than the predicted gradient says.
SLOPE_MARGIN = 1.15
# The smallest blocks that range analysis is asked about, by cells an axis and by half side in network units. It takes
# twenty times as long as an evaluation, which pays where a block stands for hundreds of cells.
FEWEST_PROVEN_CELLS = 8
SMALLEST_PROVEN_BLOCK = 1.0 / 32.0
# Points evaluated between two looks at whether the result is still wanted.
PIECE = 1 << 14


class Blocks(NamedTuple):
    """Blocks of 2 x 2 x 2 cells, and what the deepest level at each centre says.

    coords: (B, 3) block coordinates. values: (B,) distances at the centres in network units. gradients: (B, 3) what the
    distance changes along one *cell*. levels: (B,) the level that was deep enough.
    """

    coords: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    levels: np.ndarray


def network_points(grid_points: np.ndarray, resolution: int) -> np.ndarray:
    """Points in cells from the cube's corner -> network space, float32."""
    return (grid_points * (2.0 / resolution) - 1.0).astype(np.float32)


def blocks_near_surface(sequence: NestedSequence, resolution: int, stage: Stage) -> Blocks:
    """The blocks that may hold surface of the finest level, for a grid of `resolution` cells an axis.

    Where only a coarse level is known, the finest zero set may lie anywhere in that level's band.

    Raises:
        Cancelled: nobody wants the result any more.
    """
    halvings = max(1, int(np.ceil(np.log2(resolution / COARSE_CELLS))))
    size = 1 << halvings
    coords = np.array(list(product(range(-(-resolution // size)), repeat=3)), dtype=np.int64)
    deltas = np.array([*(band.delta for band in sequence.bands), 0.0], dtype=np.float32)
    blocks = _evaluated(sequence, coords, size, resolution, stage.part(0.0, 0.02))
    slopes = np.linalg.norm(blocks.gradients, axis=1)
    usual, steepest = np.quantile(slopes, [0.5, 0.99])
    while True:
        if can_be_proven(sequence, size, resolution):
            near = in_first_band(sequence, blocks.coords, size, resolution)
        else:
            reach = STEEPNESS_MARGIN * steepest * np.sqrt(3.0) * size / 2.0
            near = np.abs(blocks.values) - deltas[blocks.levels] <= reach
        blocks = Blocks(*(array[near] for array in blocks))
        if size == 2:
            return blocks
        kept = np.ones((len(blocks.coords), 8), dtype=bool)
        if np.sqrt(3.0) * size / resolution < SMALL_BLOCK:
            kept = _children_in_reach(blocks, size, usual) | _centers_beyond_cube(blocks, size, resolution)
        size //= 2
        coords = (blocks.coords[:, None] * 2 + CORNERS)[kept]
        coords = coords[(coords * size < resolution).all(axis=1)]
        # The number of blocks grows fourfold with each halving, and so does the time.
        part = stage.part(0.02 + 0.98 / size**2, 1.0 / (size / 2) ** 2)
        blocks = _evaluated(sequence, coords, size, resolution, part)


def can_be_proven(sequence: NestedSequence, size: int, resolution: int) -> bool:
    """Whether range analysis decides which blocks of `size` cells are kept: where bands are proven and blocks large."""
    certified = bool(sequence.bands) and all(band.evidence == "certified" for band in sequence.bands)
    return certified and size >= FEWEST_PROVEN_CELLS and size / resolution >= SMALLEST_PROVEN_BLOCK


def in_first_band(sequence: NestedSequence, coords: np.ndarray, size: int, resolution: int) -> np.ndarray:
    """Which blocks of `size` cells, (B, 3), may reach into the band of the coarsest level: (B,).

    That certified bands hold the finest zero set, and the bounds of the coarsest level in a block, are proofs: the
    others hold no surface.
    """
    centers = (coords + 0.5) * (size * 2.0 / resolution) - 1.0
    lowest, highest = enclose(sequence.networks[:1], centers, np.full(centers.shape, size / resolution))
    delta = sequence.bands[0].delta
    return (lowest <= delta) & (highest >= -delta)


def _children_in_reach(blocks: Blocks, size: int, usual: float) -> np.ndarray:
    """Which of the eight children of each block of `size` cells may hold surface, as the block predicts: (B, 8).

    A level outside its band is believed like the finest one: small blocks beside a band hold no surface, or one that
    is found by following it.
    """
    # A child's centre lies half a child's side, which is `length` cells, from its parent's along each axis.
    length = size / 4.0
    slopes = np.linalg.norm(blocks.gradients, axis=1)
    predicted = blocks.values[:, None] + blocks.gradients @ ((2 * CORNERS - 1) * np.float32(length)).T
    inside = SLOPE_MARGIN * np.abs(blocks.gradients).sum(axis=1)
    reach = length * (inside + PREDICTION_MARGIN * np.sqrt(3.0) * slopes)
    anywhere = (slopes < TRUSTED_SLOPE * usual) & (
        np.abs(blocks.values) <= SLOPE_MARGIN * usual * np.sqrt(3.0) * 2 * length
    )
    return (np.abs(predicted) <= reach[:, None]) | anywhere[:, None]


def _centers_beyond_cube(blocks: Blocks, size: int, resolution: int) -> np.ndarray:
    """Which blocks were evaluated elsewhere than at their centre: (B, 1)."""
    return ((blocks.coords + 0.5) * size > resolution).any(axis=1, keepdims=True)


def _evaluated(sequence: NestedSequence, coords: np.ndarray, size: int, resolution: int, stage: Stage) -> Blocks:
    """Blocks of `size` cells an axis with the distance at their centres."""
    # The last block of a row may reach beyond the cube. Its centre moved into the cube is no further from any point of
    # the block inside the cube.
    points = network_points(np.minimum((coords + 0.5) * size, resolution), resolution)
    values = np.empty(len(points), dtype=np.float32)
    gradients = np.empty((len(points), 3), dtype=np.float32)
    levels = np.empty(len(points), dtype=np.int64)
    for piece in stage.pieces(len(points), PIECE):
        values[piece], gradients[piece], levels[piece] = deepest_gradient(sequence, points[piece])
    gradients *= 2.0 / resolution
    return Blocks(coords, values, gradients, levels)
