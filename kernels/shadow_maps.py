# SPDX-License-Identifier: GPL-3.0-or-later
"""The sun's shadows of meshes by a shadow map: what the sun sees of them, the same on the CPU and the GPU.

Points are compared a little in front of the surface that they lie on. A plane's depth towards the sun changes by the
tangent of its slope from texel to texel; moving the point along its normal by the texels that are looked at, times
the slope's sine, is just enough for planes of any slope.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cameras import Camera

# Texels of the map along each axis.
SHADOW_MAP_SIDE = 2048
# Texels by which points are moved along their normals: the four that are looked at lie within the square root of 2.
NORMAL_OFFSET = 1.5
# Texels by which points are moved towards the sun besides: surfaces are not flat.
DEPTH_OFFSET = 0.5
# A box so many times larger than all others together is taken for the ground that they stand on: the map is made for
# what stands there, because a ground of kilometres would leave no texels for it.
GROUND_RATIO = 8.0
# Free texels around what casts shadows, so that those beside it are lit.
BORDER = 2


def sun_camera(direction: tuple[float, float, float], boxes: Sequence[np.ndarray]) -> Camera:
    """The orthographic camera that looks along the sun's light at all that casts shadows; its pixels are square.

    A huge ground need not fit into it: what lies beyond the map is lit.

    Args:
        direction: unit vector towards the sun, world space.
        boxes: at least one box around what casts shadows: (4, 4) affine maps of the cube [-1, 1]^3 to world space.
    """
    backward = np.asarray(direction, dtype=np.float64)
    backward = backward / np.linalg.norm(backward)
    # Any axis that is not nearly parallel to the light.
    right = np.cross(np.eye(3)[np.argmin(np.abs(backward))], backward)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(backward, right), backward])
    matrices = _without_ground(np.asarray(boxes, dtype=np.float64))
    middles = matrices[:, :3, 3] @ axes.T
    extents = np.abs(axes @ matrices[:, :3, :3]).sum(axis=2)
    low, high = (middles - extents).min(axis=0), (middles + extents).max(axis=0)
    center = 0.5 * (low + high)
    half = max(0.5 * float((high - low)[:2].max()), 1e-9) * SHADOW_MAP_SIDE / (SHADOW_MAP_SIDE - 2.0 * BORDER)
    depth = max(float(high[2] - low[2]), half * 1e-3)
    to_world = np.eye(4)
    to_world[:3, :3] = axes.T
    # A little before the nearest point, so that none is clipped.
    to_world[:3, 3] = axes.T @ np.array([center[0], center[1], high[2] + 0.01 * depth])
    projection = np.diag([1.0 / half, 1.0 / half, -2.0 / depth, 1.0])
    return Camera(projection, to_world, 0.0, 1.02 * depth)


def _without_ground(boxes: np.ndarray) -> np.ndarray:
    """Boxes (B, 4, 4) but for one that is much larger than all others together."""
    extents = np.abs(boxes[:, :3, :3]).sum(axis=2)
    largest = int(extents.max(axis=1).argmax())
    others = np.delete(np.arange(len(boxes)), largest)
    if not len(others):
        return boxes
    middles = boxes[others, :3, 3]
    size = ((middles + extents[others]).max(axis=0) - (middles - extents[others]).min(axis=0)).max()
    return boxes[others] if 0.0 < GROUND_RATIO * size < 2.0 * extents[largest].max() else boxes


def texel_size(camera: Camera) -> float:
    """Side of a texel of the map in world units."""
    return 2.0 / (float(camera.projection[0, 0]) * SHADOW_MAP_SIDE)


def world_to_map(camera: Camera) -> np.ndarray:
    """(3, 4) rows that take world points to texels x and y of the map (centres at halves) and to view depth."""
    to_camera = np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))
    to_clip = np.asarray(camera.projection, dtype=np.float64) @ to_camera
    half = 0.5 * SHADOW_MAP_SIDE
    last = np.array([0.0, 0.0, 0.0, 1.0])
    return np.stack([half * (to_clip[0] + last), half * (to_clip[1] + last), -to_camera[2]])


def sun_visibility(camera: Camera, depths: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """How much of the sun points see, 0 to 1: the four nearest texels weighted by nearness.

    Args:
        camera: from `sun_camera`.
        depths: (SHADOW_MAP_SIDE, SHADOW_MAP_SIDE) view depth of the nearest surface through the texels' centres,
            infinite for none; rows from the bottom up.
        points: (N, 3) on surfaces, world space.
        normals: (N, 3) unit, world space.

    Returns:
        (N,) shares.
    """
    texel = texel_size(camera)
    to_sun = np.asarray(camera.camera_to_world, dtype=np.float64)[:3, 2]
    rows = world_to_map(camera)
    moved = points + (NORMAL_OFFSET * texel) * normals + (DEPTH_OFFSET * texel) * to_sun
    x, y, depth = (moved @ rows[:, :3].T + rows[:, 3]).T
    left, bottom = np.floor(x - 0.5), np.floor(y - 0.5)
    share_x, share_y = x - 0.5 - left, y - 0.5 - bottom
    visible = np.zeros(len(points))
    for step_x, weight_x in ((0, 1.0 - share_x), (1, share_x)):
        for step_y, weight_y in ((0, 1.0 - share_y), (1, share_y)):
            column, row = left + step_x, bottom + step_y
            known = (column >= 0) & (column < SHADOW_MAP_SIDE) & (row >= 0) & (row < SHADOW_MAP_SIDE)
            last = SHADOW_MAP_SIDE - 1
            found = depths[row.clip(0, last).astype(np.int64), column.clip(0, last).astype(np.int64)]
            visible += weight_x * weight_y * (~known | (found >= depth))
    return visible
