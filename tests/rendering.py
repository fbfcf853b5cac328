# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering in Blender from tests: neural objects, cameras, lights, and the passes of a picture as arrays."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from kernels import nsdf
from kernels.sequence import NestedSequence

ENGINE = "NEURAL_IMPLICIT"


def read_exr(path: str | Path) -> dict[str, np.ndarray]:
    """Channels of an uncompressed OpenEXR scanline file: name -> (height, width), the first row at the bottom."""
    data = Path(path).read_bytes()
    position = 8
    attributes = {}

    def text() -> str:
        nonlocal position
        end = data.index(b"\0", position)
        value, position = data[position:end].decode(), end + 1
        return value

    while name := text():
        text()
        (size,) = struct.unpack_from("<i", data, position)
        attributes[name] = data[position + 4 : position + 4 + size]
        position += 4 + size
    assert attributes["compression"] == b"\0", "write the file with codec NONE"
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    channels, listing = [], attributes["channels"]
    while listing != b"\0":
        name, _, listing = listing.partition(b"\0")
        (kind,) = struct.unpack_from("<i", listing)
        channels.append((name.decode(), {1: "<f2", 2: "<f4"}[kind]))
        listing = listing[16:]
    row = np.dtype([("head", "<i4", 2), *((name, kind, width) for name, kind in channels)])
    rows = np.frombuffer(data, row, height, position + 8 * height)
    return {name: rows[name][::-1].astype(np.float32) for name, _ in channels}


def render(bpy: Any, path: Path, engine: str = ENGINE, **cycles: Any) -> dict[str, np.ndarray]:
    """The first view layer's passes: `Combined` (H, W, 4), and those enabled of `Depth` (H, W), `Normal` (H, W, 3) and
    `Object Index` (H, W)."""
    scene = bpy.context.scene
    scene.render.engine = engine
    if engine == "CYCLES":
        scene.cycles.use_denoising = False
        scene.cycles.samples = 16
        for name, value in cycles.items():
            setattr(scene.cycles, name, value)
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):  # Blender 5.0 and later
        settings.media_type = "MULTI_LAYER_IMAGE"
    settings.file_format = "OPEN_EXR_MULTILAYER"
    settings.color_depth = "32"
    settings.exr_codec = "NONE"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    channels = read_exr(path)
    prefix = scene.view_layers[0].name
    passes = {}
    index = "Object Index" if bpy.app.version >= (5, 0, 0) else "IndexOB"
    for name, file_name, letters in (
        ("Combined", "Combined", "RGBA"),
        ("Depth", "Depth", "Z"),
        ("Normal", "Normal", "XYZ"),
        ("Object Index", index, "X"),
    ):
        if f"{prefix}.{file_name}.{letters[0]}" in channels:
            planes = np.stack([channels[f"{prefix}.{file_name}.{letter}"] for letter in letters], axis=-1)
            passes[name] = planes[..., 0] if len(letters) == 1 else planes
    return passes


def add_neural_object(bpy: Any, sequence: NestedSequence | bytes, name: str = "neural") -> Any:
    """An object whose mesh carries `sequence`. It has no proxy: the engine must not need one."""
    mesh = bpy.data.meshes.new(name)
    mesh["neural_implicit"] = sequence if isinstance(sequence, bytes) else nsdf.dumps(sequence)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def add_camera(
    bpy: Any, location: tuple[float, float, float], target: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Any:
    """The scene's camera, looking from `location` at `target`."""
    from mathutils import Vector

    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location = location
    camera.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    return camera


def use_nodes(bpy: Any, owner: Any) -> None:
    """Let nodes decide about a material or a world. From Blender 5.0 on they always do, and saying so is deprecated."""
    if bpy.app.version < (5, 0, 0):
        owner.use_nodes = True


def set_size(bpy: Any, width: int, height: int) -> None:
    """Size of the picture in pixels."""
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((first & second).sum() / (first | second).sum())
