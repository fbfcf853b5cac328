# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages of multiscale sphere tracing: which level a ray follows, and how far it is from that level's surface.

A stage traces one level of a nested sequence, inflated by its band; the last stage is not inflated. A level may be
asked only in the bands of the levels before it. Of a residual sequence that is a matter of right or wrong: its values
elsewhere mean nothing at all, so every band on the way is looked at, and no level is skipped. The sum that makes a
level goes past all the others anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, array_namespace, nonzero_rows
from .networks import evaluate
from .ray_batch import RayBatch
from .sequence import NestedSequence

# Share of a band by which the step into it goes deeper: its very border is of no use, and takes many steps to reach.
PUSH_INTO_BAND = 0.2

# Normals are taken where rays arrive, and have to find those points in the band of the last stage's level. A residual
# sequence is therefore traced to this share of that band at least, but never closer than float32 can tell.
ARRIVAL_SHARE = 0.5
SMALLEST_TOLERANCE = 2e-5


@dataclass(frozen=True)
class TraceStage:
    """One of the levels that rays trace, in order.

    Attributes:
        number: place among the stages, from 0 on.
        level: of the sequence.
        inflation: distance of its traced surface from its zero set: the half width of its band, or 0 for the last.
        entry: a ray no farther than this from the traced surface goes on to the next stage, or has arrived.
        is_last: whether its zero set is where rays stop.
    """

    number: int
    level: int
    inflation: float
    entry: float
    is_last: bool

    @property
    def push(self) -> float:
        """Added to each step, so that rays do not stop at the band's very border."""
        return PUSH_INTO_BAND * self.inflation


def default_levels(sequence: NestedSequence, trace_finest: bool = False) -> tuple[int, ...]:
    """Levels traced when nothing else is asked for: all but the last, or all with `trace_finest`."""
    count = len(sequence.networks)
    return tuple(range(count if trace_finest or count == 1 else count - 1))


def stages_of(sequence: NestedSequence, levels: tuple[int, ...], tolerance: float) -> tuple[TraceStage, ...]:
    """The stages that trace some levels, coarse to fine.

    Args:
        levels: those wanted. Of a residual sequence all that come before the last one are traced, too.
        tolerance: of the tracer. Rays of an independent sequence enter a band when they are so close to it; those of
            a residual one when they are in it.
    """
    is_residual = sequence.kind == "residual"
    levels = tuple(range(levels[-1] + 1)) if is_residual else levels
    last = len(levels) - 1
    return tuple(
        TraceStage(
            number,
            level,
            sequence.bands[level].delta if number < last else 0.0,
            0.0 if is_residual and number < last else tolerance,
            number == last,
        )
        for number, level in enumerate(levels)
    )


def arrival_tolerance(sequence: NestedSequence, levels: tuple[int, ...], tolerance: float) -> float:
    """How close to the surface rays have to come for the next finer level to give their normals, in network units.

    Args:
        levels: those that are traced.
        tolerance: the one asked for, which is the largest returned.
    """
    if sequence.kind == "independent" or levels[-1] >= sequence.finest:
        return tolerance
    return min(tolerance, max(SMALLEST_TOLERANCE, ARRIVAL_SHARE * sequence.bands[levels[-1]].delta))


def sides(sequence: NestedSequence, stages: tuple[TraceStage, ...], points: Array) -> Array:
    """+1 for points outside the object and -1 for points inside: (N, 3) -> (N,).

    The coarsest level whose band a point is not in decides; inside all bands the last traced level does.
    """
    xp = array_namespace(points)
    found = xp.ones_like(points[:, 0])
    undecided = nonzero_rows(found > 0.0)
    for stage in stages:
        distance = sequence.distance(stage.level, points[undecided])
        found[undecided] = xp.where(distance < 0.0, -xp.ones_like(distance), xp.ones_like(distance))
        undecided = undecided[xp.abs(distance) <= stage.inflation]
    return found


def distances(
    sequence: NestedSequence, stages: tuple[TraceStage, ...], stage: TraceStage, rays: RayBatch, slack: float
) -> tuple[Array, Array]:
    """Distance of each ray to the inflated surface of its stage, or of a stage before where it left that one's band.

    Args:
        slack: a ray of an independent sequence has left a band when it is so far from it.

    Returns:
        (n,) distances in network units, positive before the surface, and (n,) numbers of the stages that they belong
        to: an earlier one for rays that left its band outwards. A ray that left it on its inner side keeps its stage:
        its distance is negative, and it is bisected back.
    """
    xp = array_namespace(rays.length)
    if stage.number == 0:
        values = rays.side * sequence.distance(stage.level, rays.points()) - stage.inflation
        return values, xp.zeros_like(values)
    if sequence.kind == "residual":
        return _residual_distances(sequence, stages, stage, rays)
    return _independent_distances(sequence, stages[stage.number - 1], stage, rays, slack)


def _independent_distances(
    sequence: NestedSequence, before: TraceStage, stage: TraceStage, rays: RayBatch, slack: float
) -> tuple[Array, Array]:
    """`distances` of levels that are each a whole distance: the level before is asked only where rays may have left."""
    xp = array_namespace(rays.length)
    values, left = xp.zeros_like(rays.length), rays.length < 0.0
    home = values + stage.number
    # Beyond its band the finer level means nothing, so the coarser is asked first; it is the cheaper one.
    asked = nonzero_rows((rays.length > rays.reach) | (rays.length < rays.tested))
    if len(asked):
        coarse = rays.side[asked] * sequence.distance(before.level, rays.points(asked))
        leaves = xp.abs(coarse) > before.inflation + slack
        left[asked], values[asked] = leaves, coarse - before.inflation
        home[asked[leaves & (coarse > 0.0)]] = before.number
        found = asked[~leaves]
        rays.tested[found] = rays.length[found]
        rays.reach[found] = rays.length[found] + before.inflation + slack - xp.abs(coarse)[~leaves]
    within = nonzero_rows(~left)
    if len(within):
        distance = rays.side[within] * sequence.distance(stage.level, rays.points(within))
        values[within] = distance - stage.inflation
        # Found in the band, the finer level is believed: its surface is where it says, and a ray no farther from
        # here than twice that either arrives there or passes by closely.
        reach = xp.where(
            rays.tested[within] == rays.length[within],
            rays.length[within] + 2.0 * xp.abs(distance),
            rays.reach[within],
        )
        rays.reach[within] = xp.maximum(rays.reach[within], reach)
    return values, home


def _residual_distances(
    sequence: NestedSequence, stages: tuple[TraceStage, ...], stage: TraceStage, rays: RayBatch
) -> tuple[Array, Array]:
    """`distances` of a residual sequence: level after level is added, for the rays that are still in every band."""
    xp = array_namespace(rays.length)
    sums, unknown = rays.coarse, float("inf")
    values, left = xp.zeros_like(sums), rays.length < 0.0
    home = values + stage.number
    # Rays that come from the stage before know its distance at their point already.
    asked = nonzero_rows(sums == unknown)
    if len(asked):
        points, side = rays.points(asked), rays.side[asked]
        total = xp.zeros_like(side)
        for before in stages[: stage.number]:
            total = total + side * evaluate(sequence.networks[before.level], points)
            leaves = xp.abs(total) > before.inflation
            rows = nonzero_rows(leaves)
            if len(rows):
                left[asked[rows]], values[asked[rows]] = True, total[rows] - before.inflation
                home[asked[nonzero_rows(leaves & (total > 0.0))]] = before.number
                stays = nonzero_rows(~leaves)
                asked, points, side, total = asked[stays], points[stays], side[stays], total[stays]
        sums[asked] = total
    within = nonzero_rows(~left)
    if len(within):
        finest = rays.side[within] * evaluate(sequence.networks[stage.level], rays.points(within))
        values[within] = sums[within] + finest - stage.inflation
    rays.coarse = unknown
    return values, home
