# SPDX-License-Identifier: GPL-3.0-or-later
"""A shape known in closed form, and a sequence fitted to it by least squares in a second: no mesh, no training."""

from __future__ import annotations

from functools import cache

import numpy as np

from kernels.meshes import TriangleMesh
from kernels.networks import Network, evaluate, random_network
from kernels.sequence import Band, NestedSequence

WIDTHS = ((64, 64), (128, 128, 128), (256, 256, 256, 256))
RING, TUBE, BUMPS = 0.6, 0.28, 0.01


def bumpy_torus(points: np.ndarray) -> np.ndarray:
    """The shape: (N, 3) -> (N,), near signed distances in network units."""
    ring = np.hypot(np.hypot(points[:, 0], points[:, 1]) - RING, points[:, 2]) - TUBE
    return ring - BUMPS * np.sin(12.0 * points).prod(axis=1)


def bumpy_torus_mesh(around: int = 240, across: int = 112) -> TriangleMesh:
    """Triangles of the shape, 2 * around * across of them, seen from outside; every vertex on its surface."""
    u, v = np.meshgrid(
        2.0 * np.pi * np.arange(around) / around, 2.0 * np.pi * np.arange(across) / across, indexing="ij"
    )
    u, v = u.reshape(-1), v.reshape(-1)
    normals = np.column_stack([np.cos(u) * np.cos(v), np.sin(u) * np.cos(v), np.sin(v)])
    points = RING * np.column_stack([np.cos(u), np.sin(u), np.zeros_like(u)]) + TUBE * normals
    # Along the torus' normals the shape's values grow by about one unit for each unit of length.
    for _ in range(20):
        points -= bumpy_torus(points)[:, None] * normals
    index = np.arange(around * across).reshape(around, across)
    corners = [np.roll(index, shift, axis=(0, 1)).reshape(-1) for shift in ((0, 0), (-1, 0), (-1, -1), (0, -1))]
    a, b, c, d = corners
    return TriangleMesh(points, np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]))


def fitted(widths: tuple[int, ...], seed: int) -> Network:
    """A network of these widths whose last layer is fitted to `bumpy_torus`, the others being random."""
    network = random_network(widths, seed=seed, omega=1.0)
    first = network.weights[0] * np.float32(4.0), *network.weights[1:]
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, (20_000, 3)).astype(np.float32)
    near = points[np.abs(bumpy_torus(points)) < 0.1]
    points = np.concatenate([points, np.repeat(near, 4, axis=0)])
    h = points.astype(np.float64)
    for weight, bias in zip(first[:-1], network.biases[:-1], strict=True):
        h = np.sin(h @ weight.T + bias)
    h = np.column_stack([h, np.ones(len(h))])
    solution = np.linalg.solve(h.T @ h + 1e-5 * np.eye(h.shape[1]), h.T @ bumpy_torus(points)).astype(np.float32)
    return Network((*first[:-1], solution[None, :-1]), (*network.biases[:-1], solution[-1:]))


@cache
def fitted_sequence() -> NestedSequence:
    """`64x1 > 128x2 > 256x3`, its bands as wide as the levels differ near the surface."""
    levels = [fitted(widths, seed) for seed, widths in enumerate(WIDTHS)]
    points = np.random.default_rng(9).uniform(-1.0, 1.0, (40_000, 3)).astype(np.float32)
    near = points[np.abs(evaluate(levels[-1], points)) < 0.05]
    deltas, delta = [], 0.0
    for coarse, fine in zip(levels[-2::-1], levels[:0:-1], strict=True):
        delta += float(np.abs(evaluate(coarse, near) - evaluate(fine, near)).max()) * 1.2
        deltas.insert(0, delta)
    return NestedSequence(tuple(levels), tuple(Band(each, "sampled") for each in deltas))
