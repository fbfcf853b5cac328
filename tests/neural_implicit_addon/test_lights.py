# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes of lights. Kinds, colours and directions are tested with the scene, brightness against Cycles."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("shape", "area"), [("SQUARE", 4.0), ("DISK", math.pi), ("RECTANGLE", 6.0), ("ELLIPSE", 1.5 * math.pi)]
)
def test_area_lights_become_discs_of_their_area(
    blender: ModuleType, addon_module: Callable[[str], ModuleType], shape: str, area: float
) -> None:
    light = blender.data.lights.new("panel", "AREA")
    light.shape, light.size, light.size_y = shape, 2.0, 3.0
    described = addon_module("neural_implicit_addon.lights").describe(light, np.diag([2.0, 5.0, 7.0, 1.0]))
    assert described.radius == pytest.approx(math.sqrt(10.0 * area / math.pi))


def test_other_lights_keep_their_sizes(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    describe = addon_module("neural_implicit_addon.lights").describe
    for kind in ("POINT", "SPOT"):
        lamp = blender.data.lights.new(kind, kind)
        lamp.shadow_soft_size = 0.25
        assert describe(lamp, np.eye(4)).radius == 0.25
    sun = blender.data.lights.new("sun", "SUN")
    sun.angle = 0.5
    assert describe(sun, np.eye(4)).angle == pytest.approx(0.5)


def test_a_sun_casts_shadows_unless_the_artist_says_no(
    blender: ModuleType, addon_module: Callable[[str], ModuleType]
) -> None:
    describe = addon_module("neural_implicit_addon.lights").describe
    sun = blender.data.lights.new("sun", "SUN")
    assert describe(sun, np.eye(4)).casts_shadow
    sun.use_shadow = False
    assert not describe(sun, np.eye(4)).casts_shadow
