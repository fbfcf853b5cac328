# SPDX-License-Identifier: GPL-3.0-or-later
"""Quad meshes from nested sequences: the proxy that stands for a neural object among Blender's meshes.

A dual method on a regular grid over [-1, 1]^3, in steps with a module each: the blocks of cells near the surface
(`surface_blocks`), the distances at their corners (`sparse_grid`), the vertices and quads of the surface through them
(`dual_surface`), what of it belongs to the shape (`mesh_components`), and the vertices moved onto the zero set
(`vertex_placing`). A level is asked only about points in the bands of the levels before it (`deepest_level`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .dual_surface import DualSurface, dual_surface
from .dual_tables import CORNERS
from .mesh_components import belonging_vertices
from .meshes import FILLED_SHARE
from .sequence import NestedSequence
from .sparse_grid import Cells, surface_cells
from .stages import Stage
from .surface_blocks import network_points
from .vertex_placing import placed_vertices

MIN_RESOLUTION = 8
# About 700,000 quads of a typical shape.
MAX_RESOLUTION = 512
DEFAULT_RESOLUTION = 128

# Where cells are thicker than the shape somewhere, these are tried instead, one after the other. The cells of the first
# are half as thick as the sheets that open meshes are trained as.
FINER_RESOLUTIONS = (256, MAX_RESOLUTION)
# The resolution of the first trial for a face count. One this close to the wanted one is good enough to stop searching.
FIRST_TRIAL = 48
TARGET_TOLERANCE = 0.05
TARGET_ATTEMPTS = 6

# The faces of a box with the corners `CORNERS`.
_BOX_QUADS = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], dtype=np.int32
)


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


@dataclass(frozen=True)
class _Draft:
    """A mesh whose vertices are not on the surface yet: its grid's resolution, the cells, and the surface in them.

    is_whole: whether the surface has not fallen apart between the corners of cells that are thicker than it.
    """

    resolution: int
    cells: Cells
    surface: DualSurface
    is_whole: bool


def extract(
    sequence: NestedSequence,
    resolution: int | None = None,
    target_faces: int | None = None,
    components: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    max_resolution: int = MAX_RESOLUTION,
) -> QuadMesh:
    """The surface of the finest level as a closed manifold mesh of quads.

    Components that are taken for strays of the network are dropped: see `mesh_components.belonging_vertices`.

    Where the shape is thinner than a cell, as the sheets are that open meshes become, there may be no corner inside of
    it, and its surface has gaps or is not found. Where nothing is found, or more components than the source has, the
    resolution is raised to one of `FINER_RESOLUTIONS`, which makes more quads than were asked for. Where that does not
    help, or nobody knows how many components the source has, or gaps do not cut the surface into pieces, they stay.

    Args:
        sequence: of static networks, in network space.
        resolution: cells along each side of the cube [-1, 1]^3; `DEFAULT_RESOLUTION` when None.
        target_faces: when given, the resolution is chosen so that the number of quads comes close to this (within about
            a tenth, unless it is very small, beyond `MAX_RESOLUTION`, or too few for a thin shape).
        components: how many components the source has. When None, `sequence.training["components"]` if it is there.
        progress: called now and then with the share of the work that is done, from 0 to 1.
        cancelled: asked now and then whether the mesh is not wanted any more.
        max_resolution: the resolution is not raised beyond this one for a thin shape.

    Returns:
        The mesh, in the sequence's local space.

    Raises:
        ValueError: the zero set is empty, the sequence has a time input, or a number is out of range.
        Cancelled: `cancelled` said so.
    """
    resolution = DEFAULT_RESOLUTION if resolution is None else resolution
    if sequence.inputs != 3:
        raise ValueError("a sequence with a time input has no single surface to extract")
    if not MIN_RESOLUTION <= resolution <= MAX_RESOLUTION:
        raise ValueError(f"the resolution has to lie between {MIN_RESOLUTION} and {MAX_RESOLUTION}")
    if components is None:
        components = _recorded_components(sequence)
    arrays = sequence.like(np.empty(0, dtype=np.float32))
    stage = Stage(progress, cancelled)
    # Placing the vertices takes about as long as finding them.
    if target_faces is None:
        draft = _draft(arrays, resolution, components, stage.part(0.0, 0.45))
    else:
        draft = _draft_with_faces(arrays, max(int(target_faces), 1), components, stage.part(0.0, 0.45))
    draft = _whole_draft(arrays, draft, components, max_resolution, stage.part(0.45, 0.5))
    if draft is None:
        raise ValueError("the network has no surface inside its cube: its zero set is empty at this resolution")
    points, normals = placed_vertices(arrays, draft.cells, draft.surface, draft.resolution, stage.part(0.5, 1.0))
    stage.reached(1.0)
    return QuadMesh(sequence.to_local(points), draft.surface.quads.astype(np.int32), normals)


def box_proxy(sequence: NestedSequence) -> QuadMesh:
    """A box in local space, as large as shapes may be, that stands for one whose surface cannot be extracted."""
    corners = (2 * CORNERS - 1).astype(np.float32)
    return QuadMesh(sequence.to_local(np.float32(FILLED_SHARE) * corners), _BOX_QUADS, corners / np.float32(np.sqrt(3)))


def _draft(sequence: NestedSequence, resolution: int, components: int | None, stage: Stage) -> _Draft | None:
    """Everything but moving the vertices onto the surface; None where no cell has surface."""
    cells = surface_cells(sequence, resolution, stage)
    if not len(cells.keys):
        return None
    return _Draft(resolution, cells, *surface_through(sequence, cells, resolution, components))


def surface_through(
    sequence: NestedSequence, cells: Cells, resolution: int, components: int | None = None
) -> tuple[DualSurface, bool]:
    """The surface through a grid's cells, one or more, without strays, and whether it is whole; arguments as for
    `extract`, and `belonging_vertices` says what both mean."""
    surface = dual_surface(cells, resolution)
    points = network_points(surface.vertices, resolution)
    belongs, is_whole = belonging_vertices(sequence, points, surface.quads, resolution, components)
    return _part_of(surface, belongs), is_whole


def _part_of(surface: DualSurface, kept: np.ndarray) -> DualSurface:
    """`surface` without the vertices that are not `kept`, (V,) booleans, nor their quads."""
    renumbered = np.cumsum(kept) - 1
    quads = renumbered[surface.quads[kept[surface.quads[:, 0]]]]
    return DualSurface(surface.vertices[kept], surface.owners[kept], surface.crossed[kept], quads)


def _draft_with_faces(sequence: NestedSequence, target: int, components: int | None, stage: Stage) -> _Draft | None:
    """The draft with closest to `target` quads; None where the first trial finds no surface.

    The number of quads grows like resolution^2, hence a few trials, each much cheaper than the steps that follow.
    """
    resolution = FIRST_TRIAL
    tried: set[int] = set()
    best = None
    for attempt in range(TARGET_ATTEMPTS):
        part = stage.part(attempt / TARGET_ATTEMPTS, (attempt + 1) / TARGET_ATTEMPTS)
        draft = _draft(sequence, resolution, components, part)
        if draft is None:
            # A shape so thin that it lies between the corners of this grid, if not of another.
            break
        tried.add(resolution)
        count = len(draft.surface.quads)
        if best is None or abs(count - target) < abs(len(best.surface.quads) - target):
            best = draft
        scaled = round(resolution * np.sqrt(target / count))
        resolution = min(max(scaled, MIN_RESOLUTION), MAX_RESOLUTION)
        if abs(count - target) <= TARGET_TOLERANCE * target or resolution in tried:
            break
    return best


def _whole_draft(
    sequence: NestedSequence, draft: _Draft | None, components: int | None, max_resolution: int, stage: Stage
) -> _Draft | None:
    """`draft` if its surface is whole, or else the coarsest of the finer ones whose surface is.

    Where none is, `draft` itself, or if that is None, the coarsest one with any surface.
    """
    for number, resolution in enumerate(FINER_RESOLUTIONS):
        if draft is not None and (draft.is_whole or resolution <= draft.resolution):
            continue
        if resolution > max_resolution:
            break
        part = stage.part(number / len(FINER_RESOLUTIONS), (number + 1) / len(FINER_RESOLUTIONS))
        finer = _draft(sequence, resolution, components, part)
        if finer is not None and (draft is None or finer.is_whole):
            draft = finer
    return draft


def _recorded_components(sequence: NestedSequence) -> int | None:
    """The number of components that training recorded. Free text from a file: anything but a count is ignored."""
    recorded = sequence.training.get("components")
    return recorded if type(recorded) is int and recorded > 0 else None
