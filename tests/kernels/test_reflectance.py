# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of reflectances against integration over the hemisphere, light direction by light direction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kernels import reflectance


def integrated(n_v: float, roughness: float) -> tuple[float, float]:
    """A and B by the midpoint rule over directions of the light, which samples no microfacets."""
    alpha2 = roughness**4
    steps = 700
    z = ((np.arange(steps) + 0.5) / steps)[:, None]
    azimuth = ((np.arange(steps) + 0.5) / steps * math.pi)[None, :]
    around = np.sqrt(1.0 - z * z)
    light = np.stack([around * np.cos(azimuth), around * np.sin(azimuth), z + 0.0 * azimuth], axis=-1)
    view = np.array([math.sqrt(1.0 - n_v * n_v), 0.0, n_v])
    half = light + view
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    n_h, v_h = half[..., 2], half @ view
    distribution = alpha2 / (math.pi * (n_h**2 * (alpha2 - 1.0) + 1.0) ** 2)

    def smith(cosine: np.ndarray | float) -> np.ndarray:
        return np.sqrt(1.0 + alpha2 * (1.0 / cosine**2 - 1.0)) - 1.0

    # D G / (4 n.l n.v) times n.l, over solid angle dz dazimuth; half a turn of azimuth counts twice.
    share = distribution / (1.0 + 0.5 * smith(z) + 0.5 * smith(n_v)) / (4.0 * n_v) * 2.0 * math.pi / steps**2
    fresnel = (1.0 - v_h) ** 5
    return float((share * (1.0 - fresnel)).sum()), float((share * fresnel).sum())


@pytest.mark.parametrize("roughness", [0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("n_v", [0.15, 0.5, 0.95])
def test_table(n_v: float, roughness: float) -> None:
    found = reflectance.lookup(np.array([n_v]), np.array([roughness]))[0]
    np.testing.assert_allclose(found[:2], integrated(n_v, roughness), atol=6e-3)


def test_mean_reflectance_is_that_of_the_rows() -> None:
    cosines = np.linspace(0.0, 1.0, 1001)
    for roughness in (0.3, 0.7, 1.0):
        found = reflectance.lookup(cosines, np.full(1001, roughness))
        mean = np.average(found[:, 0] + found[:, 1], weights=cosines)
        assert found[0, 2] == pytest.approx(mean, abs=3e-3)


def test_all_bounces_together_reflect_all_of_a_perfect_mirrors_light() -> None:
    rng = np.random.default_rng(0)
    looked_up = reflectance.lookup(rng.random(100), rng.random(100))
    once = looked_up[:, :1] + looked_up[:, 1:2]
    np.testing.assert_allclose(once * reflectance.multiple_scattering(np.ones((100, 3)), looked_up), 1.0, rtol=1e-6)
    # And never more than all of it, for any other colour.
    f0 = rng.random((100, 3))
    boost = reflectance.multiple_scattering(f0, looked_up)
    assert (boost >= 1.0 - 1e-6).all()
    assert ((f0 * looked_up[:, :1] + looked_up[:, 1:2]) * boost <= 1.0 + 1e-6).all()
