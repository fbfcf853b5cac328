# SPDX-License-Identifier: GPL-3.0-or-later
"""What each ray of a picture meets first: a mesh, by the rasteriser, or a neural object, by the tracer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .cameras import PixelRays
from .placing import PlacedInstance, PlacedMeshes
from .rasterizing import Coverage, rasterize
from .scenes import Region, RenderConfig, Scene
from .tracing import TraceConfig, trace


@dataclass(frozen=True)
class Hits:
    """The nearest surfaces, one row a ray.

    Attributes:
        t: (N,) ray parameter; infinite where nothing is seen.
        instance: (N,) row in the placed instances that were given; -1 where there is none.
        positions: (N, 3) where it is, in that instance's network space; float32.
        inside: (N,) whether the instance is seen from within.
        level: (N,) the level on which the ray ended; -1 for none.
        steps: (N,) evaluations that the ray took in all objects, whether it met them or not.
        mesh: (N,) row in the placed meshes; -1 where there is none.
        coverage: what the rasteriser says about the meshes, hidden ones included.
    """

    t: np.ndarray
    instance: np.ndarray
    positions: np.ndarray
    inside: np.ndarray
    level: np.ndarray
    steps: np.ndarray
    mesh: np.ndarray
    coverage: Coverage

    @property
    def seen(self) -> np.ndarray:
        """(N,) whether the ray meets anything."""
        return np.isfinite(self.t)


def nearest_hits(
    instances: list[PlacedInstance],
    meshes: PlacedMeshes,
    scene: Scene,
    config: RenderConfig,
    rays: PixelRays,
    region: Region,
    offset: tuple[float, float],
    cancelled: Callable[[], bool] = lambda: False,
) -> Hits:
    """The nearest surface along each ray. Meshes come first: their depth is where tracing may stop.

    Args:
        meshes: those of the region are enough.
        rays: those of `region` at the sub-pixel `offset`.
        cancelled: asked after every step of the tracer.

    Raises:
        TraceCancelled: `cancelled` said so.
    """
    count = len(rays.origins)
    coverage = rasterize(meshes.screen, region, offset)
    mesh = np.where(coverage.triangle >= 0, meshes.mesh_of(coverage.triangle), -1)
    farthest = (scene.camera.clip_end - rays.start_depth) / rays.cosines
    t = np.where(mesh >= 0, (coverage.depth - rays.start_depth) / rays.cosines, farthest)
    instance, level = np.full(count, -1), np.full(count, -1)
    positions = np.zeros((count, 3), dtype=np.float32)
    inside, steps = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64)
    for row, item in enumerate(instances):
        to_network = item.world_to_network
        origins = rays.origins @ to_network[:3, :3].T + to_network[:3, 3]
        directions = rays.directions @ to_network[:3, :3].T
        tracer = TraceConfig(
            item.levels.traced, config.trace.tolerance, config.trace.relaxation, config.trace.max_steps
        )
        result = trace(item.instance.sequence, origins, directions, tracer, t, (region[3], region[2]), cancelled)
        steps += result.steps
        closer = np.flatnonzero(result.hit & (result.t < t))
        t[closer], instance[closer], level[closer] = result.t[closer], row, result.level[closer]
        positions[closer], inside[closer] = result.positions[closer], result.inside[closer]
    mesh[instance >= 0] = -1
    t[(instance < 0) & (mesh < 0)] = np.inf
    return Hits(t, instance, positions, inside, level, steps, mesh, coverage)
