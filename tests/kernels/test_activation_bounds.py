# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines and parabolas instead of activations: held against the activations at many points, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.activation_bounds import LARGEST_PARABOLA, lines, sine_parabolas
from kernels.activations import ACTIVATIONS, activate

SHARES = np.linspace(0.0, 1.0, 4001)
# What evaluating the activation and the line in float64 may lose, for arguments up to a hundred.
ROUNDING = 1e-13


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@given(start=st.floats(-100.0, 100.0), length=st.floats(0.0, 20.0))
@settings(deadline=None)
def test_lines_hold_the_activation(activation: str, start: float, length: float) -> None:
    a = start + length * SHARES
    slope, offset, error = (float(x[0]) for x in lines(activation, a[:1], a[-1:]))
    missed = np.abs(activate(activation, a) - (slope * a + offset))
    assert missed.max() <= error + ROUNDING


@given(start=st.floats(-100.0, 100.0), length=st.floats(0.0, 20.0))
@settings(deadline=None)
def test_errors_of_lines_of_sine_are_reached(start: float, length: float) -> None:
    a = start + length * SHARES
    slope, offset, error = (float(x[0]) for x in lines("sine", a[:1], a[-1:]))
    missed = np.sin(a) - (slope * a + offset)
    # On both sides: no narrower strip of this slope holds the curve. The samples miss the peaks by a little.
    assert missed.max() >= error - 2e-5
    assert missed.min() <= -error + 2e-5


def test_lines_of_sine_in_closed_form() -> None:
    # Half a wave is a strip of height one; a quarter has the chord's slope, and the tangent's distance from it.
    lower = np.array([0.0, 0.0, -10.0])
    upper = np.array([np.pi, 0.5 * np.pi, 10.0])
    slope, offset, error = lines("sine", lower, upper)
    quarter = 2.0 / np.pi
    gap = np.sqrt(1.0 - quarter**2) - quarter * np.arccos(quarter)
    np.testing.assert_allclose(slope, [0.0, quarter, 0.0], atol=1e-15)
    np.testing.assert_allclose(offset, [0.5, 0.5 * gap, 0.0], atol=1e-15)
    np.testing.assert_allclose(error, [0.5, 0.5 * gap, 1.0], atol=1e-15)


def test_lines_of_a_kink() -> None:
    slope, offset, error = lines("relu", np.array([-1.0, 1.0, -3.0]), np.array([2.0, 2.0, -1.0]))
    np.testing.assert_array_equal(slope, [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(offset, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(error, [1.0, 0.0, 0.0])


@given(middle=st.floats(-100.0, 100.0), radius=st.floats(0.0, LARGEST_PARABOLA))
@settings(deadline=None)
def test_parabolas_hold_sine(middle: float, radius: float) -> None:
    d = radius * (2.0 * SHARES - 1.0)
    parabola = sine_parabolas(np.array([middle]), np.array([radius]))
    constant, slope, curvature, error = (float(x[0]) for x in parabola)
    missed = np.abs(np.sin(middle + d) - (constant + slope * d + curvature * d * d))
    assert missed.max() <= error + ROUNDING
    # And is not much larger than need be.
    assert error <= 1.6 * missed.max() + ROUNDING


def test_parabolas_are_closer_than_lines() -> None:
    middle = np.linspace(-np.pi, np.pi, 1000)
    for radius in (0.1, 0.5, LARGEST_PARABOLA):
        around = np.full_like(middle, radius)
        parabolas = sine_parabolas(middle, around)[3]
        straight = lines("sine", middle - around, middle + around)[2]
        assert parabolas.mean() < 0.6 * straight.mean()
