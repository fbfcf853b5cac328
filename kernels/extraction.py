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
from .mesh_components import belonging_vertices
from .sequence import NestedSequence
from .sparse_grid import Cells, surface_cells
from .stages import Stage
from .surface_blocks import network_points
from .vertex_placing import placed_vertices

MIN_RESOLUTION = 8
# About 700,000 quads of a typical shape.
MAX_RESOLUTION = 512
DEFAULT_RESOLUTION = 128

# The resolution of the first trial for a face count. One this close to the wanted one is good enough to stop searching.
FIRST_TRIAL = 48
TARGET_TOLERANCE = 0.05
TARGET_ATTEMPTS = 6


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
    """A mesh whose vertices are not on the surface yet: its grid's resolution, the cells, and the surface in them."""

    resolution: int
    cells: Cells
    surface: DualSurface


def extract(
    sequence: NestedSequence,
    resolution: int | None = None,
    target_faces: int | None = None,
    components: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> QuadMesh:
    """The surface of the finest level as a closed manifold mesh of quads.

    Components that are taken for strays of the network are dropped: see `mesh_components.belonging_vertices`.

    Args:
        sequence: of static networks, in network space.
        resolution: cells along each side of the cube [-1, 1]^3; `DEFAULT_RESOLUTION` when None.
        target_faces: when given, the resolution is chosen so that the number of quads comes close to this (within about
            a tenth, unless it is very small or beyond `MAX_RESOLUTION`).
        components: how many components the source has. When None, `sequence.training["components"]` if it is there.
        progress: called now and then with the share of the work that is done, from 0 to 1.
        cancelled: asked now and then whether the mesh is not wanted any more.

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
        draft = _draft(arrays, resolution, components, stage.part(0.0, 0.5))
    else:
        draft = _draft_with_faces(arrays, max(int(target_faces), 1), components, stage.part(0.0, 0.5))
    points, normals = placed_vertices(arrays, draft.cells, draft.surface, draft.resolution, stage.part(0.5, 1.0))
    stage.reached(1.0)
    return QuadMesh(sequence.to_local(points), draft.surface.quads.astype(np.int32), normals)


def _draft(sequence: NestedSequence, resolution: int, components: int | None, stage: Stage) -> _Draft:
    """Everything but moving the vertices onto the surface."""
    cells = surface_cells(sequence, resolution, stage)
    return _Draft(resolution, cells, surface_through(sequence, cells, resolution, components))


def surface_through(
    sequence: NestedSequence, cells: Cells, resolution: int, components: int | None = None
) -> DualSurface:
    """The surface through a grid's cells, without strays; arguments as for `extract`.

    Raises:
        ValueError: there are no cells.
    """
    if not len(cells.keys):
        raise ValueError("the network has no surface inside its cube: its zero set is empty at this resolution")
    surface = dual_surface(cells, resolution)
    points = network_points(surface.vertices, resolution)
    belongs = belonging_vertices(sequence, points, surface.quads, resolution, components)
    return _part_of(surface, belongs)


def _part_of(surface: DualSurface, kept: np.ndarray) -> DualSurface:
    """`surface` without the vertices that are not `kept`, (V,) booleans, nor their quads."""
    renumbered = np.cumsum(kept) - 1
    quads = renumbered[surface.quads[kept[surface.quads[:, 0]]]]
    return DualSurface(surface.vertices[kept], surface.owners[kept], surface.crossed[kept], quads)


def _draft_with_faces(sequence: NestedSequence, target: int, components: int | None, stage: Stage) -> _Draft:
    """The draft with closest to `target` quads.

    The number of quads grows like resolution^2, hence a few trials, each much cheaper than the steps that follow.
    """
    resolution = FIRST_TRIAL
    tried: set[int] = set()
    best = None
    for attempt in range(TARGET_ATTEMPTS):
        part = stage.part(attempt / TARGET_ATTEMPTS, (attempt + 1) / TARGET_ATTEMPTS)
        draft = _draft(sequence, resolution, components, part)
        tried.add(resolution)
        count = len(draft.surface.quads)
        if best is None or abs(count - target) < abs(len(best.surface.quads) - target):
            best = draft
        scaled = round(resolution * np.sqrt(target / count))
        resolution = min(max(scaled, MIN_RESOLUTION), MAX_RESOLUTION)
        if abs(count - target) <= TARGET_TOLERANCE * target or resolution in tried:
            break
    return best


def _recorded_components(sequence: NestedSequence) -> int | None:
    """The number of components that training recorded. Free text from a file: anything but a count is ignored."""
    recorded = sequence.training.get("components")
    return recorded if type(recorded) is int and recorded > 0 else None
