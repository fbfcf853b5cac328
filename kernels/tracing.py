# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiscale sphere tracing of a nested sequence (arXiv 2201.09147, section "multiscale sphere tracing").

A ray enters the cube [-1, 1]^3, traces f_0 - d_0 to the border of the first band, from there f_1 - d_1, and so on;
the last traced level is traced without inflation. A ray that leaves the band of the level before goes back to that
level. Rays that hit or leave are dropped from the batch, so the cost follows the rays still alive.

Rays are given in network space with directions of any length: t is the same t as in the space that the rays came
from, whatever affine transform lies between. Neural SDFs are not exact distances, so a step may cross the surface;
the ray then lies between a point known to be outside and one known to be inside, and bisection finishes it.

What keeps evaluations few: rays that are the pixels of a picture start where `cones` takes them; steps are longer
than the distance where the ray slants and the spheres of both ends still touch (Keinert et al., "Enhanced sphere
tracing", 2014; Ban and Valasek, "Automatic step size relaxation in sphere tracing", 2023); and a ray in a band is
asked whether it is still there only when it may have left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .arrays import Array, array_namespace, asarray_like, full_like_rows, nonzero_rows, row_norms
from .cones import BLOCK_SIDES, safe_starts
from .sequence import NestedSequence

# Share of a band by which the step into it goes deeper: its very border is of no use, and takes many steps to reach.
PUSH_INTO_BAND = 0.2

# Closer to the surface than this many tolerances a ray steps by the slope it has seen, at most three times as far as
# the distance: a slanting ray then arrives in two or three steps. What it could jump across there is no wider than a
# few tolerances.
SECANT_TOLERANCES = 10.0
LARGEST_STRETCH = 3.0

# A longer step may leave a gap of so many tolerances between the spheres of its ends, no more than steps close to the
# surface may leave.
LARGEST_GAP = 10.0

# A longer step over fewer tolerances than this is not checked: taken back, it would cost more than all the steps that
# it saved, and near a surface the slope that it went by is right.
SHORTEST_CHECKED = 100.0

# A ray whose slope is known, and no flatter than this, has arrived when it is so many tolerances away: the last step
# is then shorter than the error of the slope can spoil.
ARRIVAL_TOLERANCES = 2.0
STEEP = 0.5

# That slope must have been seen over no more than so many tolerances: across a long step it says nothing about how flat
# a network is between thin walls.
LONGEST_ARRIVAL = 40.0

# A longer step that is taken back becomes this share of the distance: values are then larger than the distances here,
# as beside thin walls, which a step as long as the distance would go through.
CAUTIOUS = 0.75

# Networks overestimate distances by up to a third, far from their surface above all. A ray that is about to leave the
# bounds has met nothing for sure only if this share of its step leads out of them, too; otherwise it looks at their end
# first. A mesh just behind a neural surface would be seen through it if the ray was given up there.
CERTAIN_SHARE = 0.75

# Slope of a ray of which nothing is known: most pixels show a surface that leans no more than this.
FIRST_SLOPE = 0.8

# Rays traced at a time: enough that numpy's overhead a step is small beside the networks, and a bound on memory.
RAYS_PER_BLOCK = 1 << 17


class TraceCancelled(Exception):
    """Nobody wants the result of a trace any more."""


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


class _Row:
    """One row of the numbers of `_Rays`, read and written as an attribute."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __get__(self, rays: _Rays, owner: type) -> Array:
        return rays.numbers[self.number]

    def __set__(self, rays: _Rays, values: Array) -> None:
        rays.numbers[self.number] = values


class _Rays:
    """Rays of one stage that are still alive.

    All numbers of a ray are one column of one array, so that rays are picked and joined at once. Lengths are along the
    ray, in network units, from where it entered the bounds; values are distances to the stage's inflated surface,
    positive before it.

    Attributes:
        index: (n,) row in the caller's arrays.
        numbers: (19, n) what follows.
        start: (3, n) point of entry.
        unit: (3, n) unit direction.
    """

    ROWS = 19

    length = _Row(6)  # the current point is start + length * unit
    stop = _Row(7)  # length at which the ray leaves the bounds
    outside = _Row(8)  # largest length known to lie before the surface
    outside_value = _Row(9)  # distance found there; infinite where it was to another stage's surface
    beyond = _Row(10)  # smallest length known to lie behind the surface; infinite while no step has crossed it
    beyond_value = _Row(11)  # distance found there
    tested = _Row(12)  # length at which the ray was last found to be in the band of the stage before
    reach = _Row(13)  # from there to this length it is taken to be in that band
    relaxed = _Row(14)  # 1 where the last step was longer than the distance, `outside` being where it began; or 0
    slope = _Row(15)  # distance lost for each length, as last seen; `FIRST_SLOPE` while unknown
    side = _Row(16)  # +1, or -1 for a ray that started inside the object
    steps = _Row(17)  # evaluations taken
    in_band = _Row(18)  # 1 where the ray starts in the first band; or 0

    def __init__(self, index: Array, numbers: Array) -> None:
        self.index = index
        self.numbers = numbers

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def start(self) -> Array:
        return self.numbers[0:3]

    @property
    def unit(self) -> Array:
        return self.numbers[3:6]

    def points(self, rows: Array | None = None) -> Array:
        """(n, 3) current points in network space, of all rays or some."""
        if rows is None:
            return (self.start + self.length * self.unit).T
        place = self.numbers[:7][:, rows]
        return (place[0:3] + place[6] * place[3:6]).T

    def rows(self, keep: Array) -> _Rays:
        """The rays at the indices `keep`, in that order."""
        return _Rays(self.index[keep], self.numbers[:, keep])

    @staticmethod
    def joined(groups: list[_Rays]) -> _Rays:
        """All rays of some groups."""
        if len(groups) == 1:
            return groups[0]
        xp = array_namespace(groups[0].numbers)
        return _Rays(
            xp.concatenate([group.index for group in groups]), xp.concatenate([group.numbers for group in groups], 1)
        )


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


def _evaluate(
    sequence: NestedSequence, levels: tuple[int, ...], stage: int, rays: _Rays, slack: float
) -> tuple[Array, Array]:
    """Distance of each ray to the inflated surface of its stage, or of the stage before where it left that band.

    Returns:
        (n,) distances in network units, positive before the surface, and (n,) which rays left the band outwards, so
        that their distance belongs to the stage before. A ray that left it on its inner side keeps its stage: its
        distance is negative, and it is bisected back.
    """
    xp = array_namespace(rays.length)
    level, inflation = levels[stage], _delta(sequence, levels, stage)
    if stage == 0:
        values = rays.side * sequence.distance(level, rays.points()) - inflation
        return values, xp.zeros_like(values) > 0.0
    # Beyond its band the finer level means nothing, so the coarser is asked first; it is the cheaper one.
    delta = _delta(sequence, levels, stage - 1)
    values, returns, left = xp.zeros_like(rays.length), rays.length < 0.0, rays.length < 0.0
    asked = nonzero_rows((rays.length > rays.reach) | (rays.length < rays.tested))
    if len(asked):
        coarse = rays.side[asked] * sequence.distance(levels[stage - 1], rays.points(asked))
        leaves = xp.abs(coarse) > delta + slack
        left[asked], returns[asked], values[asked] = leaves, leaves & (coarse > 0.0), coarse - delta
        found = asked[~leaves]
        rays.tested[found] = rays.length[found]
        rays.reach[found] = rays.length[found] + delta + slack - xp.abs(coarse)[~leaves]
    within = nonzero_rows(~left)
    if len(within):
        distance = rays.side[within] * sequence.distance(level, rays.points(within))
        values[within] = distance - inflation
        if sequence.kind == "independent":
            # Found in the band, the finer level is believed: its surface is where it says, and a ray no farther from
            # here than twice that either arrives there or passes by closely.
            reach = xp.where(
                rays.tested[within] == rays.length[within],
                rays.length[within] + 2.0 * xp.abs(distance),
                rays.reach[within],
            )
            rays.reach[within] = xp.maximum(rays.reach[within], reach)
    return values, returns


def _enter(
    sequence: NestedSequence,
    levels: tuple[int, ...],
    origins: Array,
    directions: Array,
    config: TraceConfig,
    farthest: Array | None,
    shape: tuple[int, int] | None,
) -> tuple[_Rays, Array, Array, Array]:
    """The rays that meet the bounds, where they have to look first.

    Entry is computed in the precision of the origins: a camera may be far away. What follows happens in the cube,
    in the precision of the networks.

    Returns:
        The rays; (n,) t of their entry and (n,) lengths of their directions; (m,) rows of rays that cones found to
        meet nothing, and which are not among them.
    """
    xp = array_namespace(directions)
    lengths = row_norms(directions)
    # Comparisons with NaN are false, so rays that are not finite end here, too.
    usable = (lengths > 0.0) & (lengths < float("inf"))
    if not bool(usable.all()):
        shape = None
    index = nonzero_rows(usable)
    near, far = cube_interval(origins[index], directions[index])
    if farthest is not None:
        far = xp.minimum(far, farthest[index])
    starts_within, near = near < 0.0, near.clip(0.0)
    weight = sequence.networks[0].weights[0]
    delta = _delta(sequence, levels, 0)
    met, skipped = near < far, index[:0]
    safe = None
    if shape is not None:
        target = (1.0 - PUSH_INTO_BAND) * delta
        units = directions / lengths[:, None]
        safe = safe_starts(
            sequence, levels[0], target, origins, units, near * lengths, far * lengths, shape, config.tolerance
        )
        skipped = nonzero_rows(met & (safe.length > far * lengths))
        met = met & (safe.length <= far * lengths)
    index, near, far = index[met], near[met], far[met]
    lengths = lengths[index]
    start = asarray_like(origins[index] + near[:, None] * directions[index], weight)
    unit = asarray_like(directions[index] / lengths[:, None], weight)
    stop = asarray_like((far - near) * lengths, weight)
    unknown = float("inf")
    rays = _Rays(index, full_like_rows(stop, (_Rays.ROWS, *stop.shape), 0.0))
    rays.numbers[0:3], rays.numbers[3:6] = start.T, unit.T
    rays.stop, rays.outside_value, rays.beyond, rays.beyond_value = stop, unknown, unknown, unknown
    rays.slope, rays.side = FIRST_SLOPE, 1.0
    within = nonzero_rows(starts_within[met])
    if len(within):
        rays.side[within] = _sides(sequence, levels, start[within])
    if safe is not None:
        length, before = (
            asarray_like(each[met] - near * lengths, weight).clip(0.0) for each in (safe.length, safe.before)
        )
        distance = asarray_like(safe.distance[met], weight)
        rays.length, rays.outside, rays.tested = length, before, length
        rays.reach, rays.in_band = length + (delta - distance).clip(0.0), distance <= delta
    return rays, near, lengths, skipped


def _moved(rays: _Rays, values: Array, before: Array, crossed: Array, push: float, config: TraceConfig) -> Array:
    """The lengths to evaluate next: a sphere tracing step, or back between the two sides where one has crossed.

    Sets `relaxed` where the step is longer than the distance and so has to be checked.

    Args:
        values: (n,) distances at the current lengths.
        before, crossed: (n,) whether these lie before or behind the surface. `outside` and `beyond` know of it.
        push: added to each step.
    """
    xp = array_namespace(values)
    unknown = float("inf")
    distance = values + push
    near = distance < SECANT_TOLERANCES * config.tolerance
    slope = rays.slope
    arriving = 1.0 / slope.clip(1e-3)
    # How far the sphere of the next point, seen at this slope, still touches this one's.
    touching = (2.0 + LARGEST_GAP * config.tolerance / distance.clip(1e-9)) / (1.0 + slope.clip(0.0, 1.0))
    stretch = xp.where(near, arriving.clip(1.0, LARGEST_STRETCH), xp.minimum(arriving, touching).clip(1.0, 2.0))
    step = rays.length + config.relaxation * stretch * distance
    # The surface may lie just before the end of the bounds.
    certain = CERTAIN_SHARE * config.relaxation * distance
    step = xp.where(rays.length + certain <= rays.stop, xp.minimum(step, rays.stop), step)
    relaxed = before & ~near & (stretch > 1.0)
    rays.relaxed = relaxed
    back = (crossed | (step >= rays.beyond)) & (rays.beyond < unknown)
    rows = nonzero_rows(back)
    if not len(rows):
        return step
    # Where a straight line between both sides meets zero; every other time the middle, which cannot be fooled.
    outside, beyond = rays.outside[rows], rays.beyond[rows]
    value, behind = rays.outside_value[rows], rays.beyond_value[rows]
    straight = (value < unknown) & (rays.steps[rows] % 2.0 == 0.0)
    one = xp.ones_like(value)
    value, behind = xp.where(straight, value, one), xp.where(straight, behind, -one)
    step[rows] = outside + (value / (value - behind)).clip(0.1, 0.9) * (beyond - outside)
    rays.relaxed[rows] = 0.0
    return step


def _trace_block(
    sequence: NestedSequence,
    origins: Array,
    directions: Array,
    config: TraceConfig,
    farthest: Array | None,
    shape: tuple[int, int] | None,
    cancelled: Callable[[], bool],
) -> tuple[Array, ...]:
    """`trace` for one block of rays: the fields of TraceResult in order."""
    xp = array_namespace(origins)
    levels = default_levels(sequence) if config.levels is None else config.levels
    last, tolerance, unknown = len(levels) - 1, config.tolerance, float("inf")
    rays, near, lengths, skipped = _enter(sequence, levels, origins, directions, config, farthest, shape)
    count = origins.shape[0]

    t = full_like_rows(origins, (count,), float("inf"))
    positions = full_like_rows(rays.numbers, (count, 3), 0.0)
    hit, inside = t < 0.0, t < 0.0
    steps = xp.zeros_like(t, dtype=xp.int64)
    level = steps - 1
    level[skipped] = levels[0]
    entry_t, entry_length = xp.zeros_like(t), xp.ones_like(t)
    entry_t[rays.index], entry_length[rays.index] = near, lengths
    inside[rays.index] = rays.side < 0.0

    waiting: list[list[_Rays]] = [[] for _ in levels]

    def send(group: _Rays, stage: int) -> None:
        if len(group):
            waiting[stage].append(group)

    send(rays.rows(nonzero_rows(rays.in_band == 0.0)), 0)
    send(rays.rows(nonzero_rows(rays.in_band > 0.0)), min(1, last))

    while any(waiting):
        if cancelled():
            raise TraceCancelled
        # The stage with the most rays is next: rays that are late, or come back, wait for company.
        stage = max(range(len(levels)), key=lambda k: sum(map(len, waiting[k])))
        rays = _Rays.joined(waiting[stage])
        waiting[stage] = []
        push = PUSH_INTO_BAND * _delta(sequence, levels, stage)
        # Twice the tolerance keeps a ray that has just arrived at a band from being sent back at once.
        values, returns = _evaluate(sequence, levels, stage, rays, 2.0 * tolerance)
        rays.steps = rays.steps + 1

        # A long step whose spheres do not touch may have jumped across something, and is taken back.
        travelled = rays.length - rays.outside
        spheres = config.relaxation * (rays.outside_value + xp.abs(values + push) + push)
        apart = returns | (spheres + LARGEST_GAP * tolerance < travelled)
        failed = (rays.relaxed > 0.0) & apart & (travelled > SHORTEST_CHECKED * tolerance)
        comparable = (travelled > 0.0) & (rays.outside_value < unknown) & ~returns
        slope = (rays.outside_value - values) / travelled.clip(1e-9)
        slope = xp.where(comparable, slope, rays.slope)

        on_last = (xp.zeros_like(returns) if stage < last else ~returns) & ~failed
        before = (values > tolerance) & ~failed
        crossed = on_last & (values < -tolerance)
        rays.beyond_value = xp.where(crossed, values, rays.beyond_value)
        rays.beyond = xp.where(crossed, rays.length, rays.beyond)
        known = comparable & (travelled <= LONGEST_ARRIVAL * tolerance)
        close = on_last & known & (slope > STEEP) & (xp.abs(values) <= ARRIVAL_TOLERANCES * tolerance)
        moves = (before | crossed) & ~close
        shorter = rays.outside + CAUTIOUS * (rays.outside_value + push)
        rays.slope = xp.where(failed, xp.ones_like(slope), slope)
        here = rays.length
        rays.outside = xp.where(before, here, rays.outside)
        rays.outside_value = xp.where(before, values, rays.outside_value)
        length = _moved(rays, values, before, crossed, push, config)

        narrow = rays.beyond - rays.outside <= tolerance
        # A network whose values overflow has no surface to arrive at.
        arrived = (on_last & ~moves | narrow) & xp.isfinite(values) & ~failed
        rows = nonzero_rows(arrived)
        if len(rows):
            # The last, short step leaves the position much closer than the tolerance.
            arrival = here + values / xp.where(comparable, slope.clip(STEEP, 1.0), xp.ones_like(slope))
            middle = 0.5 * (rays.outside + rays.beyond)
            final = xp.where(narrow, middle, xp.minimum(arrival, rays.beyond))[rows]
            done = rays.index[rows]
            hit[done] = True
            t[done] = entry_t[done] + asarray_like(final, t) / entry_length[done]
            positions[done] = (rays.start[:, rows] + final * rays.unit[:, rows]).T

        goes_on = failed | moves
        rays.length = xp.where(failed, shorter, xp.where(moves, length, here))
        rays.relaxed[failed] = 0.0
        ended = arrived | ~(rays.length <= rays.stop) | (rays.steps >= config.max_steps)
        if stage == last:
            ended = ended | ~goes_on
        rows = nonzero_rows(ended)
        if len(rows):
            steps[rays.index[rows]] = asarray_like(rays.steps[rows], steps)
            level[rays.index[rows]] = levels[stage]
        stays = ~ended & goes_on & (failed | ~returns)
        if bool(stays.all()):
            waiting[stage].append(rays)
            continue
        if stage < last:
            rows = nonzero_rows(~ended & ~goes_on)
            deeper = rays.rows(rows)
            # The distance known is not one to the next stage's surface.
            deeper.outside_value = unknown
            # The point lies in this stage's band, unless it is already behind that.
            in_band = values[rows] >= -2.0 * _delta(sequence, levels, stage)
            deeper.tested = deeper.length
            deeper.reach = xp.where(in_band, deeper.length, -xp.ones_like(deeper.length))
            send(deeper, stage + 1)
        if stage > 0:
            back = rays.rows(nonzero_rows(~ended & goes_on & returns & ~failed))
            send(back, stage - 1)
        send(rays.rows(nonzero_rows(stays)), stage)
    return hit, t, positions, inside, steps, level


def trace(
    sequence: NestedSequence,
    origins: Array,
    directions: Array,
    config: TraceConfig | None = None,
    farthest: Array | None = None,
    shape: tuple[int, int] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> TraceResult:
    """Multiscale sphere tracing of any number of rays.

    Args:
        sequence: of three inputs, its networks of the same array kind as the rays.
        origins: (N, 3) in network space; float64 keeps cameras that are far away exact.
        directions: (N, 3) in network space, of any length. A direction of length zero never hits.
        farthest: (N,) largest t of interest, for rays that something nearer already stops; None for no limit.
        shape: rows and columns of a picture whose pixels the rays are, row by row: neighbours are then first followed
            together, which is several times faster. None: rays that have nothing to do with each other.
        cancelled: asked after every step.

    Returns:
        One row a ray; t counts in lengths of the direction given.

    Raises:
        ValueError: the sequence has a time input, the configuration names a level that is not there, or `shape` is
            not that of so many rays.
        TraceCancelled: `cancelled` said so.
    """
    config = config or TraceConfig()
    if sequence.inputs != 3:
        raise ValueError("only a sequence of three inputs can be traced")
    if config.levels is not None and not all(0 <= level <= sequence.finest for level in config.levels):
        raise ValueError(f"levels {config.levels} asked for, the sequence has 0 to {sequence.finest}")
    count = origins.shape[0]
    if shape is not None and shape[0] * shape[1] != count:
        raise ValueError(f"a picture of {shape[0]} rows and {shape[1]} columns has no {count} rays")
    xp = array_namespace(origins)
    size = RAYS_PER_BLOCK
    if shape is not None:
        # Whole rows of the largest blocks of pixels.
        step = shape[1] * BLOCK_SIDES[0]
        size = max(1, RAYS_PER_BLOCK // max(1, step)) * max(1, step)
    blocks = []
    # At least one block, so that no rays give empty arrays of the right kinds.
    for first in range(0, max(1, count), size):
        rows = slice(first, first + size)
        limit = None if farthest is None else farthest[rows]
        part = None if shape is None or not count else (origins[rows].shape[0] // shape[1], shape[1])
        blocks.append(_trace_block(sequence, origins[rows], directions[rows], config, limit, part, cancelled))
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
