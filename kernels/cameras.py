# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras: from pixels to rays in world space and back, for perspective and orthographic projections.

A camera is the pair of matrices that every 3D program has: a projection (OpenGL's convention, which is Blender's) and
a map from camera space, where the view goes along -z, to world space. Lens shift and pixel aspect are in the
projection. Pixel (0, 0) is the lower left one; its centre is at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera in world space.

    Attributes:
        projection: (4, 4) camera space -> clip space.
        camera_to_world: (4, 4), a rigid motion: no scale.
        clip_start, clip_end: view depths between which surfaces are seen, in world units.
    """

    projection: np.ndarray
    camera_to_world: np.ndarray
    clip_start: float = 0.0
    clip_end: float = float("inf")

    @property
    def is_perspective(self) -> bool:
        """False for an orthographic projection."""
        return self.projection[3, 3] == 0.0


@dataclass(frozen=True)
class PixelRays:
    """Rays through pixels, in world space, with t the distance in world units.

    Attributes:
        origins: (N, 3) where the rays start: on the plane of view depth `clip_start`.
        directions: (N, 3) unit vectors.
        cosines: (N,) view depth gained for each unit of t, so that depth = start_depth + t * cosines.
        start_depth: view depth of the origins.
    """

    origins: np.ndarray
    directions: np.ndarray
    cosines: np.ndarray
    start_depth: float

    def depth(self, t: np.ndarray) -> np.ndarray:
        """View depth at (N,) ray parameters: along the camera's axis, as Cycles' Depth pass counts it."""
        return self.start_depth + t * self.cosines


def pixel_rays(
    camera: Camera,
    size: tuple[int, int],
    region: tuple[int, int, int, int],
    offset: tuple[float, float] = (0.0, 0.0),
) -> PixelRays:
    """One ray through each pixel of a region, rows from the bottom up.

    Args:
        size: width and height in pixels of the whole picture that the projection covers.
        region: x, y, width and height of the wanted part of it, in pixels.
        offset: added to the pixels' centres, in pixels, for antialiasing.
    """
    x, y, width, height = region
    columns = (x + np.arange(width) + 0.5 + offset[0]) * 2.0 / size[0] - 1.0
    rows = (y + np.arange(height) + 0.5 + offset[1]) * 2.0 / size[1] - 1.0
    ndc_x, ndc_y = (grid.reshape(-1) for grid in np.meshgrid(columns, rows))
    projection = np.asarray(camera.projection, dtype=np.float64)
    zero, one = np.zeros_like(ndc_x), np.ones_like(ndc_x)
    # The projection's first two rows solved for camera space: on the plane z = -1, or for parallel rays on z = 0.
    if camera.is_perspective:
        directions = np.stack(
            [(ndc_x + projection[0, 2]) / projection[0, 0], (ndc_y + projection[1, 2]) / projection[1, 1], -one], axis=1
        )
        origins = directions * camera.clip_start
    else:
        directions = np.stack([zero, zero, -one], axis=1)
        origins = np.stack(
            [
                (ndc_x - projection[0, 3]) / projection[0, 0],
                (ndc_y - projection[1, 3]) / projection[1, 1],
                -one * camera.clip_start,
            ],
            axis=1,
        )
    lengths = np.linalg.norm(directions, axis=1)
    to_world = np.asarray(camera.camera_to_world, dtype=np.float64)
    return PixelRays(
        origins @ to_world[:3, :3].T + to_world[:3, 3],
        (directions / lengths[:, None]) @ to_world[:3, :3].T,
        1.0 / lengths,
        camera.clip_start,
    )


def project(camera: Camera, points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions (N, 2) and view depths (N,) of (N, 3) points in world space.

    Positions of points that are not in front of a perspective camera are meaningless.
    """
    to_camera = np.linalg.inv(camera.camera_to_world)
    seen = points @ to_camera[:3, :3].T + to_camera[:3, 3]
    clip = seen @ camera.projection[:, :3].T + camera.projection[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        ndc = clip[:, :2] / clip[:, 3:]
    return (ndc + 1.0) * 0.5 * np.asarray(size, dtype=np.float64), -seen[:, 2]
