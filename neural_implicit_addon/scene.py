# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers what Blender shows into the renderer's own description of a scene.

Light types that the renderer does not have are approximated: a spot shines in all directions, an area light is a
point that shines into its half space.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

from ..kernels import lighting, nsdf
from ..kernels.cameras import Camera
from ..kernels.scenes import Display, MeshInstance, NeuralInstance, Region, RenderConfig, Scene
from ..kernels.shading import Material
from . import neural_object

# The world's colour where a scene has no world: none.
NO_WORLD = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Gathered:
    """What a depsgraph shows, from wherever it is looked at, and what the artist should know about it.

    Attributes:
        instances: neural objects.
        meshes: all other surfaces.
        lights: the scene's own.
        world: what is around it.
        film_transparent: leave the background out of the picture.
        problems: one sentence for each thing that is left out or approximated.
    """

    instances: tuple[NeuralInstance, ...]
    meshes: tuple[MeshInstance, ...]
    lights: tuple[lighting.Light, ...]
    world: lighting.World
    film_transparent: bool
    problems: tuple[str, ...]

    def seen_by(self, camera: Camera) -> Scene:
        """The scene as a camera sees it. A scene without lights gets some that move with the camera."""
        return Scene(
            camera,
            self.instances,
            self.meshes,
            self.lights or lighting.camera_rig(camera.camera_to_world),
            self.world,
            film_transparent=self.film_transparent,
        )


def gather(depsgraph: bpy.types.Depsgraph, space: bpy.types.SpaceView3D | None = None) -> Gathered:
    """All that a depsgraph's view layer shows.

    Args:
        space: the viewport that shows it, with its local view and hidden object types; None for the final picture.
    """
    instances: list[NeuralInstance] = []
    lights: list[lighting.Light] = []
    problems: dict[str, None] = {}  # a set that keeps its order
    for item in depsgraph.object_instances:
        if not item.show_self:
            continue
        obj = item.object
        if obj.type == "LIGHT":
            lights.append(_light(obj.data, _matrix(item.matrix_world)))
        elif neural_object.is_neural(obj.original):
            try:
                sequence = neural_object.read_sequence(obj.original.data)
            except nsdf.NsdfError as error:
                problems[f"{obj.name!r} is not rendered: {error}"] = None
                continue
            local_to_world = _matrix(item.matrix_world)
            placement = local_to_world @ network_to_local(sequence.center, sequence.radius)
            instances.append(
                NeuralInstance(obj.name, sequence, placement, _material(obj, depsgraph.view_layer_eval), obj.pass_index)
            )
    return Gathered(
        tuple(instances),
        (),
        tuple(lights),
        lighting.World(_world_color(depsgraph.scene.world)),
        depsgraph.scene.render.film_transparent,
        tuple(problems),
    )


def render_config(scene: bpy.types.Scene) -> RenderConfig:
    """Size, border and quality from a scene's settings.

    With a border, the region counts from the whole picture's lower left pixel.
    """
    render = scene.render
    width, height = (side * render.resolution_percentage // 100 for side in (render.resolution_x, render.resolution_y))
    region: Region | None = None
    if render.use_border:
        left, right = int(render.border_min_x * width), int(render.border_max_x * width)
        bottom, top = int(render.border_min_y * height), int(render.border_max_y * height)
        region = (left, bottom, right - left, top - bottom)
    return _config(scene, (width, height), region, scene.neural_implicit.samples, Display.SHADED)


def viewport_config(scene: bpy.types.Scene, width: int, height: int, region: Region | None = None) -> RenderConfig:
    """Quality of a viewport from a scene's settings.

    Args:
        width, height: of the picture in pixels.
        region: the part of it to render; None for all of it.
    """
    settings = scene.neural_implicit
    return _config(scene, (width, height), region, settings.viewport_samples, Display(settings.display))


def _config(
    scene: bpy.types.Scene, size: tuple[int, int], region: Region | None, samples: int, display: Display
) -> RenderConfig:
    """What the viewport and the final picture share."""
    settings, render = scene.neural_implicit, scene.render
    locked = settings.level_of_detail == "LOCKED"
    return RenderConfig(
        *size,
        region,
        samples=samples,
        trace_finest=settings.trace_finest,
        traced_level=settings.traced_level if locked else None,
        normal_level=settings.normal_level if locked else None,
        ambient_occlusion=settings.ambient_occlusion,
        sun_shadows=settings.sun_shadows,
        display=display,
        threads=render.threads if render.threads_mode == "FIXED" else None,
    )


def network_to_local(center: tuple[float, float, float], radius: float) -> np.ndarray:
    """(4, 4) matrix of p_local = center + radius * p_network."""
    matrix = np.diag([radius, radius, radius, 1.0])
    matrix[:3, 3] = center
    return matrix


def _matrix(matrix: bpy.types.bpy_struct) -> np.ndarray:
    return np.array(matrix, dtype=np.float64)


def scene_camera(depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, config: RenderConfig) -> Camera:
    """The camera of a final picture from an evaluated camera object."""
    render = depsgraph.scene.render
    projection = camera.calc_matrix_camera(
        depsgraph,
        x=config.width,
        y=config.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    # A camera's scale only changes how large it is drawn, never what it sees.
    rigid = camera.matrix_world.normalized()
    return Camera(_matrix(projection), _matrix(rigid), camera.data.clip_start, camera.data.clip_end)


def _light(light: bpy.types.Light, to_world: np.ndarray) -> lighting.Light:
    color = np.array(light.color) * (light.energy * 2.0**light.exposure)
    if light.use_temperature:
        color = color * np.array(light.temperature_color)
    # Lights shine along their local -z.
    axis = -to_world[:3, 2] / max(np.linalg.norm(to_world[:3, 2]), 1e-20)
    if light.type == "SUN":
        return lighting.SunLight(tuple(-axis), tuple(color))
    return lighting.PointLight(tuple(to_world[:3, 3]), tuple(color), tuple(axis) if light.type == "AREA" else None)


def _surface_node(tree: bpy.types.NodeTree | None, output_type: str, node_type: str) -> bpy.types.Node | None:
    """The node of `node_type` that feeds the active output of a material's or world's node tree, if it is that one."""
    outputs = [node for node in tree.nodes if node.type == output_type and node.is_active_output] if tree else []
    for output in outputs:
        for link in output.inputs["Surface"].links:
            if link.from_node.type == node_type:
                return link.from_node
    return None


def _uses_nodes(owner: bpy.types.Material | bpy.types.World) -> bool:
    """Whether nodes decide. From Blender 5.0 on they always do, and asking is deprecated."""
    return bpy.app.version >= (5, 0, 0) or owner.use_nodes


def _material(obj: bpy.types.Object, view_layer: bpy.types.ViewLayer) -> Material:
    """Colour and roughness of the first material: the Principled BSDF's, or else those that Solid shading shows."""
    slots = obj.material_slots
    material = view_layer.material_override or (slots[0].material if len(slots) else None)
    if material is None:
        return Material()
    node = _surface_node(material.node_tree, "OUTPUT_MATERIAL", "BSDF_PRINCIPLED") if _uses_nodes(material) else None
    if node is not None and not node.inputs["Base Color"].is_linked:
        return Material(tuple(node.inputs["Base Color"].default_value[:3]), node.inputs["Roughness"].default_value)
    return Material(tuple(material.diffuse_color[:3]), material.roughness)


def _world_color(world: bpy.types.World | None) -> lighting.Color:
    """The Background node's colour times its strength, or else the colour that the viewport shows."""
    if world is None:
        return NO_WORLD
    node = _surface_node(world.node_tree, "OUTPUT_WORLD", "BACKGROUND") if _uses_nodes(world) else None
    if node is not None and not node.inputs["Color"].is_linked:
        strength = node.inputs["Strength"].default_value
        return tuple(channel * strength for channel in node.inputs["Color"].default_value[:3])
    return tuple(world.color)
