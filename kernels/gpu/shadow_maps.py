# SPDX-License-Identifier: GPL-3.0-or-later
"""The sun's shadows of meshes on the GPU: what the sun sees of them, drawn into a map and looked up at each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from .. import shadow_maps
from ..cameras import Camera
from ..placing import world_box
from . import sources
from .device import ComputeShader, Device, MeshShader, Texture
from .meshes import MeshDrawer, PlacedMesh, mesh_shader
from .sources import PixelRays
from .surfaces import GROUP_SIDE, SurfaceBuffers, groups

# Rows of the parameters after those of the rays, see shadow_map.glsl.
SHADOW_PARAMETERS = 6


@cache
def _map_shader() -> MeshShader:
    # The same corners as `mesh_shader`, so that batches made for that one are drawn.
    drawn = mesh_shader()
    return MeshShader(
        "shadow_map",
        drawn.vertex_source,
        sources.read("shadow_map_fragment"),
        drawn.attributes,
        drawn.varyings,
        ("sun_depth",),
        parameters=drawn.parameters,
    )


@cache
def _shadow_shader() -> ComputeShader:
    return ComputeShader(
        "mesh shadows",
        sources.join("rays", "shadow_map", constants={"RAY_PARAMETERS": sources.RAY_PARAMETERS}),
        (GROUP_SIDE, GROUP_SIDE),
        textures=("surface", "owner", "sun_depths"),
        images=("relief",),
        read_images=("relief",),
        parameters=sources.RAY_PARAMETERS + SHADOW_PARAMETERS,
    )


class MeshShadows:
    """A shadow map, kept until the sun or the meshes change.

    Args:
        device: where to draw.
        drawer: whose triangles are drawn.
    """

    def __init__(self, device: Device, drawer: MeshDrawer) -> None:
        self._device = device
        self._drawer = drawer
        self._map: Texture | None = None
        self._camera: Camera | None = None
        self._shown: tuple[object, ...] = ()

    def prepare(self, meshes: Sequence[PlacedMesh], direction: tuple[float, float, float]) -> None:
        """Draw the map, if it is not that of these meshes and this sun already.

        Args:
            meshes: at least one, all that cast shadows.
            direction: unit vector towards the sun, world space.

        Raises:
            GpuError: the driver refuses the shader, or there is no memory.
        """
        placements = [
            (mesh.instance.geometry.key, np.asarray(mesh.instance.local_to_world, dtype=np.float64).tobytes())
            for mesh in meshes
        ]
        shown = (tuple(direction), *placements)
        if self._map is not None and shown == self._shown:
            return
        camera = shadow_maps.sun_camera(direction, [world_box(mesh.instance) for mesh in meshes])
        side = shadow_maps.SHADOW_MAP_SIDE
        rays = PixelRays(camera, (side, side), (0, 0, side, side))
        draws = self._drawer.draws(meshes, rays)
        # While it is drawn anew, the map is nobody's.
        self._shown = ()
        if self._map is None:
            self._map = self._device.empty_texture(side, side)
        depth = self._device.depth_texture(side, side)
        try:
            self._device.draw(_map_shader(), [self._map], depth, draws)
        finally:
            self._device.free(depth)
        self._camera, self._shown = camera, shown

    def cast(self, rays: PixelRays, buffers: SurfaceBuffers) -> None:
        """Take the sun away, in `relief`.y, from the surfaces that the meshes of the last `prepare` hide from it."""
        texel = shadow_maps.texel_size(self._camera)
        to_map, to_sun = shadow_maps.world_to_map(self._camera), self._camera.camera_to_world[:3, 2]
        rows = np.zeros((SHADOW_PARAMETERS, 4))
        rows[:3] = to_map @ np.asarray(rays.camera.camera_to_world, dtype=np.float64)
        rows[:3, 3] += to_map[:, :3] @ to_sun * (shadow_maps.DEPTH_OFFSET * texel)
        rows[3:, :3] = to_map[:, :3] * (shadow_maps.NORMAL_OFFSET * texel)
        textures = {"surface": buffers.surface, "owner": buffers.owner, "sun_depths": self._map}
        self._device.dispatch(
            _shadow_shader(),
            groups(buffers.width, buffers.height),
            textures,
            {"relief": buffers.relief},
            np.concatenate([rays.parameters, rows]).astype(np.float32),
        )

    def free(self) -> None:
        """Give the map back; the next `prepare` draws it anew. Freeing twice is fine."""
        if self._map is not None:
            self._device.free(self._map)
        self._map, self._camera, self._shown = None, None, ()
