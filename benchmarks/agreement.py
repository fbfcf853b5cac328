# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU's pictures against the CPU's: where both see something, how far away, facing which way.

`python -m benchmarks agreement` renders what the presets' benchmark trained and two shapes in closed form from four
cameras, on the GPU that EGL offers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.cameras import Camera
from kernels.scenes import BACKGROUND_DEPTH, Tile

SIDE = 256
# The depths of two pictures are the same within this share of the object's extent...
DEPTH_TOLERANCE = 1e-3
# ... and normals within this angle, in degrees.
NORMAL_TOLERANCE = 1.0


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels, 0 to 1, on which two pictures agree.

    Attributes:
        masks: both see something or both see nothing, of all pixels.
        depths: within DEPTH_TOLERANCE of the extent, of the pixels on which both see something.
        normals: within NORMAL_TOLERANCE, of the same pixels.
        seen: share of pixels on which both see something.
    """

    masks: float
    depths: float
    normals: float
    seen: float


def agreement(first: Tile, second: Tile, extent: float) -> Agreement:
    """Compare two pictures of the same view.

    Args:
        extent: of what is seen, in world units.
    """
    seen = [tile.depth < 0.5 * BACKGROUND_DEPTH for tile in (first, second)]
    both = seen[0] & seen[1]
    cosines = (first.normal * second.normal).sum(axis=2)[both]
    return Agreement(
        float(np.mean(seen[0] == seen[1])),
        float(np.mean(np.abs(first.depth[both] - second.depth[both]) <= DEPTH_TOLERANCE * extent)),
        float(np.mean(cosines >= np.cos(np.radians(NORMAL_TOLERANCE)))),
        float(np.mean(both)),
    )


def whole_picture(tiles: list[Tile]) -> Tile:
    """Tiles that make up a rectangle, as one."""
    left, bottom = (min(tile.region[axis] for tile in tiles) for axis in (0, 1))
    right, top = (max(tile.region[axis] + tile.region[axis + 2] for tile in tiles) for axis in (0, 1))
    fields = ("combined", "depth", "normal", "object_index")
    joined = {
        name: np.zeros((top - bottom, right - left, *getattr(tiles[0], name).shape[2:]), dtype=np.float32)
        for name in fields
    }
    for tile in tiles:
        x, y, width, height = tile.region
        for name in fields:
            joined[name][y - bottom : y - bottom + height, x - left : x - left + width] = getattr(tile, name)
    return Tile((left, bottom, right - left, top - bottom), **joined)


def cameras(extent: float) -> dict[str, Camera]:
    """Four cameras around the origin that see an object of that extent: in front, above, near, and parallel."""
    views = {
        "front": ((1.6, -3.4, 1.2), 3.0, True),
        "above": ((-0.5, 0.6, 3.6), 3.0, True),
        "near": ((-1.1, -0.9, 0.3), 1.2, True),
        "parallel": ((-2.0, 1.0, -1.5), 0.85, False),
    }
    return {
        name: _camera(np.array(eye) * 0.5 * extent, zoom, perspective, extent)
        for name, (eye, zoom, perspective) in views.items()
    }


def _camera(eye: np.ndarray, zoom: float, perspective: bool, extent: float) -> Camera:
    """Looks from `eye` at the origin, z up. It sees 1 / zoom to each side, of the distance or of half the extent."""
    backward = eye / np.linalg.norm(eye)
    right = np.cross((0.0, 0.0, 1.0), backward)
    right /= np.linalg.norm(right)
    to_world = np.eye(4)
    to_world[:3, :4] = np.column_stack([right, np.cross(backward, right), backward, eye])
    projection = np.diag([zoom, zoom, -1.0, 0.0])
    projection[3, 2] = -1.0
    if not perspective:
        projection = np.diag([2.0 * zoom / extent, 2.0 * zoom / extent, -1.0, 1.0])
    return Camera(projection, to_world, 0.01 * extent, 100.0 * extent)
