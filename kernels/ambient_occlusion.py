# SPDX-License-Identifier: GPL-3.0-or-later
"""Ambient occlusion of neural objects, from their signed distance."""

from __future__ import annotations

import numpy as np

from .sequence import NestedSequence

# Heights above the surface, in network units, at which `openness` looks for other parts of the object.
OPENNESS_HEIGHTS = (0.04, 0.12, 0.36)


def openness(sequence: NestedSequence, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Share of the world that points of the surface see, 0 to 1.

    Above an open surface the distance grows as fast as the height; in a fold it stays behind. The coarsest level is
    enough for that, and it is the one that knows distances far from the surface.

    Args:
        points: (N, 3) in network space, on the surface.
        normals: (N, 3) unit, in network space, towards the open side.

    Returns:
        (N,) shares.
    """
    ground = sequence.distance(0, points)
    shares = np.zeros_like(ground)
    for height in OPENNESS_HEIGHTS:
        above = points + height * normals
        # On the inner side distances are negative and their size grows. Beyond the cube there is nothing.
        rise = np.abs(sequence.distance(0, above.clip(-1.0, 1.0)) - ground)
        outside = (np.abs(above) > 1.0).any(axis=1)
        shares += np.where(outside, 1.0, (rise / height).clip(0.0, 1.0))
    return shares / len(OPENNESS_HEIGHTS)
