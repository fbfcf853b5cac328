# SPDX-License-Identifier: GPL-3.0-or-later
"""The shading of kernels.shading against Cycles: a sphere under each kind of light, and in each kind of world."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from kernels.lighting import EnvironmentMap, PointLight, SpotLight, SunLight, World
from kernels.shading import Material
from tests.spheres import Sphere, difference


@pytest.fixture
def sphere(blender: ModuleType, tmp_path: Path) -> Sphere:
    return Sphere(blender, tmp_path)


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
        picture, within, _ = sphere.ours(material, lights=(light,))
        mean, bias = difference(picture, sphere.cycles(24), within)
        # A lamp of some size widens the highlights a little.
        assert mean < (0.04 if kind == "AREA" else 0.025), f"{material}: {mean}"
        assert abs(bias) < 0.015, f"{material}: {bias}"


def test_highlights_of_large_lamps(sphere: Sphere) -> None:
    """As bright as Cycles' on average, and several times nearer to them than a point's highlights."""
    material = Material((0.9, 0.9, 0.9), 0.3, 1.0)
    sphere.set_material(material)
    sun, lamp, panel = (
        sphere.add_light("SUN", PLACE, 3.0, angle=0.3),
        sphere.add_light("POINT", PLACE, 500.0, shadow_soft_size=0.5),
        sphere.add_light("AREA", PLACE, 500.0, shape="DISK", size=1.0),
    )
    lights = (
        (sun, SunLight(TOWARDS, (3.0, 3.0, 3.0), 0.3), SunLight(TOWARDS, (3.0, 3.0, 3.0))),
        (lamp, PointLight(PLACE, POWER, None, 0.5), PointLight(PLACE, POWER)),
        (panel, PointLight(PLACE, POWER, AWAY, 0.5), PointLight(PLACE, POWER, AWAY)),
    )
    for shining, large, point in lights:
        for obj in sphere.bpy.data.objects:
            obj.hide_render = obj.type == "LIGHT" and obj.data != shining
        expected = sphere.cycles(48)
        picture, within, _ = sphere.ours(material, lights=(large,))
        mean, bias = difference(picture, expected, within)
        assert mean < 0.17, f"{large}: {mean}"
        assert abs(bias) < 0.04, f"{large}: {bias}"
        assert mean < 0.7 * difference(sphere.ours(material, lights=(point,))[0], expected, within)[0]


def test_spot_without_blend_and_with_a_full_one(sphere: Sphere) -> None:
    material = MATERIALS["dull"]
    sphere.set_material(material)
    lamp = sphere.add_light("SPOT", PLACE, 500.0, shadow_soft_size=0.0)
    for angle, blend in ((0.3, 0.0), (0.5, 1.0)):
        lamp.spot_size, lamp.spot_blend = angle, blend
        picture, within, _ = sphere.ours(material, lights=(SpotLight(PLACE, POWER, AWAY, angle, blend),))
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
