# SPDX-License-Identifier: GPL-3.0-or-later
"""Shading against formulas and invariants. The agreement with Cycles is tested beside the engine."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from kernels import environments
from kernels.cameras import Camera
from kernels.lighting import (
    EnvironmentMap,
    Light,
    Matcap,
    PointLight,
    SpotLight,
    StudioLight,
    StudioLighting,
    SunLight,
    World,
    camera_rig,
)
from kernels.scenes import Scene
from kernels.shading import Material, PointMaterials, background, facing_normals, incoming, shade, shade_scene

UP = np.array([[0.0, 0.0, 1.0]])
DARK = World((0.0, 0.0, 0.0))


def test_sun_on_a_dull_surface_is_lambertian() -> None:
    material = Material((0.5, 0.25, 1.0), 1.0)
    lit = shade(np.zeros((1, 3)), UP, UP, material, (SunLight((0.0, 0.0, 1.0), (math.pi, math.pi, math.pi)),), DARK)
    np.testing.assert_allclose(lit[0], material.base_color, rtol=0.06, atol=0.02)


def test_point_light_falls_off_with_the_square_and_an_area_light_faces_one_way() -> None:
    def lit(distance: float, axis: tuple[float, float, float] | None) -> float:
        light = PointLight((0.0, 0.0, distance), (100.0, 100.0, 100.0), axis)
        return float(shade(np.zeros((1, 3)), UP, UP, Material(roughness=1.0), (light,), DARK)[0, 0])

    assert lit(2.0, None) == pytest.approx(4.0 * lit(4.0, None), rel=1e-5)
    assert lit(2.0, (0.0, 0.0, -1.0)) == pytest.approx(4.0 * lit(2.0, None), rel=1e-5)
    assert lit(2.0, (0.0, 0.0, 1.0)) == 0.0


@pytest.mark.parametrize("roughness", [0.0, 0.3, 1.0])
def test_white_plastic_in_a_white_world_is_invisible(roughness: float) -> None:
    angles = np.linspace(0.0, 1.5, 20)
    views = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=1)
    lit = shade(
        np.zeros((20, 3)), np.repeat(UP, 20, 0), views, Material((1, 1, 1), roughness), (), World((0.7, 0.7, 0.7))
    )
    np.testing.assert_allclose(lit, 0.7, rtol=1e-6)


def test_facing_normals() -> None:
    rng = np.random.default_rng(0)
    normals, views = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 200, 3)))
    faced = facing_normals(normals, views)
    facing = (normals * views).sum(1) > 1e-3
    np.testing.assert_allclose(faced[facing], normals[facing], atol=1e-12)
    assert ((faced * views).sum(1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(faced, axis=1), 1.0)


def test_spot_is_a_point_light_within_its_cone() -> None:
    angles = np.radians([0.0, 10.0, 14.9, 20.0, 29.9, 30.1, 90.0, 180.0])
    positions = 2.0 * np.stack([np.sin(angles), 0.0 * angles, np.cos(angles)], axis=1)
    place, power = (0.0, 0.0, 0.0), (10.0, 20.0, 30.0)
    sharp = SpotLight(place, power, (0.0, 0.0, 1.0), math.radians(60.0), 0.0)
    directions, light = incoming(sharp, positions)
    same, everywhere = incoming(PointLight(place, power), positions)
    np.testing.assert_allclose(directions, same)
    np.testing.assert_allclose(light[:5], everywhere[:5])
    np.testing.assert_array_equal(light[5:], 0.0)
    # With blend it fades, from the axis on where the blend is full.
    soft = incoming(SpotLight(place, power, (0.0, 0.0, 1.0), math.radians(60.0), 1.0), positions)[1][:, 0]
    assert soft[0] == pytest.approx(everywhere[0, 0])
    assert (np.diff(soft[:5]) < 0.0).all()
    assert soft[4] < 1e-2 * soft[0]


def test_a_white_metal_in_a_white_world_is_invisible() -> None:
    rng = np.random.default_rng(0)
    views = np.stack([np.sin(np.linspace(0.0, 1.5, 50)), np.zeros(50), np.cos(np.linspace(0.0, 1.5, 50))], axis=1)
    surfaces = PointMaterials(np.ones((50, 3)), rng.random(50), rng.random(50))
    white = World((0.7, 0.7, 0.7))
    lit = shade(np.zeros((50, 3)), np.repeat(UP, 50, 0), views, surfaces, (), white)
    np.testing.assert_allclose(lit, 0.7, rtol=1e-6)


def test_a_panorama_of_one_colour_is_a_uniform_world() -> None:
    rng = np.random.default_rng(0)
    normals, views = random_directions(rng, 100), random_directions(rng, 100)
    normals = facing_normals(normals, views)
    surfaces = PointMaterials(rng.random((100, 3)), rng.random(100), rng.random(100))
    pixels = np.broadcast_to(np.float32([0.2, 0.4, 0.8]), (10, 20, 3))
    panorama = World((2.0, 1.0, 0.5), EnvironmentMap(pixels, np.eye(3), "one colour"))
    uniform = World((0.4, 0.4, 0.4))
    arguments = np.zeros((100, 3)), normals, views, surfaces, ()
    np.testing.assert_allclose(shade(*arguments, panorama), shade(*arguments, uniform), rtol=1e-5)


def test_a_metal_reflects_in_its_colour_and_has_no_base() -> None:
    """Straight on, a smooth metal reflects its base colour; a light away from the mirror direction leaves it dark."""
    metal = Material((0.9, 0.5, 0.1), 0.05, 1.0)
    lit = shade(np.zeros((1, 3)), UP, UP, metal, (), World((1.0, 1.0, 1.0)))
    np.testing.assert_allclose(lit[0], metal.base_color, atol=0.01)
    aside = SunLight((0.8, 0.0, 0.6), (1.0, 1.0, 1.0))
    assert shade(np.zeros((1, 3)), UP, UP, metal, (aside,), DARK).max() < 1e-4


def test_each_point_has_its_own_material() -> None:
    rng = np.random.default_rng(0)
    materials = [Material(tuple(rng.random(3)), float(rng.random()), float(rng.random())) for _ in range(3)]
    rows = np.array([2, 0, 1, 1, 7])  # beyond the list: its last
    normals, views = random_directions(rng, 5), random_directions(rng, 5)
    normals, positions = facing_normals(normals, views), rng.normal(size=(5, 3))
    together = shade(positions, normals, views, PointMaterials.chosen(materials, rows), camera_rig(np.eye(4)), World())
    for i, row in enumerate(rows.clip(0, 2)):
        one = np.s_[i : i + 1]
        alone = shade(positions[one], normals[one], views[one], materials[row], camera_rig(np.eye(4)), World())
        np.testing.assert_allclose(together[one], alone, rtol=1e-6)
    np.testing.assert_allclose(PointMaterials.chosen((), rows).roughness, Material().roughness)


def test_shadow_is_that_of_the_brightest_sun_and_openness_that_of_the_world() -> None:
    suns = tuple(SunLight((0.0, 0.0, 1.0), (x, x, x)) for x in (1.0, 5.0, 2.0))
    where = np.zeros((1, 3)), UP, UP, Material()

    def lit(lights: tuple[Light, ...], world: World, **seen: np.ndarray) -> np.ndarray:
        return shade(*where, lights, world, **seen)

    shadowed = lit(suns, World(), sun_visibility=np.array([0.25]))
    expected = lit((suns[0], suns[2]), World()) + 0.25 * lit(suns[1:2], DARK)
    np.testing.assert_allclose(shadowed, expected)
    folded = lit(suns, World(), openness=np.array([0.25]))
    np.testing.assert_allclose(folded, lit(suns, DARK) + 0.25 * lit((), World()))


def test_solid_mode_takes_the_place_of_lights_and_world_but_shows_the_worlds_colour() -> None:
    pixels = np.random.default_rng(0).random((4, 8, 3)).astype(np.float32)
    world = World((0.1, 0.2, 0.3), EnvironmentMap(pixels, np.eye(3), "behind"))
    camera = Camera(np.diag([1.0, 1.0, -1.0, 0.0]), np.eye(4))
    matcap = Matcap(np.full((2, 2, 3), 0.5, dtype=np.float32), None, "grey")
    scene = Scene(camera, lights=camera_rig(np.eye(4)), world=world)
    solid = replace(scene, lighting=matcap)
    lit = shade_scene(solid, np.zeros((1, 3)), UP, UP, Material((0.2, 0.4, 0.6)), openness=np.array([0.5]))
    np.testing.assert_allclose(lit[0], [0.05, 0.1, 0.15], rtol=1e-6)
    np.testing.assert_allclose(background(solid, UP)[0], world.color, rtol=1e-6)
    expected = np.array(world.color) * environments.radiance(world.environment, UP)[0]
    np.testing.assert_allclose(background(scene, UP)[0], expected, rtol=1e-6)


@pytest.mark.parametrize("lighting", [None, StudioLighting((StudioLight((0.0, 0.0, 1.0), (1, 1, 1), (1, 1, 1), 0.5),))])
def test_no_points_at_all(lighting: StudioLighting | None) -> None:
    pixels = np.ones((2, 4, 3), dtype=np.float32)
    world = World(environment=EnvironmentMap(pixels, np.eye(3), "around nothing"))
    camera = Camera(np.diag([1.0, 1.0, -1.0, 0.0]), np.eye(4))
    scene = Scene(camera, lights=camera_rig(np.eye(4)), world=world, lighting=lighting)
    nothing = np.zeros((0, 3))
    surfaces = PointMaterials.chosen((), np.zeros(0, dtype=int))
    assert shade_scene(scene, nothing, nothing, nothing, surfaces, np.zeros(0)).shape == (0, 3)
    assert background(scene, nothing).shape == (0, 3)


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) unit vectors."""
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def test_numpy_and_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(50, 3))
    normals, views = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 50, 3)))
    lights = (*camera_rig(np.eye(4)), PointLight((1.0, 2.0, 3.0), (10.0, 20.0, 30.0), (0.0, 0.0, -1.0)))
    lights = *lights, SpotLight((0.0, 1.0, 4.0), (10.0, 20.0, 30.0), (0.0, 0.0, -1.0), 2.0, 0.5)
    panorama = EnvironmentMap(rng.random((4, 8, 3)).astype(np.float32), np.eye(3), "both")
    arguments = Material((0.2, 0.5, 0.7), 0.4, 0.5), lights, World((0.1, 0.1, 0.2), panorama)
    expected = shade(positions, facing_normals(normals, views), views, *arguments)
    p, n, v = (torch.as_tensor(a) for a in (positions, normals, views))
    np.testing.assert_allclose(shade(p, facing_normals(n, v), v, *arguments).numpy(), expected, rtol=1e-9)
