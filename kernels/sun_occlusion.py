# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of the sun surface points see on the CPU: past meshes by a shadow map, past neural objects by rays."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .cameras import Camera
from .placing import casting_sun, has_surface, levels_of, solid_instances, world_box, world_triangles
from .rasterizing import project_triangles, rasterize_depth
from .scenes import MeshInstance, NeuralInstance, RenderConfig, Scene
from .shadow_maps import SHADOW_MAP_SIDE, sun_camera, sun_visibility
from .shadow_rays import reach_sun
from .tracing import TraceConfig

# Shadow maps kept: while only the view moves, none is made anew.
KEPT = 2


@dataclass(frozen=True)
class ShadowMap:
    """What the sun sees of meshes.

    Attributes:
        camera: from `shadow_maps.sun_camera`.
        depths: (SHADOW_MAP_SIDE, SHADOW_MAP_SIDE) float32, as `shadow_maps.sun_visibility` takes them.
    """

    camera: Camera
    depths: np.ndarray


@dataclass(frozen=True)
class Sun:
    """The sun that casts shadows in a picture, and what stands in its light.

    Attributes:
        direction: unit vector towards it, world space.
        instances: neural objects, each with the levels that the picture traces.
        shadow_map: of the meshes; None without any.
        trace: tolerance and steps of the shadow rays.
    """

    direction: tuple[float, float, float]
    instances: tuple[tuple[NeuralInstance, tuple[int, ...]], ...]
    shadow_map: ShadowMap | None
    trace: TraceConfig

    def visibility(
        self, points: np.ndarray, normals: np.ndarray, cancelled: Callable[[], bool] = lambda: False
    ) -> np.ndarray:
        """Share of the sun that surface points see, 0 to 1, 0 where they face away from it.

        Args:
            points: (N, 3) world space.
            normals: (N, 3) unit, on the side that is seen.
            cancelled: asked after every step of a shadow ray.

        Raises:
            TraceCancelled: `cancelled` said so.
        """
        shares = (normals @ np.asarray(self.direction) > 0.0).astype(np.float64)
        lit = np.flatnonzero(shares)
        if self.shadow_map is not None and len(lit):
            shares[lit] = sun_visibility(self.shadow_map.camera, self.shadow_map.depths, points[lit], normals[lit])
        for instance, traced in self.instances:
            lit = np.flatnonzero(shares)
            if len(lit):
                shares[lit] *= reach_sun(
                    instance.sequence,
                    instance.network_to_world,
                    traced,
                    points[lit],
                    normals[lit],
                    self.direction,
                    self.trace,
                    cancelled,
                )
        return shares


def shadowing_sun(scene: Scene, config: RenderConfig) -> Sun | None:
    """The sun of a picture that casts shadows; None without one, or where the picture shows none."""
    direction = casting_sun(scene, config)
    if direction is None:
        return None
    instances = tuple((item, levels_of(item, scene.camera, config).traced) for item in solid_instances(scene))
    meshes = tuple(mesh for mesh in scene.meshes if has_surface(mesh))
    return Sun(direction, instances, _shadow_maps.get(direction, meshes) if meshes else None, config.trace)


def forget_shadow_maps() -> None:
    """Give back the memory of the shadow maps that are kept for the next pictures."""
    _shadow_maps.clear()


class _ShadowMaps:
    """The newest shadow maps, by what they show."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple, ShadowMap] = OrderedDict()

    def get(self, direction: tuple[float, float, float], meshes: tuple[MeshInstance, ...]) -> ShadowMap:
        """The map of these meshes, made if need be. One thread makes maps at a time."""
        placements = [(mesh.geometry.key, np.asarray(mesh.local_to_world, np.float64).tobytes()) for mesh in meshes]
        key = (tuple(map(float, direction)), *placements)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _shadow_map(direction, meshes)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def clear(self) -> None:
        """Drop them all."""
        with self._lock:
            self._kept.clear()


_shadow_maps = _ShadowMaps()


def _shadow_map(direction: tuple[float, float, float], meshes: tuple[MeshInstance, ...]) -> ShadowMap:
    camera = sun_camera(direction, [world_box(mesh) for mesh in meshes])
    side = SHADOW_MAP_SIDE
    screen = project_triangles(camera, (side, side), *world_triangles(meshes))
    depths = rasterize_depth(screen, (0, 0, side, side)).reshape(side, side)
    return ShadowMap(camera, depths.astype(np.float32))
