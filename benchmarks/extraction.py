# SPDX-License-Identifier: GPL-3.0-or-later
"""Extraction against the whole grid: the distance evaluated at every corner, then the same meshing. One thread each.

The whole grid asks finer levels only inside the bands, too, as everything that reads a sequence must. What is compared
is the surface that is kept: its cells and which of their corners lie inside, and how far its vertices are from the zero
set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from kernels.blas import limited_threads
from kernels.deepest_level import deepest_distance, deepest_gradient
from kernels.dual_surface import DualSurface
from kernels.dual_tables import CORNERS
from kernels.extraction import MAX_RESOLUTION, extract, surface_through
from kernels.mesh_components import component_labels
from kernels.sequence import NestedSequence
from kernels.sparse_grid import BORDER_DISTANCE, Cells, cell_key, surface_cells
from kernels.stages import Stage
from kernels.surface_blocks import network_points
from kernels.vertex_placing import placed_vertices

from . import report, subjects
from .subjects import Subject

QUICK_RESOLUTION = 48


def whole_plane(sequence: NestedSequence, x: int, resolution: int) -> np.ndarray:
    """Distances at all corners with one x coordinate, outside on the border of the cube: (R + 1, R + 1)."""
    side = resolution + 1
    y, z = np.divmod(np.arange(side * side), side)
    corners = np.column_stack([np.full(side * side, x), y, z])
    values, _ = deepest_distance(sequence, network_points(corners, resolution))
    border = ((corners == 0) | (corners == resolution)).any(axis=1)
    values[border] = np.maximum(np.abs(values[border]), BORDER_DISTANCE)
    return values.reshape(side, side)


def whole_cells(sequence: NestedSequence, resolution: int) -> Cells:
    """All cells of the grid that have corners on both sides of the surface, by evaluating every corner."""
    found = []
    planes = (whole_plane(sequence, x, resolution) for x in range(resolution + 1))
    below = next(planes)
    for x, above in enumerate(planes):
        pair = np.stack([below, above])
        inside = pair < 0.0
        cases = np.zeros((resolution, resolution), dtype=np.int64)
        for number, (a, b, c) in enumerate(CORNERS):
            cases |= inside[a, b : resolution + b, c : resolution + c].astype(np.int64) << number
        y, z = np.nonzero((cases > 0) & (cases < 255))
        coords = np.column_stack([np.full(len(y), x), y, z])
        values = pair[CORNERS[:, 0], y[:, None] + CORNERS[:, 1], z[:, None] + CORNERS[:, 2]]
        found.append(Cells(cell_key(coords, resolution), coords, values, cases[y, z]))
        below = above
    return Cells(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def differing_cells(cells: Cells, surface: DualSurface, whole: Cells, whole_surface: DualSurface) -> int:
    """How many cells of one of two surfaces the other one has not, or with other corners inside."""
    cases = [
        dict(zip(of.keys[owners].tolist(), of.cases[owners].tolist(), strict=True))
        for of, owners in ((cells, surface.owners), (whole, whole_surface.owners))
    ]
    return len({key for key in cases[0].keys() | cases[1].keys() if cases[0].get(key) != cases[1].get(key)})


def rows_of(subject: Subject, resolution: int, least_factor: float | None) -> Iterator[report.Row]:
    """One sequence.

    Args:
        resolution: cells along each side of the cube.
        least_factor: how many times faster than the whole grid it has to be; None where nothing is asked.
    """
    sequence = subject.sequence.like(np.empty(0, dtype=np.float32))
    components = sequence.training.get("components")
    name = f"{subject.name}, {sequence.notation}, {resolution} cubed"
    with limited_threads(1):
        began = time.perf_counter()
        mesh = extract(sequence, resolution)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        whole = whole_cells(sequence, resolution)
        grid = time.perf_counter() - began
        whole_surface = surface_through(sequence, whole, resolution, components)[0]
        placed_vertices(sequence, whole, whole_surface, resolution, Stage())
        theirs = time.perf_counter() - began
        began = time.perf_counter()
        cells = surface_cells(sequence, resolution, Stage())
        our_grid = time.perf_counter() - began
    surface = surface_through(sequence, cells, resolution, components)[0]
    values, gradients, _ = deepest_gradient(sequence, sequence.to_network(mesh.vertices).astype(np.float32))
    offsets = np.abs(values) / np.linalg.norm(gradients, axis=1) * (resolution / 2.0)
    found = len(np.unique(component_labels(len(mesh.vertices), mesh.quads)))
    yield report.Row(f"{name}: quads", len(mesh.quads))
    yield report.Row(f"{name}: whole grid and meshing", theirs, "s")
    yield report.Row(f"{name}: whole grid alone", grid, "s")
    yield report.Row(f"{name}: extraction", ours, "s")
    yield report.Row(f"{name}: extraction's grid alone", our_grid, "s")
    yield report.at_least(f"{name}: extraction, faster by", theirs / ours, "x", least_factor)
    yield report.Row(f"{name}: cells that differ", differing_cells(cells, surface, whole, whole_surface))
    yield report.at_most(f"{name}: largest distance of a vertex from the zero set", offsets.max(), "cells", 0.1)
    yield report.at_most(f"{name}: components", found, "", components)


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained."""
    trainings = (subjects.BUNNY_PREVIEW, subjects.BUNNY_FINE, subjects.IGEA_FINE, subjects.NEFERTITI_BALANCED)
    resolution = QUICK_RESOLUTION if quick else MAX_RESOLUTION
    for subject in subjects.subjects(trainings, quick):
        yield from rows_of(subject, resolution, None if quick else 5.0)
