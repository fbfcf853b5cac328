# SPDX-License-Identifier: GPL-3.0-or-later
"""Baking: what neural normal mapping onto the vertices of any mesh needs besides the normals themselves."""

from __future__ import annotations

import numpy as np

from .normal_mapping import normals_at
from .sequence import NestedSequence

# A linear map that shrinks volumes below this, next to what its axes' lengths suggest, has no usable inverse.
SMALLEST_DETERMINANT = 1e-9
# The vertices of a low-poly mesh stand where the surface is most curved. There a network's squared error is larger than
# its mean over the surface: by 1.3 on the bunny and on igea. Rounded up, because a bake must not harm a mesh.
VERTEX_ERROR_FACTOR = 1.5


def between_locals(target_world: np.ndarray, source_world: np.ndarray) -> np.ndarray:
    """The (4, 4) map from the target's local space to the source's, from both (4, 4) local-to-world matrices.

    Raises:
        ValueError: one of the two flattens space (a scale of zero), or is not finite.
    """
    matrices = {"target": np.asarray(target_world, np.float64), "source": np.asarray(source_world, np.float64)}
    for name, matrix in matrices.items():
        linear = matrix[:3, :3]
        volume = np.prod(np.linalg.norm(linear, axis=0))
        # Written so that a matrix with a NaN is refused too.
        if not (np.isfinite(volume) and np.abs(np.linalg.det(linear)) > SMALLEST_DETERMINANT * volume):
            raise ValueError(f"the {name}'s scale is zero along some axis")
    return np.linalg.solve(matrices["source"], matrices["target"])


def normals_from(sequence: NestedSequence, points: np.ndarray, to_source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals of a neural object at the vertices of another object.

    Args:
        points: (N, 3) in the target's local space.
        to_source: (4, 4) from `between_locals`.

    Returns:
        (N, 3) float32 unit normals in the target's local space, zero where there is none, and (N,) booleans:
        whether the point lies in the sequence's bands. Points that are not finite do not.
    """
    normals, places = normals_at(
        sequence, points, np.linalg.inv(sequence.network_to_local) @ to_source, from_surface=True
    )
    return normals, np.isfinite(places)


def smooth_normals(points: np.ndarray, corners: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Smooth normals of a mesh from its geometry alone: at each vertex, the face normals weighted by the faces' angles.

    Blender computes the same (Thuermer and Wuethrich 1998), but shows it only while a mesh has no custom normals:
    with these, `Mesh.vertex_normals` follows them.

    Args:
        points: (V, 3) positions of the vertices.
        corners: (C,) the vertex of each face corner, face after face in order.
        starts: (F,) where the corners of each face begin; each face has three or more.

    Returns:
        (V, 3) float32 unit normals. Vertices whose faces give none take the direction from the origin, as Blender's
        do, or zero where there is none either; faces with vertices that are not finite count for nothing.
    """
    points = np.asarray(points, np.float64)
    total = np.zeros(points.shape)
    if len(starts):
        ends = np.append(starts[1:], len(corners))
        following, preceding = np.arange(1, len(corners) + 1), np.arange(-1, len(corners) - 1)
        following[ends - 1], preceding[starts] = starts, ends - 1
        # Broken vertices are an expected input.
        with np.errstate(invalid="ignore", over="ignore"):
            here = points[corners]
            ahead, behind = here[following] - here, here[preceding] - here
            angles = np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=1), (ahead * behind).sum(axis=1))
            # Newell's normal of a polygon, about its first corner: far from the origin nothing cancels.
            relative = here - np.repeat(here[starts], ends - starts, axis=0)
            areas = np.add.reduceat(np.cross(relative, relative[following]), starts)
            weighted = np.repeat(_unit(areas), ends - starts, axis=0) * angles[:, None]
        weighted[~np.isfinite(weighted).all(axis=1)] = 0.0
        for axis in range(3):
            total[:, axis] = np.bincount(corners, weighted[:, axis], len(points))
    without = ~total.any(axis=1) & np.isfinite(points).all(axis=1)
    total[without] = points[without]
    return _unit(total).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) vectors scaled to length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0.0, lengths, 1.0)


def confidence(own: np.ndarray, baked: np.ndarray, rms_degrees: float) -> float:
    """How much a bake is worth beside a mesh's own smooth normals: a mix factor between 0 and 1.

    On a mesh nearly as fine as the network, the two differ by little more than the network's own error, and a mix is
    better than either. With r the expected squared error of the network over the measured mean squared difference, the
    best weight for independent errors is 1 - r (James and Stein 1961): near 1 on coarse meshes, near 0 on meshes
    whose own normals are as good as they can be. Where it must err, it errs towards the mesh's own normals: see
    `VERTEX_ERROR_FACTOR`.

    Args:
        own, baked: (N, 3) unit normals of the mesh and of the network.
        rms_degrees: root mean square angle between the network's normals and the source's.
    """
    if not len(own):
        return 1.0
    sines = np.linalg.norm(np.cross(own, baked), axis=1)
    squared = np.arctan2(sines, (own * baked).sum(axis=1)) ** 2
    expected = VERTEX_ERROR_FACTOR * np.radians(rms_degrees) ** 2
    return float(max(0.0, 1.0 - expected / max(squared.mean(), 1e-20)))


def encode_colors(normals: np.ndarray) -> np.ndarray:
    """Unit normals as colours, 0.5 n + 0.5 with alpha 1: (N, 3) -> (N, 4) float32."""
    colors = np.ones((len(normals), 4), dtype=np.float32)
    colors[:, :3] = 0.5 * normals + 0.5
    return colors


def decode_colors(colors: np.ndarray) -> np.ndarray:
    """The inverse of `encode_colors`: (N, 4) -> (N, 3), not normalised."""
    return 2.0 * colors[:, :3] - 1.0
