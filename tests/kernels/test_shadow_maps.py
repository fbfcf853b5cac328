# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadow maps of a ball above a floor, both in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import shadow_maps
from kernels.cameras import Camera, pixel_rays, project
from kernels.shadow_maps import sun_camera, sun_visibility, texel_size

CENTER, RADIUS, HALF_FLOOR = np.array([0.2, -0.1, 1.0]), 0.5, 2.0
DIRECTIONS = [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (-0.5, 0.7, 0.5), (0.0, 0.8, 0.55)]


@pytest.fixture(autouse=True)
def small_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_maps, "SHADOW_MAP_SIDE", 256)


def boxes() -> list[np.ndarray]:
    floor, ball = np.diag([HALF_FLOOR, HALF_FLOOR, 0.0, 1.0]), np.diag([RADIUS, RADIUS, RADIUS, 1.0])
    ball[:3, 3] = CENTER
    return [floor, ball]


def distance_to_ball(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(N,) t where unit rays meet the ball; infinite for those that do not."""
    to_center = CENTER - origins
    along = (to_center * directions).sum(axis=1)
    inside = RADIUS**2 - (to_center**2).sum(axis=1) + along**2
    with np.errstate(invalid="ignore"):
        t = along - np.sqrt(inside)
    return np.where((inside > 0.0) & (t > 0.0), t, np.inf)


def seen_depths(camera: Camera) -> np.ndarray:
    """What the sun sees: the map in closed form."""
    side = shadow_maps.SHADOW_MAP_SIDE
    rays = pixel_rays(camera, (side, side), (0, 0, side, side))
    t = -rays.origins[:, 2] / rays.directions[:, 2]
    on_floor = (np.abs(rays.origins + t[:, None] * rays.directions)[:, :2] <= HALF_FLOOR).all(axis=1)
    nearest = np.minimum(np.where(on_floor, t, np.inf), distance_to_ball(rays.origins, rays.directions))
    return rays.depth(nearest).reshape(side, side)


def sunlight(direction: tuple[float, float, float]) -> tuple[Camera, np.ndarray]:
    toward = np.asarray(direction) / np.linalg.norm(direction)
    return sun_camera(tuple(toward), boxes()), toward


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_map_holds_all_that_casts_shadows(direction: tuple[float, float, float]) -> None:
    camera, _ = sunlight(direction)
    rng = np.random.default_rng(0)
    outward = rng.normal(size=(500, 3))
    ball = CENTER + RADIUS * outward / np.linalg.norm(outward, axis=1)[:, None]
    floor = np.column_stack([rng.uniform(-HALF_FLOOR, HALF_FLOOR, (500, 2)), np.zeros(500)])
    side = shadow_maps.SHADOW_MAP_SIDE
    pixels, depths = project(camera, np.concatenate([ball, floor]), (side, side))
    assert (pixels > 1.0).all()
    assert (pixels < side - 1.0).all()
    assert (depths > camera.clip_start).all()
    assert (depths < camera.clip_end).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_floor_in_the_shadow_of_a_ball(direction: tuple[float, float, float]) -> None:
    camera, toward = sunlight(direction)
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-HALF_FLOOR, HALF_FLOOR, (4000, 2)), np.zeros(4000)])
    up = np.broadcast_to([0.0, 0.0, 1.0], points.shape)
    found = sun_visibility(camera, seen_depths(camera), points, up)
    to_center = CENTER - points
    to_axis = np.linalg.norm(to_center - (to_center @ toward)[:, None] * toward, axis=1)
    sharp = np.abs(to_axis - RADIUS) > 5.0 * texel_size(camera)
    np.testing.assert_allclose(found[sharp], (to_axis > RADIUS)[sharp], atol=1e-9)
    assert (found < 0.5).any()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_ball_does_not_shade_its_lit_side(direction: tuple[float, float, float]) -> None:
    camera, toward = sunlight(direction)
    outward = np.random.default_rng(2).normal(size=(4000, 3))
    outward /= np.linalg.norm(outward, axis=1)[:, None]
    lit = outward @ toward > 0.2
    found = sun_visibility(camera, seen_depths(camera), CENTER + RADIUS * outward[lit], outward[lit])
    assert found.min() > 1.0 - 1e-9


def test_what_the_map_does_not_hold_is_lit() -> None:
    camera, _ = sunlight((0.6, 0.0, 0.8))
    points = np.array([[30.0, 0.0, 0.0], [0.0, -30.0, 0.0], [0.0, 0.0, 50.0]])
    found = sun_visibility(camera, seen_depths(camera), points, np.broadcast_to([0.0, 0.0, 1.0], (3, 3)))
    np.testing.assert_allclose(found, 1.0)


def test_a_ground_of_kilometres_leaves_texels_for_what_stands_on_it() -> None:
    floor, ball = boxes()
    toward = np.array([0.6, 0.0, 0.8])
    ground = np.diag([1e4, 1e4, 0.0, 1.0])
    alone, with_ground = sun_camera(tuple(toward), [ball]), sun_camera(tuple(toward), [ground, ball])
    assert texel_size(with_ground) == pytest.approx(texel_size(alone))
    # A floor of the objects' own size is held by the map.
    assert texel_size(sun_camera(tuple(toward), [floor, ball])) > 1.5 * texel_size(alone)
    # The ground beside the shadow is lit, near and far, and dark in its middle.
    side = shadow_maps.SHADOW_MAP_SIDE
    rays = pixel_rays(with_ground, (side, side), (0, 0, side, side))
    depths = rays.depth(distance_to_ball(rays.origins, rays.directions)).reshape(side, side)
    middle = CENTER - CENTER[2] / toward[2] * toward
    points = np.array([middle, middle + [1.5, 0.0, 0.0], [5e3, 5e3, 0.0]])
    upwards = np.tile([0.0, 0.0, 1.0], (3, 1))
    np.testing.assert_array_equal(sun_visibility(with_ground, depths, points, upwards), [0.0, 1.0, 1.0])
