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
from dataclasses import dataclass

import numpy as np

from . import blas
from .arrays import normalize_rows
from .cameras import PixelRays, cube_bounds, pixel_rays
from .cores import available_cores
from .scenes import BACKGROUND_DEPTH, NeuralInstance, Region, RenderConfig, Scene, Tile
from .sequence import NestedSequence
from .shading import facing_normals, shade_scene
from .tracing import TraceConfig, default_levels, trace

# Heights above the surface, in network units, at which `openness` looks for other parts of the object.
OPENNESS_HEIGHTS = (0.04, 0.12, 0.36)

# Multiplications of one tile and sample that take about a tenth of a second: how often progress is shown.
TILE_COST = 4e9


@dataclass(frozen=True)
class _Placed:
    """An instance made ready for a picture: what does not depend on the ray."""

    instance: NeuralInstance
    world_to_network: np.ndarray
    bounds: tuple[float, float, float, float]  # pixel rectangle: left, bottom, right, top
    distance: float  # of its centre from the camera

    def meets(self, region: Region) -> bool:
        """Whether the object may be seen in a region. A pixel of margin is for antialiasing."""
        left, bottom, right, top = self.bounds
        x, y, width, height = region
        return left < x + width + 1 and right > x - 1 and bottom < y + height + 1 and top > y - 1


def _place(scene: Scene, config: RenderConfig) -> list[_Placed]:
    """The instances that may be seen, the nearest first, so that they spare the others rays."""
    placed = []
    for instance in scene.instances:
        matrix = np.asarray(instance.network_to_world, dtype=np.float64)
        sizes = np.linalg.svd(matrix[:3, :3], compute_uv=False) if np.isfinite(matrix).all() else np.zeros(3)
        if sizes[-1] <= 1e-9 * sizes[0]:
            continue  # Flat, or no size at all: it has no volume and shows nothing.
        bounds = cube_bounds(scene.camera, matrix, (config.width, config.height))
        if bounds is not None:
            distance = np.linalg.norm(matrix[:3, 3] - scene.camera.camera_to_world[:3, 3])
            placed.append(_Placed(instance, np.linalg.inv(matrix), bounds, float(distance)))
    return sorted(placed, key=lambda p: p.distance)


def sample_offsets(count: int) -> np.ndarray:
    """Sub-pixel offsets of `count` rays a pixel, in pixels: (count, 2). The first is the pixel's centre.

    Roberts' R2 sequence, which fills the plane evenly at any count, warped to a tent of one pixel's radius: a filter
    a little wider than the pixel, as renderers use against staircases.
    """
    plastic = 1.324717957244746  # the real root of x^3 = x + 1
    u = (0.5 + np.arange(count)[:, None] * np.array([1.0 / plastic, 1.0 / plastic**2])) % 1.0
    return np.where(u < 0.5, np.sqrt(2.0 * u) - 1.0, 1.0 - np.sqrt(2.0 * (1.0 - u)))


def tile_regions(config: RenderConfig, instances: tuple[NeuralInstance, ...]) -> list[Region]:
    """The rendered region cut into tiles, from its centre outwards, smaller for larger networks."""
    # About ten evaluations of the traced levels a ray, and the price of two of the finest for the normal.
    cost = max(
        (
            10 * sum(i.sequence.networks[j].parameter_count for j in default_levels(i.sequence, config.trace_finest))
            + 2 * i.sequence.networks[-1].parameter_count
            for i in instances
        ),
        default=1,
    )
    side = int(min(256, max(32, math.sqrt(TILE_COST / cost))))
    x, y, width, height = config.rendered_region
    regions = [
        (left, max(y, top - side), min(side, x + width - left), top - max(y, top - side))
        for top in range(y + height, y, -side)
        for left in range(x, x + width, side)
    ]
    center = x + width / 2.0, y + height / 2.0
    return sorted(regions, key=lambda r: math.hypot(r[0] + r[2] / 2.0 - center[0], r[1] + r[3] / 2.0 - center[1]))


@dataclass
class _Sample:
    """What one ray a pixel sees; one row a pixel."""

    t: np.ndarray
    color: np.ndarray
    normal: np.ndarray
    object_index: np.ndarray

    @property
    def seen(self) -> np.ndarray:
        return np.isfinite(self.t)


def _trace_nearest(
    placed: list[_Placed], rays: PixelRays, scene: Scene, config: RenderConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The nearest object along each ray: t, row in `placed` or -1, position in its network space, seen from within."""
    count = len(rays.origins)
    t = (scene.camera.clip_end - rays.start_depth) / rays.cosines
    nearest = np.full(count, -1)
    positions = np.zeros((count, 3), dtype=np.float32)
    inside = np.zeros(count, dtype=bool)
    for row, item in enumerate(placed):
        sequence = item.instance.sequence
        levels = default_levels(sequence, config.trace_finest)
        to_network = item.world_to_network
        origins = rays.origins @ to_network[:3, :3].T + to_network[:3, 3]
        directions = rays.directions @ to_network[:3, :3].T
        tracer = TraceConfig(levels, config.trace.tolerance, config.trace.relaxation, config.trace.max_steps)
        result = trace(sequence, origins, directions, tracer, farthest=t)
        closer = np.nonzero(result.hit & (result.t < t))[0]
        t[closer], nearest[closer] = result.t[closer], row
        positions[closer], inside[closer] = result.positions[closer], result.inside[closer]
    return np.where(nearest < 0, np.inf, t), nearest, positions, inside


def openness(sequence: NestedSequence, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Share of the world that points of the surface see, 0 to 1: ambient occlusion from the signed distance.

    Above an open surface the distance grows as fast as the height; in a fold it stays behind. The coarsest level is
    enough for that, and it is the one that knows distances far from the surface.

    Args:
        points: (N, 3) in network space, on the surface.
        normals: (N, 3) unit, in network space, towards the open side.

    Returns:
        (N,) shares.
    """
    ground = sequence.distance(0, points)
    shares = np.zeros_like(ground)
    for height in OPENNESS_HEIGHTS:
        above = points + height * normals
        # On the inner side distances are negative and their size grows. Beyond the cube there is nothing.
        rise = np.abs(sequence.distance(0, above.clip(-1.0, 1.0)) - ground)
        outside = (np.abs(above) > 1.0).any(axis=1)
        shares += np.where(outside, 1.0, (rise / height).clip(0.0, 1.0))
    return shares / len(OPENNESS_HEIGHTS)


def _render_sample(placed: list[_Placed], rays: PixelRays, scene: Scene, config: RenderConfig) -> _Sample:
    """Trace, map the finest level's normals, shade."""
    t, nearest, positions, inside = _trace_nearest(placed, rays, scene, config)
    sample = _Sample(t, np.zeros_like(rays.origins), np.zeros_like(rays.origins), np.zeros(len(t)))
    for row, item in enumerate(placed):
        rows = np.nonzero(nearest == row)[0]
        if not len(rows):
            continue
        network_normals = item.instance.sequence.normals(positions[rows]) * np.where(inside[rows], -1.0, 1.0)[:, None]
        visible = openness(item.instance.sequence, positions[rows], network_normals.astype(np.float32))
        # A gradient is a covector: it goes to world space by the inverse transpose, mirrored scale included.
        views = -rays.directions[rows]
        normals = facing_normals(normalize_rows(network_normals @ item.world_to_network[:3, :3]), views)
        points = rays.origins[rows] + t[rows, None] * rays.directions[rows]
        material = item.instance.material
        sample.color[rows] = shade_scene(scene, points, normals, views, material, visible)
        sample.normal[rows] = normals
        sample.object_index[rows] = item.instance.object_index
    return sample


def _render_tile(
    placed: list[_Placed], scene: Scene, config: RenderConfig, region: Region, stop: threading.Event
) -> Tile | None:
    """One tile with all its samples, or None when `stop` was set meanwhile."""
    _, _, width, height = region
    here = [item for item in placed if item.meets(region)]
    total = np.zeros((width * height, 4))
    depth, normal = np.full(width * height, BACKGROUND_DEPTH), np.zeros((width * height, 3))
    object_index = np.zeros(width * height)
    background = np.zeros(4) if scene.film_transparent else np.array([*scene.world.color, 1.0])
    for number, offset in enumerate(sample_offsets(config.first_sample + config.samples)[config.first_sample :]):
        if stop.is_set():
            return None
        if not here:
            total += background
            continue
        rays = pixel_rays(scene.camera, (config.width, config.height), region, tuple(offset))
        sample = _render_sample(here, rays, scene, config)
        seen = sample.seen
        total += np.where(seen[:, None], np.column_stack([sample.color, np.ones(len(seen))]), background)
        if number == 0:
            depth[seen], normal = rays.depth(sample.t)[seen], sample.normal
            object_index = sample.object_index
    shape = (height, width)
    return Tile(
        region,
        (total / config.samples).reshape(*shape, 4).astype(np.float32),
        depth.reshape(shape).astype(np.float32),
        normal.reshape(*shape, 3).astype(np.float32),
        object_index.reshape(shape).astype(np.float32),
    )


def render_tiles(scene: Scene, config: RenderConfig, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Tile]:
    """Render a picture, handing out its tiles as they are done, in no particular order.

    Args:
        cancelled: asked several times a second in the caller's thread; when true, no more tiles come. Closing the
            iterator has the same effect.
    """
    placed = _place(scene, config)
    regions = tile_regions(config, tuple(item.instance for item in placed))
    stop = threading.Event()
    with blas.limited_threads(1), ThreadPoolExecutor(config.threads or available_cores()) as pool:
        waiting: set[Future[Tile | None]] = {
            pool.submit(_render_tile, placed, scene, config, region, stop) for region in regions
        }
        try:
            while waiting and not cancelled():
                done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
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
