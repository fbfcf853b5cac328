# SPDX-License-Identifier: GPL-3.0-or-later
"""Distances and gradients of the deepest level, against each level asked by itself."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels.deepest_level import deepest_distance, deepest_gradient
from kernels.networks import random_network
from kernels.sequence import Band, NestedSequence

POINTS = np.random.default_rng(3).uniform(-1.0, 1.0, (500, 3)).astype(np.float32)


def three_levels(kind: str) -> NestedSequence:
    """A sphere and two random networks, in bands so wide that many points lie in each."""
    networks = (shapes.sphere_sequence().networks[0], *(random_network((16,), seed=seed) for seed in (0, 1)))
    return NestedSequence(networks, (Band(0.3), Band(0.2)), kind=kind)


@pytest.mark.parametrize("kind", ["independent", "residual"])
def test_as_deep_as_the_bands_allow(kind: str) -> None:
    sequence = three_levels(kind)
    values, levels = deepest_distance(sequence, POINTS)
    again, gradients, same_levels = deepest_gradient(sequence, POINTS)
    np.testing.assert_allclose(again, values, atol=1e-5)
    np.testing.assert_array_equal(same_levels, levels)
    assert set(levels) == {0, 1, 2}
    np.testing.assert_array_equal(levels == 2, sequence.in_band(POINTS))
    for level in range(3):
        of_level = levels == level
        expected, slopes = sequence.distance_and_gradient(level, POINTS[of_level])
        np.testing.assert_allclose(values[of_level], expected, atol=1e-5)
        np.testing.assert_allclose(gradients[of_level], slopes, atol=1e-4)


@pytest.mark.parametrize("kind", ["independent", "residual"])
def test_single_level_and_no_points(kind: str) -> None:
    sequence = NestedSequence(three_levels(kind).networks[:1], (), kind=kind)
    values, levels = deepest_distance(sequence, POINTS)
    np.testing.assert_array_equal(values, sequence.distance(0, POINTS))
    assert not levels.any()
    values, gradients, _ = deepest_gradient(three_levels(kind), POINTS[:0])
    assert values.shape == (0,)
    assert gradients.shape == (0, 3)
