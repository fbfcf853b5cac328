# SPDX-License-Identifier: GPL-3.0-or-later
"""What lights a scene: suns, lamps, the world around it, and the ready-made lights of Solid mode.

Energies mean what they mean in Blender, so that brightness agrees with Cycles: a sun's is the irradiance on a surface
that faces it (W/m^2), a point light's is its total power (W), a spot's that of the point light that it is a part of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class EnvironmentMap:
    """A panorama around the scene, as a world's Environment Texture shows it.

    Attributes:
        pixels: (H, W, 3) float32 scene-linear radiance, equirectangular as Blender has it: rows from the bottom up,
            the middle column in direction +x, turning towards -y on the right.
        world_to_map: (3, 3) rotation from world directions to those that look it up.
        key: the same key means the same pixels; what is prepared from them is kept by it.
    """

    pixels: np.ndarray
    world_to_map: np.ndarray
    key: str


@dataclass(frozen=True)
class World:
    """What is around the scene: seen behind it, and lighting it from everywhere.

    Attributes:
        color: radiance; with an environment, what it is multiplied by.
        environment: None for the same radiance from everywhere.
    """

    color: Color = (0.05, 0.05, 0.05)
    environment: EnvironmentMap | None = None


@dataclass(frozen=True)
class StudioLight:
    """One of the lights of Solid mode: parallel, fixed to the view or to the world, without shadow.

    Attributes:
        direction: unit vector from the surface towards the light, world space.
        diffuse_color, specular_color: scene-linear.
        smooth: 0 a hard light to 1 light from the whole half space around its direction.
    """

    direction: tuple[float, float, float]
    diffuse_color: Color
    specular_color: Color
    smooth: float


@dataclass(frozen=True)
class StudioLighting:
    """Solid mode's studio lighting, instead of the scene's lights and world.

    Attributes:
        lights: Blender has four.
        ambient: radiance from everywhere.
        specular: whether surfaces are glossy; otherwise they are dull, and metals as bright as all else.
    """

    lights: tuple[StudioLight, ...]
    ambient: Color = (0.0, 0.0, 0.0)
    specular: bool = True


@dataclass(frozen=True, eq=False)
class Matcap:
    """Solid mode's material capture, instead of lights and materials: the colour of a sphere seen from the front.

    Attributes:
        diffuse: (H, W, 3) float32 scene-linear, multiplied by the material's base colour; rows from the bottom up.
        specular: (H, W, 3), added; None for none.
        key: the same key means the same pixels.
    """

    diffuse: np.ndarray
    specular: np.ndarray | None
    key: str


@dataclass(frozen=True)
class SunLight:
    """Parallel light.

    Attributes:
        direction: unit vector from the surface towards the light, world space.
        irradiance: scene-linear colour times W/m^2.
        angle: full angle under which it is seen, in radians: how wide its highlights are.
        casts_shadow: whether it may be the sun that casts the shadows.
    """

    direction: tuple[float, float, float]
    irradiance: Color
    angle: float = 0.0
    casts_shadow: bool = True


@dataclass(frozen=True)
class PointLight:
    """Light from one point.

    Attributes:
        position: in world space.
        power: scene-linear colour times W.
        axis: None: shines equally in all directions. A unit vector: shines into that half space like a small flat
            lamp, by the cosine to the axis, as an area light does.
        radius: of the lamp, a sphere or a disc: how wide its highlights are.
    """

    position: tuple[float, float, float]
    power: Color
    axis: tuple[float, float, float] | None = None
    radius: float = 0.0


@dataclass(frozen=True)
class SpotLight:
    """A point light seen through a round hole.

    Attributes:
        position: in world space.
        power: scene-linear colour times W, of the whole point light: what the cone keeps back is lost.
        axis: unit vector, the direction in which it shines.
        angle: full angle of the cone, in radians.
        blend: share of the cone over which it fades towards its border: 0 a sharp edge to 1 the whole cone.
        radius: of the lamp, a sphere: how wide its highlights are.
    """

    position: tuple[float, float, float]
    power: Color
    axis: tuple[float, float, float]
    angle: float = math.pi / 4.0
    blend: float = 0.15
    radius: float = 0.0


Light = SunLight | PointLight | SpotLight


def brightest_sun(lights: Sequence[Light]) -> int | None:
    """The place in `lights` of the sun that casts the shadows, or None without one that shines.

    Brightness is luminance, for the primaries that scene-linear colour has by default (Rec. 709).
    """
    luminances = {
        number: float(np.dot((0.2126, 0.7152, 0.0722), light.irradiance))
        for number, light in enumerate(lights)
        if isinstance(light, SunLight) and light.casts_shadow
    }
    brightest = max(luminances, key=luminances.__getitem__, default=None)
    return brightest if brightest is not None and luminances[brightest] > 0.0 else None


def camera_rig(camera_to_world: np.ndarray) -> tuple[SunLight, ...]:
    """Key, fill and rim lights that move with the camera, for a scene that has no lights of its own.

    They cast no shadows, which would wander over the scene with every turn of the view.

    Args:
        camera_to_world: (4, 4), the view along -z.
    """
    # From the upper left in front, from the right in front, and from above behind: warm key, cool fill.
    key, fill, rim = (-0.55, 0.6, 0.6), (0.8, 0.1, 0.6), (0.25, 0.75, -0.6)
    lights = []
    for direction, irradiance in ((key, (2.6, 2.5, 2.35)), (fill, (0.5, 0.56, 0.65)), (rim, (1.3, 1.35, 1.4))):
        toward = np.asarray(camera_to_world)[:3, :3] @ np.asarray(direction)
        lights.append(SunLight(tuple(toward / np.linalg.norm(toward)), irradiance, casts_shadow=False))
    return tuple(lights)
