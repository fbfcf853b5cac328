# SPDX-License-Identifier: GPL-3.0-or-later
"""From Blender's world to the renderers' own: one colour, or a panorama."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..kernels import lighting
from . import nodes

# The world's colour where a scene has no world: none.
NO_WORLD = (0.0, 0.0, 0.0)
# Panoramas wider than this are averaged down: it is what a screen shows of one, and a tenth of a gigabyte.
LARGEST_WIDTH = 4096
# Panoramas kept between pictures. A file has one or two.
CACHED_PANORAMAS = 4


def describe(world: bpy.types.World | None, panoramas: Panoramas, problem: Callable[[str], None]) -> lighting.World:
    """What a world's Background node shows, or else the colour that the viewport shows.

    Args:
        panoramas: those that were read before.
        problem: told in one sentence of what is left out.
    """
    if world is None:
        return lighting.World(NO_WORLD)
    node = nodes.surface_node(world, "OUTPUT_WORLD", "BACKGROUND")
    if node is None:
        if nodes.uses_nodes(world) and world.node_tree is not None and len(world.node_tree.nodes):
            problem(f"The world {world.name!r} has no plain Background: its viewport color is shown instead")
        return lighting.World(tuple(world.color))
    strength = nodes.constant(node.inputs["Strength"])
    if not isinstance(strength, float):
        problem(f"The strength of the world {world.name!r} varies, which is not supported: 1 is taken")
        strength = 1.0
    color = nodes.constant(node.inputs["Color"])
    if isinstance(color, float):
        color = (color,) * 3
    if color is not None:
        return lighting.World(tuple(channel * strength for channel in color[:3]))
    texture = nodes.source(node.inputs["Color"])
    if texture.type != "TEX_ENVIRONMENT" or texture.projection != "EQUIRECTANGULAR":
        problem(
            f"The world {world.name!r} is colored by {texture.label or texture.name!r}, which is not supported: "
            "give it a color or an equirectangular Environment Texture. Its viewport color is shown instead"
        )
        return lighting.World(tuple(world.color))
    pixels = panoramas.pixels(texture.image) if texture.image is not None else None
    if pixels is None:
        name = "no image" if texture.image is None else f"the image {texture.image.name!r}, which cannot be read"
        problem(f"The world {world.name!r} shows {name}: its viewport color is shown instead")
        return lighting.World(tuple(world.color))
    array, key = pixels
    rotation = _rotation(texture.inputs["Vector"], world, problem)
    return lighting.World((strength,) * 3, lighting.EnvironmentMap(array, rotation, key))


def _rotation(socket: bpy.types.NodeSocket, world: bpy.types.World, problem: Callable[[str], None]) -> np.ndarray:
    """(3, 3) what a Mapping node does to the directions with which a panorama is looked up."""
    node = nodes.source(socket)
    if node is None or node.type == "TEX_COORD":
        return np.eye(3)
    if node.type != "MAPPING" or nodes.source(node.inputs["Rotation"]) is not None:
        problem(f"The world {world.name!r} looks its panorama up in a way that is not supported: it is not turned")
        return np.eye(3)
    scale = node.inputs["Scale"].default_value
    moved = "Location" in node.inputs and node.inputs["Location"].enabled and any(node.inputs["Location"].default_value)
    if moved or any(factor != 1.0 for factor in scale):
        problem(f"The world {world.name!r} moves or scales its panorama, which is not supported: it is only turned")
    rotation = np.array(node.inputs["Rotation"].default_value.to_matrix(), dtype=np.float64)
    return rotation.T if node.vector_type == "TEXTURE" else rotation


class Panoramas:
    """Pixels of images, read once for as long as nothing says that they have changed.

    Safe in several threads: final pictures are rendered beside the viewports.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_State, tuple[np.ndarray, str]] = OrderedDict()
        self._lock = threading.Lock()
        # How many images were read, for tests.
        self.reads = 0

    def pixels(self, image: bpy.types.Image) -> tuple[np.ndarray, str] | None:
        """(H, W, 3) float32 scene-linear pixels, rows from the bottom up, and their key; None when there are none."""
        with self._lock:
            return self._current(image)

    def _current(self, image: bpy.types.Image) -> tuple[np.ndarray, str] | None:
        # Unsaved changes have no date; such an image is read every time.
        known = None if image.is_dirty else self._known.get(_state(image))
        if known is not None:
            self._known.move_to_end(_state(image))
            return known
        pixels = linear_pixels(image)
        self.reads += 1
        if pixels is None:
            return None
        key = hashlib.blake2b(pixels, digest_size=16).hexdigest()
        # Reading an image loads it, so that its size is known only now.
        state = _state(image)
        for other, (other_pixels, other_key) in self._known.items():
            if other_key == key:
                # The same pixels again: arrays that others have prepared something for are kept.
                pixels = other_pixels
                if other.number == state.number and other.date != state.date:
                    # The file is newer and the pixels are the old ones: they will change when it is read again.
                    return pixels, key
        self._known[state] = (pixels, key)
        if len(self._known) > CACHED_PANORAMAS:
            self._known.popitem(last=False)
        return pixels, key

    def forget(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Read images again that a depsgraph names as changed."""
        changed = {update.id.session_uid for update in depsgraph.updates if isinstance(update.id, bpy.types.Image)}
        with self._lock:
            for state in [state for state in self._known if state.number in changed]:
                del self._known[state]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._known.clear()


@dataclass(frozen=True)
class _State:
    """All that can be known of an image without reading it.

    Attributes:
        number: the session's unique identifier of its datablock.
        path, date: of its file, and when that was written; None where there is no file.
        size: in pixels.
        color_space, source, is_packed: as Blender says.
        frame: the scene's, for images that move.
    """

    number: int
    path: str
    date: int | None
    size: tuple[int, int]
    color_space: str
    source: str
    is_packed: bool
    frame: int | None


def _state(image: bpy.types.Image) -> _State:
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    try:
        date = path.stat().st_mtime_ns
    except (OSError, ValueError):
        date = None
    scene = bpy.context.scene
    return _State(
        image.session_uid,
        str(path),
        date,
        tuple(image.size),
        image.colorspace_settings.name,
        image.source,
        image.packed_file is not None,
        scene.frame_current if scene is not None and image.source in {"SEQUENCE", "MOVIE"} else None,
    )


def linear_pixels(image: bpy.types.Image) -> np.ndarray | None:
    """(H, W, 3) pixels averaged down to a reasonable size; None when the image has none."""
    width, height = image.size
    channels = image.channels
    if width < 1 or height < 1 or channels < 1:
        return None
    try:
        values = np.empty(width * height * channels, dtype=np.float32)
        image.pixels.foreach_get(values)
    except (RuntimeError, TypeError, MemoryError):
        return None
    pixels = values.reshape(height, width, channels)
    pixels = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    factor = -(-width // LARGEST_WIDTH)
    linear = image.is_float or image.colorspace_settings.is_data
    if factor > 1:
        rows, columns = height // factor, width // factor
        blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, 3)
        pixels = (blocks if linear else _from_srgb(blocks)).mean(axis=(1, 3), dtype=np.float32)
    elif not linear:
        pixels = _from_srgb(pixels)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    if np.isfinite(pixels).all():
        # Replacing them takes as long as all the rest, while a draw call waits for it.
        return pixels
    # A panorama's broken pixels must not spread over everything that it lights.
    return np.nan_to_num(pixels, nan=0.0, posinf=65504.0, neginf=0.0)


def _from_srgb(values: np.ndarray) -> np.ndarray:
    """Scene-linear values of sRGB ones: Blender hands out the pixels of 8 bit images as they are stored."""
    low = values / 12.92
    high = ((np.maximum(values, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(values <= 0.04045, low, high).astype(np.float32)
