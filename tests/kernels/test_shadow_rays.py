# SPDX-License-Identifier: GPL-3.0-or-later
"""Shadow rays past a neural ball against the closed form, under transforms."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from pictures import RADIUS, TRANSFORMS, placed

from kernels.sequence import NestedSequence
from kernels.shadow_rays import reach_sun, shadow_levels, shadow_lift
from kernels.tracing import TraceConfig

TO_SUN = np.array([0.6, 0.0, 0.8])


@pytest.mark.parametrize("name", ["identity", "tiny", "stretched", "mirrored", "sheared"])
def test_the_shadow_of_a_ball_under_any_transform(name: str) -> None:
    """The shadow on the plane z = -1 of network space; ball, plane and sun are transformed together."""
    linear = TRANSFORMS[name]
    matrix = placed(linear, (3.0, -2.0, 1.0))
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-2.0, 2.0, (400, 2)), np.full(400, -1.0)])
    across = np.linalg.norm(points - (points @ TO_SUN)[:, None] * TO_SUN, axis=1)
    toward = linear @ TO_SUN
    upwards = np.linalg.inv(linear).T @ [0.0, 0.0, 1.0]
    seen = reach_sun(
        shapes.sphere_sequence(),
        matrix,
        (0, 1),
        points @ linear.T + matrix[:3, 3],
        np.broadcast_to(upwards / np.linalg.norm(upwards), points.shape),
        tuple(toward / np.linalg.norm(toward)),
        TraceConfig(),
    )
    clear = np.abs(across - RADIUS) > 0.03
    assert (across < RADIUS).sum() > 20
    np.testing.assert_array_equal(seen[clear], (across > RADIUS)[clear])


def test_an_object_is_not_spotted_by_its_own_shadow() -> None:
    """Where the finest level's surface lies below the coarse one by as much as the levels differ."""
    points = shapes.surface_points(shapes.bumpy(shapes.sphere(), 0.01), 500)
    sequence = shapes.fitted_sequence(shapes.bumpy(shapes.sphere(), 0.01))
    normals = points / np.linalg.norm(points, axis=1)[:, None]
    lit = normals @ TO_SUN > 0.3
    seen = reach_sun(sequence, np.eye(4), (0, 1), points[lit], normals[lit], tuple(TO_SUN), TraceConfig())
    assert seen.all()
    away = normals @ TO_SUN < -0.3
    assert not reach_sun(sequence, np.eye(4), (0, 1), points[away], normals[away], tuple(TO_SUN), TraceConfig()).any()


def test_coarse_levels_cast_the_shadow() -> None:
    sphere = shapes.sphere_sequence()
    three = NestedSequence((*sphere.networks, sphere.networks[1]), (*sphere.bands, sphere.bands[0]))
    assert shadow_levels(three, (0, 1, 2)) == (0, 1)
    assert shadow_levels(three, (0,)) == (0,)
    one = NestedSequence(sphere.networks[:1], ())
    assert shadow_levels(one, (0,)) == (0,)
    assert shadow_lift(one, (0,), 1e-3) < 0.02
    assert shadow_lift(three, (0, 1), 1e-3) > 0.5 * sphere.bands[0].delta
