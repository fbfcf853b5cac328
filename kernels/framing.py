# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a scene a camera frames: boxes around its objects, and a camera whose clip planes lie close to them.

A box is an affine map, (4, 4), of the cube [-1, 1]^3 to world space, as a neural object's network_to_world is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .cameras import Camera, cube_bounds
from .scenes import Geometry, Region

# The clip planes keep this share of the depth between them from what they hold.
MARGIN = 1e-3


def geometry_box(geometry: Geometry) -> np.ndarray:
    """The box around a mesh in its local space; of no size where there are no vertices. Broken ones do not count."""
    positions = np.asarray(geometry.positions, dtype=np.float64)
    positions = positions[np.isfinite(positions).all(axis=1)]
    box = np.eye(4)
    if not len(positions):
        box[:3, :3] = 0.0
        return box
    low, high = positions.min(axis=0), positions.max(axis=0)
    box[:3, :3], box[:3, 3] = np.diag(0.5 * (high - low)), 0.5 * (low + high)
    return box


def is_placed(matrix: np.ndarray) -> bool:
    """Whether a transform is finite and not flat, so that what it places has a surface with normals."""
    if not np.isfinite(matrix).all():
        return False
    sizes = np.linalg.svd(np.asarray(matrix, dtype=np.float64)[:3, :3], compute_uv=False)
    return bool(sizes[-1] > 1e-9 * sizes[0])


def depth_range(camera: Camera, box: np.ndarray) -> tuple[float, float]:
    """Least and largest view depth of a box."""
    to_depth = -np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))[2]
    middle = float(to_depth @ np.asarray(box, dtype=np.float64)[:, 3])
    extent = float(np.abs(to_depth[:3] @ np.asarray(box, dtype=np.float64)[:3, :3]).sum())
    return middle - extent, middle + extent


def close_camera(camera: Camera, boxes: Sequence[np.ndarray]) -> Camera:
    """The same view with its clip planes moved together as far as they hold the same of the boxes.

    Whatever is counted from the plane of clip_start is then as small as the scene is, and keeps its digits however
    far away the camera stands.
    """
    ranges = [depth_range(camera, box) for box in boxes]
    if not ranges:
        return camera
    near, far = min(low for low, _ in ranges), max(high for _, high in ranges)
    margin = MARGIN * (far - near)
    return replace(
        camera,
        clip_start=float(np.clip(near - margin, camera.clip_start, camera.clip_end)),
        clip_end=float(np.clip(far + margin, camera.clip_start, camera.clip_end)),
    )


def pixel_bounds(region: Region, camera: Camera, box: np.ndarray, size: tuple[int, int]) -> Region | None:
    """The pixels of a region that a box may cover, counted from the region's corner; None for none of them.

    A pixel of margin is for antialiasing.

    Args:
        size: of the whole picture in pixels.
    """
    bounds = cube_bounds(camera, box, size)
    if bounds is None:
        return None
    x, y, width, height = region
    corners = np.array(bounds).reshape(2, 2) - (x, y)
    left, bottom = np.floor(corners[0] - 1.0).clip(0, (width, height)).astype(int)
    right, top = np.ceil(corners[1] + 1.0).clip(0, (width, height)).astype(int)
    if left >= right or bottom >= top:
        return None
    return int(left), int(bottom), int(right - left), int(top - bottom)
