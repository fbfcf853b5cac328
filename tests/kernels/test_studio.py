# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's lighting against closed forms. That it looks like Workbench is tested beside the GPU's shading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import studio
from kernels.lighting import StudioLight, StudioLighting

UP = np.array([[0.0, 0.0, 1.0]])


def lit(direction: tuple[float, float, float], smooth: float, specular: bool, roughness: float = 0.4) -> float:
    """Of a white surface that looks up, seen from above."""
    light = StudioLight(direction, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), smooth)
    lighting = StudioLighting((light,), specular=specular)
    surface = np.ones((1, 3)), np.array([roughness]), np.zeros(1)
    return float(studio.studio_color(lighting, UP, UP, *surface)[0, 0])


@given(st.floats(0.1, 100.0))
def test_rough_reciprocal_is_off_by_a_few_percent(value: float) -> None:
    assert -0.07 < float(studio.rough_reciprocal(np.array(value))) * value - 1.0 < 0.03


def test_hard_light_follows_the_cosine_and_soft_light_reaches_around() -> None:
    slanted = (0.8, 0.0, 0.6)
    below = (np.sqrt(1.0 - 0.09), 0.0, -0.3)
    assert lit(slanted, 0.0, False) == pytest.approx(0.6 * lit((0.0, 0.0, 1.0), 0.0, False))
    assert lit(below, 0.0, False) == 0.0
    assert lit(below, 0.5, False) > 0.02


def test_highlights_are_brighter_on_glossy_surfaces() -> None:
    straight = (0.0, 0.0, 1.0)
    assert lit(straight, 0.0, True, 0.1) > lit(straight, 0.0, True, 0.6) > lit(straight, 0.0, True, 1.0)


def test_ambient_light_alone_is_the_same_on_all_sides() -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    lighting = StudioLighting((), (0.3, 0.2, 0.1), specular=False)
    surface = np.array([[0.5, 1.0, 1.0]]), np.array([0.5]), np.zeros(1)
    color = studio.studio_color(lighting, normals, normals, *surface)
    np.testing.assert_allclose(color, np.broadcast_to([0.15, 0.2, 0.1], (50, 3)))


@given(seed=st.integers(0, 2**31))
def test_a_sphere_fills_the_capture_wherever_it_is_seen(seed: int) -> None:
    """The normal that looks at the viewer is in the middle, those on the outline are on the capture's rim."""
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(20, 3))
    views[:, 2] = np.abs(views[:, 2]) + 0.05
    views /= np.linalg.norm(views, axis=1)[:, None]
    np.testing.assert_allclose(studio.matcap_coordinates(views, views), 0.5, atol=1e-12)
    rim = np.cross(views, rng.normal(size=(20, 3)))
    rim /= np.linalg.norm(rim, axis=1)[:, None]
    radius = np.linalg.norm(studio.matcap_coordinates(rim, views) - 0.5, axis=1)
    np.testing.assert_allclose(radius, studio.MATCAP_RADIUS, atol=1e-9)


def test_up_is_up_in_a_capture() -> None:
    found = studio.matcap_coordinates(np.array([[0.6, 0.0, 0.8], [0.0, 0.6, 0.8]]), np.repeat(UP, 2, axis=0))
    np.testing.assert_allclose(found, [[0.5 + 0.6 * 0.496, 0.5], [0.5, 0.5 + 0.6 * 0.496]])


def test_lookup_interpolates_between_the_centres_of_pixels() -> None:
    pixels = np.arange(12.0).reshape(2, 2, 3)
    found = studio.lookup(pixels, np.array([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [2.0, -1.0]]))
    np.testing.assert_allclose(found[:, 0], [0.0, 3.0, 4.5, 6.0, 3.0])
