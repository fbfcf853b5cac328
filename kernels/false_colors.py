# SPDX-License-Identifier: GPL-3.0-or-later
"""False colours: a number a pixel shown as a colour, the same on the CPU and the GPU."""

from __future__ import annotations

import numpy as np

from .scenes import Display

# Scene-linear colours at equal distances; numbers between two of them are blended, numbers beyond take the last.
# Levels: hues that are told apart easily (Okabe and Ito's palette).
_LEVEL_COLORS = (
    (0.02, 0.16, 0.45),
    (0.80, 0.33, 0.00),
    (0.00, 0.34, 0.17),
    (0.87, 0.77, 0.05),
    (0.60, 0.19, 0.38),
    (0.09, 0.46, 0.81),
    (0.67, 0.11, 0.00),
    (0.80, 0.80, 0.80),
)
# Iterations: dark to bright, even to the eye (viridis).
_ITERATION_COLORS = (
    (0.058, 0.000, 0.088),
    (0.061, 0.037, 0.207),
    (0.036, 0.100, 0.264),
    (0.019, 0.184, 0.270),
    (0.014, 0.305, 0.241),
    (0.076, 0.459, 0.159),
    (0.350, 0.607, 0.049),
    (0.984, 0.799, 0.018),
)
# Places in the band: green on the surface of the level before, over yellow to red at the band's border.
_BAND_COLORS = (
    (0.00, 0.40, 0.10),
    (0.13, 0.50, 0.07),
    (0.30, 0.58, 0.05),
    (0.55, 0.62, 0.04),
    (0.80, 0.50, 0.03),
    (0.80, 0.28, 0.02),
    (0.75, 0.10, 0.01),
    (0.65, 0.00, 0.00),
)
_COLORS = {
    Display.LEVEL: _LEVEL_COLORS,
    Display.ITERATIONS: _ITERATION_COLORS,
    Display.BAND: _BAND_COLORS,
}
# The number that takes the last colour. Rays that meet a surface head on take a dozen evaluations.
_LAST = {Display.LEVEL: 7.0, Display.ITERATIONS: 63.0, Display.BAND: 1.0}

# Of surfaces that have no such number: negative numbers are shown by it.
NO_NUMBER_COLOR = (0.18, 0.18, 0.18)

COLORS = 8


def palette(display: Display) -> np.ndarray:
    """The colours of a display for shaders: (COLORS + 1, 4) float32.

    Rows 0 to COLORS - 1: xyz the colours. The last row: xyz the colour of negative numbers, w the number that takes
    the last colour.

    Raises:
        KeyError: the display shows no false colours.
    """
    rows = np.zeros((COLORS + 1, 4), dtype=np.float32)
    rows[:COLORS, :3] = _COLORS[display]
    rows[COLORS] = (*NO_NUMBER_COLOR, _LAST[display])
    return rows


def false_colors(display: Display, numbers: np.ndarray) -> np.ndarray:
    """Scene-linear colours of (N,) numbers: (N, 3).

    Args:
        display: not SHADED.
        numbers: the level, the evaluations, or the place in the band from 0 to 1; negative for none.
    """
    rows = palette(display).astype(np.float64)
    place = np.clip(numbers / rows[COLORS, 3], 0.0, 1.0) * (COLORS - 1)
    first = np.minimum(place.astype(np.int64), COLORS - 2)
    share = (place - first)[:, None]
    colors = rows[first, :3] * (1.0 - share) + rows[first + 1, :3] * share
    return np.where((np.asarray(numbers) < 0.0)[:, None], rows[COLORS, :3], colors)
