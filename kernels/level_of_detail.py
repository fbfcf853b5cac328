# SPDX-License-Identifier: GPL-3.0-or-later
"""Level of detail: which levels of a nested sequence a picture needs, by the size of the object on screen.

The band of level j holds the zero sets of all finer levels, so its half width bounds how far they can move the
surface. When that is less than half a pixel, tracing them changes nothing that can be seen.

Normals are taken where rays arrive. There a residual level means something only if the level before it was traced: a
point of a coarser surface may lie outside that one's band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cameras import Camera
from .sequence import NestedSequence

# A traced surface may be off by this many pixels at most: less than what antialiasing spreads an outline over.
TRACED_PIXELS = 0.5

# Normals may come from a level whose band is narrower than this many pixels. Normals differ at all scales, and each is
# seen, so this is stricter: with half a pixel, pictures of trained sequences (two of the bunny, igea, spot, the teapot)
# differed from those with the finest normals by up to 2.7/255 on average and 9/255 on a twentieth of the pixels; with
# an eighth, where an object is a dozen pixels wide, by up to 2.1/255 and 6/255. Nor do the few pixels cost much.
NORMAL_PIXELS = 0.125


@dataclass(frozen=True)
class LevelChoice:
    """The levels of a sequence that a picture uses.

    Attributes:
        traced: the levels to trace, coarse to fine.
        normals: the level that gives the normals; never coarser than the last traced one unless asked for. Of a
            residual sequence never finer than the one after it.
    """

    traced: tuple[int, ...]
    normals: int


def radius_in_pixels(camera: Camera, network_to_world: np.ndarray, size: tuple[int, int]) -> float:
    """How many pixels one unit of network space is on screen at most: the radius of the cube's inscribed sphere.

    Args:
        network_to_world: (4, 4) affine transform that places the cube [-1, 1]^3.
        size: width and height of the picture in pixels.

    Returns:
        Pixels, where the sphere is nearest to the camera and along its longest axis; infinity for a perspective
        camera inside of it.
    """
    matrix = np.asarray(network_to_world, dtype=np.float64)
    radius = float(np.linalg.svd(matrix[:3, :3], compute_uv=False)[0])
    scales = np.abs(np.diag(np.asarray(camera.projection, dtype=np.float64))[:2]) * np.asarray(size) / 2.0
    if not camera.is_perspective:
        return radius * float(scales.max())
    to_camera = np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))
    depth = -float(to_camera[2, :3] @ matrix[:3, 3] + to_camera[2, 3]) - radius
    # Nothing nearer than the clip plane is seen.
    depth = max(depth, camera.clip_start)
    return radius * float(scales.max()) / depth if depth > 0.0 else float("inf")


def choose_levels(
    sequence: NestedSequence,
    radius_in_pixels: float,
    trace_finest: bool,
    traced_level: int | None = None,
    normal_level: int | None = None,
) -> LevelChoice:
    """The levels to trace, and the one for the normals.

    Args:
        radius_in_pixels: from the function of that name.
        trace_finest: allow the finest level to be traced; otherwise it is left for the normals, unless it is the
            only one.
        traced_level, normal_level: ask for a level whatever the size on screen. A sequence that has fewer levels
            takes its finest. Of a residual sequence the traced level asked for decides how fine normals can be.
    """
    traced = _first_fine_enough(sequence, radius_in_pixels, TRACED_PIXELS)
    if not trace_finest:
        traced = min(traced, max(0, sequence.finest - 1))
    if traced_level is not None:
        traced = min(max(traced_level, 0), sequence.finest)
    normals = max(traced, _first_fine_enough(sequence, radius_in_pixels, NORMAL_PIXELS))
    if normal_level is not None:
        normals = min(max(normal_level, 0), sequence.finest)
    if sequence.kind == "residual":
        if traced_level is None:
            traced = max(traced, normals - 1)
        normals = min(normals, traced + 1)
    return LevelChoice(tuple(range(traced + 1)), normals)


def _first_fine_enough(sequence: NestedSequence, radius: float, pixels: float) -> int:
    """The first level whose band is narrower than `pixels`, or the finest."""
    for level, band in enumerate(sequence.bands):
        if band.delta * radius < pixels:
            return level
    return sequence.finest
