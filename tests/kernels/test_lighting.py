# SPDX-License-Identifier: GPL-3.0-or-later
"""Lights as descriptions: which sun casts the shadow, and lights that move with the camera."""

from __future__ import annotations

import numpy as np

from kernels.lighting import PointLight, SunLight, brightest_sun, camera_rig

UPWARDS = (0.0, 0.0, 1.0)


def test_the_brightest_sun_is_the_one_that_looks_brightest() -> None:
    lamp = PointLight((0.0, 0.0, 1.0), (1e6, 1e6, 1e6))
    blue, green = SunLight(UPWARDS, (0.0, 0.0, 3.0)), SunLight(UPWARDS, (0.0, 1.0, 0.0))
    assert brightest_sun((lamp, blue, green)) == 2
    assert brightest_sun((green, blue, green)) == 0


def test_there_is_no_brightest_sun_without_one_that_shines() -> None:
    assert brightest_sun(()) is None
    assert brightest_sun((PointLight((0.0, 0.0, 1.0), (1.0, 1.0, 1.0)),)) is None
    assert brightest_sun((SunLight(UPWARDS, (0.0, 0.0, 0.0)),)) is None


def test_suns_without_shadows_and_the_camera_rig_cast_none() -> None:
    dim, bright = (SunLight(UPWARDS, (level,) * 3, casts_shadow=level < 2.0) for level in (1.0, 2.0))
    assert brightest_sun((bright, dim)) == 1
    assert brightest_sun(camera_rig(np.eye(4))) is None


def test_camera_rig_moves_with_the_camera() -> None:
    turned = np.eye(4)
    turned[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    for light, rotated in zip(camera_rig(np.eye(4)), camera_rig(turned), strict=True):
        np.testing.assert_allclose(turned[:3, :3] @ light.direction, rotated.direction, atol=1e-12)
