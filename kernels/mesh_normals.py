# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of the points of a mesh: between its corners, or a neural object's where the mesh wears those."""

from __future__ import annotations

import numpy as np

from .arrays import normalize_rows
from .normal_mapping import band_weights, normals_at, seen_normals
from .scenes import MeshInstance
from .shading import facing_normals


def normals_to_world(local_to_world: np.ndarray) -> np.ndarray:
    """The matrices N, (..., 3, 3), that take meshes' normals to the world, n_world = N n, but for their lengths.

    The inverse transpose of (..., 4, 4) transforms by its cofactors, which are there for flat transforms, too; the
    largest entry is 1, so that float32 holds them all. Normals that look outside still do so where the transform
    mirrors.
    """
    linear = np.asarray(local_to_world, dtype=np.float64)[..., :3, :3]
    first, second, third = (linear[..., row, :] for row in range(3))
    cofactors = np.stack([np.cross(second, third), np.cross(third, first), np.cross(first, second)], axis=-2)
    largest = np.abs(cofactors).max(axis=(-2, -1), keepdims=True)
    return handedness(local_to_world)[..., None, None] * cofactors / np.maximum(largest, 1e-300)


def handedness(local_to_world: np.ndarray) -> np.ndarray:
    """-1 for transforms that mirror, so that triangles turn the other way on screen; else 1: (..., 4, 4) -> (...,)."""
    return np.where(np.linalg.det(np.asarray(local_to_world, dtype=np.float64)[..., :3, :3]) < 0.0, -1.0, 1.0)


def corner_normals(normals: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Normals (T, 3, 3) of corners at positions (T, 3, 3): those given, or the triangle's own where there is none."""
    missing = ~((normals * normals).sum(axis=2) > 1e-12)
    if not missing.any():
        return normals
    own = normalize_rows(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    return np.where(missing[:, :, None], own[:, None], normals)


def mesh_normals(
    mesh: MeshInstance, triangles: np.ndarray, barycentrics: np.ndarray, front: np.ndarray, views: np.ndarray
) -> np.ndarray:
    """Normals of a mesh's points, facing the viewer.

    Args:
        triangles: (N,) rows in the geometry.
        barycentrics: (N, 3) of the points.
        front: (N,) whether the triangle's corners turn counterclockwise on screen.
        views: (N, 3) unit vectors towards the viewer, world space.

    Returns:
        (N, 3) unit, world space.
    """
    geometry = mesh.geometry
    to_world = normals_to_world(mesh.local_to_world).T
    corners = geometry.positions[geometry.triangles[triangles]].astype(np.float64)
    own = (corner_normals(geometry.normals[triangles], corners) * barycentrics[:, :, None]).sum(axis=1)
    from_behind = front != (handedness(mesh.local_to_world) > 0.0)
    facing = normalize_rows(own @ to_world) * np.where(from_behind, -1.0, 1.0)[:, None]
    facing = facing_normals(facing, views)
    if mesh.neural_normals is None:
        return facing
    wanted = mesh.neural_normals
    local_points = (corners * barycentrics[:, :, None]).sum(axis=1)
    neural, places = normals_at(wanted.sequence, local_points, np.asarray(wanted.local_to_network, dtype=np.float64))
    weights = band_weights(places, wanted.transition)
    return facing_normals(seen_normals(facing, normalize_rows(neural @ to_world), weights), views)
