# SPDX-License-Identifier: GPL-3.0-or-later
"""Points spread evenly over triangles, with normals blended across the edges that are no creases."""

from __future__ import annotations

import igl
import numpy as np

from .meshes import TriangleMesh, doubled_areas


def smooth_corner_normals(mesh: TriangleMesh, crease_degrees: float) -> np.ndarray:
    """Unit normals of each triangle's corners, blended over faces that meet at less than a crease: (F, 3, 3)."""
    return igl.per_corner_normals(mesh.vertices, mesh.faces, crease_degrees).reshape(-1, 3, 3)


def flat_corner_normals(mesh: TriangleMesh) -> np.ndarray:
    """The unit normal of each triangle at its three corners: (F, 3, 3)."""
    return np.repeat(igl.per_face_normals(mesh.vertices, mesh.faces)[:, None], 3, axis=1)


def surface_samples(
    mesh: TriangleMesh, corner_normals: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points uniform by area, stratified, in random order.

    Args:
        mesh: triangles in any space.
        corner_normals: (F, 3, 3) unit normals to interpolate.
        count: number of points.
        rng: source of randomness.

    Returns:
        (count, 3) points, (count, 3) unit normals, and (count,) the face of each.
    """
    cumulative = np.cumsum(doubled_areas(mesh.vertices, mesh.faces))
    strata = (np.arange(count) + rng.random(count)) * (cumulative[-1] / count)
    faces = np.searchsorted(cumulative, strata).clip(0, len(mesh.faces) - 1)
    rng.shuffle(faces)
    # Square root: uniform over the triangle, not crowded towards its first corner.
    root, other = np.sqrt(rng.random(count)), rng.random(count)
    barycentric = np.stack([1.0 - root, root * (1.0 - other), root * other], axis=1)[:, :, None]
    points = (mesh.vertices[mesh.faces[faces]] * barycentric).sum(axis=1)
    normals = (corner_normals[faces] * barycentric).sum(axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
    return points, normals, faces
