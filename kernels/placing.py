# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a scene made ready for one picture: all that does not depend on the single ray."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from .cameras import Camera
from .framing import geometry_box, is_placed, overlap, screen_bounds
from .level_of_detail import LevelChoice, choose_levels, radius_in_pixels
from .lighting import brightest_sun
from .rasterizing import ScreenTriangles, project_triangles
from .scenes import Display, Geometry, MeshInstance, NeuralInstance, Region, RenderConfig, Scene


@dataclass(frozen=True)
class PlacedInstance:
    """A neural object that may be seen.

    Attributes:
        instance: the object.
        world_to_network: (4, 4) inverse of its transform.
        bounds: (4,) where it is on screen, see `framing.screen_bounds`.
        distance: of its centre from the camera.
        levels: those that the picture uses.
    """

    instance: NeuralInstance
    world_to_network: np.ndarray
    bounds: np.ndarray
    distance: float
    levels: LevelChoice

    def meets(self, region: Region) -> bool:
        """Whether the object may be seen in a region."""
        return bool(overlap(self.bounds[None], region)[0])


def levels_of(instance: NeuralInstance, camera: Camera, config: RenderConfig) -> LevelChoice:
    """The levels that a picture uses of a neural object."""
    radius = radius_in_pixels(camera, instance.network_to_world, (config.width, config.height))
    return choose_levels(instance.sequence, radius, config.trace_finest, config.traced_level, config.normal_level)


def solid_instances(scene: Scene) -> list[NeuralInstance]:
    """The neural objects that have a volume: those that are flat, or of no size, show nothing and cast no shadows."""
    return [instance for instance in scene.instances if is_placed(instance.network_to_world)]


def place_instances(scene: Scene, config: RenderConfig) -> list[PlacedInstance]:
    """The neural objects that may be seen, the nearest first, so that they spare the others rays."""
    size, eye = (config.width, config.height), np.asarray(scene.camera.camera_to_world, dtype=np.float64)[:3, 3]
    instances = solid_instances(scene)
    boxes = np.array([instance.network_to_world for instance in instances], dtype=np.float64).reshape(-1, 4, 4)
    bounds = screen_bounds(scene.camera, boxes, size)
    placed = [
        PlacedInstance(
            instances[row],
            np.linalg.inv(boxes[row]),
            bounds[row],
            float(np.linalg.norm(boxes[row, :3, 3] - eye)),
            levels_of(instances[row], scene.camera, config),
        )
        for row in np.flatnonzero(overlap(bounds, (0, 0, *size)))
    ]
    return sorted(placed, key=lambda p: p.distance)


def casting_sun(scene: Scene, config: RenderConfig) -> tuple[float, float, float] | None:
    """The unit direction towards the sun that casts shadows in a picture, world space; None for no shadows."""
    if not config.sun_shadows or scene.lighting is not None or config.display is not Display.SHADED:
        return None
    number = brightest_sun(scene.lights)
    return None if number is None else scene.lights[number].direction


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


def has_surface(mesh: MeshInstance) -> bool:
    """Whether a mesh has triangles and a finite transform; another one shows nothing and casts no shadows."""
    return len(mesh.geometry.triangles) > 0 and bool(np.isfinite(mesh.local_to_world).all())


def place_meshes(scene: Scene, config: RenderConfig) -> PlacedMeshes:
    """The meshes whose boxes are on screen."""
    size = (config.width, config.height)
    meshes = [mesh for mesh in scene.meshes if has_surface(mesh)]
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
