# SPDX-License-Identifier: GPL-3.0-or-later
"""The sun's shadows of neural objects, by rays from surface points to the sun; the same on the CPU and the GPU.

The coarse levels are enough: a shadow shows an outline, and shows it less sharply than the eye sees the object. A point
of the finest surface may lie below the coarse one, though, so rays start above their point by as much as the two may
differ. Without that the object would be spotted by shadows of itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arrays import normalize_rows
from .sequence import NestedSequence
from .trace_stages import default_levels
from .tracing import TraceConfig, trace

# Rays start above the surface, along its normal, by this share of the band of the last level that they trace ...
LIFT_IN_BANDS = 0.5
# ... and by so many tolerances of the tracer.
LIFT_IN_TOLERANCES = 8.0


def shadow_levels(sequence: NestedSequence, traced: tuple[int, ...]) -> tuple[int, ...]:
    """The levels that shadow rays trace.

    Args:
        traced: those that the picture traces; shadows never take finer ones.
    """
    return default_levels(sequence)[: len(traced)]


def shadow_lift(sequence: NestedSequence, levels: tuple[int, ...], tolerance: float) -> float:
    """How far above the surface shadow rays start, in network units.

    Args:
        levels: those that the rays trace.
        tolerance: of the tracer.
    """
    last = levels[-1]
    band = sequence.bands[last].delta if last < sequence.finest else 0.0
    return LIFT_IN_BANDS * band + LIFT_IN_TOLERANCES * tolerance


def reach_sun(
    sequence: NestedSequence,
    network_to_world: np.ndarray,
    traced: tuple[int, ...],
    points: np.ndarray,
    normals: np.ndarray,
    direction: tuple[float, float, float],
    config: TraceConfig,
    cancelled: Callable[[], bool] = lambda: False,
) -> np.ndarray:
    """Whether points see the sun past a neural object: (N,) booleans.

    Args:
        network_to_world: (4, 4) affine transform of the object.
        traced: the levels that the picture traces.
        points: (N, 3) on any surface, world space.
        normals: (N, 3) unit, on the side that is seen, world space.
        direction: unit vector towards the sun, world space.
        config: tolerance and steps; its levels are not used.
        cancelled: asked after every step.

    Raises:
        TraceCancelled: `cancelled` said so.
    """
    levels = shadow_levels(sequence, traced)
    to_network = np.linalg.inv(np.asarray(network_to_world, dtype=np.float64))
    # A normal is a covector: back to network space it goes by the transpose of the way to the world.
    upwards = normalize_rows(normals @ np.asarray(network_to_world, dtype=np.float64)[:3, :3])
    lift = shadow_lift(sequence, levels, config.tolerance)
    origins = points @ to_network[:3, :3].T + to_network[:3, 3] + lift * upwards
    directions = np.broadcast_to(to_network[:3, :3] @ np.asarray(direction, dtype=np.float64), origins.shape)
    tracer = TraceConfig(levels, config.tolerance, config.relaxation, config.max_steps)
    return ~trace(sequence, origins, directions, tracer, cancelled=cancelled).hit
