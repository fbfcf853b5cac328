# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes drawn into the surface buffers by the GPU's rasteriser, on the very rays that neural objects are traced on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..cameras import Camera
from ..mesh_normals import corner_normals, handedness, normals_to_world
from ..scenes import Geometry, MeshInstance
from . import sources
from .device import Device, Draw, MeshShader, Texture
from .sources import PixelRays
from .surfaces import NAMES, SurfaceBuffers

# Rows of the parameters after those of the rays:
#   0-3: local space to clip space
#   4: local space to view depth counted from clip_start
#   5-7: local normals to world space, by the inverse transpose
#   8: x first row in the table of materials, y number of rows, z object index, w 1, or -1 for a mirrored transform
#   9: x number of the mesh in the scene plus 1
MESH_PARAMETERS = 10


@cache
def mesh_shader() -> MeshShader:
    """The shader that writes the surface buffers."""
    constants = {"RAY_PARAMETERS": sources.RAY_PARAMETERS}
    return MeshShader(
        "mesh",
        sources.join("mesh_vertex", constants=constants),
        sources.join("rays", "mesh_fragment", constants=constants),
        attributes=(("position", 3), ("normal", 3), ("material_slot", 1)),
        varyings=(("corner_depth", 1), ("corner_normal", 3), ("corner_slot", 1)),
        outputs=NAMES,
        parameters=sources.RAY_PARAMETERS + MESH_PARAMETERS,
    )


def world_to_clip(rays: PixelRays) -> np.ndarray:
    """From world space to the clip space of the rays' region: (4, 4).

    The inverse of the rays: a point that is seen along a pixel's ray is projected onto the pixel's centre. Depths are
    those between the camera's clip planes, whatever its projection says of them.
    """
    camera, size, offset = rays.camera, rays.size, rays.offset
    x, y, width, height = rays.region
    to_camera = np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))
    projection = np.array(camera.projection, dtype=np.float64)
    near, far = camera.clip_start, min(camera.clip_end, sources.UNLIMITED_DEPTH)
    if camera.is_perspective:
        # Nothing can be projected from the eye itself.
        near = near if near > 0.0 else 1e-5 * far
        projection[2] = [0.0, 0.0, -(far + near) / (far - near), -2.0 * far * near / (far - near)]
        projection[3] = [0.0, 0.0, -1.0, 0.0]
    else:
        projection[2] = [0.0, 0.0, -2.0 / (far - near), -(far + near) / (far - near)]
        projection[3] = [0.0, 0.0, 0.0, 1.0]
    to_region = np.eye(4)
    to_region[0, 0], to_region[1, 1] = size[0] / width, size[1] / height
    to_region[0, 3] = (size[0] - 2.0 * (x + offset[0])) / width - 1.0
    to_region[1, 3] = (size[1] - 2.0 * (y + offset[1])) / height - 1.0
    return to_region @ projection @ to_camera


def world_to_depth(camera: Camera) -> np.ndarray:
    """The row (4,) that takes world points to view depths counted from the plane of clip_start, negated."""
    to_camera = np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))
    to_camera[2, 3] += camera.clip_start
    return to_camera[2]


@dataclass(frozen=True)
class PlacedMesh:
    """A mesh that a picture shows.

    Attributes:
        instance: the mesh.
        first_row: of its materials in the picture's table of materials.
        number: of the mesh in the scene.
    """

    instance: MeshInstance
    first_row: int
    number: int


def mesh_parameters(meshes: Sequence[PlacedMesh], rays: PixelRays) -> np.ndarray:
    """The parameters of `mesh_shader` for each mesh, those of the rays first: (M, rows, 4) float32.

    Products with matrices are made here, in double precision, so that nothing jitters far away from the origin.
    """
    local_to_world = np.array([mesh.instance.local_to_world for mesh in meshes], dtype=np.float64)
    rows = np.zeros((len(meshes), MESH_PARAMETERS, 4))
    rows[:, 0:4] = world_to_clip(rays) @ local_to_world
    rows[:, 4] = world_to_depth(rays.camera) @ local_to_world
    rows[:, 5:8, :3] = normals_to_world(local_to_world)
    rows[:, 8, :3] = [(m.first_row, max(1, len(m.instance.materials)), m.instance.object_index) for m in meshes]
    rows[:, 8, 3] = handedness(local_to_world)
    rows[:, 9, 0] = [mesh.number + 1 for mesh in meshes]
    shared = np.broadcast_to(rays.parameters, (len(meshes), sources.RAY_PARAMETERS, 4))
    return np.concatenate([shared, rows], axis=1).astype(np.float32)


class MeshDrawer:
    """Draws meshes; keeps their triangles on the GPU by the geometries' keys.

    Args:
        device: where to draw.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._batches: dict[str, Any] = {}
        self._depth: Texture | None = None

    def keep(self, geometries: Iterable[Geometry]) -> None:
        """Drop what is kept of all but these geometries."""
        keys = {geometry.key for geometry in geometries}
        for key in self._batches.keys() - keys:
            del self._batches[key]

    def batch(self, geometry: Geometry) -> Any:
        """The geometry's triangles on the GPU, with corners of their own, for `mesh_shader`."""
        if geometry.key not in self._batches:
            corners = geometry.positions[geometry.triangles]
            # A broken vertex takes its triangles with it.
            kept = np.isfinite(corners).all(axis=(1, 2))
            corners = corners[kept]
            attributes = {
                "position": corners.reshape(-1, 3),
                "normal": corner_normals(geometry.normals[kept], corners).reshape(-1, 3),
                "material_slot": np.repeat(geometry.material_slots[kept], 3).astype(np.float32)[:, None],
            }
            indices = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
            self._batches[geometry.key] = self._device.batch(mesh_shader(), attributes, indices)
        return self._batches[geometry.key]

    def draws(self, meshes: Sequence[PlacedMesh], rays: PixelRays) -> list[Draw]:
        """What `Device.draw` needs to draw meshes, at least one, by `mesh_shader` or one with the same corners."""
        return [
            Draw(self.batch(mesh.instance.geometry), parameters, {})
            for mesh, parameters in zip(meshes, mesh_parameters(meshes, rays), strict=True)
        ]

    def draw(
        self,
        meshes: Sequence[PlacedMesh],
        rays: PixelRays,
        buffers: SurfaceBuffers,
    ) -> None:
        """Write what rays see of meshes into the buffers, and nothing seen where there is no mesh.

        Args:
            meshes: with triangles, and finite transforms.
            rays: of the buffers' size. Only what lies between their camera's clip planes is seen.

        Raises:
            GpuError: the driver refuses the shader, or there is no memory.
        """
        if not meshes:
            buffers.clear()
            return
        draws = self.draws(meshes, rays)
        targets = [getattr(buffers, name) for name in NAMES]
        self._device.draw(mesh_shader(), targets, self._depth_of(buffers.width, buffers.height), draws)
        buffers.clear(keep_owned=True)

    def _depth_of(self, width: int, height: int) -> Texture:
        depth = self._depth
        if depth is None or (depth.width, depth.height) != (width, height):
            self._free_depth()
            self._depth = self._device.depth_texture(width, height)
        return self._depth

    def _free_depth(self) -> None:
        if self._depth is not None:
            self._device.free(self._depth)
            self._depth = None

    def free(self) -> None:
        """Drop all that is kept on the GPU."""
        self.keep(())
        self._free_depth()
