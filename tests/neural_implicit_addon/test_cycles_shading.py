# SPDX-License-Identifier: GPL-3.0-or-later
"""The shading of kernels.shading against Cycles: a sphere under each kind of light, and in each kind of world."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels.cameras import Camera, pixel_rays
from kernels.lighting import EnvironmentMap, Light, PointLight, SpotLight, SunLight, World
from kernels.scenes import Scene
from kernels.shading import Material, background, shade_scene
from tests import rendering

SIDE = 48
EYE = (2.4, -3.0, 1.3)
DARK = World((0.0, 0.0, 0.0))


class Sphere:
    """A unit sphere at the origin, seen from EYE, rendered by Cycles and shaded by the kernels."""

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
        """Principled BSDF with a material's values."""
        made = self.bpy.data.materials.new("material")
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

    def cycles(self, samples: int) -> np.ndarray:
        """(SIDE, SIDE, 3) scene-linear picture."""
        settings = {"samples": samples, "sample_clamp_indirect": 0.0, "use_adaptive_sampling": False}
        passes = rendering.render(self.bpy, self.folder / "sphere.exr", "CYCLES", **settings)
        return passes["Combined"][..., :3]

    def ours(
        self, material: Material, lights: tuple[Light, ...] = (), world: World = DARK
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same picture by the kernels; where the sphere is seen, away from its outline; and where it is not."""
        self.bpy.context.view_layer.update()
        depsgraph = self.bpy.context.evaluated_depsgraph_get()
        projection = np.array(self.camera_object.calc_matrix_camera(depsgraph, x=SIDE, y=SIDE))
        camera = Camera(projection, np.array(self.camera_object.matrix_world), 0.1, 100.0)
        scene = Scene(camera, lights=lights, world=world)
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


@pytest.fixture
def sphere(blender: ModuleType, tmp_path: Path) -> Sphere:
    return Sphere(blender, tmp_path)


def difference(picture: np.ndarray, expected: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Mean of |a - b| and of a - b over pixels, in shares of the mean of b."""
    scale = float(expected[where].mean())
    error = picture[where] - expected[where]
    return float(np.abs(error).mean()) / scale, float(error.mean()) / scale


MATERIALS = {
    "dull": Material((0.8, 0.5, 0.2), 1.0),
    "plastic": Material((0.1, 0.4, 0.8), 0.3),
    "gold": Material((1.0, 0.7, 0.3), 0.4, 1.0),
    "rough metal": Material((0.9, 0.6, 0.5), 0.9, 1.0),
    "half metal": Material((0.3, 0.8, 0.4), 0.6, 0.5),
}
PLACE = tuple(4.0 * np.array((2.0, -1.0, 3.0)) / math.sqrt(14.0))
TOWARDS = tuple(np.array(PLACE) / 4.0)
AWAY = tuple(-np.array(TOWARDS))
POWER = (500.0, 500.0, 500.0)
LIGHTS = {
    "SUN": (SunLight(TOWARDS, (3.0, 3.0, 3.0)), 3.0, {"angle": 0.0}),
    "POINT": (PointLight(PLACE, POWER), 500.0, {"shadow_soft_size": 0.0}),
    "SPOT": (
        SpotLight(PLACE, POWER, AWAY, 0.45, 0.6),
        500.0,
        {"shadow_soft_size": 0.0, "spot_size": 0.45, "spot_blend": 0.6},
    ),
    "AREA": (PointLight(PLACE, POWER, AWAY), 500.0, {"shape": "DISK", "size": 0.4}),
}


@pytest.mark.parametrize("kind", LIGHTS)
def test_lights(sphere: Sphere, kind: str) -> None:
    light, energy, fields = LIGHTS[kind]
    sphere.add_light(kind, PLACE, energy, **fields)
    for material in MATERIALS.values():
        sphere.set_material(material)
        picture, within, _ = sphere.ours(material, (light,))
        mean, bias = difference(picture, sphere.cycles(24), within)
        # A lamp of some size widens the highlights a little.
        assert mean < (0.04 if kind == "AREA" else 0.025), f"{material}: {mean}"
        assert abs(bias) < 0.015, f"{material}: {bias}"


def test_spot_without_blend_and_with_a_full_one(sphere: Sphere) -> None:
    material = MATERIALS["dull"]
    sphere.set_material(material)
    lamp = sphere.add_light("SPOT", PLACE, 500.0, shadow_soft_size=0.0)
    for angle, blend in ((0.3, 0.0), (0.5, 1.0)):
        lamp.spot_size, lamp.spot_blend = angle, blend
        picture, within, _ = sphere.ours(material, (SpotLight(PLACE, POWER, AWAY, angle, blend),))
        mean, bias = difference(picture, sphere.cycles(24), within)
        assert mean < 0.025, f"{angle}, {blend}: {mean}"
        assert abs(bias) < 0.015, f"{angle}, {blend}: {bias}"


def test_uniform_world(sphere: Sphere) -> None:
    color = (0.2, 0.5, 1.0)
    sphere.set_world(color)
    for material in MATERIALS.values():
        sphere.set_material(material)
        picture, within, outside = sphere.ours(material, world=World(color))
        expected = sphere.cycles(160)
        mean, bias = difference(picture, expected, within)
        assert mean < 0.025, f"{material}: {mean}"
        assert abs(bias) < 0.01, f"{material}: {bias}"
        np.testing.assert_allclose(picture[outside], expected[outside], rtol=1e-4)


def test_panorama(sphere: Sphere) -> None:
    """A smooth panorama, different in all directions, turned by a Mapping node."""
    azimuth, elevation = np.meshgrid((np.arange(64) + 0.5) / 64 * 2.0 * math.pi, (np.arange(32) + 0.5) / 32 * math.pi)
    waves = np.sin(azimuth + 0.4), np.sin(2.0 * azimuth - elevation), np.cos(elevation) * np.cos(azimuth)
    pixels = np.stack([0.5 + 0.45 * wave for wave in waves], axis=-1).astype(np.float32)
    turn = (0.3, -0.5, 1.1)
    from mathutils import Euler

    to_map = np.array(Euler(turn).to_matrix())
    world = World((1.0, 0.8, 0.6), EnvironmentMap(pixels, to_map, "smooth waves"))
    sphere.set_panorama(pixels, turn, world.color)
    for name, limit in (("dull", 0.02), ("plastic", 0.03), ("gold", 0.05), ("rough metal", 0.09)):
        sphere.set_material(MATERIALS[name])
        picture, within, outside = sphere.ours(MATERIALS[name], world=world)
        expected = sphere.cycles(64)
        mean, bias = difference(picture, expected, within)
        assert mean < limit, f"{name}: {mean}"
        assert abs(bias) < 0.02, f"{name}: {bias}"
        seen, _ = difference(picture, expected, outside)
        assert seen < 0.01, f"the background differs by {seen}"
