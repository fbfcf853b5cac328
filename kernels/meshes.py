# SPDX-License-Identifier: GPL-3.0-or-later
"""Triangle meshes as arrays: checked, cleaned and placed in network space before anything is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Half extent of the longest side in network space. The rest of the cube is room for the bands of the
# coarse levels and for sphere tracing to start outside of them.
FILLED_SHARE = 0.9

# Coordinates beyond this are mistakes, and their squares would leave single precision.
FARTHEST = 1e18


class MeshError(ValueError):
    """The mesh cannot be trained on. The message says why and what to do, in words for the artist."""


@dataclass(frozen=True)
class TriangleMesh:
    """Triangles of a mesh in its local space.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64 indices of vertices, counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray


def clean(mesh: TriangleMesh) -> TriangleMesh:
    """The mesh ready for sampling: coincident vertices merged, triangles without area and loose vertices dropped.

    Vertices are merged only where their coordinates are equal, which joins the seams that exporters cut for UVs.

    Raises:
        MeshError: the arrays are no mesh, a coordinate is not finite, or no triangle with an area is left.
    """
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    if not len(faces):
        raise MeshError("The mesh has no faces: add faces before training")
    if vertices.dtype.kind not in "fiu" or faces.dtype.kind not in "iu":
        raise MeshError("The mesh is damaged: its vertices or faces are not numbers")
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise MeshError("The mesh is damaged: vertices and triangles do not come in threes")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError("The mesh is damaged: faces refer to vertices that do not exist")
    vertices, faces = _without_loose_vertices(vertices.astype(np.float64), faces.astype(np.int64))
    if not np.isfinite(vertices).all():
        raise MeshError("The mesh has vertices whose position is not a finite number: delete them before training")
    if np.abs(vertices).max() > FARTHEST:
        raise MeshError("The mesh has vertices that are too far from its origin: move them closer or scale it down")
    vertices, faces = _merged(vertices, faces)
    extent = float(np.ptp(vertices, axis=0).max())
    if extent == 0.0:
        raise MeshError("All vertices of the mesh lie in one point: there is no surface to train on")
    # Areas are compared in units of the extent, so that a mesh of a micrometre counts as one of a kilometre.
    faces = faces[doubled_areas((vertices - vertices.mean(axis=0)) / extent, faces) > 1e-14]
    if not len(faces):
        raise MeshError("All faces of the mesh have zero area: there is no surface to train on")
    return TriangleMesh(*_without_loose_vertices(vertices, faces))


def _without_loose_vertices(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that faces use, in their order, and the faces renumbered."""
    used = np.zeros(len(vertices), dtype=bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces]


def _merged(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One vertex for all that are equal, sorted by x, y and z, and the faces renumbered.

    What `np.unique(axis=0)` does, in a tenth of its time, which counts on a mesh of millions of triangles.
    """
    order = np.lexsort(vertices.T[::-1])
    ordered = vertices[order]
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    number = np.empty(len(vertices), dtype=np.int64)
    number[order] = np.cumsum(is_new) - 1
    return ordered[is_new], number[faces]


def doubled_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Twice the area of each triangle: (F,)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1)


def network_space(mesh: TriangleMesh) -> tuple[tuple[float, float, float], float]:
    """(center, radius) of p_local = center + radius * p_network that put a mesh into the cube [-1, 1]^3.

    The longest side of its bounding box fills `FILLED_SHARE` of the cube.
    """
    lowest, highest = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    center = (lowest + highest) / 2
    return tuple(map(float, center)), float((highest - lowest).max() / 2 / FILLED_SHARE)


def in_network_space(mesh: TriangleMesh) -> TriangleMesh:
    """The mesh in network space, as `network_space` places it."""
    center, radius = network_space(mesh)
    return TriangleMesh((mesh.vertices - np.asarray(center)) / radius, mesh.faces)
