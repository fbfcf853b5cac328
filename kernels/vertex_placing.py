# SPDX-License-Identifier: GPL-3.0-or-later
"""The vertices of an extracted surface, moved onto the zero set of the finest level, with their normals.

A vertex starts at the mean of the places where its piece of surface crosses edges of the grid. Where the surface bends
sharply inside the cell, it starts at the point nearest to the tangent planes at these places instead (Ju et al.,
"Dual contouring of Hermite data", SIGGRAPH 2002), so that edges and corners of the shape stay sharp. From there
Newton's steps lead to the zero set; as a rule the first one is enough, and its gradient is the normal, too.
"""

from __future__ import annotations

import numpy as np

from .deepest_level import deepest_gradient
from .dual_surface import DualSurface
from .dual_tables import CORNERS, EDGES
from .sequence import NestedSequence
from .sparse_grid import Cells
from .stages import Stage
from .surface_blocks import network_points

# A vertex on the zero set is off by at most this part of a cell; Newton steps stop there.
NEWTON_TOLERANCE = 1e-3
# A step no longer than this, in network units, ends so close to the zero set that nothing has to be evaluated again,
# and so close to where it began that the normal hardly turns: by less than 0.2 degrees for 999 of 1000 vertices of a
# scan, and by 1.5 degrees where networks round off sharp edges.
SURE_STEP = 2e-4
NEWTON_STEPS = 4
# How far, in cells, a Newton step may leave the vertex's own cell. Further, quads begin to fold over.
CELL_SLACK = 0.1
# The surface is sharp in a cell where unit normals differ by this length: an angle whose cosine is 0.9.
SHARP_BEND = 0.447
# Directions in which the tangent planes say this little, compared with the direction they say most of, are left alone.
FLAT_SHARE = 0.03
# Points evaluated between two looks at whether the result is still wanted.
PIECE = 1 << 14


def placed_vertices(
    sequence: NestedSequence, cells: Cells, surface: DualSurface, resolution: int, stage: Stage
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices on the zero set of the finest level and their unit normals, (V, 3) each in network space.

    Raises:
        Cancelled: nobody wants the result any more.
    """
    starts = surface.vertices.copy()
    sharp = np.flatnonzero(_is_sharp(cells.values)[surface.owners])
    starts[sharp] = _nearest_to_tangents(sequence, cells, surface, sharp, resolution, stage.part(0.0, 0.1))
    points = network_points(starts, resolution)
    corners = cells.coords[surface.owners]
    lowest = network_points(corners - CELL_SLACK, resolution)
    highest = network_points(corners + 1.0 + CELL_SLACK, resolution)
    normals = np.zeros_like(points)
    cell = 2.0 / resolution
    pending = np.arange(len(points))
    for step in range(NEWTON_STEPS + 1):
        # The first step is nearly all of the work.
        part = stage.part(0.1, 0.95) if step == 0 else stage.part(0.95, 1.0)
        values, gradients = _gradients(sequence, points[pending], part)
        lengths = np.linalg.norm(gradients, axis=1).clip(1e-12)
        normals[pending] = gradients / lengths[:, None]
        distances = values / lengths
        off = np.abs(distances) > NEWTON_TOLERANCE * cell
        if step == NEWTON_STEPS or not off.any():
            break
        moving = pending[off]
        points[moving] = _newton_step(points[moving], values[off], gradients[off], lowest[moving], highest[moving])
        pending = pending[np.abs(distances) > max(SURE_STEP, NEWTON_TOLERANCE * cell)]
        if not len(pending):
            break
    return points, normals


def _newton_step(
    points: np.ndarray, values: np.ndarray, gradients: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> np.ndarray:
    """Points (N, 3) moved towards the zero set within bounds, (N, 3) each: along these, where one is in the way."""
    outwards = np.where(values[:, None] * gradients > 0.0, points <= lowest, points >= highest)
    free = np.where(outwards, np.float32(0.0), gradients)
    steps = values / (free**2).sum(axis=1).clip(1e-12)
    return np.clip(points - steps[:, None] * free, lowest, highest)


def _is_sharp(values: np.ndarray) -> np.ndarray:
    """Whether the surface bends sharply in cells, by the distances at their corners: (M, 8) -> (M,).

    The four edges of a cell along one axis each measure one component of the gradient.
    """
    squared_bend, squared_length = np.zeros(len(values), values.dtype), np.zeros(len(values), values.dtype)
    for axis in range(3):
        along = np.stack([values[:, high] - values[:, low] for low, high, of in EDGES if of == axis])
        squared_bend += np.ptp(along, axis=0) ** 2
        squared_length += np.abs(along).max(axis=0) ** 2
    return squared_bend > SHARP_BEND**2 * squared_length


def _nearest_to_tangents(
    sequence: NestedSequence, cells: Cells, surface: DualSurface, chosen: np.ndarray, resolution: int, stage: Stage
) -> np.ndarray:
    """For some vertices the point of their cell nearest to the tangent planes where their surface crosses edges.

    Returns:
        (len(chosen), 3) in cells from the cube's corner.
    """
    vertex, number = np.nonzero(surface.crossed[chosen])
    owner = surface.owners[chosen][vertex]
    low, high, axis = np.array(EDGES)[number].T
    below, above = cells.values[owner, low], cells.values[owner, high]
    crossings = (cells.coords[owner] + CORNERS[low]).astype(np.float64)
    crossings[np.arange(len(axis)), axis] += below / (below - above)
    # Up to four cells share an edge.
    keys = ((2 * cells.coords[owner] + CORNERS[low] + CORNERS[high]) @ np.array([1 << 40, 1 << 20, 1])).astype(np.int64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    values, gradients = _gradients(sequence, network_points(crossings[first], resolution), stage)
    lengths = np.linalg.norm(gradients, axis=1).clip(1e-12)
    normals = (gradients / lengths[:, None]).astype(np.float64)[inverse]
    heights = (values / lengths).astype(np.float64)[inverse] * (resolution / 2.0)
    # Least squares for the way x from the mean of the crossings: n (mean + x - crossing) + height = 0 for all planes.
    means = surface.vertices[chosen]
    rights = ((crossings - means[vertex]) * normals).sum(axis=1) - heights
    matrices, targets = np.zeros((len(chosen), 3, 3)), np.zeros((len(chosen), 3))
    np.add.at(matrices, vertex, normals[:, :, None] * normals[:, None, :])
    np.add.at(targets, vertex, rights[:, None] * normals)
    shares, directions = np.linalg.eigh(matrices)
    seen = shares > FLAT_SHARE * shares[:, -1:]
    inverses = np.where(seen, 1.0 / np.where(seen, shares, 1.0), 0.0)
    ways = np.einsum("vij,vj,vkj,vk->vi", directions, inverses, directions, targets)
    corners = cells.coords[surface.owners[chosen]]
    return np.clip(means + ways, corners, corners + 1.0)


def _gradients(sequence: NestedSequence, points: np.ndarray, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances and gradients of the deepest level, piece by piece: (N, 3) -> (N,), (N, 3)."""
    values = np.empty(len(points), dtype=np.float32)
    gradients = np.empty((len(points), 3), dtype=np.float32)
    for piece in stage.pieces(len(points), PIECE):
        values[piece], gradients[piece], _ = deepest_gradient(sequence, points[piece])
    return values, gradients
