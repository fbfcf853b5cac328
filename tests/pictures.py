# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of pictures share: a camera, transforms, and ellipsoids in closed form."""

from __future__ import annotations

import numpy as np

from kernels.cameras import Camera, pixel_rays
from kernels.scenes import RenderConfig

CONFIG = RenderConfig(64, 48, samples=1, trace_finest=True)
RADIUS = 0.6


def camera(distance: float = 4.0, perspective: bool = True) -> Camera:
    """Looks along -z from `distance`."""
    projection = np.diag([2.4, 3.2, -1.0, 0.0]) if perspective else np.diag([0.5, 0.66, -1.0, 1.0])
    if perspective:
        projection[3, 2] = -1.0
    to_world = np.eye(4)
    to_world[2, 3] = distance
    return Camera(projection, to_world, 0.1, 100.0)


def placed(linear: np.ndarray, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, offset
    return matrix


def ellipsoid(view: Camera, matrix: np.ndarray, config: RenderConfig) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) of the sphere under an affine map, by the quadratic equation."""
    rays = pixel_rays(view, (config.width, config.height), config.rendered_region)
    inverse = np.linalg.inv(matrix)
    o = rays.origins @ inverse[:3, :3].T + inverse[:3, 3]
    d = rays.directions @ inverse[:3, :3].T
    a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - RADIUS**2
    with np.errstate(invalid="ignore"):
        t = (-b - np.sqrt(b * b - a * c)) / a
    normals = (o + t[:, None] * d) @ inverse[:3, :3]
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    shape = config.rendered_region[3], config.rendered_region[2]
    return np.where(np.isnan(t), np.inf, rays.depth(t)).reshape(shape), normals.reshape(*shape, 3)


ROTATION = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
TRANSFORMS = {
    "identity": np.eye(3),
    "tiny": 1e-3 * np.eye(3),
    "huge": 1e3 * np.eye(3),
    "stretched": ROTATION @ np.diag([1.0, 0.4, 1.8]),
    "mirrored": ROTATION @ np.diag([-1.0, 0.7, 1.2]),
    "sheared": np.array([[1.0, 0.5, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 1.1]]),
}
