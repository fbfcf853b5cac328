# SPDX-License-Identifier: GPL-3.0-or-later
"""The connected parts of a mesh, each with its faces turned one way, and none of its faces there twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import igl
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .arrays import row_dots
from .mesh_edges import MeshEdges, mesh_edges
from .meshes import TriangleMesh, doubled_areas


@dataclass(frozen=True)
class MeshParts:
    """A mesh and the parts it consists of: faces that are connected by edges at which two faces meet.

    Attributes:
        mesh: the mesh without faces that are there twice, the faces of each part turned as most of it are.
        part: (F,) number of the part of each face, from zero.
        areas: (P,) area of each part.
        volumes: (P,) signed volume of each part; that of an open one is closed from the middle of the mesh.
        is_closed: (P,) whether every edge of a part has two faces.
        holes: how many borders the open parts have.
        doubled_share: share of the area of the mesh as it came that was there a second time.
        turned_share: share of the area whose faces were turned the way of the rest of their part.
    """

    mesh: TriangleMesh
    part: np.ndarray
    areas: np.ndarray
    volumes: np.ndarray
    is_closed: np.ndarray
    holes: int
    doubled_share: float
    turned_share: float

    def faces_of(self, chosen: np.ndarray) -> np.ndarray:
        """Faces (G, 3) of the parts where `chosen` (P,) holds."""
        return self.mesh.faces[chosen[self.part]]

    def turned(self, chosen: np.ndarray) -> MeshParts:
        """The same parts with the faces turned around of those where `chosen` (P,) holds."""
        faces = np.where(chosen[self.part][:, None], self.mesh.faces[:, ::-1], self.mesh.faces)
        volumes = np.where(chosen, -self.volumes, self.volumes)
        return replace(self, mesh=TriangleMesh(self.mesh.vertices, faces), volumes=volumes)


def mesh_parts(mesh: TriangleMesh) -> MeshParts:
    """The parts of clean triangles."""
    faces, doubled_share = _without_doubles(mesh)
    edges = mesh_edges(faces)
    first, second = edges.faces[edges.pairs], edges.faces[edges.pairs + 1]
    graph = sparse.coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), (len(faces), len(faces)))
    count, part = connected_components(graph, directed=False)
    areas = doubled_areas(mesh.vertices, faces) / 2.0
    faces, turned_share = _turned_one_way(faces, part, areas, edges)
    a, b, c = np.moveaxis(mesh.vertices[faces], 1, 0)
    is_closed = np.ones(count, dtype=bool)
    is_closed[part[edges.faces[np.repeat(edges.counts != 2, edges.counts)]]] = False
    return MeshParts(
        mesh=TriangleMesh(mesh.vertices, faces),
        part=part,
        areas=np.bincount(part, areas, count),
        volumes=np.bincount(part, row_dots(a, np.cross(b, c)) / 6.0, count),
        is_closed=is_closed,
        holes=_border_count(edges, len(mesh.vertices)),
        doubled_share=doubled_share,
        turned_share=turned_share,
    )


def _without_doubles(mesh: TriangleMesh) -> tuple[np.ndarray, float]:
    """The faces (F, 3), one for all that have the same three corners, and the share of the area of the others."""
    corners = np.sort(mesh.faces, axis=1)
    order = np.lexsort(corners.T)
    ordered = corners[order]
    repeated = np.concatenate([[False], (ordered[1:] == ordered[:-1]).all(axis=1)])
    if not repeated.any():
        return mesh.faces, 0.0
    doubles = np.zeros(len(mesh.faces), dtype=bool)
    doubles[order[repeated]] = True
    areas = doubled_areas(mesh.vertices, mesh.faces)
    return mesh.faces[~doubles], float(areas[doubles].sum() / areas.sum())


def _turned_one_way(
    faces: np.ndarray, part: np.ndarray, areas: np.ndarray, edges: MeshEdges
) -> tuple[np.ndarray, float]:
    """The faces (F, 3), those of each part turned as most of its area is, and the share of the area turned."""
    if edges.agreeing.all():
        return faces, 0.0
    oriented = np.asarray(igl.bfs_orient(faces)[0])
    changed = (oriented != faces).any(axis=1)
    changed_areas = np.bincount(part, areas * changed)
    changed ^= (changed_areas > 0.5 * np.bincount(part, areas))[part]
    return np.where(changed[:, None], faces[:, ::-1], faces), float(areas[changed].sum() / areas.sum())


def _border_count(edges: MeshEdges, vertices: int) -> int:
    """How many connected borders there are."""
    ends = edges.vertices[edges.borders]
    graph = sparse.coo_matrix((np.ones(len(ends), dtype=np.int8), tuple(ends.T)), (vertices, vertices))
    labels = connected_components(graph, directed=False)[1]
    return len(np.unique(labels[ends[:, 0]]))
