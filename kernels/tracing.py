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
from dataclasses import dataclass, replace

from .arrays import Array, array_namespace, asarray_like, full_like_rows, nonzero_rows, row_norms
from .cones import BLOCK_SIDES, safe_starts
from .ray_batch import RayBatch
from .sequence import NestedSequence
from .trace_stages import PUSH_INTO_BAND, TraceStage, arrival_tolerance, default_levels, distances, sides, stages_of

# Closer to the surface than this many tolerances a ray steps by the slope it has seen, at most three times as far as
# the distance: a slanting ray then arrives in two or three steps. What it could jump across there is no wider than a
# few tolerances.
SECANT_TOLERANCES = 10.0
LARGEST_STRETCH = 3.0

# A longer step may leave a gap of so many tolerances between the spheres of its ends: a wall no thinner than the gap is
# met. With 10, rays went through folded skin of 0.3 % of the size; 4 takes a tenth more evaluations.
LARGEST_GAP = 4.0

# A longer step over fewer tolerances than this is not checked: taken back, it would cost more than all the steps that
# it saved. Half of such a step, and no thicker a wall, may lie beyond the distance that was known.
SHORTEST_CHECKED = 20.0

# A ray whose slope is known, and no flatter than this, has arrived when it is so many tolerances away: the last step
# is then shorter than the error of the slope can spoil.
ARRIVAL_TOLERANCES = 2.0
STEEP = 0.5

# That slope must have been seen over no more than so many tolerances: across a long step it says nothing about how flat
# a network is between thin walls.
LONGEST_ARRIVAL = 40.0

# A longer step that is taken back becomes this share of the distance: values are then larger than the distances here,
# as beside thin walls, which a step as long as the distance would go through.
CAUTIOUS = 0.9

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
            the paper's notation), or the only one. Of a residual sequence those before the last one asked for are
            always traced.
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


def _enter(
    sequence: NestedSequence,
    stages: tuple[TraceStage, ...],
    origins: Array,
    directions: Array,
    config: TraceConfig,
    farthest: Array | None,
    shape: tuple[int, int] | None,
) -> tuple[RayBatch, Array, Array, Array]:
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
    delta = stages[0].inflation
    met, skipped = near < far, index[:0]
    safe = None
    if shape is not None:
        target = (1.0 - PUSH_INTO_BAND) * delta
        units = directions / lengths[:, None]
        safe = safe_starts(
            sequence, stages[0].level, target, origins, units, near * lengths, far * lengths, shape, config.tolerance
        )
        skipped = nonzero_rows(met & (safe.length > far * lengths))
        met = met & (safe.length <= far * lengths)
    index, near, far = index[met], near[met], far[met]
    lengths = lengths[index]
    start = asarray_like(origins[index] + near[:, None] * directions[index], weight)
    unit = asarray_like(directions[index] / lengths[:, None], weight)
    stop = asarray_like((far - near) * lengths, weight)
    unknown = float("inf")
    rays = RayBatch(index, full_like_rows(stop, (RayBatch.ROWS, *stop.shape), 0.0))
    rays.numbers[0:3], rays.numbers[3:6] = start.T, unit.T
    rays.stop, rays.outside_value, rays.beyond, rays.beyond_value = stop, unknown, unknown, unknown
    rays.slope, rays.side, rays.coarse = FIRST_SLOPE, 1.0, unknown
    within = nonzero_rows(starts_within[met])
    if len(within):
        rays.side[within] = sides(sequence, stages, start[within])
    if safe is not None:
        length, before = (
            asarray_like(each[met] - near * lengths, weight).clip(0.0) for each in (safe.length, safe.before)
        )
        distance = asarray_like(safe.distance[met], weight)
        rays.length, rays.outside, rays.tested = length, before, length
        rays.reach, rays.in_band = length + (delta - distance).clip(0.0), distance <= delta
    return rays, near, lengths, skipped


@dataclass(frozen=True)
class _Looks:
    """What rays have seen at their points in one step; one row a ray.

    Attributes:
        values: (n,) distances, see `stages.distances`.
        home: (n,) numbers of the stages that they belong to.
        slope: (n,) distance lost for each length on the way here.
        comparable: (n,) whether that was seen, and not taken over from the step before.
        failed: (n,) whether the step was too long and is taken back.
        ends_here: (n,) whether the ray stops at the surface that it has looked at.
        before, crossed: (n,) whether it is before that surface, or behind it.
        moves: (n,) whether it has to look elsewhere.
    """

    values: Array
    home: Array
    slope: Array
    comparable: Array
    failed: Array
    ends_here: Array
    before: Array
    crossed: Array
    moves: Array


def _look(stage: TraceStage, rays: RayBatch, values: Array, home: Array, config: TraceConfig) -> _Looks:
    """What distances say, which is also noted in the rays: how far the surface is known to be ahead, or behind.

    Args:
        values, home: (n,) from `stages.distances`.
    """
    xp = array_namespace(values)
    tolerance, unknown = config.tolerance, float("inf")
    returns = home < stage.number
    # A long step whose spheres do not touch may have jumped across something, and is taken back.
    travelled = rays.length - rays.outside
    spheres = config.relaxation * (rays.outside_value + xp.abs(values + stage.push) + stage.push)
    apart = returns | (spheres + LARGEST_GAP * tolerance < travelled)
    failed = (rays.relaxed > 0.0) & apart & (travelled > SHORTEST_CHECKED * tolerance)
    comparable = (travelled > 0.0) & (rays.outside_value < unknown) & ~returns
    slope = (rays.outside_value - values) / travelled.clip(1e-9)
    slope = xp.where(comparable, slope, rays.slope)

    ends_here = (~returns if stage.is_last else xp.zeros_like(returns)) & ~failed
    before = ((values > stage.entry) | returns) & ~failed
    crossed = ends_here & (values < -tolerance)
    known = comparable & (travelled <= LONGEST_ARRIVAL * tolerance)
    close = ends_here & known & (slope > STEEP) & (xp.abs(values) <= ARRIVAL_TOLERANCES * tolerance)
    rays.beyond_value = xp.where(crossed, values, rays.beyond_value)
    rays.beyond = xp.where(crossed, rays.length, rays.beyond)
    rays.slope = xp.where(failed, xp.ones_like(slope), slope)
    return _Looks(values, home, slope, comparable, failed, ends_here, before, crossed, (before | crossed) & ~close)


def _next_lengths(stage: TraceStage, rays: RayBatch, looks: _Looks, config: TraceConfig) -> Array:
    """The lengths to look at next: a sphere tracing step, or back between the two sides where one has crossed.

    Notes in the rays how far the surface is known to be ahead, and sets `relaxed` where the step is longer than the
    distance and so has to be checked.
    """
    xp = array_namespace(looks.values)
    unknown = float("inf")
    shorter = rays.outside + CAUTIOUS * (rays.outside_value + stage.push)
    rays.outside = xp.where(looks.before, rays.length, rays.outside)
    rays.outside_value = xp.where(looks.before, looks.values, rays.outside_value)
    distance = looks.values + stage.push
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
    rays.relaxed = looks.before & ~near & (stretch > 1.0)
    rows = nonzero_rows((looks.crossed | (step >= rays.beyond)) & (rays.beyond < unknown))
    if len(rows):
        # Where a straight line between both sides meets zero; every other time the middle, which cannot be fooled.
        outside, beyond = rays.outside[rows], rays.beyond[rows]
        value, behind = rays.outside_value[rows], rays.beyond_value[rows]
        straight = (value < unknown) & (rays.steps[rows] % 2.0 == 0.0)
        one = xp.ones_like(value)
        value, behind = xp.where(straight, value, one), xp.where(straight, behind, -one)
        step[rows] = outside + (value / (value - behind)).clip(0.1, 0.9) * (beyond - outside)
        rays.relaxed[rows] = 0.0
    rays.relaxed[looks.failed] = 0.0
    return xp.where(looks.failed, shorter, xp.where(looks.moves, step, rays.length))


class _Ends:
    """Where rays have ended: the fields of TraceResult, filled as they do."""

    def __init__(self, count: int, rays: RayBatch, near: Array, lengths: Array) -> None:
        xp = array_namespace(near)
        self.t = full_like_rows(near, (count,), float("inf"))
        self.positions = full_like_rows(rays.numbers, (count, 3), 0.0)
        self.hit, self.inside = self.t < 0.0, self.t < 0.0
        self.steps = xp.zeros_like(self.t, dtype=xp.int64)
        self.level = self.steps - 1
        self._entry, self._length = xp.zeros_like(self.t), xp.ones_like(self.t)
        self._entry[rays.index], self._length[rays.index] = near, lengths
        self.inside[rays.index] = rays.side < 0.0

    def arrive(self, rays: RayBatch, rows: Array, lengths: Array) -> None:
        """The rays at `rows` hit the surface at (m,) lengths."""
        done = rays.index[rows]
        self.hit[done] = True
        self.t[done] = self._entry[done] + asarray_like(lengths, self.t) / self._length[done]
        self.positions[done] = (rays.start[:, rows] + lengths * rays.unit[:, rows]).T

    def end(self, rays: RayBatch, rows: Array, level: int) -> None:
        """The rays at `rows` go no further, whether they have hit or not."""
        self.steps[rays.index[rows]] = asarray_like(rays.steps[rows], self.steps)
        self.level[rays.index[rows]] = level

    def fields(self) -> tuple[Array, ...]:
        """In the order of TraceResult."""
        return self.hit, self.t, self.positions, self.inside, self.steps, self.level


def _arrive(rays: RayBatch, looks: _Looks, ends: _Ends, tolerance: float) -> Array:
    """Put down the rays that have arrived: (n,) which they are. Their lengths are still those of the look."""
    xp = array_namespace(looks.values)
    narrow = rays.beyond - rays.outside <= tolerance
    # A network whose values overflow has no surface to arrive at.
    arrived = (looks.ends_here & ~looks.moves | narrow) & xp.isfinite(looks.values) & ~looks.failed
    rows = nonzero_rows(arrived)
    if len(rows):
        # The last, short step leaves the position much closer than the tolerance.
        slope = xp.where(looks.comparable, looks.slope.clip(STEEP, 1.0), xp.ones_like(looks.slope))
        arrival = xp.minimum(rays.length + looks.values / slope, rays.beyond)
        middle = 0.5 * (rays.outside + rays.beyond)
        ends.arrive(rays, rows, xp.where(narrow, middle, arrival)[rows])
    return arrived


def _deeper(stage: TraceStage, rays: RayBatch, values: Array) -> RayBatch:
    """Rays that have reached the band of their stage, as the next stage takes them: (n,) distances seen there."""
    xp = array_namespace(values)
    # The distance known is not one to the next stage's surface.
    unknown = float("inf")
    rays.outside_value = unknown
    # The point lies in this stage's band, unless it is already behind that.
    coarse = values + stage.inflation
    within = coarse >= -stage.inflation
    rays.tested = rays.length
    rays.reach = xp.where(within, rays.length, -xp.ones_like(rays.length))
    rays.coarse = xp.where(within & (coarse <= stage.inflation), coarse, xp.zeros_like(coarse) + unknown)
    return rays


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
    levels = default_levels(sequence) if config.levels is None else config.levels
    config = replace(config, tolerance=arrival_tolerance(sequence, levels, config.tolerance))
    stages = stages_of(sequence, levels, config.tolerance)
    rays, near, lengths, skipped = _enter(sequence, stages, origins, directions, config, farthest, shape)
    ends = _Ends(origins.shape[0], rays, near, lengths)
    ends.level[skipped] = stages[0].level

    waiting: list[list[RayBatch]] = [[] for _ in stages]

    def send(group: RayBatch, number: int) -> None:
        if len(group):
            waiting[number].append(group)

    send(rays.rows(nonzero_rows(rays.in_band == 0.0)), 0)
    send(rays.rows(nonzero_rows(rays.in_band > 0.0)), min(1, len(stages) - 1))

    while any(waiting):
        if cancelled():
            raise TraceCancelled
        # The stage with the most rays is next: rays that are late, or come back, wait for company.
        stage = max(stages, key=lambda each: sum(map(len, waiting[each.number])))
        rays = RayBatch.joined(waiting[stage.number])
        waiting[stage.number] = []
        # Twice the tolerance keeps a ray that has just arrived at a band from being sent back at once.
        values, home = distances(sequence, stages, stage, rays, 2.0 * config.tolerance)
        rays.steps = rays.steps + 1
        looks = _look(stage, rays, values, home, config)
        length = _next_lengths(stage, rays, looks, config)
        arrived = _arrive(rays, looks, ends, config.tolerance)
        rays.length = length

        goes_on = looks.failed | looks.moves
        ended = arrived | ~(length <= rays.stop) | (rays.steps >= config.max_steps)
        if stage.is_last:
            ended = ended | ~goes_on
        ends.end(rays, nonzero_rows(ended), stage.level)
        stays = ~ended & goes_on & (looks.failed | (home == stage.number))
        if bool(stays.all()):
            waiting[stage.number].append(rays)
            continue
        if not stage.is_last:
            rows = nonzero_rows(~ended & ~goes_on)
            send(_deeper(stage, rays.rows(rows), values[rows]), stage.number + 1)
        back = ~ended & goes_on & ~stays
        for earlier in stages[: stage.number]:
            send(rays.rows(nonzero_rows(back & (home == earlier.number))), earlier.number)
        send(rays.rows(nonzero_rows(stays)), stage.number)
    return ends.fields()


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
