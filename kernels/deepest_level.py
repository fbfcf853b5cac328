# SPDX-License-Identifier: GPL-3.0-or-later
"""The signed distance of a nested sequence anywhere in its cube: of the deepest level whose bands hold the point.

Outside a band the coarser level already has the right sign, because the finer zero set lies inside the band. A finer
level is asked only about points in the bands before it: a residual means nothing elsewhere.
"""

from __future__ import annotations

import numpy as np

from .networks import evaluate, gradient_reverse
from .sequence import NestedSequence


def deepest_distance(sequence: NestedSequence, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance of the deepest level whose bands hold each point.

    Args:
        points: (N, 3) in network space.

    Returns:
        (N,) distances in network units and the (N,) levels they come from.
    """
    values = evaluate(sequence.networks[0], points)
    levels = np.zeros(len(points), dtype=np.int64)
    index = np.arange(len(points))
    for level, band in enumerate(sequence.bands, start=1):
        index = index[np.abs(values[index]) <= band.delta]
        found = evaluate(sequence.networks[level], points[index])
        values[index] = values[index] + found if sequence.kind == "residual" else found
        levels[index] = level
    return values, levels


def deepest_gradient(sequence: NestedSequence, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Like `deepest_distance`, with the gradient: (N, 3) points -> (N,) distances, (N, 3) gradients, (N,) levels."""
    if sequence.kind == "residual":
        return _summed_gradient(sequence, points)
    levels = np.zeros(len(points), dtype=np.int64)
    for level, band in enumerate(sequence.bands):
        index = np.flatnonzero(levels == level)
        levels[index] += np.abs(evaluate(sequence.networks[level], points[index])) <= band.delta
    values = np.empty(len(points), dtype=points.dtype)
    gradients = np.empty((len(points), 3), dtype=points.dtype)
    for level in np.unique(levels):
        index = np.flatnonzero(levels == level)
        values[index], gradients[index] = gradient_reverse(sequence.networks[level], points[index])
    return values, gradients, levels


def _summed_gradient(sequence: NestedSequence, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`deepest_gradient` where levels are corrections: each network is asked once about the points in its bands."""
    values, gradients = gradient_reverse(sequence.networks[0], points)
    levels = np.zeros(len(points), dtype=np.int64)
    index = np.arange(len(points))
    for level, band in enumerate(sequence.bands, start=1):
        index = index[np.abs(values[index]) <= band.delta]
        corrections, steeper = gradient_reverse(sequence.networks[level], points[index])
        values[index] += corrections
        gradients[index] += steeper
        levels[index] = level
    return values, gradients, levels
