# SPDX-License-Identifier: GPL-3.0-or-later
"""Cone marching: where the rays of a picture may start, found for many pixels with few evaluations.

A block of pixels is followed by one cone, as thick as the block: while the coarsest level traced is farther away than
that, nothing is met by any ray of the block. Blocks that come too close are cut into smaller ones, and in the end
into rays. Blocks that meet nothing need no ray at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, array_namespace, asarray_like, nonzero_rows, row_norms
from .sequence import NestedSequence

# Pixels a side of the blocks, from the largest to the smallest; each divides the one before.
BLOCK_SIDES = (16, 4, 2)

# A cone stops at this share of its radius before the surface: what is left is up to the smaller blocks.
STOP_SHARE = 0.5

# Steps of a cone; then its smaller blocks go on where it is.
MAX_STEPS = 60


@dataclass(frozen=True)
class SafeStarts:
    """How far rays may go before they have to look; one row a ray.

    Attributes:
        length: (N,) length from the ray's origin, in network units: where to look first, no farther than the surface
            if the level is a distance. Infinite for rays that meet nothing at all.
        before: (N,) length at which was seen that the surface is still ahead: where it may lie on the way to `length`
            after all, because a network is no exact distance, that is between the two.
        distance: (N,) upper bound of |f_level| at `length`.
    """

    length: Array
    before: Array
    distance: Array


@dataclass(frozen=True)
class _Blocks:
    """One row a block: the ray in its middle, and how far the others stray from it."""

    origins: Array  # (B, 3)
    units: Array  # (B, 3)
    width: Array  # (B,) largest distance between origins
    spread: Array  # (B,) growth of the distance for each length along the rays
    first: Array  # (B,) length at which the first ray enters the bounds; infinite where none does
    last: Array  # (B,) length at which the last ray leaves them


def _padded(values: Array, shape: tuple[int, int], side: int) -> Array:
    """(N, ...) values of a picture's pixels -> (rows, columns, ...), the last ones repeated to whole blocks."""
    xp = array_namespace(values)
    height, width = shape
    picture = values.reshape(height, width, *values.shape[1:])
    if height % side:
        picture = picture[xp.arange(-(-height // side) * side).clip(0, height - 1)]
    if width % side:
        picture = picture[:, xp.arange(-(-width // side) * side).clip(0, width - 1)]
    return picture


def _combined(picture: Array, side: int, larger_of: Callable[[Array, Array], Array]) -> Array:
    """(rows, columns) values combined to one for each block of `side` pixels, a power of two."""
    while side > 1:
        picture = larger_of(picture[::2], picture[1::2])
        picture = larger_of(picture[:, ::2], picture[:, 1::2])
        side //= 2
    return picture.reshape(-1)


def _blocks(origins: Array, units: Array, first: Array, last: Array, side: int) -> _Blocks:
    """Pictures of (rows, columns, ...) values cut into blocks of `side` pixels."""
    xp = array_namespace(origins)
    ends = (slice(0, None, side), slice(side - 1, None, side))
    corners = [(row, column) for row in ends for column in ends]
    center = sum(origins[corner] for corner in corners) / 4.0
    axis = sum(units[corner] for corner in corners)
    axis = axis / row_norms(axis)[..., None].clip(1e-9)
    width, spread = (row_norms(values[corners[0]] - middle) for values, middle in ((origins, center), (units, axis)))
    for corner in corners[1:]:
        width = xp.maximum(width, row_norms(origins[corner] - center))
        spread = xp.maximum(spread, row_norms(units[corner] - axis))
    return _Blocks(
        center.reshape(-1, 3),
        axis.reshape(-1, 3),
        width.reshape(-1),
        spread.reshape(-1),
        _combined(first, side, xp.minimum),
        _combined(last, side, xp.maximum),
    )


def _parents(values: Array, shape: tuple[int, int], times: int) -> Array:
    """(B,) values of a picture's blocks, each repeated for its `times` x `times` smaller blocks.

    Args:
        shape: rows and columns of the smaller blocks.
    """
    xp = array_namespace(values)
    across = -(-shape[1] // times)
    rows = xp.arange(shape[0])[:, None] // times * across + xp.arange(shape[1])[None] // times
    return values[rows.reshape(-1)]


def _march(
    sequence: NestedSequence,
    level: int,
    target: float,
    blocks: _Blocks,
    start: Array,
    before: Array,
    smallest: float,
) -> SafeStarts:
    """Follow cones towards the surface f_level = target from the lengths `start`.

    Args:
        before: (B,) lengths to which they may go back when they find themselves behind the surface.
    """
    xp = array_namespace(start)
    weight = sequence.networks[0].weights[0]
    length, before = xp.maximum(start, blocks.first), xp.maximum(before, blocks.first)
    distance = xp.zeros_like(length) + float("inf")
    active = nonzero_rows(length < blocks.last)
    missed = xp.zeros_like(length) == 0.0
    missed[active] = False
    for _ in range(MAX_STEPS):
        if not len(active):
            break
        points = blocks.origins[active] + length[active][:, None] * blocks.units[active]
        # Distances are known in the bounds alone; beyond them they are at least what is left of the way back.
        inner = points.clip(-1.0, 1.0)
        beyond = row_norms(points - inner)
        value = asarray_like(sequence.distance(level, asarray_like(inner, weight)), length)
        radius = blocks.width[active] + blocks.spread[active] * length[active]
        distance[active] = xp.abs(value) + beyond + radius
        free = xp.maximum(value - beyond - target, beyond) - radius
        goes = free > (STOP_SHARE * radius).clip(smallest)
        # Where the values are larger than the distances, as beside thin walls, a step has gone through the surface.
        travelled = length[active] - before[active]
        behind = ~goes & (value - beyond < target) & (travelled > smallest)
        back = active[behind]
        length[back] -= 0.5 * travelled[behind]
        # A network whose values overflow has no surface; its rays are left to the tracer.
        ahead, free = active[goes], free[goes]
        before[ahead] = length[ahead]
        length[ahead] += free / (1.0 + blocks.spread[ahead])
        out = length[ahead] >= blocks.last[ahead]
        missed[ahead[out]] = True
        active = xp.concatenate([ahead[~out], back])
    # Whoever is still on the way has moved since its distance was taken.
    distance[active] = float("inf")
    return SafeStarts(xp.where(missed, xp.zeros_like(length) + float("inf"), length), before, distance)


def safe_starts(
    sequence: NestedSequence,
    level: int,
    target: float,
    origins: Array,
    units: Array,
    first: Array,
    last: Array,
    shape: tuple[int, int],
    smallest: float,
) -> SafeStarts:
    """Where the rays of a picture may start.

    Args:
        level, target: the surface not to be passed is f_level = target.
        origins, units: (N, 3) rays in network space, their directions of unit length. Nothing is assumed about them,
            but only where neighbours are alike is anything gained.
        first, last: (N,) lengths at which the rays enter and leave the bounds; last < first where they miss them.
        shape: rows and columns of the picture, N in all, whose pixels the rays are, row by row.
        smallest: steps shorter than this, in network units, are not worth taking.
    """
    xp = array_namespace(origins)
    unlimited = xp.zeros_like(first) + float("inf")
    met = first < last
    first, last = xp.where(met, first, unlimited), xp.where(met, last, -unlimited)
    largest = BLOCK_SIDES[0]
    pictures = [_padded(values, shape, largest) for values in (origins, units, first, last)]
    padded = pictures[2].shape
    begin = before = xp.zeros_like(first[:1])
    side_before = largest
    for side in BLOCK_SIDES:
        if side_before != side:
            counts, times = (padded[0] // side, padded[1] // side), side_before // side
            begin, before = _parents(begin, counts, times), _parents(before, counts, times)
        starts = _march(sequence, level, target, _blocks(*pictures, side), begin, before, smallest)
        begin, before, side_before = starts.length, starts.before, side
    length, before, distance = (
        _parents(values, padded, side_before).reshape(padded)[: shape[0], : shape[1]].reshape(-1)
        for values in (starts.length, starts.before, starts.distance)
    )
    # A ray that enters the bounds behind its block's point is as much farther away as it has gone on.
    distance = distance + (xp.where(met, first, xp.zeros_like(first)) - length).clip(0.0)
    return SafeStarts(xp.maximum(length, first), xp.maximum(before, first), distance)
