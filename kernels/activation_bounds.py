# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines and parabolas that lie close to an activation over an interval, with proven bounds of their errors.

Range analysis replaces every activation by one of them. Both are right in exact arithmetic; `range_analysis` adds what
floating point may have lost.
"""

from __future__ import annotations

import numpy as np

from .activations import activation_named

# Sine is replaced by a parabola where the argument moves by no more than this from its middle, and by a line
# elsewhere: there, a parabola's error is larger, and its curvature is one more thing to be propagated.
LARGEST_PARABOLA = 1.2


def lines(activation: str, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A line for every interval that the activation is close to: |act(a) - (slope a + offset)| <= error.

    Args:
        activation: a key of `activations.ACTIVATIONS`.
        lower, upper: ends of the intervals, lower <= upper, of any shape.

    Returns:
        slope, offset and error, each of the intervals' shape.
    """
    if activation == "sine":
        return _sine_lines(lower, upper)
    # All other activations rise, and their slope is least at an end of any interval. What is left of them above a line
    # of that slope rises too, so that its extremes are at the ends.
    known = activation_named(activation)
    slope = np.minimum(known.derivative(np, lower), known.derivative(np, upper))
    lowest, highest = known.value(np, lower) - slope * lower, known.value(np, upper) - slope * upper
    return slope, 0.5 * (lowest + highest), 0.5 * (highest - lowest)


def _sine_lines(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    middle, radius = 0.5 * (lower + upper), 0.5 * (upper - lower)
    # The chord's slope; over more than a half turn to each side no slope is better than none.
    slope = np.where(radius < np.pi, np.cos(middle) * np.sinc(radius / np.pi), 0.0)
    at_lower, at_upper = np.sin(lower) - slope * lower, np.sin(upper) - slope * upper
    lowest, highest = np.minimum(at_lower, at_upper), np.maximum(at_lower, at_upper)
    # sin(a) - slope a has its maxima at arccos(slope) + 2 pi k and its minima at -arccos(slope) + 2 pi k.
    turn = np.arccos(slope)
    height = np.sqrt((1.0 - slope) * (1.0 + slope))
    maximum = turn + 2.0 * np.pi * np.ceil((lower - turn) / (2.0 * np.pi))
    minimum = -turn + 2.0 * np.pi * np.ceil((lower + turn) / (2.0 * np.pi))
    highest = np.where(maximum <= upper, np.maximum(highest, height - slope * maximum), highest)
    lowest = np.where(minimum <= upper, np.minimum(lowest, -height - slope * minimum), lowest)
    return slope, 0.5 * (lowest + highest), 0.5 * (highest - lowest)


def sine_parabolas(middle: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A parabola for every interval that sine is close to, in d = a - middle with |d| <= radius.

    sin(middle + d) = sin(middle) cos(d) + cos(middle) sin(d), with the series of both cut off and the first term that
    is left out replaced by its best approximation of lower degree (Chebyshev): d^3 by 3/4 r^2 d, off by r^3 / 4 at
    most, and d^4 by r^2 d^2 - r^4 / 8, off by r^4 / 8. The series alternate, so that all further terms together are
    no larger than the next one (for radii below 2, certainly).

    Args:
        middle, radius: of the intervals, of one shape; radius from 0 to `LARGEST_PARABOLA`.

    Returns:
        constant, slope, curvature and error: |sin(middle + d) - (constant + slope d + curvature d^2)| <= error.
    """
    sine, cosine = np.sin(middle), np.cos(middle)
    square = radius * radius
    fourth = square * square
    constant = sine * (1.0 - fourth / 192.0)
    slope = cosine * (1.0 - square / 8.0)
    curvature = sine * (square / 24.0 - 0.5)
    odd = radius * square * (1.0 / 24.0 + square / 120.0)
    even = fourth * (1.0 / 192.0 + square / 720.0)
    return constant, slope, curvature, np.abs(cosine) * odd + np.abs(sine) * even
