# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene made ready for the GPU: what is seen, in which order, with which levels, materials and clip planes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..cameras import Camera
from ..framing import close_camera, covered_pixels, overlap, screen_bounds
from ..level_of_detail import LevelChoice
from ..placing import casting_sun, has_surface, levels_of, solid_instances, world_box
from ..scenes import Geometry, NeuralInstance, Region, RenderConfig, Scene
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
    """

    instance: NeuralInstance
    levels: LevelChoice
    row: int

    @property
    def kind(self) -> str:
        """What the shaders depend on: the networks' sizes."""
        return f"{self.instance.sequence.notation} {self.levels}"

    @property
    def work_per_pixel(self) -> float:
        """Multiplications for a ray, roughly."""
        counts = [network.parameter_count for network in self.instance.sequence.networks]
        traced = sum(counts[level] for level in self.levels.traced)
        return EVALUATIONS * traced + NORMAL_EVALUATIONS * counts[self.levels.normals]


@dataclass(frozen=True, eq=False)
class Frame:
    """What a picture shows, by `frame_of`. What the camera cannot see is among it, because it may cast shadows.

    Attributes:
        scene, config: as they were given.
        camera: the scene's, its clip planes moved close to what is seen.
        objects: neural objects, the nearest first, so that they spare the others rays.
        object_bounds: (K, 4) where they are on screen, see `framing.screen_bounds`.
        meshes: all that have a surface.
        mesh_bounds: (M, 4) where they are on screen.
        materials: by the owner's row.
        sun: unit vector towards the sun that casts shadows, world space; None for no shadows.
    """

    scene: Scene
    config: RenderConfig
    camera: Camera
    objects: tuple[PlacedObject, ...]
    object_bounds: np.ndarray
    meshes: tuple[PlacedMesh, ...]
    mesh_bounds: np.ndarray
    materials: tuple[Material, ...]
    sun: tuple[float, float, float] | None

    @property
    def size(self) -> tuple[int, int]:
        """Of the whole picture in pixels."""
        return self.config.width, self.config.height

    @cached_property
    def geometries(self) -> tuple[Geometry, ...]:
        """All geometries that are drawn."""
        return tuple(mesh.instance.geometry for mesh in self.meshes)

    @cached_property
    def sequences(self) -> tuple[NestedSequence, ...]:
        """All sequences that are evaluated."""
        mapped = (mesh.instance.neural_normals for mesh in self.meshes)
        return (*(o.instance.sequence for o in self.objects), *(m.sequence for m in mapped if m is not None))

    def meshes_in(self, region: Region) -> list[tuple[PlacedMesh, Region]]:
        """The meshes that may be seen in a region, and the pixels they may cover, see `framing.covered_pixels`."""
        return _covering(self.meshes, self.mesh_bounds, region)

    def objects_in(self, region: Region) -> list[tuple[PlacedObject, Region]]:
        """The neural objects that may be seen in a region, and the pixels they may cover, the nearest first."""
        return _covering(self.objects, self.object_bounds, region)


def _covering(items: tuple, bounds: np.ndarray, region: Region) -> list[tuple]:
    found = (
        (items[row], covered_pixels(bounds[row].tolist(), region)) for row in np.flatnonzero(overlap(bounds, region))
    )
    return [(item, covered) for item, covered in found if covered is not None]


def frame_of(scene: Scene, config: RenderConfig) -> Frame:
    """Make a scene ready."""
    size, region = (config.width, config.height), config.rendered_region
    materials: list[Material] = []
    objects = []
    for instance in solid_instances(scene):
        objects.append(PlacedObject(instance, levels_of(instance, scene.camera, config), len(materials)))
        materials.append(instance.material)
    eye = np.asarray(scene.camera.camera_to_world, dtype=np.float64)[:3, 3]
    objects.sort(key=lambda item: float(np.linalg.norm(item.instance.network_to_world[:3, 3] - eye)))
    meshes = []
    for number, mesh in enumerate(scene.meshes):
        if has_surface(mesh):
            meshes.append(PlacedMesh(mesh, len(materials), number))
            materials.extend(mesh.materials or (Material(),))
    boxes = [item.instance.network_to_world for item in objects] + [world_box(mesh.instance) for mesh in meshes]
    stacked = np.array(boxes, dtype=np.float64).reshape(-1, 4, 4)
    bounds = screen_bounds(scene.camera, stacked, size)
    return Frame(
        scene,
        config,
        close_camera(scene.camera, stacked[overlap(bounds, region)]),
        tuple(objects),
        bounds[: len(objects)],
        tuple(meshes),
        bounds[len(objects) :],
        tuple(materials),
        casting_sun(scene, config),
    )
