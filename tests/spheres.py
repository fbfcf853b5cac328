# SPDX-License-Identifier: GPL-3.0-or-later
"""A sphere rendered by Blender's engines, and shaded by the kernels: the same picture, for comparison."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kernels.cameras import Camera, pixel_rays
from kernels.lighting import World
from kernels.scenes import Scene
from kernels.shading import Material, background, shade_scene
from tests import rendering

SIDE = 48
EYE = (2.4, -3.0, 1.3)
DARK = World((0.0, 0.0, 0.0))


class Sphere:
    """A unit sphere at the origin, seen from EYE, rendered by Blender and shaded by the kernels."""

    def __init__(self, bpy: ModuleType, folder: Path) -> None:
        self.bpy, self.folder = bpy, folder
        import bmesh

        mesh = bpy.data.meshes.new("sphere")
        shape = bmesh.new()
        bmesh.ops.create_icosphere(shape, subdivisions=6, radius=1.0)
        shape.to_mesh(mesh)
        shape.free()
        mesh.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), dtype=bool))
        self.mesh = mesh
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("sphere", mesh))
        self.camera_object = rendering.add_camera(bpy, EYE)
        self.camera_object.data.lens = 60.0
        rendering.set_size(bpy, SIDE, SIDE)
        bpy.context.scene.world = bpy.data.worlds.new("world")
        rendering.use_nodes(bpy, bpy.context.scene.world)
        self.set_world((0.0, 0.0, 0.0))

    def set_world(self, color: tuple[float, float, float]) -> None:
        """The same radiance from everywhere."""
        self.bpy.context.scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (*color, 1.0)

    def set_panorama(
        self, pixels: np.ndarray, turn: tuple[float, float, float], color: tuple[float, float, float]
    ) -> None:
        """Put a panorama, (H, W, 3), around the sphere, turned by a Mapping node and multiplied by a colour."""
        world = self.bpy.context.scene.world
        # Cycles' own choice of resolution takes seconds to prepare.
        world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 64
        tree = world.node_tree
        image = self.bpy.data.images.new("panorama", pixels.shape[1], pixels.shape[0], float_buffer=True)
        image.colorspace_settings.name = "Non-Color"
        image.pixels.foreach_set(np.dstack([pixels, np.ones(pixels.shape[:2])]).astype(np.float32).ravel())
        image.pack()
        texture = tree.nodes.new("ShaderNodeTexEnvironment")
        texture.image = image
        mapping = tree.nodes.new("ShaderNodeMapping")
        mapping.inputs["Rotation"].default_value = turn
        coordinates = tree.nodes.new("ShaderNodeTexCoord")
        product = tree.nodes.new("ShaderNodeVectorMath")
        product.operation = "MULTIPLY"
        product.inputs[1].default_value = color
        tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
        tree.links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
        tree.links.new(texture.outputs["Color"], product.inputs[0])
        tree.links.new(product.outputs["Vector"], tree.nodes["Background"].inputs["Color"])

    def set_material(self, material: Material) -> None:
        """Principled BSDF with a material's values, and the same for Solid shading."""
        made = self.bpy.data.materials.new("material")
        made.diffuse_color = (*material.base_color, 1.0)
        made.roughness, made.metallic = material.roughness, material.metallic
        rendering.use_nodes(self.bpy, made)
        inputs = made.node_tree.nodes["Principled BSDF"].inputs
        inputs["Base Color"].default_value = (*material.base_color, 1.0)
        inputs["Roughness"].default_value = material.roughness
        inputs["Metallic"].default_value = material.metallic
        self.mesh.materials.clear()
        self.mesh.materials.append(made)

    def add_light(self, kind: str, position: tuple[float, float, float], energy: float, **fields: Any) -> Any:
        """A light at `position` that shines towards the origin."""
        from mathutils import Vector

        light = self.bpy.data.lights.new("light", kind)
        light.energy = energy
        for name, value in fields.items():
            setattr(light, name, value)
        obj = self.bpy.data.objects.new("light", light)
        obj.location = position
        obj.rotation_euler = Vector(position).to_track_quat("Z", "Y").to_euler()
        self.bpy.context.scene.collection.objects.link(obj)
        return light

    def render(self, engine: str, **cycles: Any) -> np.ndarray:
        """(SIDE, SIDE, 3) scene-linear picture by one of Blender's engines."""
        return rendering.render(self.bpy, self.folder / "sphere.exr", engine, **cycles)["Combined"][..., :3]

    def cycles(self, samples: int) -> np.ndarray:
        """(SIDE, SIDE, 3) scene-linear picture by Cycles."""
        return self.render("CYCLES", samples=samples, sample_clamp_indirect=0.0, use_adaptive_sampling=False)

    def ours(self, material: Material, world: World = DARK, **fields: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same picture by the kernels; where the sphere is seen, away from its outline; and where it is not.

        Args:
            fields: of the scene, such as its lights.
        """
        self.bpy.context.view_layer.update()
        depsgraph = self.bpy.context.evaluated_depsgraph_get()
        projection = np.array(self.camera_object.calc_matrix_camera(depsgraph, x=SIDE, y=SIDE))
        camera = Camera(projection, np.array(self.camera_object.matrix_world), 0.1, 100.0)
        scene = Scene(camera, world=world, **fields)
        colors = np.zeros((SIDE * SIDE, 3))
        within = outside = np.ones(SIDE * SIDE, dtype=bool)
        offsets = (np.arange(3) - 1.0) / 3.0
        for across in offsets:
            for up in offsets:
                rays = pixel_rays(camera, (SIDE, SIDE), (0, 0, SIDE, SIDE), (across, up))
                along = (rays.origins * rays.directions).sum(1)
                inside = along**2 - (rays.origins**2).sum(1) + 1.0
                hit = inside > 0.0
                points = rays.origins + (-along - np.sqrt(inside.clip(0.0)))[:, None] * rays.directions
                colors += background(scene, rays.directions) * ~hit[:, None]
                colors[hit] += shade_scene(scene, points[hit], points[hit], -rays.directions[hit], material)
                # A pixel's width from the outline at least, because Cycles' filter is wider than a pixel.
                within, outside = within & (inside > 0.15), outside & (inside < -0.15)
        shape = (SIDE, SIDE)
        return (colors / 9.0).reshape(*shape, 3), within.reshape(shape), outside.reshape(shape)


def difference(picture: np.ndarray, expected: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Mean of |a - b| and of a - b over pixels, in shares of the mean of b."""
    scale = float(expected[where].mean())
    error = picture[where] - expected[where]
    return float(np.abs(error).mean()) / scale, float(error.mean()) / scale
