# SPDX-License-Identifier: GPL-3.0-or-later
"""What a view of the scene of viewport_scenarios.py must show, pixel by pixel, from the shapes' closed forms."""

from __future__ import annotations

import numpy as np
import shapes
from PIL import Image

# Signed distances in each object's own space, where the objects have these sizes.
DISTANCES = {
    "Torus": shapes.torus(0.55, 0.22),
    "Cube": shapes.box((0.8, 0.8, 0.8)),
    "Sphere": shapes.sphere(0.9),
}
# Which of red, green and blue an object has, and nothing else in the scene has in excess.
CHANNELS = {"Cube": 0, "Torus": 1, "Sphere": 2}
NOBODY = -1
# The channel of an object exceeds the others by this much, of 255.
EXCESS = 60
STEPS = 160


def expected_owners(view: dict, objects: dict[str, list], stride: int) -> np.ndarray:
    """The channel of the object seen through each `stride`-th pixel, or NOBODY: (H, W), the upper row first.

    Args:
        view: as a scenario recorded it: the region and its perspective matrix, world to clip space.
        objects: world matrices of the visible objects by name.
    """
    _, _, width, height = view["region"]
    x, y = np.meshgrid(np.arange(0, width, stride) + 0.5, np.arange(0, height, stride) + 0.5)
    clip = np.stack([2.0 * x / width - 1.0, 1.0 - 2.0 * y / height], -1).reshape(-1, 2)
    to_world = np.linalg.inv(np.array(view["matrix"]))
    near, far = (_unprojected(to_world, clip, depth) for depth in (-1.0, 1.0))
    lengths = np.linalg.norm(far - near, axis=1)
    directions = (far - near) / lengths[:, None]
    nearest, owners = np.full(len(clip), np.inf), np.full(len(clip), NOBODY)
    for name, matrix in objects.items():
        reached = _trace(name, np.array(matrix), near, directions, lengths)
        owners[reached < nearest] = CHANNELS[name]
        nearest = np.minimum(nearest, reached)
    return owners.reshape(x.shape)


def _unprojected(to_world: np.ndarray, clip: np.ndarray, depth: float) -> np.ndarray:
    points = np.column_stack([clip, np.full(len(clip), depth), np.ones(len(clip))]) @ to_world.T
    return points[:, :3] / points[:, 3:]


def _trace(
    name: str, matrix: np.ndarray, origins: np.ndarray, directions: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Distances along rays at which an object is hit, infinite where it is missed. Its scale is uniform."""
    inverse = np.linalg.inv(matrix)
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    local = origins @ inverse[:3, :3].T + inverse[:3, 3]
    local_directions = directions @ inverse[:3, :3].T
    travelled = np.zeros(len(origins))
    distance = np.full(len(origins), np.inf)
    for _ in range(STEPS):
        alive = (distance > 1e-5) & (travelled < lengths)
        points = local[alive] + travelled[alive, None] * local_directions[alive]
        # A ray that starts inside goes on to the surface too.
        distance[alive] = np.abs(DISTANCES[name](points)) * scale
        travelled[alive] += distance[alive]
    return np.where((distance < 1e-2) & (travelled < lengths), travelled, np.inf)


def seen_owners(picture: Image.Image, view: dict, stride: int) -> np.ndarray:
    """The same as `expected_owners`, as a screenshot shows it."""
    left, top, width, height = view["region"]
    pixels = np.asarray(picture.convert("RGB"), np.int32)[top : top + height, left : left + width][::stride, ::stride]
    excess = pixels.max(-1) - np.median(pixels, axis=-1)
    return np.where(excess > EXCESS, pixels.argmax(-1), NOBODY)


def agreement(expected: np.ndarray, seen: np.ndarray) -> float:
    """Share of the pixels on which the two agree, apart from those beside a border between two owners."""
    padded = np.pad(expected, 1, mode="edge")
    height, width = expected.shape
    around = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    inner = np.all([neighbour == expected for neighbour in around], axis=0)
    return float((expected == seen)[inner].mean())
