# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed distances at the corners of a regular grid over [-1, 1]^3, there only where the surface is near.

The grid is made of blocks of 2 x 2 x 2 cells. The distance and its gradient are evaluated once a block, at its centre.
What the blocks around a corner say about it makes a prediction of fourth order, and the networks are asked only where
the predictions differ by more than the distance itself. On a smooth surface that is a small part of the evaluations
that all corners near it would take. Cost and memory grow like resolution^2, but for a table of four bytes a block.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from .deepest_level import deepest_distance
from .dual_tables import CORNERS, FACE_DIRECTIONS, tables
from .sequence import NestedSequence
from .stages import Stage
from .surface_blocks import Blocks, blocks_near_surface, network_points

# A block's 27 corners, and where the eight corners of each of its eight cells lie among them.
BLOCK_CORNERS = np.array(list(product(range(3), repeat=3)), dtype=np.int64)
_NUMBERED = np.array([9, 3, 1])
CELL_IN_BLOCK = (CORNERS[:, None] + CORNERS[None]) @ _NUMBERED

# A prediction closer to zero than this part of what the distance changes in one cell is not believed, and beyond that,
# than the square of the cell's size in parts of the smallest detail, in network units.
DOUBT = 0.03
SMALLEST_DETAIL = 0.02
# Nor is one closer to zero than this many times the difference between what the blocks around a corner say.
SPREAD_DOUBT = 2.0
# Nor, near a crease of the distance, as in the middle of a thin wall, than this many times what their gradients lose in
# length when they are averaged. Gradients that differ by an angle 2a lose 1 - cos a, and put a prediction off by up to
# sin(a) / 2: where that is the larger one, it is no more than the doubt there is anyway.
CREASE_DOUBT = 2.0
# Where a block is missing, one of the others is believed about a corner when that is further from the surface than this
# part of what the way from the block's centre to the corner can change.
ONE_SIDED_DOUBT = 0.7
# The border of the cube lies outside by at least this much, in network units.
BORDER_DISTANCE = 1e-6
# Points evaluated between two looks at whether the result is still wanted.
PIECE = 1 << 15


class Cells(NamedTuple):
    """Cells that the surface passes through, sorted by key.

    keys: (M,) cell coordinates as one integer. coords: (M, 3). values: (M, 8) distances at the corners, in network
    units. cases: (M,) bit k set where corner k is inside.
    """

    keys: np.ndarray
    coords: np.ndarray
    values: np.ndarray
    cases: np.ndarray


def cell_key(coords: np.ndarray, resolution: int) -> np.ndarray:
    """Cell coordinates (..., 3) as one integer each."""
    return (coords[..., 0] * resolution + coords[..., 1]) * resolution + coords[..., 2]


def surface_cells(sequence: NestedSequence, resolution: int, stage: Stage) -> Cells:
    """All cells of the grid that have corners on both sides of the finest level's surface.

    Corners on the border of the cube count as outside, which keeps the surface closed.

    Raises:
        Cancelled: nobody wants the result any more.
    """
    blocks = blocks_near_surface(sequence, resolution, stage.part(0.0, 0.7))
    grid = SparseGrid(sequence, resolution, blocks, stage.part(0.7, 0.95))
    parts = [grid.cells(slice(None))]
    while True:
        known, entered = len(grid.coords), grid.entered(parts[-1])
        if not len(entered):
            break
        grid.add(entered, stage.part(0.95, 1.0))
        parts.append(grid.cells(slice(known, None)))
    coords, values, cases = (np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True))
    keys = cell_key(coords, resolution)
    order = np.argsort(keys)
    return Cells(keys[order], coords[order], values[order], cases[order])


class SparseGrid:
    """Blocks of 2 x 2 x 2 cells with the distances at their corners.

    Attributes:
        coords: (B, 3) block coordinates.
        values: (B, 27) distances at the corners of each block, in the order of `BLOCK_CORNERS`, network units. A corner
            has one value in all its blocks.
    """

    def __init__(self, sequence: NestedSequence, resolution: int, blocks: Blocks, stage: Stage) -> None:
        """The corners of `blocks`, predicted from their centres or evaluated."""
        self.sequence = sequence
        self.resolution = resolution
        # In parts of what the distance changes in one cell.
        self._doubt = DOUBT + (2.0 / resolution / SMALLEST_DETAIL) ** 2
        # Blocks an axis, with a border of absent ones, so that every block has neighbours.
        self._side = -(-resolution // 2) + 2
        self._table = np.full(self._side**3, -1, dtype=np.int32)
        self.coords = blocks.coords
        self.values = np.empty((len(blocks.coords), 27), dtype=np.float32)
        self._table[self._places(self.coords)] = np.arange(len(self.coords))
        for number, odd in enumerate(CORNERS):
            self._predict_corners(blocks, odd, stage.part(number / 8, (number + 1) / 8))

    def _places(self, coords: np.ndarray) -> np.ndarray:
        """Where blocks stand in the table: (..., 3) -> (...,)."""
        return ((coords[..., 0] + 1) * self._side + coords[..., 1] + 1) * self._side + coords[..., 2] + 1

    def _predict_corners(self, blocks: Blocks, odd: np.ndarray, stage: Stage) -> None:
        """Fill in the corners of one of eight kinds: whose coordinate is odd, so a block's middle, on the axes `odd`.

        Such a corner lies amid 1, 2, 4 or 8 blocks. With d = x - c, a block says f(c) + grad f(c) d / 2; the terms up
        to the third order that are missing cancel in the mean over blocks on opposite sides.
        """
        # Seen from a block, its corners of this kind; the blocks that share one lie at the negatives of these steps.
        steps = np.array(list(product(*((0,) if is_odd else (0, 1) for is_odd in odd))), dtype=np.int64)
        mine = self._places(blocks.coords)
        jumps = self._places(steps) - self._places(np.zeros(3, dtype=np.int64))
        wanted = np.zeros(self._side**3, dtype=bool)
        for jump in jumps:
            wanted[mine + jump] = True
        places = np.flatnonzero(wanted)
        sides = (1 - odd) * (2 * steps - 1)
        values, certain = self._predicted(
            blocks, [(self._table[places - jump], side) for jump, side in zip(jumps, sides, strict=True)]
        )
        coords = 2 * (np.stack(np.unravel_index(places, (self._side,) * 3), axis=1) - 1) + odd
        unsure = np.flatnonzero(~certain)
        values[unsure] = _distances(self.sequence, network_points(coords[unsure], self.resolution), stage)
        values = self._closed(coords, values)
        numbers = np.empty(self._side**3, dtype=np.int32)
        numbers[places] = np.arange(len(places))
        for step, jump in zip(steps, jumps, strict=True):
            self.values[:, (odd + 2 * step) @ _NUMBERED] = values[numbers[mine + jump]]

    def _predicted(self, blocks: Blocks, around: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Distances at corners by what the blocks around each say, and whether their signs are certain: (N,), (N,).

        around: for each block around a corner, (N,) its number, -1 where there is none, and the way from its centre to
            the corner in cells.
        """
        if len(around) == 1:
            # The middle of a block is no prediction.
            numbers = around[0][0]
            return blocks.values[numbers], np.ones(len(numbers), dtype=bool)
        # Distance, gradient and its length in one row, the last one for blocks that are absent. What is not a number
        # makes their corners' values so, too.
        facts = np.full((len(blocks.values) + 1, 5), np.nan, dtype=np.float32)
        known = blocks.levels == self.sequence.finest
        facts[:-1][known, 0] = blocks.values[known]
        facts[:-1][known, 1:4] = blocks.gradients[known]
        facts[:-1][known, 4] = np.linalg.norm(blocks.gradients[known], axis=1)
        told = [facts[numbers] for numbers, _ in around]
        ways = [way.astype(np.float32) for _, way in around]
        mean = sum(told) / np.float32(len(told))
        said = [
            row @ np.concatenate([[1.0], 0.5 * way, [0.0]]).astype(np.float32)
            for row, way in zip(told, ways, strict=True)
        ]
        values = sum(said) / np.float32(len(said))
        # With half of the mean gradient each block's word is of third order, and how they differ tells the error.
        gradient = mean[:, 1:4]
        said = [each + gradient @ (0.5 * way) for each, way in zip(said, ways, strict=True)]
        spread = np.maximum.reduce(said) - np.minimum.reduce(said)
        lost = mean[:, 4] - np.sqrt(np.einsum("nk,nk->n", gradient, gradient))
        doubt = SPREAD_DOUBT * spread + CREASE_DOUBT * lost + self._doubt * np.abs(gradient).max(axis=1)
        certain = np.abs(values) > doubt
        rest = np.flatnonzero(np.isnan(values))
        values[rest], certain[rest] = self._said_by_one(blocks, [(numbers[rest], way) for numbers, way in around])
        return values, certain

    def _said_by_one(
        self, blocks: Blocks, around: list[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `_predicted`, where blocks are absent or outside a band: what the surest of the others says.

        It is certain where none of the others says that the corner is on the other side.
        """
        deltas = np.array([*(band.delta for band in self.sequence.bands), 0.0], dtype=np.float32)
        slopes = np.linalg.norm(blocks.gradients, axis=1)
        # Near a crease of the distance a block's own gradient is short, and what it says worth little.
        slopes = np.maximum(slopes, np.median(slopes)) if len(slopes) else slopes
        values, surest, lowest, highest = np.zeros((4, len(around[0][0])), dtype=np.float32)
        for numbers, way in around:
            said = blocks.values[numbers] + blocks.gradients[numbers] @ way.astype(np.float32)
            said[numbers < 0] = 0.0
            doubt = (ONE_SIDED_DOUBT * np.linalg.norm(way) + self._doubt) * slopes[numbers]
            doubt += deltas[blocks.levels[numbers]]
            better = np.abs(said) - doubt > surest
            surest[better] = (np.abs(said) - doubt)[better]
            values[better] = said[better]
            np.minimum(lowest, said, out=lowest)
            np.maximum(highest, said, out=highest)
        return values, (surest > 0.0) & ((lowest == 0.0) | (highest == 0.0))

    def _closed(self, coords: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Distances at corners (N, 3), outside where these lie on the border of the cube: (N,)."""
        border = ((coords <= 0) | (coords >= self.resolution)).any(axis=1)
        return np.where(border, np.maximum(np.abs(values), BORDER_DISTANCE), values)

    def cells(self, which: slice) -> Cells:
        """The cells of some blocks that have corners on both sides of the surface, not sorted."""
        inside = self.values[which] < 0.0
        cases = np.zeros((len(inside), 8), dtype=np.int64)
        for corner in range(8):
            cases |= inside[:, CELL_IN_BLOCK[:, corner]].astype(np.int64) << corner
        block, cell = np.nonzero((cases > 0) & (cases < 255))
        coords = self.coords[which][block] * 2 + CORNERS[cell]
        within = (coords < self.resolution).all(axis=1)
        block, cell, coords = block[within], cell[within], coords[within]
        values = self.values[which][block[:, None], CELL_IN_BLOCK[cell]]
        return Cells(cell_key(coords, self.resolution), coords, values, cases[block, cell])

    def entered(self, cells: Cells) -> np.ndarray:
        """The absent blocks that the surface enters from some cells: (K, 3) coordinates."""
        mixed = tables().mixed_faces[cells.cases]
        found = []
        for face, direction in enumerate(FACE_DIRECTIONS):
            coords = (cells.coords[mixed[:, face]] + direction) // 2
            found.append(coords[self._table[self._places(coords)] < 0])
        places = np.unique(self._places(np.concatenate(found)))
        return np.stack(np.unravel_index(places, (self._side,) * 3), axis=1) - 1

    def add(self, coords: np.ndarray, stage: Stage) -> None:
        """Add absent blocks, (K, 3), with the values that their neighbours know and all others evaluated."""
        corners = coords[:, None] * 2 + BLOCK_CORNERS
        values = self._closed(corners.reshape(-1, 3), self._known(corners).reshape(-1)).reshape(-1, 27)
        missing = np.isnan(values)
        wanted, inverse = np.unique(corners[missing], axis=0, return_inverse=True)
        found = _distances(self.sequence, network_points(wanted, self.resolution), stage)
        values[missing] = self._closed(wanted, found)[inverse.reshape(-1)]
        self._table[self._places(coords)] = np.arange(len(self.coords), len(self.coords) + len(coords))
        self.coords = np.concatenate([self.coords, coords])
        self.values = np.concatenate([self.values, values])

    def _known(self, corners: np.ndarray) -> np.ndarray:
        """Distances at corners as the blocks that are there have them, NaN elsewhere: (K, 27, 3) -> (K, 27)."""
        values = np.full(corners.shape[:2], np.nan, dtype=np.float32)
        for back in CORNERS:
            # A corner with an even coordinate is the last of one block and the first of the next one.
            block = (corners - back) // 2
            number = self._table[self._places(block)]
            known = number >= 0
            values[known] = self.values[number[known], (corners - 2 * block)[known] @ _NUMBERED]
        return values


def _distances(sequence: NestedSequence, points: np.ndarray, stage: Stage) -> np.ndarray:
    """Signed distances of the deepest level, piece by piece: (N, 3) in network space -> (N,)."""
    values = np.empty(len(points), dtype=np.float32)
    for piece in stage.pieces(len(points), PIECE):
        values[piece], _ = deepest_distance(sequence, points[piece])
    return values
