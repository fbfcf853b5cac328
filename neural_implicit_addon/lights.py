# SPDX-License-Identifier: GPL-3.0-or-later
"""From Blender's light objects to the renderers' own lights."""

from __future__ import annotations

import bpy
import numpy as np

from ..kernels import lighting


def describe(light: bpy.types.Light, to_world: np.ndarray) -> lighting.Light:
    """A light as the renderers know it. An area light becomes a point that shines into its half space.

    Args:
        to_world: (4, 4) the light object's world matrix.
    """
    color = np.array(light.color) * (light.energy * 2.0**light.exposure)
    if light.use_temperature:
        color = color * np.array(light.temperature_color)
    power = tuple(float(channel) for channel in color)
    # Lights shine along their local -z.
    axis = -to_world[:3, 2] / max(np.linalg.norm(to_world[:3, 2]), 1e-20)
    position = tuple(to_world[:3, 3])
    if light.type == "SUN":
        return lighting.SunLight(tuple(-axis), power)
    if light.type == "SPOT":
        return lighting.SpotLight(position, power, tuple(axis), light.spot_size, light.spot_blend)
    return lighting.PointLight(position, power, tuple(axis) if light.type == "AREA" else None)
