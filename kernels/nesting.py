# SPDX-License-Identifier: GPL-3.0-or-later
"""The nesting condition: {|f_{j+1}| <= d_{j+1}} lies inside {|f_j| <= d_j} (definition 1 of arXiv 2201.09147).

Enough for it is d_j >= d_{j+1} + sup |f_j - f_{j+1}| over the finer band. Where every level after the first is a
residual that its own weights bound, that bound is the supremum's, everywhere, and the bands are certified without a
search. For other sequences the supremum is taken over samples: a lower bound, widened by a margin, and its failures are
measured on fresh samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .cancelling import Cancelled
from .sequence import Band, NestedSequence


@dataclass(frozen=True)
class BandConfig:
    """How bands are estimated. Lengths are in network units."""

    samples: int = 60_000
    """Points of the finer band at which two levels are compared."""
    margin: float = 1.2
    """Factor on the sampled supremum, which is a lower bound of the true one."""
    narrowest: float = 0.02
    """A band is wider than the next finer one by this at least: the neighbourhood in which every level is trained, and
    where low-poly meshes lie."""


# Values are sums of float32 products: a bound is widened by this share of it, a thousand times a rounding.
_ROUNDING_SHARE = 1e-4


def bounded_bands(sequence: NestedSequence, config: BandConfig) -> NestedSequence | None:
    """The sequence with bands that follow from the bounds of its residuals, certified; None where it has none.

    |F_j| <= |F_{j+1}| + |r_{j+1}|, so d_j = d_{j+1} + sup |r_{j+1}| is wide enough (definition 1 of arXiv 2201.09147).
    """
    bounds = [network.bound for network in sequence.networks[1:]]
    if sequence.kind != "residual" or any(bound is None for bound in bounds):
        return None
    deltas: list[float] = []
    finer = 0.0
    for bound in reversed(bounds):
        finer += max(config.narrowest, (1.0 + _ROUNDING_SHARE) * bound)
        deltas.append(finer)
    return replace(sequence, bands=tuple(Band(delta, "certified") for delta in reversed(deltas)))


def without_unproven_claims(sequence: NestedSequence) -> NestedSequence:
    """The sequence with every band that is called certified, and that its residual's bound does not prove, given.

    A file may say anything. What range analysis once proved cannot be told from that, and has to be proven again.
    """
    finer_deltas = [*(band.delta for band in sequence.bands), 0.0][1:]
    bounds = [network.bound if sequence.kind == "residual" else None for network in sequence.networks[1:]]
    bands = tuple(
        replace(band, evidence="given")
        if band.evidence == "certified" and not (bound is not None and band.delta >= finer + bound)
        else band
        for band, finer, bound in zip(sequence.bands, finer_deltas, bounds, strict=True)
    )
    return replace(sequence, bands=bands)


def sample_level_band(
    sequence: NestedSequence,
    level: int,
    delta: float,
    count: int,
    rng: np.random.Generator,
    cancelled: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Points of {|f_level| <= delta}, found without the source mesh: (N, inputs), N at most `count`.

    Points uniform in the cube walk along the gradient by Newton steps to the zero set, then to a random level set
    of the band. Points that do not arrive are left out. A supremum is then sought everywhere the level is
    small, stray components included. Where there is time, each point has one of its own and keeps it.

    Raises:
        Cancelled: `cancelled`, which is asked after every step, said so.
    """
    points = rng.uniform(-1.0, 1.0, (count, 3)).astype(np.float32)
    if sequence.inputs == 4:
        times = rng.uniform(*(sequence.time or (-1.0, 1.0)), (count, 1)).astype(np.float32)
        points = np.concatenate([points, times], axis=1)
    targets = rng.uniform(-delta, delta, count).astype(np.float32)
    for _ in range(8):
        if cancelled is not None and cancelled():
            raise Cancelled
        value, gradient = sequence.distance_and_gradient(level, points)
        gradient = gradient[:, :3]
        steps = (value - targets) / (gradient**2).sum(-1).clip(1e-2)
        points[:, :3] = (points[:, :3] - steps[:, None] * gradient).clip(-1.0, 1.0)
    return points[np.abs(sequence.distance(level, points)) <= max(delta, 1e-3)]


def estimate_bands(
    sequence: NestedSequence, config: BandConfig, seed: int = 0, cancelled: Callable[[], bool] | None = None
) -> NestedSequence:
    """The sequence with bands estimated anew, from the finest level to the coarsest.

    The last level traced needs no band: its zero set is where rays stop.

    Raises:
        Cancelled: `cancelled`, which is asked now and then, said so.
    """
    rng = np.random.default_rng(seed)
    deltas: list[float] = []
    finer = 0.0
    for level in range(sequence.finest - 1, -1, -1):
        points = sample_level_band(sequence, level + 1, finer, config.samples, rng, cancelled)
        # Not the difference of the levels plus the finer band, but |f_j| itself on the finer band: the same
        # condition without the triangle inequality in between, hence a narrower band.
        reached = float(np.abs(sequence.distance(level, points)).max(initial=0.0))
        finer = max(config.narrowest + finer, config.margin * reached)
        deltas.append(finer)
    return replace(sequence, bands=tuple(Band(delta, "sampled") for delta in reversed(deltas)))


def nesting_violations(sequence: NestedSequence, samples: int = 100_000, seed: int = 1) -> list[float | None]:
    """For every band, the share of fresh samples of the finer band that lie outside it; None where none were found.

    `seed` must differ from the one the bands were estimated with, or the samples are not fresh.
    """
    rng = np.random.default_rng(seed)
    shares = []
    for level, band in enumerate(sequence.bands):
        finer = sequence.bands[level + 1].delta if level + 1 < len(sequence.bands) else 0.0
        points = sample_level_band(sequence, level + 1, finer, samples, rng)
        # A point found for a zero set lies a little beside it, and may be as much further from the coarser one.
        beside = (np.abs(sequence.distance(level + 1, points)) - finer).clip(0.0)
        outside = np.abs(sequence.distance(level, points)) - beside > band.delta
        shares.append(float(outside.mean()) if len(points) else None)
    return shares
