# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact networks of boxes, down to plates that are thinner than the cells of a grid."""

from __future__ import annotations

import numpy as np

from kernels.networks import Network
from kernels.sequence import NestedSequence


def turn_about(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """The rotation matrix, (3, 3), about an axis of any length by an angle in radians."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * across + (1.0 - np.cos(angle)) * across @ across


def sharp_box(
    half: tuple[float, float, float],
    turn: np.ndarray | None = None,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    components: int | None = None,
) -> NestedSequence:
    """An exact ReLU network of the largest of |x| - a, |y| - b, |z| - c: a box whose edges are perfectly sharp.

    Args:
        half: a, b and c.
        turn: (3, 3) rotation of the box about its centre, which is moved to `at` then.
        components: how many components the training record says the source has.
    """
    a, b, c = half
    signs = np.array([s * axis for axis in np.eye(3) for s in (1.0, -1.0)])
    signs = signs if turn is None else signs @ turn.T
    # |x| - |y| - a + b where positive, |y|, |z|; then what x and y reach beyond z where positive, |z|.
    second = np.array([[1, 1, -1, -1, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=np.float64)
    third = np.array([[1, 1, -1], [0, 0, 1]], dtype=np.float64)
    weights = (signs, second, third, np.array([[1.0, 1.0]]))
    biases = (-signs @ at, np.array([b - a, 0.0, 0.0]), np.array([c - b, 0.0]), np.array([-c]))
    network = Network(tuple(np.float32(w) for w in weights), tuple(np.float32(b) for b in biases), "relu")
    return NestedSequence((network,), (), training={"components": components})
