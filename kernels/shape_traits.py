# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mesh is like: how much of it lies at sharp edges, how finely it bends, and how noisy it is.

Networks are chosen by these, so that no artist has to know their frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import igl
import numpy as np
from scipy.spatial import cKDTree

from .arrays import normalize_rows, row_dots
from .mesh_edges import mesh_edges
from .meshes import TriangleMesh
from .surface_sampling import smooth_corner_normals, surface_samples

# Network units: what counts as near an edge, and how far apart two normals are compared.
_EDGE_WIDTH = 0.02
_DETAIL_DISTANCE = 0.03
# Points of the surface that are looked at: shares are then exact to about a percent. Those beside them are found
# among so many that the nearest is a sixth of the distance away.
_POINTS, _BESIDE_POINTS = 5_000, 60_000


@dataclass(frozen=True)
class ShapeTraits:
    """What the choice of networks depends on.

    Attributes:
        edge_share: share of the surface's area within 0.02 network units of an edge sharper than a crease.
        detail: mean angle in degrees between the normals of surface points 0.03 network units apart.
        noise: estimated standard deviation of the vertices' noise along the normals, network units; 0 where none
            was found.
    """

    edge_share: float
    detail: float
    noise: float


def shape_traits(mesh: TriangleMesh, crease_degrees: float, noise: float = 0.0) -> ShapeTraits:
    """The traits of a mesh in network space.

    Args:
        mesh: clean triangles in network space, already denoised where they were noisy.
        crease_degrees: faces that meet at a larger angle have an edge between them.
        noise: what `denoising.estimated_noise` found, kept as it is.
    """
    corner_normals = smooth_corner_normals(mesh, crease_degrees)
    points, normals, _ = surface_samples(mesh, corner_normals, _BESIDE_POINTS, np.random.default_rng(0))
    return ShapeTraits(
        edge_share=_edge_share(mesh, points[:_POINTS], crease_degrees),
        detail=_detail(points, normals),
        noise=noise,
    )


def _edge_share(mesh: TriangleMesh, points: np.ndarray, crease_degrees: float) -> float:
    """Share of surface points (N, 3) that lie near an edge sharper than a crease."""
    edges = sharp_edges(mesh, crease_degrees)
    if not len(edges):
        return 0.0
    # A segment is a triangle whose last two corners are one.
    segments = edges[:, [0, 1, 1]]
    squared = igl.point_mesh_squared_distance(points, mesh.vertices, segments)[0]
    return float((squared < _EDGE_WIDTH**2).mean())


def sharp_edges(mesh: TriangleMesh, crease_degrees: float) -> np.ndarray:
    """Edges between two faces that meet at more than a crease: (E, 2) indices of vertices."""
    edges = mesh_edges(mesh.faces)
    normals = igl.per_face_normals(mesh.vertices, mesh.faces)
    first, second = normals[edges.faces[edges.pairs]], normals[edges.faces[edges.pairs + 1]]
    sharp = row_dots(first, second) < np.cos(np.radians(crease_degrees))
    return edges.vertices[edges.pairs[sharp]]


def _detail(points: np.ndarray, normals: np.ndarray) -> float:
    """Mean angle in degrees between the normals (N, 3) of some of the surface points (N, 3) and beside them."""
    # A random direction along the surface, and from there the nearest of all points.
    tangents = np.cross(normals[:_POINTS], np.random.default_rng(1).normal(size=(_POINTS, 3)))
    beside = points[:_POINTS] + _DETAIL_DISTANCE * normalize_rows(tangents)
    others = normals[cKDTree(points, compact_nodes=False, balanced_tree=False).query(beside)[1]]
    return float(np.degrees(np.arccos(row_dots(normals[:_POINTS], others).clip(-1.0, 1.0))).mean())
