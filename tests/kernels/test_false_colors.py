# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers shown as colours."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.false_colors import COLORS, NO_NUMBER_COLOR, false_colors, palette
from kernels.scenes import Display

FALSE = [Display.LEVEL, Display.ITERATIONS, Display.BAND]


@pytest.mark.parametrize("display", FALSE)
def test_ends_and_what_lies_beyond_them(display: Display) -> None:
    rows = palette(display)
    last = float(rows[COLORS, 3])
    found = false_colors(display, np.array([0.0, last, 3.0 * last, -1.0]))
    expected = [rows[0, :3], rows[COLORS - 1, :3], rows[COLORS - 1, :3], NO_NUMBER_COLOR]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_colors_between_are_blended() -> None:
    below, between, above = false_colors(Display.ITERATIONS, np.array([9.0, 13.5, 18.0]))
    np.testing.assert_allclose(between, 0.5 * (below + above), atol=1e-6)


def test_levels_are_told_apart() -> None:
    colors = false_colors(Display.LEVEL, np.arange(COLORS))
    differences = np.abs(colors[:, None] - colors[None]).sum(axis=2) + np.eye(COLORS)
    assert differences.min() > 0.3


def test_brighter_is_more_iterations() -> None:
    brightness = false_colors(Display.ITERATIONS, np.linspace(0.0, 63.0, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(brightness) > 0.0).all()
