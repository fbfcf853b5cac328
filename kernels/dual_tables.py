# SPDX-License-Identifier: GPL-3.0-or-later
"""What the signs at a cell's corners say about the surface inside it, for all 256 cases.

Nielson, "Dual Marching Cubes", IEEE Visualization 2004: a cell may hold several pieces of surface, and each of them
gets a vertex of its own.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

# Corner k of a cell has offset (k >> 2, k >> 1, k) & 1 along (x, y, z).
CORNERS = np.array(list(product((0, 1), repeat=3)), dtype=np.int64)
BIT = (4, 2, 1)  # what an axis adds to a corner's number
# The twelve edges as (lower corner, upper corner, axis), and the number of an edge by axis and lower corner.
EDGES = [(k, k + BIT[axis], axis) for axis in range(3) for k in range(8) if not k & BIT[axis]]
EDGE_NUMBER = {(axis, low): number for number, (low, _, axis) in enumerate(EDGES)}
# Face 2 * axis + side of a cell leads to the neighbour in this direction; face ^ 1 is the opposite one.
FACE_DIRECTIONS = np.array([[(2 * side - 1) * (a == axis) for a in range(3)] for axis in range(3) for side in (0, 1)])


class Tables(NamedTuple):
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


@cache
def tables() -> Tables:
    """The tables, made once."""
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
    return Tables(patches, flipped, double_face, mixed_faces)


def _face_corners(face: int) -> list[int]:
    """The corners of a face in order around it."""
    axis, side = divmod(face, 2)
    u, v = BIT[(axis + 1) % 3], BIT[(axis + 2) % 3]
    start = side * BIT[axis]
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
