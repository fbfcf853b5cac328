# SPDX-License-Identifier: GPL-3.0-or-later
"""Range analysis: what a network can be, proven, anywhere in an axis-aligned box (cf. Sharp and Jacobson, "Spelunking
the Deep", 2022).

Over a box, points are center + half_size * e with a symbol e_i from -1 to 1 for each axis. Every unit of the network is
enclosed by a polynomial of second degree in the symbols and an error: each activation is replaced by a parabola, or by
a line where its argument varies too much (`activation_bounds`), and by a constant where that is all there is to say, as
in interval arithmetic. The curvatures of a sine network's units cancel each other almost entirely; affine arithmetic,
which counts them as errors, needs boxes of half the size for the same bounds. Networks share the symbols, so that the
difference of two similar ones is enclosed far more closely than each of them.

Everything is float32, and what its rounding may have lost is added to the errors, by the bounds of Higham, "Accuracy
and Stability of Numerical Algorithms", section 3.1: about 1e-4 for networks of our sizes, far less than boxes are off
by. The bounds hold for the network in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement

import numpy as np

from .activation_bounds import LARGEST_PARABOLA, lines, sine_parabolas
from .arrays import to_numpy
from .networks import Network

# Bound of the relative error of a result of float32, and of two dozen in a row, sines and cosines among them.
UNIT_ROUNDOFF = 2.0**-24
FEW_ROUNDINGS = 32.0 * UNIT_ROUNDOFF
# Floats that the polynomials of one layer of one batch of boxes hold: what fits a core's second-level cache.
FLOATS_PER_BATCH = 1 << 17


def _overflowing() -> np.errstate:
    """Weights near the end of float32 are no reason to warn: of what overflows nothing is known (`bounds`)."""
    return np.errstate(over="ignore", invalid="ignore")


def _pairs(inputs: int) -> list[tuple[int, int]]:
    """The products e_i e_j of a polynomial of second degree, in the order in which its coefficients are kept."""
    return list(combinations_with_replacement(range(inputs), 2))


@dataclass(frozen=True)
class Enclosures:
    """A function over B boxes: |f(e) - (values + slopes e + sum curvatures_ij e_i e_j)| <= errors for all |e_i| <= 1.

    Attributes:
        values: (B,) the constants.
        slopes: (B, inputs) coefficients of the symbols.
        curvatures: (B, inputs (inputs + 1) / 2) coefficients of their products: 00, 01, 02, 11, 12, 22.
        errors: (B,) not negative.
    """

    values: np.ndarray
    slopes: np.ndarray
    curvatures: np.ndarray
    errors: np.ndarray

    def __add__(self, other: Enclosures) -> Enclosures:
        """The sum of two functions over the same boxes."""
        return self._combined(other, 1.0)

    def __sub__(self, other: Enclosures) -> Enclosures:
        """The difference of two functions over the same boxes; what they have in common cancels."""
        return self._combined(other, -1.0)

    def __getitem__(self, rows: np.ndarray) -> Enclosures:
        """Those of some of the boxes: indices or booleans."""
        return Enclosures(self.values[rows], self.slopes[rows], self.curvatures[rows], self.errors[rows])

    def _combined(self, other: Enclosures, sign: float) -> Enclosures:
        with _overflowing():
            rounding = FEW_ROUNDINGS * (self._magnitudes() + other._magnitudes())
            return Enclosures(
                self.values + sign * other.values,
                self.slopes + sign * other.slopes,
                self.curvatures + sign * other.curvatures,
                self.errors + other.errors + rounding,
            )

    def _magnitudes(self) -> np.ndarray:
        """No smaller than any value of the function or of its polynomial's parts: (B,)."""
        parts = np.abs(self.slopes).sum(1) + np.abs(self.curvatures).sum(1)
        return np.abs(self.values) + parts + self.errors

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the function over each box: (B,), (B,); infinite where nothing is known."""
        with _overflowing():
            lower, upper = self._computed_bounds()
        # Where values have left float32 there is no number, and every comparison with one is False.
        return np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)

    def _computed_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        squares = np.array([first == second for first, second in _pairs(self.slopes.shape[1])])
        own, mixed = self.curvatures[:, squares], self.curvatures[:, ~squares]
        steep, bent = np.abs(self.slopes), np.abs(own)
        # Each axis by itself is a parabola, s e + c e^2: its extremes are at the ends, c + |s| and c - |s|, but for the
        # vertex, where that lies between them: s^2 / (4 |c|) beyond zero, to the side that it opens away from.
        vertex = np.where(2.0 * bent > steep, steep**2 / (4.0 * bent).clip(1e-300), 0.0)
        highest = np.where((own < 0.0) & (vertex > 0.0), vertex, own + steep).clip(0.0)
        lowest = np.where((own > 0.0) & (vertex > 0.0), -vertex, own - steep).clip(None, 0.0)
        other = np.abs(mixed).sum(1) + self.errors + FEW_ROUNDINGS * self._magnitudes()
        return self.values + lowest.sum(1) - other, self.values + highest.sum(1) + other

    def largest(self) -> np.ndarray:
        """Upper bounds of |f| over each box: (B,)."""
        lower, upper = self.bounds()
        return np.maximum(-lower, upper)


class _Layers:
    """A network's units over B boxes, layer after layer, each a polynomial of second degree and an error.

    Attributes:
        polynomials: (1 + inputs + pairs, B, width) constants, slopes and curvatures of the units.
        errors: (B, width) bounds of what the polynomials are off by.
        magnitudes: (B,) no smaller than the absolute values of all parts of a unit together, for every unit.
        steps: for every activation so far the (B, width) slopes by which errors before it are carried on, and the
            (B, width) errors that are new with it.
    """

    def __init__(self, centers: np.ndarray, half_sizes: np.ndarray) -> None:
        self.inputs = centers.shape[1]
        self.polynomials = np.zeros((1 + self.inputs + len(_pairs(self.inputs)), *centers.shape), dtype=np.float32)
        self.polynomials[0] = centers
        for axis in range(self.inputs):
            self.polynomials[1 + axis, :, axis] = half_sizes[:, axis]
        self.errors = np.zeros_like(centers)
        self.magnitudes = (np.abs(centers) + half_sizes).max(1, initial=0.0)
        self.steps: list[tuple[np.ndarray, np.ndarray]] = []

    def connect(self, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """A layer's linear part, its rounding left out of `errors`; returns that: (B, out)."""
        terms, count, fan_in = self.polynomials.shape
        # One product of matrices instead of one for every term.
        self.polynomials = (self.polynomials.reshape(-1, fan_in) @ weight.T).reshape(terms, count, len(weight))
        self.polynomials[0] += bias
        steep = np.abs(weight)
        self.errors = self.errors @ steep.T
        # A sum of n products in any order is off by gamma_n times the sum of their absolute values. The computed
        # errors are such sums, too.
        roundings = (fan_in + 8) * UNIT_ROUNDOFF
        gamma = roundings / (1.0 - roundings)
        return 2.0 * gamma * (self.magnitudes[:, None] * steep.sum(1) + np.abs(bias))

    def activate(self, activation: str, rounding: np.ndarray) -> None:
        """A layer's activations, after its linear part, which was off by `rounding` more."""
        middle, slopes = self.polynomials[0], self.polynomials[1 : 1 + self.inputs]
        straight = np.abs(slopes).sum(0)
        bent = np.abs(self.polynomials[1 + self.inputs :]).sum(0)
        bent += self.errors
        bent += rounding
        radius = (straight + bent) * (1.0 + FEW_ROUNDINGS)
        constant, slope, curvature, error = _replacements(activation, middle, radius)
        # The argument is its middle and d, and d is its slopes times e and a rest, which is not larger than `bent`. Of
        # d^2 the square of the former is of second degree; what else there is of it is error.
        bend = np.abs(curvature)
        steepness = np.abs(slope)
        new = error + bend * (straight + radius) * bent
        new += steepness * rounding
        new += FEW_ROUNDINGS * (1.0 + np.abs(middle) + radius)
        self.polynomials[0] = constant
        for number, (first, second) in reversed(list(enumerate(_pairs(self.inputs), start=1 + self.inputs))):
            product = curvature * slopes[first]
            product *= slopes[second]
            if first != second:
                product *= 2.0
            self.polynomials[number] *= slope
            self.polynomials[number] += product
        slopes *= slope
        self.errors *= steepness
        self.errors += new
        self.magnitudes = (np.abs(constant) + (steepness + bend * radius) * radius + new).max(1)
        self.steps.append((slope, new))

    def carried_through(self, weights: tuple[np.ndarray, ...]) -> np.ndarray:
        """What all errors so far come to at the output, by the network's weights: (B,).

        Layer by layer errors grow by the absolute values of the weights. Carried to the end by the product of all
        matrices, as gradients are, most of them cancel.
        """
        row = weights[-1]
        through = np.zeros(len(self.errors), dtype=np.float32)
        for (slope, new), weight in zip(reversed(self.steps), weights[-2::-1], strict=True):
            through += np.einsum("bi,bi->b", np.abs(np.broadcast_to(row, new.shape)), new)
            row = (row * slope) @ weight
        return through


def _replacements(
    activation: str, middle: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Constant, slope, curvature in the distance from the middle, and error of a parabola or line for activations."""
    if activation == "sine":
        constant, slope, curvature, error = sine_parabolas(middle, np.minimum(radius, LARGEST_PARABOLA))
        wide = radius > LARGEST_PARABOLA
    else:
        constant, slope, curvature, error = (np.zeros_like(middle) for _ in range(4))
        wide = np.ones_like(middle, dtype=bool)
    if wide.any():
        from_middle = middle[wide]
        line, offset, error[wide] = lines(activation, from_middle - radius[wide], from_middle + radius[wide])
        constant[wide], slope[wide], curvature[wide] = line * from_middle + offset, line, 0.0
    return constant, slope, curvature, error


def _enclosures_of_batch(network: Network, centers: np.ndarray, half_sizes: np.ndarray) -> Enclosures:
    layers = _Layers(centers, half_sizes)
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        layers.activate(network.activation, layers.connect(weight, bias))
    through = layers.carried_through(network.weights)
    rounding = layers.connect(network.weights[-1], network.biases[-1])[:, 0]
    # What was lost in the products of matrices is a small part of what the errors are without their cancelling.
    widest = max((network.inputs, *network.widths))
    carried = layers.errors[:, 0] * (1.0 + FEW_ROUNDINGS)
    lost = 4.0 * (len(network.weights) + 1) * (widest + 8) * UNIT_ROUNDOFF * carried
    errors = np.minimum(carried, through * (1.0 + FEW_ROUNDINGS) + lost) + rounding
    values, coefficients = layers.polynomials[0, :, 0], layers.polynomials[1:, :, 0].T
    inputs = network.inputs
    return Enclosures(values, coefficients[:, :inputs], coefficients[:, inputs:], errors)


def _limited(network: Network, enclosures: Enclosures) -> Enclosures:
    """Enclosures of a network of sines, which is nowhere further from the last layer's bias than the sum of |w|."""
    weight, bias = network.weights[-1], network.biases[-1]
    limit = float(np.abs(weight).sum(dtype=np.float64))
    lower, upper = enclosures.bounds()
    useless = upper - lower > 2.0 * limit
    return Enclosures(
        np.where(useless, bias[0], enclosures.values),
        np.where(useless[:, None], 0.0, enclosures.slopes),
        np.where(useless[:, None], 0.0, enclosures.curvatures),
        np.where(useless, limit, enclosures.errors),
    )


def _in_float32(centers: np.ndarray, half_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest boxes that float32 can tell and that hold the given ones."""
    rounded = np.asarray(centers, dtype=np.float32)
    reach = np.abs(np.asarray(centers, np.float64) - rounded) + half_sizes
    half_sizes = reach.astype(np.float32)
    return rounded, np.where(half_sizes < reach, np.nextafter(half_sizes, np.float32(np.inf)), half_sizes)


def enclosures(network: Network, centers: np.ndarray, half_sizes: np.ndarray) -> Enclosures:
    """What a network is over boxes.

    Args:
        network: of any activation; sines are enclosed by far the closest.
        centers, half_sizes: (B, inputs) of the boxes, in network space; half sizes not negative.
    """
    network = Network(
        tuple(to_numpy(weight).astype(np.float32) for weight in network.weights),
        tuple(to_numpy(bias).astype(np.float32) for bias in network.biases),
        network.activation,
    )
    centers, half_sizes = _in_float32(centers, half_sizes)
    terms = 1 + network.inputs + len(_pairs(network.inputs))
    size = max(8, FLOATS_PER_BATCH // (terms * max(network.widths, default=1)))
    starts = range(0, max(1, len(centers)), size)
    with _overflowing():
        parts = [_enclosures_of_batch(network, centers[i : i + size], half_sizes[i : i + size]) for i in starts]
    # What is computed with them afterwards is cheap, and should lose nothing more.
    joined = Enclosures(
        *(
            np.concatenate([getattr(part, field.name) for part in parts], dtype=np.float64)
            for field in fields(Enclosures)
        )
    )
    return _limited(network, joined) if network.activation == "sine" else joined


def sum_enclosures(networks: Sequence[Network], centers: np.ndarray, half_sizes: np.ndarray) -> Enclosures:
    """What the sum of networks, as a residual level is one, is over boxes: as `enclosures`."""
    first, *others = (enclosures(network, centers, half_sizes) for network in networks)
    return sum(others, first)


def enclose(networks: Sequence[Network], centers: np.ndarray, half_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the sum of networks over boxes.

    Args:
        networks: one, or those of a residual level (`NestedSequence.summed`).
        centers, half_sizes: (B, inputs) of the boxes, in network space.

    Returns:
        (B,) lower and (B,) upper bounds, in network units.
    """
    return sum_enclosures(networks, centers, half_sizes).bounds()
