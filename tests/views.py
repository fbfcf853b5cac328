# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras and renderable meshes for tests of the renderers.

The tests of the GPU test the installed extension, whose classes are not those of the repository's `kernels`. It reads
these as well, because it asks for none of their classes.
"""

from __future__ import annotations

import numpy as np

from kernels.cameras import Camera
from kernels.meshes import TriangleMesh
from kernels.scenes import Geometry


def looking_at(
    target: tuple[float, float, float],
    eye: tuple[float, float, float],
    zoom: float = 2.4,
    perspective: bool = True,
    shift: tuple[float, float] = (0.0, 0.0),
    aspect: float = 1.0,
    clip_start: float = 0.1,
    clip_end: float = 100.0,
) -> Camera:
    """A camera at `eye`. To each side it sees 1 / zoom, at the distance 1, or at any distance when not perspective."""
    backward = np.asarray(eye, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    backward /= np.linalg.norm(backward)
    # Whichever axis is not nearly along the view is up.
    right = np.cross([0.0, 0.0, 1.0] if abs(backward[2]) < 0.99 else [0.0, 1.0, 0.0], backward)
    right /= np.linalg.norm(right)
    to_world = np.eye(4)
    to_world[:3, :3] = np.stack([right, np.cross(backward, right), backward], axis=1)
    to_world[:3, 3] = eye
    projection = np.diag([zoom, zoom * aspect, -1.0, 0.0 if perspective else 1.0])
    if perspective:
        projection[:2, 2] = shift
        projection[2, 3], projection[3, 2] = -0.2, -1.0
    else:
        projection[:2, 3] = np.negative(shift)
    return Camera(projection, to_world, clip_start, clip_end)


def placed(linear: np.ndarray | float, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """(4, 4) affine transform of a (3, 3) linear map, or a factor, and an offset."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear * np.eye(3) if np.isscalar(linear) else linear, offset
    return matrix


def flat_geometry(mesh: TriangleMesh, key: str) -> Geometry:
    """A mesh shaded flat."""
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.repeat((across / np.linalg.norm(across, axis=1)[:, None])[:, None], 3, axis=1)
    return _geometry(mesh, normals, key)


def round_geometry(mesh: TriangleMesh, key: str) -> Geometry:
    """A mesh around the origin shaded as a sphere: normals point away from the origin."""
    corners = mesh.vertices[mesh.faces]
    return _geometry(mesh, corners / np.linalg.norm(corners, axis=2)[..., None], key)


def _geometry(mesh: TriangleMesh, normals: np.ndarray, key: str) -> Geometry:
    slots = np.zeros(len(mesh.faces), dtype=np.int32)
    return Geometry(
        mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), normals.astype(np.float32), slots, key
    )
