# SPDX-License-Identifier: GPL-3.0-or-later
"""Cone marching against intersections in closed form: what it skips must be empty."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import cones
from kernels.arrays import normalize_rows
from kernels.cones import safe_starts
from kernels.tracing import cube_interval

RADIUS = 0.6  # of the sphere that the sequence is fitted to, to about 1e-3


def fan(eye: np.ndarray, shape: tuple[int, int], spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Rays of a picture from `eye` towards the origin: (N, 3) origins and unit directions."""
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, (0.1, 0.3, 1.0))
    right /= np.linalg.norm(right)
    v, u = np.meshgrid(*(np.linspace(-spread, spread, count) for count in shape), indexing="ij")
    directions = forward + u.reshape(-1, 1) * right + v.reshape(-1, 1) * np.cross(right, forward)
    return np.tile(eye, (len(directions), 1)), normalize_rows(directions)


def entry(origins: np.ndarray, units: np.ndarray, radius: float) -> np.ndarray:
    """Length to the sphere of `radius` around the origin; infinite for a miss or when it lies behind."""
    along = (origins * units).sum(1)
    root = along**2 - (origins**2).sum(1) + radius**2
    with np.errstate(invalid="ignore"):
        length = -along - np.sqrt(root)
    return np.where((root < 0.0) | (length < 0.0), np.inf, length)


def starts(
    origins: np.ndarray, units: np.ndarray, shape: tuple[int, int], target: float = 0.0
) -> tuple[cones.SafeStarts, np.ndarray, np.ndarray]:
    """What is safe, and the lengths of entry and exit of the bounds."""
    first, last = cube_interval(origins, units)
    first = first.clip(0.0)
    return safe_starts(shapes.sphere_sequence(), 0, target, origins, units, first, last, shape, 5e-4), first, last


@settings(max_examples=30, deadline=None)
@given(
    angles=st.tuples(st.floats(0.0, 6.3), st.floats(-1.4, 1.4)),
    distance=st.floats(0.75, 50.0),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    target=st.sampled_from([0.0, 0.02, 0.05]),
)
def test_nothing_is_passed(angles: tuple[float, float], distance: float, shape: tuple[int, int], target: float) -> None:
    turn, height = angles
    eye = distance * np.array([np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)])
    origins, units = fan(eye, shape, min(1.0, 1.3 / distance))
    safe, first, last = starts(origins, units, shape, target)
    met = first < last
    # The fitted sphere is off by about 1e-3; a ray that grazes it meets it a little earlier or later.
    surface = entry(origins, units, RADIUS + target - 3e-3)
    assert (safe.length <= np.where(met, surface, np.inf)).all()
    assert (safe.before <= safe.length).all()
    # Far from its surface the fitted network is only roughly right; bands are narrower than this.
    reached = np.isfinite(safe.length) & (safe.distance < 0.2)
    points = origins[reached] + safe.length[reached, None] * units[reached]
    inside = np.abs(points).max(1, initial=0.0) <= 1.0
    exact = np.abs(np.linalg.norm(points, axis=1) - RADIUS)
    assert (exact[inside] <= safe.distance[reached][inside] + 3e-3).all()


def test_most_of_the_way_is_taken() -> None:
    shape = (96, 96)
    origins, units = fan(np.array([0.4, -3.0, 1.2]), shape, 0.35)
    safe, _, _ = starts(origins, units, shape)
    surface = entry(origins, units, RADIUS)
    hit = np.isfinite(surface)
    both = hit & np.isfinite(safe.length)
    assert np.median(surface[both] - safe.length[both]) < 0.05
    assert np.isinf(safe.length[~hit]).mean() > 0.8


def test_parallel_rays() -> None:
    shape = (64, 64)
    v, u = np.meshgrid(*2 * [np.linspace(-1.2, 1.2, 64)], indexing="ij")
    origins = np.stack([u.ravel(), v.ravel(), np.full(u.size, 5.0)], axis=1)
    units = np.tile([0.0, 0.0, -1.0], (len(origins), 1))
    safe, _, _ = starts(origins, units, shape)
    surface = entry(origins, units, RADIUS - 3e-3)
    assert (safe.length <= surface).all()
    assert np.isinf(safe.length[np.isinf(entry(origins, units, RADIUS + 0.2))]).all()


def test_rays_that_start_inside_stay_where_they_are() -> None:
    shape = (16, 16)
    origins, units = fan(np.array([0.1, -0.2, 0.05]), shape, 2.0)
    safe, _, _ = starts(origins, units, shape)
    np.testing.assert_array_equal(safe.length, 0.0)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_no_rays(shape: tuple[int, int]) -> None:
    safe, _, _ = starts(np.zeros((0, 3)), np.zeros((0, 3)), shape)
    assert safe.length.shape == (0,)
