# SPDX-License-Identifier: GPL-3.0-or-later
"""The pixels of MatCaps, read by Blender's own image code through datablocks that are gone afterwards."""

from __future__ import annotations

import bpy
import numpy as np

from .world import linear_pixels

# Side of the images read from files with several layers: enough for the smooth pictures that MatCaps are.
LAYERED_SIZE = 256


def read(path: str) -> np.ndarray | None:
    """(H, W, 3) float32 scene-linear pixels of an image file, rows from the bottom up; None when it cannot be read.

    Of a file with several layers (Blender's own MatCaps have the diffuse and the specular light), the first is read.
    Must not be called while something is drawn: Blender then lets nobody make datablocks.
    """
    try:
        image = bpy.data.images.load(path)
    except RuntimeError:
        return None
    try:
        pixels = linear_pixels(image)
        return _first_layer(image) if pixels is None and image.type == "MULTILAYER" else pixels
    finally:
        bpy.data.images.remove(image)


def _first_layer(image: bpy.types.Image) -> np.ndarray:
    """The first layer's pixels: Blender shows them to textures, but not as the image's own pixels."""
    texture = bpy.data.textures.new(image.name, "IMAGE")
    try:
        texture.image = image
        texture.extension = "EXTEND"
        # Textures run from -1 to 1.
        centers = (np.arange(LAYERED_SIZE) + 0.5) * 2.0 / LAYERED_SIZE - 1.0
        values = [texture.evaluate((x, y, 0.0))[:3] for y in centers for x in centers]
    finally:
        bpy.data.textures.remove(texture)
    return np.array(values, dtype=np.float32).reshape(LAYERED_SIZE, LAYERED_SIZE, 3)
