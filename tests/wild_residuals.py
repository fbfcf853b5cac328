# SPDX-License-Identifier: GPL-3.0-or-later
"""A residual sequence whose corrections are exact in their bands and enormous beyond, in closed form.

Its shape is an octahedron, |x| + |y| + |z| = s, so that ReLUs make every level exactly: what is found beyond a band is
not a little wrong but out of all proportion, with surfaces of its own.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from kernels.networks import Network
from kernels.sequence import Band, NestedSequence

# |x| + |y| + |z| on the surface of the coarsest level, and what the corrections add to its distance.
COARSE_SIZE = 1.0
CORRECTIONS = (0.03, -0.01)
DELTAS = (0.08, 0.03)

# |x| + |y| + |z| on the finest surface: distances grow by 1 / sqrt(3) of that sum.
SIZE = COARSE_SIZE - np.sqrt(3.0) * sum(CORRECTIONS)

# The eight unit normals of an octahedron, outwards.
NORMALS = np.array(list(product((1.0, -1.0), repeat=3))) / np.sqrt(3.0)


def _absolute_values() -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a layer whose ReLUs are x, -x, y, ... where positive: their sum is |x| + |y| + |z|."""
    return np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32), np.zeros(6, np.float32)


def _network(*layers: tuple[np.ndarray, np.ndarray]) -> Network:
    return Network(
        tuple(np.asarray(weight, np.float32) for weight, _ in layers),
        tuple(np.asarray(bias, np.float32) for _, bias in layers),
        "relu",
    )


def octahedra(slope: float = 1e4) -> NestedSequence:
    """Three levels; corrections grow by `slope` a unit beyond each band before them, against the distance's sign.

    So the corrected distance has a false surface outside of each border: with a slope of 2 some way off and as thick as
    the next band, with a large one just beside the border.
    """
    rows = np.full((2, 6), 1.0 / np.sqrt(3.0))
    coarse = _network(_absolute_values(), (rows[:1], [-COARSE_SIZE / np.sqrt(3.0)]))
    residuals, offset = [], 0.0
    for correction, delta in zip(CORRECTIONS, DELTAS, strict=True):
        # How far beyond the border of the band on the outer side, and on the inner one.
        center = COARSE_SIZE / np.sqrt(3.0) - offset
        hinges = np.stack([rows[0], -rows[0]]), np.array([-center - delta, center - delta])
        residuals.append(_network(_absolute_values(), hinges, (np.array([[-slope, slope]]), [correction])))
        offset += correction
    return NestedSequence((coarse, *residuals), tuple(Band(delta) for delta in DELTAS), kind="residual")


def in_bands(points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether points are in both bands, deeper than `margin`: (N, 3) -> (N,)."""
    coarse = (np.abs(points).sum(axis=1) - COARSE_SIZE) / np.sqrt(3.0)
    return (np.abs(coarse) <= DELTAS[0] - margin) & (np.abs(coarse + CORRECTIONS[0]) <= DELTAS[1] - margin)


def octahedron_hits(origins: np.ndarray, directions: np.ndarray, size: float = SIZE) -> np.ndarray:
    """t where rays enter |x| + |y| + |z| <= size from outside: (N, 3), (N, 3) -> (N,), infinite for none."""
    slopes, heights = directions @ NORMALS.T, size / np.sqrt(3.0) - origins @ NORMALS.T
    with np.errstate(divide="ignore", invalid="ignore"):
        t = heights / slopes
    enters = np.where(slopes < 0.0, t, -np.inf).max(axis=1)
    leaves = np.where(slopes > 0.0, t, np.inf).min(axis=1)
    return np.where((enters < leaves) & (enters > 0.0), enters, np.inf)
