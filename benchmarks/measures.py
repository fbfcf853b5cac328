# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo, the benchmarks and the tests measure with: angles, distances, silhouettes, pictures.

numpy only, and libigl where the closest point of a surface is asked for. Blender's meshes are read through their own
attributes, so that this module imports no bpy. Of the product, only the smooth normals of a mesh are used here, which
the tests compare with Blender's own: what is measured must not judge itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.baking import smooth_normals

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with a normal at each corner of each triangle.

    Attributes:
        vertices: (V, 3) positions.
        triangles: (T, 3) indices of vertices.
        corner_normals: (T, 3, 3) unit normals.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    corner_normals: np.ndarray

    @property
    def extent(self) -> float:
        """Longest side of the bounding box."""
        return float(np.ptp(self.vertices, axis=0).max())

    @property
    def vertex_normals(self) -> np.ndarray:
        """(V, 3) unit normals at the vertices: the mean of the corners there, zero where there is no triangle."""
        total = np.zeros_like(self.vertices)
        np.add.at(total, self.triangles.ravel(), self.corner_normals.reshape(-1, 3))
        return unit(total)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) vectors scaled to length 1; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30)


def surface_of(mesh: bpy.types.Mesh, shown: bool = False) -> Surface:
    """A Blender mesh in its local space.

    Args:
        mesh: the mesh; its triangulation is computed when needed.
        shown: the normals that Blender shows (flat faces, sharp edges, custom normals); else the smooth normals of the
            geometry, which an earlier bake does not change as it does `Mesh.vertex_normals`.
    """
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    vertices = _read(mesh.vertices, "co", len(mesh.vertices), 3).astype(np.float64)
    triangles = _read(mesh.loop_triangles, "vertices", count, 3, np.int32)
    if shown:
        corners = _read(mesh.loop_triangles, "loops", count, 3, np.int32)
        normals = _read(mesh.corner_normals, "vector", len(mesh.loops), 3)[corners]
    else:
        corners = _read(mesh.loops, "vertex_index", len(mesh.loops), 1, np.int32).ravel()
        starts = _read(mesh.polygons, "loop_start", len(mesh.polygons), 1, np.int32).ravel()
        normals = smooth_normals(vertices, corners, starts)[triangles]
    return Surface(vertices, triangles, unit(normals.astype(np.float64)))


def _read(
    collection: bpy.types.bpy_prop_collection, attribute: str, count: int, size: int, dtype: type = np.float32
) -> np.ndarray:
    flat = np.empty(count * size, dtype)
    collection.foreach_get(attribute, flat)
    return flat.reshape(count, size)


def surface_points(surface: Surface, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Area-weighted random points of a surface and their interpolated normals: (count, 3), (count, 3)."""
    rng = np.random.default_rng(seed)
    corners = surface.vertices[surface.triangles]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(areas), count, p=areas / areas.sum())
    # Uniform in the unit square, folded at its diagonal: uniform in a triangle.
    weights = rng.random((count, 2))
    folded = weights.sum(1) > 1.0
    weights[folded] = 1.0 - weights[folded]
    weights = np.column_stack([1.0 - weights.sum(1), weights])
    points = np.einsum("nc,ncd->nd", weights, corners[chosen])
    return points, unit(np.einsum("nc,ncd->nd", weights, surface.corner_normals[chosen]))


def closest_normals(surface: Surface, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated normals at the closest points of a surface, and the distances to them: (N, 3) -> (N, 3), (N,)."""
    import igl

    squared, faces, closest, *_ = igl.point_mesh_squared_distance(points, surface.vertices, surface.triangles)
    corners = surface.vertices[surface.triangles[faces]]
    weights = igl.barycentric_coordinates(
        closest, *(np.ascontiguousarray(corners[:, corner]) for corner in range(3))
    ).reshape(-1, 3)
    normals = unit(np.einsum("nc,ncd->nd", weights, surface.corner_normals[faces]))
    return normals, np.sqrt(squared)


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles between the rows of two arrays of vectors, in degrees: (N, 3), (N, 3) -> (N,)."""
    # arctan2 is exact for small angles, where arccos of the dot product is not.
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def vertex_normal_error(target: Surface, source: Surface) -> float:
    """Mean angle in degrees, at the vertices of `target`, between its normals and those of `source` closest to them.

    Both surfaces are in one space.
    """
    used = np.unique(target.triangles)
    normals, _ = closest_normals(source, target.vertices[used])
    return float(angles(target.vertex_normals[used], normals).mean())


def shaded_normal_error(target: Surface, source: Surface, count: int = 20_000) -> float:
    """The same at area-weighted points of `target`, where its normals are interpolated: what shading shows."""
    points, shaded = surface_points(target, count)
    normals, _ = closest_normals(source, points)
    return float(angles(shaded, normals).mean())


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Pixels in both masks over pixels in either; 1 for two empty masks."""
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0


def psnr(image: np.ndarray, reference: np.ndarray, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio of two pictures of one shape, in dB; infinite when they are equal."""
    squared = float(np.mean((np.asarray(image, np.float64) - reference) ** 2))
    return float(10.0 * np.log10(peak * peak / squared)) if squared > 0.0 else float("inf")
