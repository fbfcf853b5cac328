# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene's lights, world and materials packed into textures, for `shade` and `background` of shading.glsl.

A shader that calls them joins the files GLSL, in that order, with the constants CONSTANTS, and binds the textures
TEXTURES.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import environments, reflectance, studio
from ..lighting import Light, Matcap, SpotLight, StudioLight, StudioLighting, SunLight, brightest_sun
from ..scenes import Scene
from ..shading import DIELECTRIC_F0, LIGHT_WIDTH, Material, spot_cone
from .device import ComputeDevice, Texture

# Files for `sources.join`.
GLSL = ("environment", "shading")

# Names by which shaders bind the textures.
TEXTURES = ("shading_table", "shading_background", "shading_atlas", "shading_matcap")

# The table's layout, described in shading.glsl.
TABLE_COLUMNS = 1024
HEADER_TEXELS = 10
# What the shading of the CPU and the GPU share, and where the table's parts begin.
CONSTANTS = {
    "TABLE_COLUMNS": TABLE_COLUMNS,
    "REFLECTANCE_START": HEADER_TEXELS,
    "REFLECTANCE_SIDE": reflectance.TABLE_SIDE,
    "SMALLEST_ROUGHNESS": reflectance.SMALLEST_ROUGHNESS,
    "DIELECTRIC_F0": DIELECTRIC_F0,
    "LIGHT_WIDTH": LIGHT_WIDTH,
    "STUDIO_F0": studio.STUDIO_F0,
    "RECIPROCAL_BITS": studio.RECIPROCAL_BITS,
    "MATCAP_RADIUS": studio.MATCAP_RADIUS,
}
# Kinds of lights and of lighting; shading.glsl tells them apart by the same numbers.
SUN, POINT, AREA, SPOT = 0.0, 1.0, 2.0, 3.0
BY_SCENE, BY_STUDIO, BY_MATCAP = 0.0, 1.0, 2.0


def pack_table(scene: Scene, materials: Sequence[Material]) -> np.ndarray:
    """All of a scene's shading but pictures: (rows, TABLE_COLUMNS, 4) float32.

    Args:
        materials: by the owner's row; none at all means the default one.
    """
    lighting, world = scene.lighting, scene.world
    header = np.zeros((HEADER_TEXELS, 4), dtype=np.float32)
    header[0, :3] = world.color
    to_camera = np.asarray(scene.camera.camera_to_world)[:3, :3].T
    header[5:8, :3] = to_camera
    listed = tuple(materials) or (Material(),)
    header[8, 3] = len(listed)
    if isinstance(lighting, StudioLighting):
        lights = np.array([_studio_texels(light) for light in lighting.lights]).reshape(-1, 4)
        header[0, 3], header[1] = BY_STUDIO, (len(lighting.lights), -1.0, 0.0, float(lighting.specular))
        header[8, :3] = lighting.ambient
    elif isinstance(lighting, Matcap):
        lights = np.zeros((0, 4))
        header[0, 3], header[1, 1] = BY_MATCAP, -1.0
        header[9, :2] = lighting.diffuse.shape[1::-1]
        if lighting.specular is not None:
            header[9, 2:] = lighting.specular.shape[1::-1]
    else:
        lights = np.array([_light_texels(light) for light in scene.lights]).reshape(-1, 4)
        shadowed = brightest_sun(scene.lights)
        header[1] = len(scene.lights), -1 if shadowed is None else shadowed, world.environment is not None, 0.0
        if world.environment is not None:
            header[2:5, :3] = world.environment.world_to_map
    shares = np.pad(reflectance.table().reshape(-1, 3), ((0, 0), (0, 1)))
    surfaces = np.zeros((len(listed), 2, 4))
    surfaces[:, 0, :3] = [material.base_color for material in listed]
    surfaces[:, 0, 3] = [material.roughness for material in listed]
    surfaces[:, 1, 0] = [material.metallic for material in listed]
    texels = np.concatenate([header, shares, lights, surfaces.reshape(-1, 4)]).astype(np.float32)
    rows = -(-len(texels) // TABLE_COLUMNS)
    table = np.zeros((rows * TABLE_COLUMNS, 4), dtype=np.float32)
    table[: len(texels)] = texels
    return table.reshape(rows, TABLE_COLUMNS, 4)


def _light_texels(light: Light) -> list[list[float]]:
    if isinstance(light, SunLight):
        slope = math.tan(0.5 * light.angle)
        return [[*light.direction, SUN], [*light.irradiance, 0.0], [0.0] * 4, [slope, 0.0, 0.0, 0.0]]
    strength = [channel / (4.0 * math.pi) for channel in light.power]
    size = [light.radius, 0.0, 0.0, 0.0]
    if isinstance(light, SpotLight):
        edge, scale = spot_cone(light)
        return [[*light.position, SPOT], [*strength, edge], [*light.axis, scale], size]
    if light.axis is not None:
        return [[*light.position, AREA], [*strength, 0.0], [*light.axis, 0.0], size]
    return [[*light.position, POINT], [*strength, 0.0], [0.0] * 4, size]


def _studio_texels(light: StudioLight) -> list[list[float]]:
    return [[*light.direction, light.smooth], [*light.diffuse_color, 0.0], [*light.specular_color, 0.0], [0.0] * 4]


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) colours as (H, W, 4) float32."""
    result = np.ones((*pixels.shape[:2], 4), dtype=np.float32)
    result[..., :3] = pixels
    return result


def _stacked(matcap: Matcap) -> np.ndarray:
    """The diffuse picture of a material capture and its specular one above it, (H, W, 4)."""
    pictures = [matcap.diffuse] if matcap.specular is None else [matcap.diffuse, matcap.specular]
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate(
        [np.pad(_with_alpha(picture), ((0, 0), (0, width - picture.shape[1]), (0, 0))) for picture in pictures]
    )


class SceneShading:
    """The textures of the scene shown last. Panoramas and captures stay until others, with other keys, replace them."""

    def __init__(self, device: ComputeDevice) -> None:
        self._device = device
        self._textures: dict[str, Texture] = {}
        self._environment_key: str | None = None
        self._matcap_key: str | None = None

    def prepare(self, scene: Scene, materials: Sequence[Material]) -> dict[str, Texture]:
        """Textures by the names of TEXTURES, valid until the next call or `free`.

        Args:
            materials: by the owner's row, which counts from 0.

        Raises:
            GpuError: there is no memory for them, or they are too large for this GPU.
        """
        self._replace("shading_table", pack_table(scene, materials))
        environment = scene.world.environment if scene.lighting is None else None
        if environment is not None and environment.key != self._environment_key:
            self._environment_key = None
            ready = environments.prepared(environment)
            self._replace("shading_background", _with_alpha(ready.background))
            self._replace("shading_atlas", _with_alpha(ready.atlas))
            self._environment_key = environment.key
        if isinstance(scene.lighting, Matcap) and scene.lighting.key != self._matcap_key:
            self._matcap_key = None
            self._replace("shading_matcap", _stacked(scene.lighting))
            self._matcap_key = scene.lighting.key
        for name in TEXTURES:
            if name not in self._textures:
                # Not read, but something must be bound.
                self._replace(name, np.zeros((1, 1, 4), dtype=np.float32))
        return dict(self._textures)

    def _replace(self, name: str, pixels: np.ndarray) -> None:
        """Make a texture in the place of the one before it, whose memory is given back first."""
        if name in self._textures:
            self._device.free(self._textures.pop(name))
        self._textures[name] = self._device.texture(pixels)

    def free(self) -> None:
        """Give all textures back. `prepare` makes them anew; freeing twice is fine."""
        for texture in self._textures.values():
            self._device.free(texture)
        self._textures.clear()
        self._environment_key = self._matcap_key = None
