# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a scene a camera frames: boxes around its objects, and a camera whose clip planes lie close to them.

A box is an affine map, (4, 4), of the cube [-1, 1]^3 to world space, as a neural object's network_to_world is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from .cameras import Camera, project
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


def close_camera(camera: Camera, boxes: Sequence[np.ndarray]) -> Camera:
    """The same view with its clip planes moved together as far as they hold the same of the boxes.

    Whatever is counted from the plane of clip_start is then as small as the scene is, and keeps its digits however
    far away the camera stands.
    """
    if not len(boxes):
        return camera
    stacked = np.asarray(boxes, dtype=np.float64)
    to_depth = -np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))[2]
    middles, extents = stacked[:, :, 3] @ to_depth, np.abs(to_depth[:3] @ stacked[:, :3, :3]).sum(axis=1)
    near, far = float((middles - extents).min()), float((middles + extents).max())
    margin = MARGIN * (far - near)
    return replace(
        camera,
        clip_start=float(np.clip(near - margin, camera.clip_start, camera.clip_end)),
        clip_end=float(np.clip(far + margin, camera.clip_start, camera.clip_end)),
    )


def screen_bounds(camera: Camera, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The rectangles that boxes (B, 4, 4) cover on screen, in pixels: (B, 4) left, bottom, right, top.

    They are infinite where a box reaches behind a perspective camera. A box that lies outside of the clip planes has
    its right at minus infinity.
    """
    corners = np.array(list(product((-1.0, 1.0), repeat=3)))
    points = corners @ boxes[:, :3, :3].transpose(0, 2, 1) + boxes[:, None, :3, 3]
    pixels, depths = project(camera, points.reshape(-1, 3), size)
    pixels, depths = pixels.reshape(-1, 8, 2), depths.reshape(-1, 8)
    bounds = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    if camera.is_perspective:
        # A corner behind the camera has no projection; the box may cover anything.
        behind = (depths <= 1e-6 * np.abs(depths).max(axis=1, keepdims=True)).any(axis=1)
        bounds[behind] = (-np.inf, -np.inf, np.inf, np.inf)
    unseen = (depths.max(axis=1) < camera.clip_start) | (depths.min(axis=1) > camera.clip_end)
    bounds[unseen, 2] = -np.inf
    return bounds


def overlap(bounds: np.ndarray, region: Region) -> np.ndarray:
    """Whether rectangles (B, 4) of `screen_bounds` may show something in a region: (B,). See `covered_pixels`."""
    left, bottom, right, top = bounds.T
    x, y, width, height = region
    return (left < x + width + 1) & (right > x - 1) & (bottom < y + height + 1) & (top > y - 1)


def covered_pixels(bounds: Sequence[float], region: Region) -> Region | None:
    """The pixels of a region in a rectangle (4,) of `screen_bounds`, from the region's corner; None for none of them.

    A pixel of margin is for antialiasing.
    """
    x, y, width, height = region
    lows = (bounds[0] - x - 1.0, width), (bounds[1] - y - 1.0, height)
    highs = (bounds[2] - x + 1.0, width), (bounds[3] - y + 1.0, height)
    # Limited before they are rounded, because they may be infinite.
    left, bottom = (math.floor(min(max(low, 0.0), limit)) for low, limit in lows)
    right, top = (math.ceil(min(max(high, 0.0), limit)) for high, limit in highs)
    return (left, bottom, right - left, top - bottom) if left < right and bottom < top else None


def pixel_bounds(region: Region, camera: Camera, box: np.ndarray, size: tuple[int, int]) -> Region | None:
    """The pixels of a region that a box may cover, as `covered_pixels`.

    Args:
        size: of the whole picture in pixels.
    """
    return covered_pixels(screen_bounds(camera, np.asarray(box, dtype=np.float64)[None], size)[0], region)
