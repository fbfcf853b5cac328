# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene made ready for the GPU: what is seen, in which order, with which levels, materials and clip planes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..cameras import Camera
from ..framing import close_camera, is_placed, pixel_bounds
from ..level_of_detail import LevelChoice, choose_levels, radius_in_pixels
from ..lighting import brightest_sun
from ..scenes import Display, Geometry, NeuralInstance, Region, RenderConfig, Scene
from ..sequence import NestedSequence
from ..shading import Material
from .meshes import PlacedMesh

# Evaluations of the traced levels that a ray takes, about, and what a normal costs in evaluations of its level.
EVALUATIONS = 10
NORMAL_EVALUATIONS = 2


@dataclass(frozen=True)
class PlacedObject:
    """A neural object of a picture.

    Attributes:
        instance: the object.
        levels: those it is traced on, and the one of its normals.
        row: in the picture's table of materials.
        seen: whether the camera may see it; if not, it still casts shadows.
        box: (4, 4) map of the cube [-1, 1]^3 to world space: network space to world space.
    """

    instance: NeuralInstance
    levels: LevelChoice
    row: int
    seen: bool

    @property
    def box(self) -> np.ndarray:
        return np.asarray(self.instance.network_to_world, dtype=np.float64)

    @property
    def kind(self) -> str:
        """What the shaders depend on: the networks' sizes."""
        return f"{self.instance.sequence.notation} {self.levels}"

    @property
    def work_per_pixel(self) -> float:
        """Multiplications for a ray, roughly."""
        counts = [network.parameter_count for network in self.instance.sequence.networks]
        return (
            EVALUATIONS * sum(counts[j] for j in self.levels.traced) + NORMAL_EVALUATIONS * counts[self.levels.normals]
        )


@dataclass(frozen=True)
class VisibleMesh:
    """A mesh with triangles and volume or area, and the box around it in world space, (4, 4)."""

    placed: PlacedMesh
    box: np.ndarray
    seen: bool


@dataclass(frozen=True, eq=False)
class Frame:
    """What a picture shows, by `frame_of`.

    Attributes:
        scene, config: as they were given.
        camera: the scene's, its clip planes moved close to what is seen.
        objects: neural objects, the nearest first, so that they spare the others rays.
        meshes: all that have a surface.
        materials: by the owner's row.
        sun: unit vector towards the sun that casts shadows, world space; None for no shadows.
    """

    scene: Scene
    config: RenderConfig
    camera: Camera
    objects: tuple[PlacedObject, ...]
    meshes: tuple[VisibleMesh, ...]
    materials: tuple[Material, ...]
    sun: tuple[float, float, float] | None

    @property
    def size(self) -> tuple[int, int]:
        """Of the whole picture in pixels."""
        return self.config.width, self.config.height

    @cached_property
    def geometries(self) -> tuple[Geometry, ...]:
        """All geometries that are drawn."""
        return tuple(mesh.placed.instance.geometry for mesh in self.meshes)

    @cached_property
    def sequences(self) -> tuple[NestedSequence, ...]:
        """All sequences that are evaluated."""
        mapped = (mesh.placed.instance.neural_normals for mesh in self.meshes)
        return (*(o.instance.sequence for o in self.objects), *(m.sequence for m in mapped if m is not None))

    def covered(self, box: np.ndarray, region: Region) -> Region | None:
        """The pixels of a region that a box may cover, counted from the region's corner; None for none of them."""
        return pixel_bounds(region, self.scene.camera, box, self.size)

    def meshes_in(self, region: Region) -> list[VisibleMesh]:
        """The meshes that may be seen in a region."""
        return [mesh for mesh in self.meshes if mesh.seen and self.covered(mesh.box, region)]

    def objects_in(self, region: Region) -> list[PlacedObject]:
        """The neural objects that may be seen in a region, the nearest first."""
        return [item for item in self.objects if item.seen and self.covered(item.box, region)]


def frame_of(scene: Scene, config: RenderConfig, local_box: Callable[[Geometry], np.ndarray]) -> Frame:
    """Make a scene ready.

    Args:
        local_box: the box around a geometry, see `framing.geometry_box`.
    """
    size, region = (config.width, config.height), config.rendered_region
    materials: list[Material] = []
    objects = []
    for instance in scene.instances:
        matrix = np.asarray(instance.network_to_world, dtype=np.float64)
        if not is_placed(matrix):
            continue  # Flat, or no size at all: it has no volume and shows nothing.
        radius = radius_in_pixels(scene.camera, matrix, size)
        levels = choose_levels(instance.sequence, radius, config.trace_finest, config.traced_level, config.normal_level)
        seen = pixel_bounds(region, scene.camera, matrix, size) is not None
        objects.append(PlacedObject(instance, levels, len(materials), seen))
        materials.append(instance.material)
    meshes = []
    for number, mesh in enumerate(scene.meshes):
        matrix = np.asarray(mesh.local_to_world, dtype=np.float64)
        if not len(mesh.geometry.triangles) or not np.isfinite(matrix).all():
            continue
        box = matrix @ local_box(mesh.geometry)
        placed = PlacedMesh(mesh, len(materials), number)
        meshes.append(VisibleMesh(placed, box, pixel_bounds(region, scene.camera, box, size) is not None))
        materials.extend(mesh.materials or (Material(),))
    eye = np.asarray(scene.camera.camera_to_world, dtype=np.float64)[:3, 3]
    objects.sort(key=lambda item: float(np.linalg.norm(item.box[:3, 3] - eye)))
    boxes = [item.box for item in (*objects, *meshes) if item.seen]
    sun = None
    if config.sun_shadows and scene.lighting is None and config.display is Display.SHADED:
        number = brightest_sun(scene.lights)
        sun = None if number is None else scene.lights[number].direction
    camera = close_camera(scene.camera, boxes)
    return Frame(scene, config, camera, tuple(objects), tuple(meshes), tuple(materials), sun)
