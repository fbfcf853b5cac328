# SPDX-License-Identifier: GPL-3.0-or-later
"""From Blender's light objects to the renderers' own lights."""

from __future__ import annotations

import math
from dataclasses import astuple

import bpy
import numpy as np

from ..kernels import lighting


def describe(light: bpy.types.Light, to_world: np.ndarray) -> lighting.Light:
    """A light as the renderers know it. An area light becomes a disc that shines into its half space.

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
        return lighting.SunLight(tuple(-axis), power, light.angle, light.use_shadow)
    if light.type == "SPOT":
        cone = light.spot_size, light.spot_blend
        return lighting.SpotLight(position, power, tuple(axis), *cone, light.shadow_soft_size)
    if light.type == "AREA":
        return lighting.PointLight(position, power, tuple(axis), _disc_radius(light, to_world))
    return lighting.PointLight(position, power, None, light.shadow_soft_size)


def is_finite(light: lighting.Light) -> bool:
    """Whether all numbers of a light are finite. One that is not would leave no colour in what it lights."""
    values = (np.ravel(value) for value in astuple(light) if value is not None)
    return all(math.isfinite(number) for each in values for number in each)


def _disc_radius(light: bpy.types.AreaLight, to_world: np.ndarray) -> float:
    """Of the disc as large as an area light."""
    across, along = np.linalg.norm(to_world[:3, :2], axis=0)
    height = light.size_y if light.shape in {"RECTANGLE", "ELLIPSE"} else light.size
    area = light.size * across * height * along
    return float(np.sqrt(area / 4.0 if light.shape in {"DISK", "ELLIPSE"} else area / np.pi))
