# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiscale sphere tracing of a nested sequence (arXiv 2201.09147, section "multiscale sphere tracing").

A ray enters the cube [-1, 1]^3, traces f_0 - d_0 to the border of the first band, from there f_1 - d_1, and so on;
the last traced level is traced without inflation. A ray that leaves the band of the level before goes back to that
level. Rays that hit or leave are dropped from the batch, so the cost follows the rays still alive.

Rays are given in network space with directions of any length: t is the same t as in the space that the rays came
from, whatever affine transform lies between. Neural SDFs are not exact distances, so a step may cross the surface;
the ray then lies between a point known to be outside and one known to be inside, and bisection finishes it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .arrays import Array, array_namespace, asarray_like, full_like_rows, nonzero_rows, row_norms
from .sequence import NestedSequence

# Share of a band by which the step into it goes deeper: its very border is of no use, and takes many steps to reach.
PUSH_INTO_BAND = 0.2
# Closer to the surface than this many tolerances a ray steps by the slope it has seen, at most three times as far as
# the distance: a slanting ray then arrives in two or three steps. What it could jump across there is no wider than a
# few tolerances.
SECANT_TOLERANCES = 10.0
LARGEST_STRETCH = 3.0

# Rays traced at a time: enough that numpy's overhead a step is small beside the networks, and a bound on memory.
RAYS_PER_BLOCK = 1 << 16


@dataclass(frozen=True)
class TraceConfig:
    """How rays are traced.

    Attributes:
        levels: the levels to trace, coarse to fine. None: all but the last, which is left for the normals ("NM" in
            the paper's notation), or the only one.
        tolerance: a ray has arrived when its distance to the surface is below this, in network units.
        relaxation: share of the distance that a step goes; below 1, because neural SDFs overestimate here and there.
        max_steps: a ray that has not arrived after so many evaluations counts as a miss. Only rays that graze the
            surface take more than a few dozen.
    """

    levels: tuple[int, ...] | None = None
    tolerance: float = 5e-4
    relaxation: float = 0.95
    max_steps: int = 200


@dataclass(frozen=True)
class TraceResult:
    """Where rays arrived; one row a ray, in the order in which they were given.

    Attributes:
        hit: (N,) whether the ray arrived at the surface.
        t: (N,) parameter of the arrival, origin + t * direction; infinite for a miss.
        positions: (N, 3) points of arrival in network space; zero for a miss.
        inside: (N,) whether the ray started inside the object and sees its surface from within.
        steps: (N,) evaluations that the ray took part in.
        level: (N,) the level on which the ray ended; -1 when it never met the bounds.
    """

    hit: Array
    t: Array
    positions: Array
    inside: Array
    steps: Array
    level: Array


def default_levels(sequence: NestedSequence, trace_finest: bool = False) -> tuple[int, ...]:
    """Levels traced when nothing else is asked for: all but the last, or all with `trace_finest`."""
    count = len(sequence.networks)
    return tuple(range(count if trace_finest or count == 1 else count - 1))


def cube_interval(origins: Array, directions: Array) -> tuple[Array, Array]:
    """Where rays enter and leave the cube [-1, 1]^3, by the slab method.

    Args:
        origins, directions: (N, 3), directions of any length but zero.

    Returns:
        (N,) entry and exit parameters; the ray misses the line's cube when entry >= exit. Entry is negative for an
        origin inside.
    """
    xp = array_namespace(directions)
    # Parallel to a slab: a tiny component of either sign puts both planes at (nearly) infinity, with the right signs.
    tiny = 1e-12 * row_norms(directions)[:, None]
    nonzero = xp.where(xp.abs(directions) > tiny, directions, xp.where(directions < 0.0, -tiny, tiny))
    first, second = (-1.0 - origins) / nonzero, (1.0 - origins) / nonzero
    entries, exits = xp.minimum(first, second).T, xp.maximum(first, second).T
    return xp.maximum(xp.maximum(entries[0], entries[1]), entries[2]), xp.minimum(
        xp.minimum(exits[0], exits[1]), exits[2]
    )


@dataclass
class _Rays:
    """The rays still alive, one row each. Lengths are along the ray, in network units, from where it entered."""

    index: Array  # row in the caller's arrays
    start: Array  # (n, 3) point of entry
    unit: Array  # (n, 3) unit direction
    length: Array  # the current point is start + length * unit
    stop: Array  # length at which the ray leaves the bounds
    outside: Array  # largest length known to lie before the surface
    outside_value: Array  # distance found there; infinite where it was to another stage's surface
    beyond: Array  # smallest length known to lie behind it; infinite while no step has crossed
    stage: Array  # position in the tuple of traced levels
    side: Array  # +1, or -1 for a ray that started inside the object

    def points(self) -> Array:
        """(n, 3) current points in network space."""
        return self.start + self.length[:, None] * self.unit

    def rows(self, keep: Array) -> _Rays:
        """The rays at the indices `keep`, in that order."""
        return _Rays(*(getattr(self, field.name)[keep] for field in fields(self)))


def _delta(sequence: NestedSequence, levels: tuple[int, ...], stage: int) -> float:
    """Inflation of a stage: the band of its level, and none for the last."""
    return sequence.bands[levels[stage]].delta if stage + 1 < len(levels) else 0.0


def _sides(sequence: NestedSequence, levels: tuple[int, ...], points: Array) -> Array:
    """+1 for points outside the object and -1 for points inside: (N, 3) -> (N,).

    The coarsest level whose band a point is not in decides; inside all bands the last traced level does.
    """
    xp = array_namespace(points)
    sides = xp.ones_like(points[:, 0])
    undecided = nonzero_rows(sides > 0.0)
    for stage, level in enumerate(levels):
        distance = sequence.distance(level, points[undecided])
        sides[undecided] = xp.where(distance < 0.0, -xp.ones_like(distance), xp.ones_like(distance))
        undecided = undecided[xp.abs(distance) <= _delta(sequence, levels, stage)]
    return sides


def _evaluate(sequence: NestedSequence, levels: tuple[int, ...], rays: _Rays, slack: float) -> tuple[Array, Array]:
    """Distance of each ray to the inflated surface of its stage, or of the stage before where it left that band.

    Returns:
        (n,) distances in network units, positive before the surface, and (n,) the stages they belong to. A ray that
        left the band on its inner side keeps its stage: its distance is negative, and it is bisected back.
    """
    xp = array_namespace(rays.length)
    points = rays.points()
    values, stages = xp.zeros_like(rays.length), xp.zeros_like(rays.stage)
    for stage, level in enumerate(levels):
        rows = nonzero_rows(rays.stage == stage)
        if not len(rows):
            continue
        stages[rows] = stage
        if stage > 0:
            # Beyond its band the finer level means nothing, so the coarser is asked first; it is the cheaper one.
            delta = _delta(sequence, levels, stage - 1)
            coarse = rays.side[rows] * sequence.distance(levels[stage - 1], points[rows])
            left = xp.abs(coarse) > delta + slack
            values[rows[left]] = coarse[left] - delta
            stages[rows[left & (coarse > 0.0)]] = stage - 1
            rows = rows[~left]
        if len(rows):
            distance = sequence.distance(level, points[rows])
            values[rows] = rays.side[rows] * distance - _delta(sequence, levels, stage)
    return values, stages


def _advance(rays: _Rays, values: Array, crossed: Array, pushes: Array, config: TraceConfig) -> Array:
    """The lengths to evaluate next: a sphere tracing step, or half way back where that would cross the surface.

    Args:
        values: (n,) distances at the current lengths.
        crossed: (n,) whether they lie behind the surface; `beyond` knows of it, `outside` is the point before.
        pushes: (n,) added to each step.
    """
    xp = array_namespace(values)
    # Infinite slopes stand for unknown ones: the step is then the distance itself.
    slopes = (rays.outside_value - values) / (rays.length - rays.outside).clip(1e-9)
    stretch = (1.0 / slopes.clip(1e-3)).clip(1.0, LARGEST_STRETCH)
    stretch = xp.where(values < SECANT_TOLERANCES * config.tolerance, stretch, xp.ones_like(stretch))
    step = rays.length + config.relaxation * stretch * values + pushes
    middle = 0.5 * (xp.where(crossed, rays.outside, rays.length) + rays.beyond)
    return xp.where(crossed | (step >= rays.beyond), middle, step)


def _enter(
    sequence: NestedSequence, levels: tuple[int, ...], origins: Array, directions: Array, farthest: Array | None
) -> tuple[_Rays, Array, Array]:
    """The rays that meet the bounds, at their entry, with (n,) t of that entry and (n,) lengths of their directions.

    Entry is computed in the precision of the origins: a camera may be far away. What follows happens in the cube,
    in the precision of the networks.
    """
    xp = array_namespace(directions)
    lengths = row_norms(directions)
    # Comparisons with NaN are false, so rays that are not finite end here, too.
    index = nonzero_rows((lengths > 0.0) & (lengths < float("inf")))
    near, far = cube_interval(origins[index], directions[index])
    if farthest is not None:
        far = xp.minimum(far, farthest[index])
    met = near.clip(0.0) < far
    index, near, far, lengths = index[met], near[met], far[met], lengths[index[met]]
    starts_within, near = near < 0.0, near.clip(0.0)
    weight = sequence.networks[0].weights[0]
    start = asarray_like(origins[index] + near[:, None] * directions[index], weight)
    unit = asarray_like(directions[index] / lengths[:, None], weight)
    stop = asarray_like((far - near) * lengths, weight)
    zero = xp.zeros_like(stop)
    side = xp.ones_like(stop)
    within = nonzero_rows(starts_within)
    if len(within):
        side[within] = _sides(sequence, levels, start[within])
    beyond = full_like_rows(stop, stop.shape, float("inf"))
    rays = _Rays(index, start, unit, zero, stop, zero, beyond, beyond, xp.zeros_like(index), side)
    return rays, near, lengths


def _trace_block(
    sequence: NestedSequence, origins: Array, directions: Array, config: TraceConfig, farthest: Array | None
) -> tuple[Array, ...]:
    """`trace` for one block of rays: the fields of TraceResult in order."""
    xp = array_namespace(origins)
    levels = default_levels(sequence) if config.levels is None else config.levels
    last, tolerance, unknown = len(levels) - 1, config.tolerance, float("inf")
    rays, near, lengths = _enter(sequence, levels, origins, directions, farthest)
    count = origins.shape[0]
    level_of_stage = asarray_like(levels, rays.stage)
    push_of_stage = asarray_like([PUSH_INTO_BAND * _delta(sequence, levels, k) for k in range(len(levels))], rays.start)

    t = full_like_rows(origins, (count,), float("inf"))
    positions = full_like_rows(rays.start, (count, 3), 0.0)
    hit, inside = t < 0.0, t < 0.0
    steps = xp.zeros_like(t, dtype=xp.int64)
    level = steps - 1
    entry_t, entry_length = xp.zeros_like(t), xp.ones_like(t)
    entry_t[rays.index], entry_length[rays.index] = near, lengths
    inside[rays.index] = rays.side < 0.0

    for step in range(1, config.max_steps + 1):
        if not len(rays.index):
            break
        # Twice the tolerance keeps a ray that has just arrived at a band from being sent back at once.
        values, stage = _evaluate(sequence, levels, rays, 2.0 * tolerance)
        rays.outside_value = xp.where(stage == rays.stage, rays.outside_value, unknown)
        rays.stage = stage
        steps[rays.index] = step
        level[rays.index] = level_of_stage[rays.stage]

        on_last = rays.stage == last
        before = values > tolerance
        crossed = on_last & (values < -tolerance)
        moves = before | crossed
        rays.beyond = xp.where(crossed, rays.length, rays.beyond)
        length = _advance(rays, values, crossed, push_of_stage[rays.stage], config)
        rays.outside = xp.where(before, rays.length, rays.outside)

        narrow = rays.beyond - rays.outside <= tolerance
        # A network whose values overflow has no surface to arrive at.
        arrived = (on_last & ~moves | narrow) & xp.isfinite(values)
        # The last, short step leaves the position much closer than the tolerance.
        final = xp.where(narrow, 0.5 * (rays.outside + rays.beyond), rays.length + values)[arrived]
        done = rays.index[arrived]
        hit[done] = True
        t[done] = entry_t[done] + asarray_like(final, t) / entry_length[done]
        positions[done] = rays.start[arrived] + final[:, None] * rays.unit[arrived]

        rays.outside_value = xp.where(moves, xp.where(before, values, rays.outside_value), unknown)
        rays.length = xp.where(moves, length, rays.length)
        rays.stage = xp.where(moves, rays.stage, rays.stage + 1)
        rays = rays.rows(nonzero_rows(~arrived & (rays.length <= rays.stop)))
    return hit, t, positions, inside, steps, level


def trace(
    sequence: NestedSequence,
    origins: Array,
    directions: Array,
    config: TraceConfig | None = None,
    farthest: Array | None = None,
) -> TraceResult:
    """Multiscale sphere tracing of any number of rays.

    Args:
        sequence: of three inputs, its networks of the same array kind as the rays.
        origins: (N, 3) in network space; float64 keeps cameras that are far away exact.
        directions: (N, 3) in network space, of any length. A direction of length zero never hits.
        farthest: (N,) largest t of interest, for rays that something nearer already stops; None for no limit.

    Returns:
        One row a ray; t counts in lengths of the direction given.

    Raises:
        ValueError: the sequence has a time input, or the configuration names a level that is not there.
    """
    config = config or TraceConfig()
    if sequence.inputs != 3:
        raise ValueError("only a sequence of three inputs can be traced")
    if config.levels is not None and not all(0 <= level <= sequence.finest for level in config.levels):
        raise ValueError(f"levels {config.levels} asked for, the sequence has 0 to {sequence.finest}")
    xp = array_namespace(origins)
    blocks = []
    # At least one block, so that no rays give empty arrays of the right kinds.
    for first in range(0, max(1, origins.shape[0]), RAYS_PER_BLOCK):
        rows = slice(first, first + RAYS_PER_BLOCK)
        limit = None if farthest is None else farthest[rows]
        blocks.append(_trace_block(sequence, origins[rows], directions[rows], config, limit))
    return TraceResult(*(xp.concatenate(parts) for parts in zip(*blocks, strict=True)))


def trace_single_level(
    sequence: NestedSequence,
    level: int,
    origins: Array,
    directions: Array,
    steps: int = 40,
    tolerance: float = 5e-3,
) -> TraceResult:
    """The paper's baseline: the same number of steps of one level for every ray, whether it still needs them or not.

    The plain reference beside `trace`, and what it is measured against. Arguments and result as there; a ray has
    hit when it ends closer than `tolerance` (network units) to the surface, within the bounds.
    """
    xp = array_namespace(origins)
    lengths = row_norms(directions).clip(1e-30)
    near, far = cube_interval(origins, directions)
    near = near.clip(0.0)
    weight = sequence.networks[0].weights[0]
    start = asarray_like(origins + near[:, None] * directions, weight).clip(-1.0, 1.0)
    unit = asarray_like(directions / lengths[:, None], weight)
    stop = asarray_like((far - near) * lengths, weight).clip(0.0)
    travelled = xp.zeros_like(stop)
    value = travelled
    for _ in range(steps):
        value = sequence.distance(level, start + travelled[:, None] * unit)
        travelled = xp.minimum(travelled + value, stop)
    hit = (xp.abs(value) <= tolerance) & (travelled < stop)
    t = xp.where(hit, near + asarray_like(travelled, near) / lengths, full_like_rows(near, near.shape, float("inf")))
    positions = xp.where(hit[:, None], start + travelled[:, None] * unit, xp.zeros_like(start))
    zeros = xp.zeros_like(hit, dtype=xp.int64)
    return TraceResult(hit, t, positions, xp.zeros_like(hit), zeros + steps, zeros + level)
