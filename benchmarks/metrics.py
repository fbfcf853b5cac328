# SPDX-License-Identifier: GPL-3.0-or-later
"""How near one closed surface comes to another: Chamfer distance, Hausdorff distance, intersection over union, normals.

Chamfer is that of M-plicits (arXiv 2609.28684): 500,000 random points on each surface, squared Euclidean distances from
each to the nearest point of the other set, averaged, with the source scaled to the unit sphere. There are two such
means; their *sum* is what is called Chamfer here, and their mean is half of it. Points keep a distance to each other:
two draws of N points from one surface of area A are 2 A / (pi N) apart in this sense, which no network goes below.

libigl and scipy measure; nothing here knows what a network is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import igl
import numpy as np
from scipy.spatial import cKDTree

from kernels.meshes import TriangleMesh

from . import measures

CHAMFER_POINTS = 500_000
HAUSDORFF_POINTS = 100_000
# Voxels of this size, in units of the source's sphere, through which the surfaces pass: M-plicits' own IoU.
SHELL_VOXEL = 0.01
# Cells of the common grid, along each axis, at whose centres it is asked who is inside.
GRID = 128
# Faces of the source that meet at a larger angle keep an edge between them.
CREASE_DEGREES = 50.0
# To each side of a surface, in radii of its sphere, is looked whether it bounds a solid.
SIDE_OFFSET = 1e-3


@dataclass(frozen=True)
class Placed:
    """A map to the unit sphere: p -> (p - center) / radius."""

    center: np.ndarray
    radius: float

    def points(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points as the map places them."""
        return (points - self.center) / self.radius

    def mesh(self, mesh: TriangleMesh) -> TriangleMesh:
        """A mesh as the map places it."""
        return TriangleMesh(self.points(mesh.vertices), mesh.faces)


def unit_sphere(mesh: TriangleMesh) -> Placed:
    """The map that puts the middle of a mesh's box at the origin and its farthest vertex on the unit sphere."""
    center = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    return Placed(center, float(np.linalg.norm(mesh.vertices - center, axis=1).max()))


def surface(mesh: TriangleMesh) -> measures.Surface:
    """A mesh with normals that are smooth but for creases, by libigl."""
    corners = igl.per_corner_normals(mesh.vertices, mesh.faces, CREASE_DEGREES).reshape(-1, 3, 3)
    return measures.Surface(mesh.vertices, mesh.faces, measures.unit(corners))


@dataclass(frozen=True)
class Chamfer:
    """Mean squared distances between two sets of points, in squared units of the points.

    Attributes:
        forward: from the first set to the second.
        backward: from the second to the first.
    """

    forward: float
    backward: float

    @property
    def total(self) -> float:
        """The sum of both directions."""
        return self.forward + self.backward


def chamfer(first: np.ndarray, second: np.ndarray) -> Chamfer:
    """Chamfer distance of two sets of points, (N, 3) and (M, 3)."""
    forward, backward = cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
    return Chamfer(float((forward**2).mean()), float((backward**2).mean()))


def hausdorff(first: TriangleMesh, second: TriangleMesh, count: int = HAUSDORFF_POINTS) -> float:
    """The largest distance from points of either surface to the other surface, in units of the meshes.

    A lower bound of the Hausdorff distance, because points are tried, and every vertex.
    """
    return max(_farthest(first, second, count), _farthest(second, first, count))


def _farthest(source: TriangleMesh, target: TriangleMesh, count: int) -> float:
    points = np.concatenate([random_points(source, count, seed=3), source.vertices[np.unique(source.faces)]])
    squared = igl.point_mesh_squared_distance(points, target.vertices, target.faces)[0]
    return float(np.sqrt(squared.max()))


def random_points(mesh: TriangleMesh, count: int, seed: int) -> np.ndarray:
    """(count, 3) random points on a mesh, uniform by area."""
    flat = np.zeros((len(mesh.faces), 3, 3))
    return measures.surface_points(measures.Surface(mesh.vertices, mesh.faces, flat), count, seed)[0]


def over_holes(points: np.ndarray, source: TriangleMesh) -> np.ndarray:
    """Which of (N, 3) points are nearest to a border of the source: they lie where it has a hole. (N,) booleans."""
    edges = np.sort(source.faces[:, [[1, 2], [2, 0], [0, 1]]], axis=2)
    _, number, uses = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    is_border = (uses == 1)[number.reshape(-1)].reshape(-1, 3)
    if not is_border.any():
        return np.zeros(len(points), dtype=bool)
    _, faces, closest, *_ = igl.point_mesh_squared_distance(points, source.vertices, source.faces)
    corners = (np.ascontiguousarray(source.vertices[source.faces[faces, corner]]) for corner in range(3))
    weights = igl.barycentric_coordinates(closest, *corners).reshape(-1, 3)
    # The weight of the corner opposite of an edge is zero on that edge.
    return ((weights < 1e-6) & is_border[faces]).any(axis=1)


def shell_overlap(first: np.ndarray, second: np.ndarray, voxel: float = SHELL_VOXEL) -> float:
    """IoU of the voxels of one common grid that hold any of two sets of points, (N, 3) and (M, 3), on two surfaces."""
    # 2^20 voxels to each side of the origin: three numbers fit one of 64 bits.
    keys = [
        np.unique(((np.floor(points / voxel).astype(np.int64) + (1 << 20)) << np.array([0, 21, 42])).sum(axis=1))
        for points in (first, second)
    ]
    shared = len(np.intersect1d(*keys, assume_unique=True))
    return shared / max(1, len(keys[0]) + len(keys[1]) - shared)


def grid_centers(cells: int) -> np.ndarray:
    """(cells^3, 3) centres of the cells of the cube [-1, 1]^3, the grid that all are compared on."""
    axis = (np.arange(cells) + 0.5) * (2.0 / cells) - 1.0
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def is_inside(mesh: TriangleMesh, points: np.ndarray) -> np.ndarray:
    """Whether (N, 3) points lie inside a mesh, by its winding number, whichever way its faces look: (N,) booleans."""
    return np.abs(igl.fast_winding_number(mesh.vertices, mesh.faces, points)) > 0.5


def bounding(mesh: TriangleMesh, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which points of a mesh bound the solid in it, (N,) booleans, and their normals out of the solid, (N, 3).

    Faces inside the solid, and sheets with nothing inside, bound none.
    """
    offset = SIDE_OFFSET * unit_sphere(mesh).radius * normals
    ahead, behind = is_inside(mesh, points + offset), is_inside(mesh, points - offset)
    return ahead != behind, np.where(ahead[:, None], -normals, normals)


def first_hits(
    vertices: np.ndarray, triangles: np.ndarray, origins: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where rays first meet a mesh, by libigl (Embree).

    Args:
        vertices, triangles: (V, 3) and (T, 3).
        origins, directions: (N, 3) in the mesh's space.

    Returns:
        (N,) lengths of the direction, infinite where a ray meets no triangle, and (N,) whether that is from behind: a
        closed surface is met from behind by no ray that starts outside.
    """
    from igl.embree import EmbreeIntersector

    intersector = EmbreeIntersector()
    intersector.init(np.asfortranarray(vertices, np.float32), np.asfortranarray(triangles, np.int32))
    rays = zip(origins.astype(np.float32), directions.astype(np.float32), strict=True)
    hits = [intersector.intersectRay_first(origin, direction)[:2] for origin, direction in rays]
    triangle, distance = (np.array(each) for each in zip(*hits, strict=True))
    is_hit = triangle >= 0
    corners = vertices[triangles[np.where(is_hit, triangle, 0)]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    from_behind = is_hit & ((normals * directions).sum(axis=1) > 0.0)
    return np.where(is_hit, distance, np.inf), from_behind


@dataclass(frozen=True)
class Angles:
    """Angles between normals, in degrees."""

    mean: float
    median: float
    percentile_95: float


def outward_normals(mesh: TriangleMesh, count: int = 20_000, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Random points of a mesh that bound its solid, at most `count`, and their normals out of it: (N, 3), (N, 3)."""
    points, normals = measures.surface_points(surface(mesh), count, seed)
    bounds, outward = bounding(mesh, points, normals)
    return points[bounds], outward[bounds]


def normal_angles(normals_at: Callable[[np.ndarray], np.ndarray], points: np.ndarray, normals: np.ndarray) -> Angles:
    """Angles between a field of normals and those of a surface, at (N, 3) points of it.

    Args:
        normals_at: (N, 3) points in the surface's space -> (N, 3) vectors of any length.
        normals: (N, 3) of the surface.
    """
    found = measures.angles(np.asarray(normals_at(points), dtype=np.float64), normals)
    return Angles(float(found.mean()), float(np.median(found)), float(np.percentile(found, 95)))
