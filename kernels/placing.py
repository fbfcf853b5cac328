# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a scene made ready for one picture: all that does not depend on the single ray."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from .cameras import cube_bounds
from .framing import geometry_box, is_placed, overlap, screen_bounds
from .level_of_detail import LevelChoice, choose_levels, radius_in_pixels
from .rasterizing import ScreenTriangles, project_triangles
from .scenes import Geometry, MeshInstance, NeuralInstance, Region, RenderConfig, Scene


@dataclass(frozen=True)
class PlacedInstance:
    """A neural object that may be seen.

    Attributes:
        instance: the object.
        world_to_network: (4, 4) inverse of its transform.
        bounds: pixel rectangle: left, bottom, right, top.
        distance: of its centre from the camera.
        levels: those that the picture uses.
    """

    instance: NeuralInstance
    world_to_network: np.ndarray
    bounds: tuple[float, float, float, float]
    distance: float
    levels: LevelChoice

    def meets(self, region: Region) -> bool:
        """Whether the object may be seen in a region. A pixel of margin is for antialiasing."""
        left, bottom, right, top = self.bounds
        x, y, width, height = region
        return left < x + width + 1 and right > x - 1 and bottom < y + height + 1 and top > y - 1


def place_instances(scene: Scene, config: RenderConfig) -> list[PlacedInstance]:
    """The neural objects that may be seen, the nearest first, so that they spare the others rays."""
    size = (config.width, config.height)
    placed = []
    for instance in scene.instances:
        matrix = np.asarray(instance.network_to_world, dtype=np.float64)
        if not is_placed(matrix):
            continue  # Flat, or no size at all: it has no volume and shows nothing.
        bounds = cube_bounds(scene.camera, matrix, size)
        if bounds is None:
            continue
        distance = np.linalg.norm(matrix[:3, 3] - scene.camera.camera_to_world[:3, 3])
        levels = choose_levels(
            instance.sequence,
            radius_in_pixels(scene.camera, matrix, size),
            config.trace_finest,
            config.traced_level,
            config.normal_level,
        )
        placed.append(PlacedInstance(instance, np.linalg.inv(matrix), bounds, float(distance), levels))
    return sorted(placed, key=lambda p: p.distance)


@dataclass(frozen=True)
class PlacedMeshes:
    """The meshes that may be seen, their triangles counted through.

    Attributes:
        meshes: in the scene's order.
        starts: (M + 1,) number of each mesh's first triangle, and of all triangles.
        screen: the triangles projected to the picture.
    """

    meshes: tuple[MeshInstance, ...]
    starts: np.ndarray
    screen: ScreenTriangles

    def mesh_of(self, triangles: np.ndarray) -> np.ndarray:
        """The meshes that triangles belong to: (N,) numbers -> (N,) rows in `meshes`."""
        return np.searchsorted(self.starts, triangles, side="right") - 1


def place_meshes(scene: Scene, config: RenderConfig) -> PlacedMeshes:
    """The meshes whose boxes are on screen. One whose transform is not finite shows nothing."""
    size = (config.width, config.height)
    meshes = [m for m in scene.meshes if len(m.geometry.triangles) and np.isfinite(m.local_to_world).all()]
    boxes = np.array([world_box(mesh) for mesh in meshes]).reshape(-1, 4, 4)
    seen = tuple(
        meshes[row] for row in np.flatnonzero(overlap(screen_bounds(scene.camera, boxes, size), (0, 0, *size)))
    )
    vertices, triangles = world_triangles(seen)
    starts = np.cumsum([0, *(len(mesh.geometry.triangles) for mesh in seen)])
    return PlacedMeshes(seen, starts, project_triangles(scene.camera, size, vertices, triangles))


def world_triangles(meshes: tuple[MeshInstance, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All triangles of meshes in the world: (V, 3) float64 vertices, (T, 3) their indices."""
    vertices, triangles, count = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int32)], 0
    for mesh in meshes:
        matrix = np.asarray(mesh.local_to_world, dtype=np.float64)
        vertices.append(mesh.geometry.positions.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3])
        triangles.append(mesh.geometry.triangles + np.int32(count))
        count += len(mesh.geometry.positions)
    return np.concatenate(vertices), np.concatenate(triangles)


# Boxes of the geometries that are still somewhere.
_boxes: WeakKeyDictionary[Geometry, np.ndarray] = WeakKeyDictionary()


def world_box(mesh: MeshInstance) -> np.ndarray:
    """The box around a mesh in world space, see `framing`."""
    box = _boxes.get(mesh.geometry)
    if box is None:
        box = _boxes[mesh.geometry] = geometry_box(mesh.geometry)
    return np.asarray(mesh.local_to_world, dtype=np.float64) @ box
