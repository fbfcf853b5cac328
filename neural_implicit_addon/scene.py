# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers what Blender shows into the renderers' own description of a scene."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import bpy
import numpy as np

from ..kernels import environments, lighting, nsdf, sun_occlusion
from ..kernels.baking import between_locals
from ..kernels.cameras import Camera
from ..kernels.scenes import MeshInstance, NeuralInstance, NeuralNormals, Scene
from . import lights, neural_object, studio_lights
from . import world as world_reading
from .geometry import GeometryCache
from .materials import MaterialReader
from .placement import as_array, evaluated_objects, world_matrix

# Types of objects that show something, but nothing that the renderers know, and what the artist calls them.
LEFT_OUT = {
    "CURVES": "hair curves",
    "GREASEPENCIL": "grease pencil drawings",
    "GPENCIL": "grease pencil drawings",
    "POINTCLOUD": "point clouds",
    "VOLUME": "volumes",
}

# The viewports share one cache, which keeps something for undo and for moving back and forth in time. The final
# picture's keeps what the last frame showed: an animation must not grow in memory.
_viewport_geometries = GeometryCache(256 * 1024 * 1024)
_final_geometries = GeometryCache(0)
# A render reads its panoramas anew, which must not take those of the viewports away.
_viewport_panoramas = world_reading.Panoramas()
_final_panoramas = world_reading.Panoramas()


@dataclass(frozen=True)
class Gathered:
    """What a depsgraph shows, from wherever it is looked at, and what the artist should know about it.

    Attributes:
        instances: neural objects.
        meshes: all other surfaces.
        lights: the scene's own.
        world: what is around it.
        lighting: a ready-made lighting, of the view's own space or of the world's, instead of lights and world; None
            for the scene's.
        film_transparent: leave the background out of the picture.
        problems: one sentence for each thing that is left out or approximated.
    """

    instances: tuple[NeuralInstance, ...]
    meshes: tuple[MeshInstance, ...]
    lights: tuple[lighting.Light, ...]
    world: lighting.World
    lighting: studio_lights.ViewLighting | lighting.StudioLighting | lighting.Matcap | None
    film_transparent: bool
    problems: tuple[str, ...]

    def seen_by(self, camera: Camera) -> Scene:
        """The scene as a camera sees it. Without lights and panorama it gets lights that move with the camera."""
        lit = self.lights or self.world.environment is not None
        placed = self.lighting
        if isinstance(placed, studio_lights.ViewLighting):
            placed = placed.seen_by(camera)
        return Scene(
            camera,
            self.instances,
            self.meshes,
            self.lights if lit else lighting.camera_rig(camera.camera_to_world),
            self.world,
            placed,
            self.film_transparent,
        )


def gather(depsgraph: bpy.types.Depsgraph, space: bpy.types.SpaceView3D | None = None) -> Gathered:
    """All that a depsgraph's view layer shows.

    What was read from meshes and images before is not read again unless it has changed since.

    Args:
        space: the viewport that shows it, with its local view and hidden object types; None for the final picture.
    """
    gathering = _Gathering(depsgraph, space)
    for item in depsgraph.object_instances:
        gathering.add(item)
    gathering.geometries.shrink({mesh.geometry.key for mesh in gathering.meshes})
    # Of the evaluated copies: they have the values of the frame that is rendered.
    scene = depsgraph.scene_eval
    world = world_reading.describe(_world(depsgraph), gathering.panoramas, gathering.problem)
    lighting_choice, problem = studio_lights.chosen(scene)
    if problem:
        gathering.problem(problem)
    return Gathered(
        tuple(gathering.instances),
        tuple(gathering.meshes),
        tuple(gathering.lights),
        world,
        lighting_choice,
        scene.render.film_transparent,
        tuple(gathering.problems),
    )


def _world(depsgraph: bpy.types.Depsgraph) -> bpy.types.World | None:
    """The view layer's own world, where Blender knows such a thing (5.1 and later), or the scene's."""
    return getattr(depsgraph.view_layer_eval, "world_override", None) or depsgraph.scene_eval.world


class _Gathering:
    """Takes a depsgraph's instances in, one after another."""

    def __init__(self, depsgraph: bpy.types.Depsgraph, space: bpy.types.SpaceView3D | None) -> None:
        self.instances: list[NeuralInstance] = []
        self.meshes: list[MeshInstance] = []
        self.lights: list[lighting.Light] = []
        self.problems: dict[str, None] = {}  # a set that keeps its order
        is_final = depsgraph.mode == "RENDER"
        self.geometries = _final_geometries if is_final else _viewport_geometries
        self.panoramas = _final_panoramas if is_final else _viewport_panoramas
        self._depsgraph = depsgraph
        self._space = space
        self._materials = MaterialReader(depsgraph.view_layer_eval.material_override)
        # One object shows its mesh with the same neural normals wherever it is instanced.
        self._normals: dict[str, NeuralNormals | None] = {}

    def problem(self, sentence: str) -> None:
        """Note what the artist should know, once."""
        self.problems[sentence] = None

    def add(self, item: bpy.types.DepsgraphObjectInstance) -> None:
        """One instance, if it is seen."""
        if not item.show_self or not self._seen_in_space(item):
            return
        obj = item.object
        if obj.type == "LIGHT":
            self._add_light(item)
        elif obj.type == "MESH" and _shows_own_mesh(item) and neural_object.is_neural(obj.original):
            self._add_neural(item)
        elif obj.type == "MESH":
            self._add_mesh(item)
        elif obj.type in LEFT_OUT:
            self.problem(f"{obj.name!r} is not shown: {LEFT_OUT[obj.type]} are not supported by this engine")

    def _seen_in_space(self, item: bpy.types.DepsgraphObjectInstance) -> bool:
        """Whether the viewport shows it: local view, local collections, object types, and more than an outline."""
        if self._space is None:
            return True
        owner = item.parent if item.is_instance else item.object
        return owner.visible_in_viewport_get(self._space) and item.object.display_type not in {"BOUNDS", "WIRE"}

    def _add_light(self, item: bpy.types.DepsgraphObjectInstance) -> None:
        light = lights.describe(item.object.data, as_array(item.matrix_world))
        if lights.is_finite(light):
            self.lights.append(light)
        else:
            self.problem(f"{item.object.name!r} does not shine: its transform or one of its values is not finite")

    def _add_neural(self, item: bpy.types.DepsgraphObjectInstance) -> None:
        obj = item.object
        if not self._is_somewhere(item):
            return
        try:
            sequence = neural_object.read_sequence(obj.original.data)
        except nsdf.NsdfError as error:
            self.problem(f"{obj.name!r} is not shown: {error}")
            return
        placement = as_array(item.matrix_world) @ sequence.network_to_local
        material = self._materials.first(obj)
        self.instances.append(NeuralInstance(obj.name, sequence, placement, material, obj.pass_index))

    def _add_mesh(self, item: bpy.types.DepsgraphObjectInstance) -> None:
        obj, matrix = item.object, as_array(item.matrix_world)
        if not self._is_somewhere(item):
            return
        geometry = self.geometries.geometry(item)
        if geometry is None:
            return
        self.meshes.append(
            MeshInstance(
                obj.name,
                geometry,
                matrix,
                self._materials.slots(obj),
                obj.pass_index,
                self._neural_normals(item),
            )
        )

    def _is_somewhere(self, item: bpy.types.DepsgraphObjectInstance) -> bool:
        """Whether an instance's transform is finite; says so where it is not."""
        finite = bool(np.isfinite(as_array(item.matrix_world)).all())
        if not finite:
            self.problem(f"{item.object.name!r} is not shown: its transform is not finite")
        return finite

    def _neural_normals(self, item: bpy.types.DepsgraphObjectInstance) -> NeuralNormals | None:
        """The neural normals that a mesh is to be shaded with, as its object says."""
        obj = item.object.original
        settings = obj.neural_implicit
        if settings.normals_source is None or not _shows_own_mesh(item):
            return None
        if obj.name_full not in self._normals:
            try:
                self._normals[obj.name_full] = neural_normals(obj, self._depsgraph, self._evaluated)
            except (nsdf.NsdfError, ValueError) as error:
                self._normals[obj.name_full] = None
                self.problem(f"{obj.name!r} is shaded with its own normals: {error}")
        return self._normals[obj.name_full]

    @cached_property
    def _evaluated(self) -> frozenset[int]:
        return evaluated_objects(self._depsgraph)


def neural_normals(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, evaluated: Collection[int]) -> NeuralNormals:
    """The neural normals that a mesh object asks for: `obj.neural_implicit`.

    Args:
        evaluated: session identifiers of the objects that are not hidden.

    Raises:
        nsdf.NsdfError: the source carries no network, or a damaged one.
        ValueError: the source is flat, so that there is no way into its network space.
    """
    settings = obj.neural_implicit
    source = settings.normals_source
    if source == obj:
        raise ValueError("it is its own source of neural normals; choose another object")
    if not neural_object.is_neural(source):
        raise nsdf.NsdfError(f"its source of neural normals, {source.name!r}, carries no network")
    sequence = neural_object.read_sequence(source.data)
    to_world = as_array(obj.evaluated_get(depsgraph).matrix_world)
    source_to_world = world_matrix(source, depsgraph, evaluated)
    try:
        local_to_source = between_locals(to_world, source_to_world)
    except ValueError as error:
        raise ValueError(f"it or its source of neural normals, {source.name!r}, has a scale of zero") from error
    to_network = np.linalg.inv(sequence.network_to_local)
    return NeuralNormals(sequence, to_network @ local_to_source, settings.transition)


def _shows_own_mesh(item: bpy.types.DepsgraphObjectInstance) -> bool:
    """Whether the mesh is the object's own. Geometry nodes hand out others under the name of their object."""
    if not item.is_instance:
        return True
    owner = item.instance_object
    return owner is not None and owner.type == "MESH" and owner.data.session_uid == item.object.data.session_uid


@bpy.app.handlers.persistent
def _forget_changed(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Have what a depsgraph names as changed read again."""
    for geometries in (_viewport_geometries, _final_geometries):
        geometries.forget(depsgraph)
    for panoramas in (_viewport_panoramas, _final_panoramas):
        panoramas.forget(depsgraph)


@bpy.app.handlers.persistent
def _clear(*_arguments: object) -> None:
    """Give back the memory of the file that is being left."""
    for geometries in (_viewport_geometries, _final_geometries):
        geometries.clear()
    for panoramas in (_viewport_panoramas, _final_panoramas):
        panoramas.clear()
    environments.forget_prepared()
    sun_occlusion.forget_shadow_maps()


@bpy.app.handlers.persistent
def _clear_final_panoramas(*_arguments: object) -> None:
    """Have a render read its images, whichever frames it has: no update is told of one that was reloaded before it.

    Nothing is kept after a render, whether it was finished or not.
    """
    _final_panoramas.clear()


CLASSES = ()
_HANDLERS = (
    ("depsgraph_update_post", _forget_changed),
    ("frame_change_post", _forget_changed),
    ("load_pre", _clear),
    ("render_init", _clear_final_panoramas),
    ("render_complete", _clear_final_panoramas),
    ("render_cancel", _clear_final_panoramas),
)


def register() -> None:
    """Keep the caches true."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Empty the caches when the add-on is disabled."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    _clear()
