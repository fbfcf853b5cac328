# SPDX-License-Identifier: GPL-3.0-or-later
"""The dual surface of a grid's cells: which vertices there are, and which quads join them.

Each grid edge with its ends on different sides of the surface gives one quad, and each piece of surface inside a cell
gives one vertex (Nielson, "Dual Marching Cubes", IEEE Visualization 2004), which keeps the mesh manifold where surface
nets with one vertex a cell do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .dual_tables import BIT, CORNERS, EDGE_NUMBER, EDGES, FACE_DIRECTIONS, tables
from .sparse_grid import Cells, cell_key


class DualSurface(NamedTuple):
    """The mesh before its vertices are moved onto the surface.

    vertices: (V, 3) the means of their crossings, in cells from the cube's corner. owners: (V,) the cell that each
    vertex is in, its number among the cells. crossed: (V, 12) the edges of this cell that the vertex' piece of surface
    crosses. quads: (Q, 4) indices of vertices, counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    owners: np.ndarray
    crossed: np.ndarray
    quads: np.ndarray


def dual_surface(cells: Cells, resolution: int) -> DualSurface:
    """Vertices and outward oriented quads of the surface through `cells`."""
    patches = _patches(cells, resolution)
    counts = patches.max(axis=1).astype(np.int64) + 1
    first = np.cumsum(counts) - counts
    vertices = _mean_crossings(cells, patches, first, int(counts.sum()))
    quads = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        # The edge from a cell's lowest corner along `axis`; the other three cells around it lie below it.
        inside = cells.cases & 1 != 0
        owners = np.flatnonzero(patches[:, EDGE_NUMBER[axis, 0]] >= 0)
        ring = []
        for below_u, below_v in ((0, 0), (1, 0), (1, 1), (0, 1)):
            offset = np.zeros(3, dtype=np.int64)
            offset[u], offset[v] = below_u, below_v
            around = np.searchsorted(cells.keys, cell_key(cells.coords[owners] - offset, resolution))
            edge = EDGE_NUMBER[axis, below_u * BIT[u] + below_v * BIT[v]]
            ring.append(first[around] + patches[around, edge])
        quad = np.stack(ring, axis=1)
        # The ring turns around +axis, which points outwards where the edge starts inside.
        quads.append(np.where(inside[owners, None], quad, quad[:, ::-1]))
    owners = np.repeat(np.arange(len(counts)), counts)
    crossed = patches[owners] == (np.arange(len(owners)) - first[owners])[:, None]
    return DualSurface(vertices, owners, crossed, np.concatenate(quads))


def _mean_crossings(cells: Cells, patches: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
    """One vertex a piece of surface, at the mean of its edge crossings: (count, 3) in cells."""
    sums = np.zeros((count, 3))
    crossings = np.zeros(count)
    for number, (low, high, axis) in enumerate(EDGES):
        index = np.flatnonzero(patches[:, number] >= 0)
        vertex = first[index] + patches[index, number]
        below, above = cells.values[index, low], cells.values[index, high]
        points = (cells.coords[index] + CORNERS[low]).astype(np.float64)
        points[:, axis] += below / (below - above)
        crossings += np.bincount(vertex, minlength=count)
        for j in range(3):
            sums[:, j] += np.bincount(vertex, points[:, j], minlength=count)
    return sums / crossings[:, None]


def _patches(cells: Cells, resolution: int) -> np.ndarray:
    """The piece of surface that crosses each edge of each cell: (M, 12), -1 where none does.

    Where two neighbours each have one piece that crosses their common face twice, the two vertices would share two
    edges and the mesh would not be manifold there. Such a pair separates the other corners of that face (Wenger,
    "Isosurfaces", 2013, section 3.3); either cell has no other face on which this makes a difference.
    """
    table = tables()
    patches = table.patches[cells.cases]
    double = np.flatnonzero(table.double_face[cells.cases] >= 0)
    faces = table.double_face[cells.cases[double]]
    neighbours = np.searchsorted(cells.keys, cell_key(cells.coords[double] + FACE_DIRECTIONS[faces], resolution))
    both = double[table.double_face[cells.cases[neighbours]] == (faces ^ 1)]
    patches[both] = table.flipped[cells.cases[both]]
    return patches
