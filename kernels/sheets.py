# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface of sheets: faces that enclose nothing, thickened by a ball of half the thickness rolled over them."""

from __future__ import annotations

import igl
import numpy as np

from .arrays import row_dots
from .mesh_edges import MeshEdges, mesh_edges
from .meshes import TriangleMesh


def both_sides(points: np.ndarray, normals: np.ndarray, half_thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """The two sides of a sheet at points (N, 3) of its faces: (2 N, 3) points and outward normals."""
    outward = np.concatenate([normals, -normals])
    return np.concatenate([points, points]) + half_thickness * outward, outward


def rim_samples(
    mesh: TriangleMesh,
    is_sheet: np.ndarray,
    crease_degrees: float,
    density: float,
    most: int,
    half_thickness: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Points on the rounded rims of sheets, along borders and creases, uniform by area.

    Without them nothing says where a sheet ends, and networks carry it on beyond its border.

    Args:
        mesh: triangles, those of the sheets and others.
        is_sheet: (F,) which faces are sheets.
        crease_degrees: faces that meet at more have a rim between them.
        density: points on a unit of area; fewer where that would be more than `most`.
        most: points that are drawn, about. Leaves and cards have far more rim than face.
        half_thickness: radius of the rims.
        rng: source of randomness.

    Returns:
        (N, 3) points and (N, 3) unit normals. Some may lie inside other faces that touch the edges.
    """
    edges = mesh_edges(mesh.faces)
    normals = igl.per_face_normals(mesh.vertices, mesh.faces)
    rows, partners = _rims(edges, normals, crease_degrees)
    on_sheet = is_sheet[edges.faces[rows]] | is_sheet[edges.faces[partners]]
    rows, partners = rows[on_sheet], partners[on_sheet]
    start, end = np.moveaxis(mesh.vertices[edges.vertices[rows]], 1, 0)
    lengths = np.linalg.norm(end - start, axis=1)
    areas = 2.0 * np.pi * half_thickness * lengths
    density = min(density, most / max(areas.sum(), 1e-30))
    chosen = np.repeat(np.arange(len(rows)), rng.poisson(areas * density))
    # Across each edge, into either of its faces.
    into = [_into_faces(mesh, edges, normals, side)[chosen] for side in (rows, partners)]
    angle = rng.uniform(0.0, 2.0 * np.pi, (len(chosen), 1))
    around = np.cos(angle) * into[0] + np.sin(angle) * normals[edges.faces[rows[chosen]]]
    points = start[chosen] + rng.random((len(chosen), 1)) * (end - start)[chosen] + half_thickness * around
    # What is nearest to the edge, not to the inside of one of its faces.
    exposed = (row_dots(around, into[0]) <= 0.0) & (row_dots(around, into[1]) <= 0.0)
    return points[exposed], around[exposed]


def _rims(edges: MeshEdges, normals: np.ndarray, crease_degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Half edges (E,) on borders and creases, and the other half edge of each (E,), itself on a border."""
    pairs = edges.pairs
    cosines = row_dots(normals[edges.faces[pairs]], normals[edges.faces[pairs + 1]])
    # Where a surface has one side only, some faces cannot be turned like their neighbours.
    cosines *= np.where(edges.agreeing, 1.0, -1.0)
    creases = pairs[cosines < np.cos(np.radians(crease_degrees))]
    return np.concatenate([edges.borders, creases]), np.concatenate([edges.borders, creases + 1])


def _into_faces(mesh: TriangleMesh, edges: MeshEdges, normals: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Unit vectors (E, 3) from half edges (E,) into their faces."""
    start, end = np.moveaxis(mesh.vertices[edges.vertices[rows]], 1, 0)
    across = np.cross(normals[edges.faces[rows]], end - start)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.where(edges.forward[rows][:, None], across, -across)
