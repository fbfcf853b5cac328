# SPDX-License-Identifier: GPL-3.0-or-later
"""What trained surfaces have that their sources have not: components, and places where one sees through a wall.

Components are counted on a grid of 128 cells a side, before extraction drops what it takes for strays. Pictures from
four sides are traced through all levels; the source, by libigl (Embree), says what each pixel has to show. A pixel well
inside an outline is seen through where the traced surface is farther away than the source's by more than a hundredth of
its extent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from kernels.cameras import pixel_rays
from kernels.dual_surface import dual_surface
from kernels.mesh_components import component_labels
from kernels.meshes import FILLED_SHARE, TriangleMesh, in_network_space
from kernels.sequence import NestedSequence
from kernels.sparse_grid import surface_cells
from kernels.stages import Stage
from kernels.trace_stages import default_levels
from kernels.tracing import TraceConfig, trace

from . import metrics, presets, report, subjects, views
from .subjects import Subject

RESOLUTION, QUICK_RESOLUTION = 128, 32
SIDE, QUICK_SIDE = 320, 24
EYES = ((1.6, -3.4, 1.2), (-1.4, 3.3, 1.6), (3.5, 0.6, -1.3), (-3.6, -0.4, 0.5))
# A hundredth of the longest side of a mesh, network units.
SEEN_THROUGH = 0.01 * 2.0 * FILLED_SHARE
# Depths of neighbouring pixels differ by less than this where no outline runs between them, network units.
OUTLINE = 0.1


def component_count(sequence: NestedSequence, resolution: int) -> int:
    """Connected components of the finest zero set on a grid of `resolution` cells a side; strays count."""
    surface = dual_surface(surface_cells(sequence, resolution, Stage()), resolution)
    return len(np.unique(component_labels(len(surface.vertices), surface.quads)))


def within_outlines(depths: np.ndarray) -> np.ndarray:
    """Pixels that are seen, and whose eight neighbours are about as far away: (H, W) depths -> (H, W) booleans."""
    filled = np.where(np.isfinite(depths), depths, 1e3)
    ranges = ndimage.maximum_filter(filled, 3) - ndimage.minimum_filter(filled, 3)
    return np.isfinite(depths) & (ranges < OUTLINE)


def seen_through(sequence: NestedSequence, mesh: TriangleMesh, side: int) -> tuple[int, int]:
    """Pixels that see through the surface of a sequence, and all that lie within outlines, in pictures from EYES.

    Args:
        mesh: the source in network space.
        side: of the pictures, in pixels.
    """
    config = TraceConfig(levels=default_levels(sequence, trace_finest=True))
    through = looked_at = 0
    for eye in EYES:
        rays = pixel_rays(views.camera(eye), (side, side), (0, 0, side, side))
        truth, from_behind = metrics.first_hits(mesh.vertices, mesh.faces, rays.origins, rays.directions)
        # That is through a hole of the source, which the object closes.
        truth[from_behind] = np.inf
        found = trace(sequence, rays.origins, rays.directions, config, shape=(side, side)).t
        lengths = np.linalg.norm(rays.directions, axis=1)
        within = within_outlines((truth * lengths).reshape(side, side)).reshape(-1)
        through += int(((found[within] - truth[within]) * lengths[within] > SEEN_THROUGH).sum())
        looked_at += int(within.sum())
    return through, looked_at


def rows_of(subject: Subject, resolution: int = RESOLUTION, side: int = SIDE) -> Iterator[report.Row]:
    """Components and pixels of one sequence."""
    sequence = subject.sequence.like(np.empty(0, dtype=np.float32))
    expected = sequence.training.get("components")
    found = component_count(sequence, resolution)
    yield report.at_most(f"{subject.name}: components", found, "", expected)
    through, looked_at = seen_through(sequence, in_network_space(subject.source()), side)
    yield report.Row(f"{subject.name}: pixels within outlines", looked_at)
    yield report.Row(f"{subject.name}: of them seen through", through)


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure all that the presets trained."""
    trainings = [goal.training for goal in presets.GOALS]
    effort = (QUICK_RESOLUTION, QUICK_SIDE) if quick else (RESOLUTION, SIDE)
    for subject in subjects.subjects(trainings, quick):
        yield from rows_of(subject, *effort)
