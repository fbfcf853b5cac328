# SPDX-License-Identifier: GPL-3.0-or-later
"""Violations of nesting, counted on planes, where they are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.networks import Network
from kernels.sequence import Band, NestedSequence

pytest.importorskip("igl")
pytest.importorskip("scipy")

from benchmarks import nesting


def plane(slope: tuple[float, float, float], offset: float) -> Network:
    """f(p) = slope . p + offset, without a hidden layer."""
    return Network((np.array([slope], np.float32),), (np.array([offset], np.float32),))


def planes(delta: float) -> NestedSequence:
    """Levels z and z + x / 10: on the finer zero set |f_0| = |x| / 10, up to 0.1."""
    return NestedSequence((plane((0.0, 0.0, 1.0), 0.0), plane((0.1, 0.0, 1.0), 0.0)), (Band(delta),))


# On the finer zero set, as the source mesh is.
XY = np.random.default_rng(0).uniform(-1.0, 1.0, (4000, 2))
ANCHORS = np.column_stack([XY, -0.1 * XY[:, 0]])


def test_points_lie_on_the_zero_set() -> None:
    rng = np.random.default_rng(1)
    sequence = planes(0.1)
    points = nesting.on_surface(sequence, ANCHORS + rng.normal(0.0, 0.01, ANCHORS.shape), rng)
    assert len(points) > 500
    assert np.abs(points @ (0.1, 0.0, 1.0)).max() < 1e-5


def test_band_that_is_wide_enough_has_no_violation() -> None:
    assert nesting.violations(planes(0.101), ANCHORS, 5000) == [(5000, 0)]


@given(delta=st.floats(0.01, 0.09))
def test_share_outside_a_band_that_is_too_narrow(delta: float) -> None:
    # Outside where |x| > 10 delta, of x between -1 and 1.
    ((tested, outside),) = nesting.violations(planes(delta), ANCHORS, 3000)
    assert tested == 3000
    assert outside / tested == pytest.approx(1.0 - 10.0 * delta, abs=0.08)


def test_bands_between_levels_are_tested_in_the_whole_finer_band() -> None:
    flat = plane((0.0, 0.0, 1.0), 0.0)
    # |f_1| <= 0.2 is all that counts: a band of 0.1 leaves out half of it.
    sequence = NestedSequence((flat, flat, flat), (Band(0.1), Band(0.2)))
    (first_tested, first_outside), second = nesting.violations(sequence, ANCHORS * (1.0, 1.0, 0.0), 4000)
    assert second == (4000, 0)
    assert first_outside / first_tested == pytest.approx(0.5, abs=0.05)


def test_surface_that_is_not_there_is_not_found() -> None:
    sequence = NestedSequence((plane((0.0, 0.0, 0.0), 1.0), plane((0.0, 0.0, 0.0), 1.0)), (Band(0.1),))
    assert nesting.violations(sequence, ANCHORS[:10], 100) == [(0, 0)]
