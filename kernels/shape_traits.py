# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mesh is like: how finely it bends, and how noisy it is.

Networks are chosen by how finely it bends, so that no artist has to know their frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .arrays import normalize_rows, row_dots
from .meshes import TriangleMesh
from .surface_sampling import smooth_corner_normals, surface_samples

# Network units: how far apart two normals are compared.
_DETAIL_DISTANCE = 0.03
# Points of the surface that are looked at. Those beside them are found among so many that the nearest is a sixth of
# the distance away.
_POINTS, _BESIDE_POINTS = 5_000, 60_000


@dataclass(frozen=True)
class ShapeTraits:
    """What a shape is like, as far as the choice of networks and the record of a training need it.

    Attributes:
        detail: mean angle in degrees between the normals of surface points 0.03 network units apart, by which
            networks are chosen.
        noise: estimated standard deviation of the vertices' noise along the normals, network units, for the record;
            0 where none was found.
    """

    detail: float
    noise: float


def shape_traits(mesh: TriangleMesh, crease_degrees: float, noise: float = 0.0) -> ShapeTraits:
    """The traits of a mesh in network space.

    Args:
        mesh: clean triangles in network space, already denoised where they were noisy.
        crease_degrees: faces that meet at a larger angle have an edge between them.
        noise: what `denoising.without_noise` found, kept as it is.
    """
    corner_normals = smooth_corner_normals(mesh, crease_degrees)
    points, normals, _ = surface_samples(mesh, corner_normals, _BESIDE_POINTS, np.random.default_rng(0))
    return ShapeTraits(detail=_detail(points, normals), noise=noise)


def _detail(points: np.ndarray, normals: np.ndarray) -> float:
    """Mean angle in degrees between the normals (N, 3) of some of the surface points (N, 3) and beside them."""
    # A random direction along the surface, and from there the nearest of all points.
    tangents = np.cross(normals[:_POINTS], np.random.default_rng(1).normal(size=(_POINTS, 3)))
    beside = points[:_POINTS] + _DETAIL_DISTANCE * normalize_rows(tangents)
    others = normals[cKDTree(points, compact_nodes=False, balanced_tree=False).query(beside)[1]]
    return float(np.degrees(np.arccos(row_dots(normals[:_POINTS], others).clip(-1.0, 1.0))).mean())
