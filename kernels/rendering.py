# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU renderer: a scene rendered tile by tile into image passes.

Tiles are worked on by several threads, because numpy lets go of the interpreter while it computes,
and are handed out as they are done, so that the caller can show progress and cancel.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np

from . import blas
from .cores import available_cores
from .samples import Picture, render_sample
from .scenes import BACKGROUND_DEPTH, Region, RenderConfig, Scene, Tile
from .sequence import NestedSequence
from .trace_stages import default_levels
from .tracing import TraceCancelled

# Multiplications of one tile and sample that take a few tenths of a second: how often progress is shown. Smaller tiles
# spend more of their time on the overhead of many small arrays.
TILE_COST = 1.2e10


def sample_offsets(count: int, first: int = 0) -> np.ndarray:
    """Sub-pixel offsets of `count` rays a pixel, in pixels: (count, 2). Number 0 is the pixel's centre.

    Roberts' R2 sequence, which fills the plane evenly at any count, warped to a tent of one pixel's radius: a filter
    a little wider than the pixel, as renderers use against staircases.

    Args:
        first: the number of the first one.
    """
    plastic = 1.324717957244746  # the real root of x^3 = x + 1
    u = (0.5 + np.arange(first, first + count)[:, None] * np.array([1.0 / plastic, 1.0 / plastic**2])) % 1.0
    return np.where(u < 0.5, np.sqrt(2.0 * u) - 1.0, 1.0 - np.sqrt(2.0 * (1.0 - u)))


def tile_regions(scene: Scene, config: RenderConfig) -> list[Region]:
    """The rendered region cut into tiles, from its centre outwards, smaller for larger networks."""
    costs = [_ray_cost(instance.sequence, config.trace_finest) for instance in scene.instances]
    # A pixel of a mesh with neural normals asks every level once, and the finest for its gradient.
    costs += [
        mesh.neural_normals.sequence.parameter_count + mesh.neural_normals.sequence.networks[-1].parameter_count
        for mesh in scene.meshes
        if mesh.neural_normals is not None
    ]
    side = int(min(256, max(32, math.sqrt(TILE_COST / max(costs, default=1)))))
    x, y, width, height = config.rendered_region
    regions = [
        (left, bottom, right - left, top - bottom)
        for bottom, top in pairwise(_cuts(y, height, side))
        for left, right in pairwise(_cuts(x, width, side))
    ]
    center = x + width / 2.0, y + height / 2.0
    return sorted(regions, key=lambda r: math.hypot(r[0] + r[2] / 2.0 - center[0], r[1] + r[3] / 2.0 - center[1]))


def _cuts(start: int, length: int, side: int) -> list[int]:
    """Borders of parts no longer than `side`, alike, so that no core is left with a small rest; none of no length."""
    count = math.ceil(length / side)
    return [start + length * number // max(1, count) for number in range(count + 1)]


def _ray_cost(sequence: NestedSequence, trace_finest: bool) -> int:
    """Multiplications of a ray: about four evaluations of the traced levels, and two of the finest for the normal."""
    traced = sum(sequence.networks[level].parameter_count for level in default_levels(sequence, trace_finest))
    return 4 * traced + 2 * sequence.networks[-1].parameter_count


def _render_tile(picture: Picture, region: Region, stop: threading.Event) -> Tile | None:
    """One tile with all its samples, or None when `stop` was set meanwhile."""
    config = picture.config
    _, _, width, height = region
    here = picture.within(region)
    total, first = np.zeros((width * height, 4)), None
    for offset in sample_offsets(config.samples, config.first_sample):
        if stop.is_set():
            return None
        try:
            sample = render_sample(here, region, tuple(offset), stop.is_set)
        except TraceCancelled:
            return None
        total += sample.colors
        first = first or sample
    shape = (height, width)
    return Tile(
        region,
        (total / config.samples).reshape(*shape, 4).astype(np.float32),
        first.depth.reshape(shape).astype(np.float32),
        first.normal.reshape(*shape, 3).astype(np.float32),
        first.object_index.reshape(shape).astype(np.float32),
    )


def render_tiles(scene: Scene, config: RenderConfig, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Tile]:
    """Render a picture, handing out its tiles as they are done, in no particular order.

    Args:
        cancelled: asked several times a second in the caller's thread; when true, no more tiles come. Closing the
            iterator has the same effect.
    """
    picture = Picture.of(scene, config)
    regions = tile_regions(scene, config)
    stop = threading.Event()
    with blas.limited_threads(1), ThreadPoolExecutor(config.threads or available_cores()) as pool:
        waiting: set[Future[Tile | None]] = {pool.submit(_render_tile, picture, region, stop) for region in regions}
        try:
            while waiting and not cancelled():
                done, waiting = wait(waiting, timeout=0.01, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    if cancelled():
                        return
        finally:
            stop.set()
            for future in waiting:
                future.cancel()


def render(scene: Scene, config: RenderConfig) -> Tile:
    """The whole region as one tile."""
    x, y, width, height = config.rendered_region
    combined = np.zeros((height, width, 4), dtype=np.float32)
    depth = np.full((height, width), BACKGROUND_DEPTH, dtype=np.float32)
    normal = np.zeros((height, width, 3), dtype=np.float32)
    object_index = np.zeros((height, width), dtype=np.float32)
    for tile in render_tiles(scene, config):
        left, bottom, tile_width, tile_height = tile.region
        where = np.s_[bottom - y : bottom - y + tile_height, left - x : left - x + tile_width]
        combined[where], depth[where], normal[where] = tile.combined, tile.depth, tile.normal
        object_index[where] = tile.object_index
    return Tile((x, y, width, height), combined, depth, normal, object_index)
