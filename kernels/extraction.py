# SPDX-License-Identifier: GPL-3.0-or-later
"""Quad meshes from nested sequences: the proxy that stands for a neural object among Blender's meshes.

A dual method on a regular grid over [-1, 1]^3. Each grid edge with its ends on different sides of the surface gives one
quad, and each piece of surface inside a cell gives one vertex (Nielson, "Dual Marching Cubes", IEEE Visualization
2004), which keeps the mesh manifold where surface nets with one vertex a cell do not.

The grid is walked coarse to fine and only near the surface, so that the cost grows like resolution^2. The sequence
is walked level by level too: a level is asked only about points in the bands of the levels before it, because a
residual means nothing elsewhere and an independent level need not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from .deepest_level import deepest_distance, deepest_gradient
from .meshes import FILLED_SHARE
from .sequence import NestedSequence

MIN_RESOLUTION = 8
# About 700,000 quads of a typical shape, and 1.3 GB while they are made.
MAX_RESOLUTION = 512

# Cells an axis, at most, of the grid that is evaluated as a whole before refinement begins.
COARSE_CELLS = 16
# How much steeper than the steepest measured gradient a level may be elsewhere before refinement overlooks surface.
STEEPNESS_MARGIN = 1.1
# A vertex on the zero set is off by at most this part of a cell; Newton steps stop there.
NEWTON_TOLERANCE = 1e-3
NEWTON_STEPS = 4
# How far, in cells, a Newton step may leave the vertex's own cell. Further, quads begin to fold over.
CELL_SLACK = 0.1
# Without better knowledge, a component smaller than this part of the largest one is taken for a stray.
STRAY_FRACTION = 0.05
# Components cut off by the cube's border are dropped when an uncut one has this part of the largest size.
CUT_FRACTION = 0.25
# A face count this close to the wanted one is good enough to stop searching.
TARGET_TOLERANCE = 0.05
TARGET_ATTEMPTS = 6

# Corner k of a cell has offset (k >> 2, k >> 1, k) & 1 along (x, y, z).
CORNERS = np.array(list(product((0, 1), repeat=3)), dtype=np.int64)
_BIT = (4, 2, 1)  # what an axis adds to a corner's number
# The twelve edges as (lower corner, upper corner, axis), and the number of an edge by axis and lower corner.
EDGES = [(k, k + _BIT[axis], axis) for axis in range(3) for k in range(8) if not k & _BIT[axis]]
EDGE_NUMBER = {(axis, low): number for number, (low, _, axis) in enumerate(EDGES)}
# Face 2 * axis + side of a cell leads to the neighbour in this direction; face ^ 1 is the opposite one.
FACE_DIRECTIONS = np.array([[(2 * side - 1) * (a == axis) for a in range(3)] for axis in range(3) for side in (0, 1)])
# Where the eight corners of each of the eight cells of a 2 x 2 x 2 block lie among the block's 27 corners.
BLOCK_CORNERS = np.array(list(product(range(3), repeat=3)), dtype=np.int64)
CELL_IN_BLOCK = (CORNERS[:, None] + CORNERS[None]) @ np.array([9, 3, 1])


@dataclass(frozen=True)
class QuadMesh:
    """A closed manifold mesh of quads, oriented outwards.

    Attributes:
        vertices: (V, 3) float32 in the sequence's *local* space.
        quads: (Q, 4) int32 indices, counter-clockwise seen from outside.
        normals: (V, 3) float32 unit normals of the finest level. The map from network to local space scales all
            axes alike, so they are the same in both.
    """

    vertices: np.ndarray
    quads: np.ndarray
    normals: np.ndarray


class _Cells(NamedTuple):
    """Cells that the surface passes through, sorted by key.

    keys: (M,) cell coordinates as one integer. coords: (M, 3). values: (M, 8) distances at the corners.
    cases: (M,) bit k set where corner k is inside.
    """

    keys: np.ndarray
    coords: np.ndarray
    values: np.ndarray
    cases: np.ndarray


class _Topology(NamedTuple):
    """The mesh before its vertices are moved onto the surface.

    vertices: (V, 3) in cells from the cube's corner. cells: (V, 3) cell of each vertex. quads: (Q, 4).
    """

    vertices: np.ndarray
    cells: np.ndarray
    quads: np.ndarray


class _Tables(NamedTuple):
    """What a cell's case says about the surface inside it.

    patches: (256, 12) number of the piece of surface that crosses each edge, -1 where none does. On a face whose
        corners alternate, inside corners are separated.
    flipped: the same with outside corners separated.
    double_face: (256,) the face on which one piece appears twice, or -1.
    mixed_faces: (256, 6) whether a face has corners on both sides.
    """

    patches: np.ndarray
    flipped: np.ndarray
    double_face: np.ndarray
    mixed_faces: np.ndarray


def _cell_key(coords: np.ndarray, side: int) -> np.ndarray:
    """Grid coordinates (..., 3) as one integer each."""
    return (coords[..., 0] * side + coords[..., 1]) * side + coords[..., 2]


class _CornerValues:
    """Distances at the corners of the grid, each evaluated once."""

    def __init__(self, sequence: NestedSequence, resolution: int) -> None:
        self.sequence = sequence
        self.resolution = resolution
        self.keys = np.empty(0, dtype=np.int64)
        self.values = np.empty(0, dtype=np.float32)

    def at(self, coords: np.ndarray) -> np.ndarray:
        """Distances at integer corners: (..., 3) -> (...,) float32."""
        keys = _cell_key(coords, self.resolution + 1)
        wanted, inverse = np.unique(keys.reshape(-1), return_inverse=True)
        missing = wanted[~_contains(self.keys, wanted)]
        if len(missing):
            self._evaluate(missing)
        return self.values[np.searchsorted(self.keys, wanted)][inverse.reshape(keys.shape)]

    def _evaluate(self, keys: np.ndarray) -> None:
        side = self.resolution + 1
        coords = np.stack(np.unravel_index(keys, (side, side, side)), axis=1)
        values, _ = deepest_distance(self.sequence, _network_points(coords, self.resolution))
        # Whatever reaches the cube's border is closed there, which keeps the mesh closed.
        border = ((coords == 0) | (coords == self.resolution)).any(axis=1)
        values[border] = np.maximum(np.abs(values[border]), 1e-6)
        merged = np.concatenate([self.keys, keys])
        order = np.argsort(merged, kind="stable")
        self.keys = merged[order]
        self.values = np.concatenate([self.values, values])[order]


def _network_points(grid_points: np.ndarray, resolution: int) -> np.ndarray:
    """Points in cells from the cube's corner -> network space, float32."""
    return (grid_points * (2.0 / resolution) - 1.0).astype(np.float32)


def _contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of `keys` are among `sorted_keys`."""
    if not len(sorted_keys):
        return np.zeros(keys.shape, dtype=bool)
    position = np.searchsorted(sorted_keys, keys)
    return sorted_keys[np.minimum(position, len(sorted_keys) - 1)] == keys


@cache
def _tables() -> _Tables:
    patches = np.full((256, 12), -1, dtype=np.int8)
    flipped = np.full((256, 12), -1, dtype=np.int8)
    double_face = np.full(256, -1, dtype=np.int8)
    mixed_faces = np.zeros((256, 6), dtype=bool)
    for case in range(256):
        inside = [bool(case >> k & 1) for k in range(8)]
        patches[case] = _patches_of_case(inside, separate_inside=True)
        flipped[case] = _patches_of_case(inside, separate_inside=False)
        for face in range(6):
            crossing = [edge for edge in _face_edges(face) if patches[case, edge] >= 0]
            mixed_faces[case, face] = bool(crossing)
            if len(crossing) == 4 and len(set(patches[case, crossing])) == 1:
                double_face[case] = face
    return _Tables(patches, flipped, double_face, mixed_faces)


def _face_corners(face: int) -> list[int]:
    """The corners of a face in order around it."""
    axis, side = divmod(face, 2)
    u, v = _BIT[(axis + 1) % 3], _BIT[(axis + 2) % 3]
    start = side * _BIT[axis]
    return [start, start + u, start + u + v, start + v]


def _face_edges(face: int) -> list[int]:
    """The edges of a face in order around it: edge i joins corners i and i + 1."""
    corners = _face_corners(face)
    numbers = {frozenset((low, high)): number for number, (low, high, _) in enumerate(EDGES)}
    return [numbers[frozenset((corners[i], corners[(i + 1) % 4]))] for i in range(4)]


def _patches_of_case(inside: list[bool], separate_inside: bool) -> list[int]:
    """For each of the twelve edges the number of the piece of surface crossing it, -1 where none does."""
    piece = {number: number for number, (low, high, _) in enumerate(EDGES) if inside[low] != inside[high]}

    def join(first: int, second: int) -> None:
        old, new = piece[first], piece[second]
        for edge, label in piece.items():
            if label == old:
                piece[edge] = new

    for face in range(6):
        edges = _face_edges(face)
        crossing = [edge for edge in edges if edge in piece]
        if len(crossing) == 2:
            join(*crossing)
        elif len(crossing) == 4:
            # Corners alternate: the surface passes around each corner of the separated kind.
            for i, corner in enumerate(_face_corners(face)):
                if inside[corner] == separate_inside:
                    join(edges[i - 1], edges[i])
    numbers = {label: number for number, label in enumerate(sorted(set(piece.values())))}
    return [numbers[piece[edge]] if edge in piece else -1 for edge in range(12)]


def _blocks_near_surface(sequence: NestedSequence, resolution: int) -> np.ndarray:
    """The 2 x 2 x 2 blocks of cells that may hold surface, by coarse to fine refinement: (B, 3) block coordinates.

    A block is kept while its half diagonal reaches the surface according to |f| at its centre. Where only a coarse
    level is known, the finest zero set may lie anywhere in that level's band.
    """
    halvings = max(1, int(np.ceil(np.log2(resolution / COARSE_CELLS))))
    size = 1 << halvings
    blocks = np.array(list(product(range(-(-resolution // size)), repeat=3)), dtype=np.int64)
    deltas = np.array([*(band.delta for band in sequence.bands), 0.0])
    steepness = None
    while True:
        # The last block of a row may reach beyond the cube. Its centre moved into the cube is no further from any
        # point of the block inside the cube, so that the half diagonal stays the right radius.
        centers = _network_points(np.minimum((blocks + 0.5) * size, resolution), resolution)
        if steepness is None:
            _, gradients = deepest_gradient(sequence, centers)
            steepness = STEEPNESS_MARGIN * np.quantile(np.linalg.norm(gradients, axis=1), 0.99)
        values, levels = deepest_distance(sequence, centers)
        half_diagonal = np.sqrt(3.0) * size / resolution
        blocks = blocks[np.abs(values) - deltas[levels] <= steepness * half_diagonal]
        if size == 2:
            return blocks
        size //= 2
        blocks = (blocks[:, None] * 2 + CORNERS).reshape(-1, 3)
        blocks = blocks[(blocks * size < resolution).all(axis=1)]


def _cells_of_blocks(blocks: np.ndarray, corner_values: _CornerValues) -> _Cells:
    """The cells of 2 x 2 x 2 blocks that have corners on both sides of the surface."""
    resolution = corner_values.resolution
    values = corner_values.at(np.minimum(blocks[:, None] * 2 + BLOCK_CORNERS, resolution))
    coords = (blocks[:, None] * 2 + CORNERS).reshape(-1, 3)
    inside = (values < 0.0)[:, CELL_IN_BLOCK].reshape(-1, 8)
    active = np.flatnonzero(inside.any(axis=1) & ~inside.all(axis=1) & (coords < resolution).all(axis=1))
    corners = values[active // 8][np.arange(len(active))[:, None], CELL_IN_BLOCK[active % 8]]
    return _sorted_cells(coords[active], corners, resolution)


def _sorted_cells(coords: np.ndarray, values: np.ndarray, resolution: int) -> _Cells:
    keys = _cell_key(coords, resolution)
    order = np.argsort(keys)
    cases = (values < 0.0) @ (1 << np.arange(8))
    return _Cells(keys[order], coords[order], values[order], cases[order])


def _follow_surface(cells: _Cells, corner_values: _CornerValues) -> _Cells:
    """`cells` and every cell that the surface enters from one of them.

    Refinement can overlook a cell where a network is steeper than was measured; following the surface finds it
    again, and the mesh has no hole.
    """
    resolution = corner_values.resolution
    mixed_faces = _tables().mixed_faces
    fresh = cells
    while len(fresh.keys):
        entered = [
            fresh.coords[mixed_faces[fresh.cases, face]] + direction for face, direction in enumerate(FACE_DIRECTIONS)
        ]
        keys = np.unique(np.concatenate([_cell_key(coords, resolution) for coords in entered]))
        keys = keys[~_contains(cells.keys, keys)]
        coords = np.stack(np.unravel_index(keys, (resolution,) * 3), axis=1)
        fresh = _sorted_cells(coords, corner_values.at(coords[:, None] + CORNERS), resolution)
        if len(keys):
            cells = _sorted_cells(
                np.concatenate([cells.coords, coords]), np.concatenate([cells.values, fresh.values]), resolution
            )
    return cells


def _patches(cells: _Cells, resolution: int) -> np.ndarray:
    """The piece of surface that crosses each edge of each cell: (M, 12), -1 where none does.

    Where two neighbours each have one piece that crosses their common face twice, the two vertices would share two
    edges and the mesh would not be manifold there. Such a pair separates the other corners of that face (Wenger,
    "Isosurfaces", 2013, section 3.3); either cell has no other face on which this makes a difference.
    """
    tables = _tables()
    patches = tables.patches[cells.cases]
    double = np.flatnonzero(tables.double_face[cells.cases] >= 0)
    faces = tables.double_face[cells.cases[double]]
    neighbours = np.searchsorted(cells.keys, _cell_key(cells.coords[double] + FACE_DIRECTIONS[faces], resolution))
    both = double[tables.double_face[cells.cases[neighbours]] == (faces ^ 1)]
    patches[both] = tables.flipped[cells.cases[both]]
    return patches


def _topology(cells: _Cells, resolution: int) -> _Topology:
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
            around = np.searchsorted(cells.keys, _cell_key(cells.coords[owners] - offset, resolution))
            edge = EDGE_NUMBER[axis, below_u * _BIT[u] + below_v * _BIT[v]]
            ring.append(first[around] + patches[around, edge])
        quad = np.stack(ring, axis=1)
        # The ring turns around +axis, which points outwards where the edge starts inside.
        quads.append(np.where(inside[owners, None], quad, quad[:, ::-1]))
    return _Topology(vertices, np.repeat(cells.coords, counts, axis=0), np.concatenate(quads))


def _mean_crossings(cells: _Cells, patches: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
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


def component_labels(vertex_count: int, faces: np.ndarray) -> np.ndarray:
    """Which vertices hang together: (F, K) faces -> (vertex_count,) the lowest vertex of each one's component."""
    labels = np.arange(vertex_count)
    starts, ends = faces[:, :-1].reshape(-1), faces[:, 1:].reshape(-1)
    while True:
        first, second = labels[starts], labels[ends]
        apart = first != second
        if not apart.any():
            return labels
        starts, ends = starts[apart], ends[apart]
        first, second = first[apart], second[apart]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        # Pointer jumping: afterwards every label is a root again.
        while (labels[labels] != labels).any():
            labels = labels[labels]


def _without_strays(topology: _Topology, resolution: int, components: int | None) -> _Topology:
    """`topology` without the components that the source does not have; see `extract`."""
    labels = component_labels(len(topology.vertices), topology.quads)
    roots, member = np.unique(labels, return_inverse=True)
    lowest = np.full((len(roots), 3), np.inf)
    highest = -lowest
    np.minimum.at(lowest, member, topology.vertices)
    np.maximum.at(highest, member, topology.vertices)
    sizes = np.linalg.norm(highest - lowest, axis=1)
    # The outermost layer of cells is where surfaces are cut off; cells so large that the source itself reaches into
    # that layer tell nothing.
    cut = (lowest < 1.0).any(axis=1) | (highest > resolution - 1.0).any(axis=1)
    cut &= 2.0 / resolution < 1.0 - FILLED_SHARE
    # Unless the shape itself is what reaches the border, as networks of other people may.
    surplus = cut & (sizes.max() * CUT_FRACTION <= sizes[~cut].max(initial=0.0))
    candidates = np.flatnonzero(~surplus)
    largest_first = candidates[np.argsort(-sizes[candidates], kind="stable")]
    if components is None:
        kept = largest_first[sizes[largest_first] >= STRAY_FRACTION * sizes[largest_first[0]]]
    else:
        kept = largest_first[:components]
    keep = np.isin(member, kept)
    renumbered = np.cumsum(keep) - 1
    quads = topology.quads[keep[topology.quads[:, 0]]]
    return _Topology(topology.vertices[keep], topology.cells[keep], renumbered[quads])


def _build(sequence: NestedSequence, resolution: int, components: int | None) -> _Topology:
    """Everything but moving the vertices onto the surface."""
    corner_values = _CornerValues(sequence, resolution)
    cells = _cells_of_blocks(_blocks_near_surface(sequence, resolution), corner_values)
    if not len(cells.keys):
        raise ValueError("the network has no surface inside its cube: its zero set is empty at this resolution")
    cells = _follow_surface(cells, corner_values)
    return _without_strays(_topology(cells, resolution), resolution, components)


def _build_with_faces(sequence: NestedSequence, target: int, components: int | None) -> tuple[_Topology, int]:
    """The grid resolution whose mesh has closest to `target` quads, and that mesh.

    The number of quads grows like resolution^2, hence a few trials, each much cheaper than the steps that follow.
    """
    resolution = 48
    tried: dict[int, int] = {}
    best = None
    for _ in range(TARGET_ATTEMPTS):
        topology = _build(sequence, resolution, components)
        count = len(topology.quads)
        tried[resolution] = count
        if best is None or abs(count - target) < abs(len(best[0].quads) - target):
            best = topology, resolution
        scaled = round(resolution * np.sqrt(target / count))
        resolution = min(max(scaled, MIN_RESOLUTION), MAX_RESOLUTION)
        if abs(count - target) <= TARGET_TOLERANCE * target or resolution in tried:
            break
    return best


def _move_to_surface(sequence: NestedSequence, topology: _Topology, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices on the zero set and their unit normals, (V, 3) each in network space.

    Newton's step towards the zero set along the gradient, p <- p - f grad f / |grad f|^2, kept near the cell.
    """
    points = _network_points(topology.vertices, resolution)
    lowest = _network_points(topology.cells - CELL_SLACK, resolution)
    highest = _network_points(topology.cells + 1.0 + CELL_SLACK, resolution)
    normals = np.zeros_like(points)
    tolerance = NEWTON_TOLERANCE * 2.0 / resolution
    pending = np.arange(len(points))
    for step in range(NEWTON_STEPS + 1):
        values, gradients = deepest_gradient(sequence, points[pending])
        lengths = np.linalg.norm(gradients, axis=1).clip(1e-12)
        normals[pending] = gradients / lengths[:, None]
        off = np.abs(values) > tolerance * lengths
        if step == NEWTON_STEPS or not off.any():
            break
        pending = pending[off]
        moved = points[pending] - (values[off] / lengths[off])[:, None] * normals[pending]
        points[pending] = np.clip(moved, lowest[pending], highest[pending])
    return points, normals


def extract(
    sequence: NestedSequence,
    resolution: int = 128,
    target_faces: int | None = None,
    components: int | None = None,
) -> QuadMesh:
    """The surface of the finest level as a closed manifold mesh of quads.

    A network can have surface that the source has not. Three kinds of component are taken for such strays, and
    dropped: those that the cube's border cuts off (training keeps the source away from the border) while an uncut
    one of comparable size is there; beyond the number of components asked for, the smallest ones; and where that
    number is not known, those whose bounding box has a diagonal under `STRAY_FRACTION` of the largest one's.

    Args:
        sequence: of static networks, in network space.
        resolution: cells along each side of the cube [-1, 1]^3.
        target_faces: when given, `resolution` is chosen so that the number of quads comes close to this (within about a
            tenth, unless it is very small or beyond `MAX_RESOLUTION`).
        components: how many components the source has. When None, `sequence.training["components"]` if it is there.

    Returns:
        The mesh, in the sequence's local space.

    Raises:
        ValueError: the zero set is empty, the sequence has a time input, or a number is out of range.
    """
    if sequence.inputs != 3:
        raise ValueError("a sequence with a time input has no single surface to extract")
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f"the resolution has to lie between {MIN_RESOLUTION} and {MAX_RESOLUTION}")
    if components is None:
        components = _recorded_components(sequence)
    arrays = sequence.like(np.empty(0, dtype=np.float32))
    if target_faces is None:
        topology = _build(arrays, resolution, components)
    else:
        topology, resolution = _build_with_faces(arrays, max(int(target_faces), 1), components)
    points, normals = _move_to_surface(arrays, topology, resolution)
    return QuadMesh(sequence.to_local(points), topology.quads.astype(np.int32), normals)


def _recorded_components(sequence: NestedSequence) -> int | None:
    """The number of components that training recorded. Free text from a file: anything but a count is ignored."""
    recorded = sequence.training.get("components")
    return recorded if type(recorded) is int and recorded > 0 else None
