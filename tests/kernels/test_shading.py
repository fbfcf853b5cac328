# SPDX-License-Identifier: GPL-3.0-or-later
"""Shading against formulas and invariants. The agreement with Cycles is tested beside the engine."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kernels.lighting import PointLight, SunLight, World, camera_rig
from kernels.shading import Material, facing_normals, shade

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
def test_white_object_in_a_white_world_is_invisible(roughness: float) -> None:
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


def test_camera_rig_moves_with_the_camera() -> None:
    turned = np.eye(4)
    turned[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    for light, rotated in zip(camera_rig(np.eye(4)), camera_rig(turned), strict=True):
        np.testing.assert_allclose(turned[:3, :3] @ light.direction, rotated.direction, atol=1e-12)


def test_numpy_and_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(50, 3))
    normals, views = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 50, 3)))
    lights = (*camera_rig(np.eye(4)), PointLight((1.0, 2.0, 3.0), (10.0, 20.0, 30.0), (0.0, 0.0, -1.0)))
    arguments = Material((0.2, 0.5, 0.7), 0.4), lights, World((0.1, 0.1, 0.2))
    expected = shade(positions, facing_normals(normals, views), views, *arguments)
    p, n, v = (torch.as_tensor(a) for a in (positions, normals, views))
    np.testing.assert_allclose(shade(p, facing_normals(n, v), v, *arguments).numpy(), expected, rtol=1e-9)
