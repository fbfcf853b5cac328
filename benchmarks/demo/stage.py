# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's photo studio: camera, lights, and pictures by any engine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector
from PIL import Image

# From where the camera looks at the object: its left, in front, a little above.
VIEW_DIRECTION = Vector((-0.42, -1.0, 0.22)).normalized()
FOCAL_LENGTH = 85.0
# Key, fill and rim light: rotation in degrees, strength.
LIGHTS = (((58.0, 0.0, -68.0), 3.2), ((62.0, 0.0, 35.0), 0.5), ((-50.0, 0.0, -35.0), 1.2))
CLAY = (0.5, 0.21, 0.12, 1.0)
BACKDROP = (0.022, 0.025, 0.03)
CYCLES_SAMPLES = 48


def clear() -> None:
    """An empty file with the factory's settings."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def set_up(obj: bpy.types.Object) -> None:
    """A camera that frames `obj`, lights, a backdrop and clay on the object."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    center = sum(corners, Vector()) / len(corners)
    radius = max((corner - center).length for corner in corners)

    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.data.lens = FOCAL_LENGTH
    # A box's bounding sphere is generous: most objects leave room in it.
    distance = 0.85 * radius / math.tan(camera.data.angle / 2.0)
    camera.matrix_world = Matrix.Translation(center + distance * VIEW_DIRECTION) @ (
        VIEW_DIRECTION.to_track_quat("Z", "Y").to_matrix().to_4x4()
    )
    camera.data.clip_start = 0.01 * radius
    camera.data.clip_end = distance + 10.0 * radius
    scene.camera = camera

    for index, (rotation, strength) in enumerate(LIGHTS):
        light = bpy.data.objects.new(f"Light {index}", bpy.data.lights.new(f"Light {index}", "SUN"))
        light.data.energy = strength
        light.data.angle = math.radians(6.0)
        light.rotation_euler = Euler([math.radians(angle) for angle in rotation])
        scene.collection.objects.link(light)

    world = bpy.data.worlds.new("Backdrop")
    world.color = BACKDROP
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    background = world.node_tree.nodes.get("Background") if world.node_tree else None
    if background is not None:
        background.inputs["Color"].default_value = (*BACKDROP, 1.0)
    scene.world = world
    dress(obj)


def dress(obj: bpy.types.Object) -> None:
    """Give `obj` the clay material in place of its own."""
    clay = bpy.data.materials.get("Clay") or bpy.data.materials.new("Clay")
    clay.diffuse_color = CLAY
    if bpy.app.version < (5, 0, 0):
        clay.use_nodes = True
    principled = next(node for node in clay.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    principled.inputs["Base Color"].default_value = CLAY
    principled.inputs["Roughness"].default_value = 0.55
    obj.data.materials.clear()
    obj.data.materials.append(clay)


def render(
    path: Path,
    shown: Iterable[bpy.types.Object],
    engine: str,
    size: int,
    transparent: bool = False,
    samples: int = CYCLES_SAMPLES,
) -> np.ndarray:
    """Render only the objects `shown` (besides lights) to a PNG; returns it as (size, size, 4) floats from 0 to 1.

    `samples` is for Cycles; the other engines keep their own.
    """
    scene = bpy.context.scene
    shown = set(shown)
    for obj in scene.objects:
        if obj.type == "MESH":
            obj.hide_render = obj not in shown
    scene.render.engine = engine
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = transparent
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA" if transparent else "RGB"
    scene.render.filepath = str(path)
    if engine == "CYCLES":
        scene.cycles.device = "CPU"
        scene.cycles.samples = samples
        # A denoiser would invent what the comparison is about.
        scene.cycles.use_denoising = False
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"), dtype=np.float64) / 255.0


def side_by_side(path: Path, pictures: Iterable[Path]) -> None:
    """Paste pictures of one size next to one another."""
    images = []
    for picture in pictures:
        with Image.open(picture) as image:
            images.append(image.convert("RGB"))
    width, height = images[0].size
    strip = Image.new("RGB", (width * len(images), height))
    for index, image in enumerate(images):
        strip.paste(image, (index * width, 0))
    strip.save(path)
