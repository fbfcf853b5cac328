# SPDX-License-Identifier: GPL-3.0-or-later
"""Multilayer perceptrons as signed distance functions: values, and gradients by GEMM without autodiff.

Points are rows: a layer is h -> act(h W^T + b) with W of shape (out, in), and the last layer is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .activations import activate, activate_with_derivative, activation_named
from .arrays import Array, array_namespace, asarray_like

# Floats held by one hidden layer of one batch. Two such blocks fit a core's second-level cache, which
# is what makes a batch faster than all points at once; and it bounds memory for any number of points.
FLOATS_PER_BATCH = 1 << 17


@dataclass(frozen=True)
class Network:
    """An MLP R^inputs -> R with omega folded into its weights.

    Attributes:
        weights: one (out, in) matrix a layer, of one array kind.
        biases: one (out,) vector a layer.
        activation: applied after every layer but the last; a key of `activations.ACTIVATIONS`.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str = "sine"

    @property
    def inputs(self) -> int:
        """Dimension of a point: 3, or 4 with time."""
        return self.weights[0].shape[1]

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Width of each hidden layer."""
        return tuple(bias.shape[0] for bias in self.biases[:-1])

    @property
    def name(self) -> str:
        """`WxH` in the paper's notation: width W and H hidden W x W matrices; `64-32` where widths differ."""
        # A bounding unit limits the values and resolves nothing: the notation counts what does.
        widths = self.widths[:-1] if self.bound is not None and len(self.widths) > 1 else self.widths
        if len(set(widths)) == 1:
            return f"{widths[0]}x{len(widths) - 1}"
        return "-".join(map(str, widths))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return sum(w.shape[0] * w.shape[1] + w.shape[0] for w in self.weights)

    @property
    def bound(self) -> float | None:
        """Upper bound of |f| on all of space, in network units; None where the weights do not give one.

        A network whose last hidden layer is a single sine, f = A sin(u) + b, never leaves [b - |A|, b + |A|].
        """
        if self.activation != "sine" or not self.widths or self.widths[-1] != 1:
            return None
        return abs(float(self.weights[-1][0, 0])) + abs(float(self.biases[-1][0]))

    def like(self, array: Array) -> Network:
        """The same network in the kind, precision and device of `array`."""
        return Network(
            tuple(asarray_like(w, array) for w in self.weights),
            tuple(asarray_like(b, array) for b in self.biases),
            self.activation,
        )


def batch_size(network: Network) -> int:
    """Points evaluated at a time so that one layer of them holds `FLOATS_PER_BATCH` floats."""
    return max(64, FLOATS_PER_BATCH // max(network.widths, default=1))


def _in_batches(function: Callable[[Array], tuple[Array, ...]], points: Array, size: int) -> tuple[Array, ...]:
    """`function` applied to `size` rows of `points` at a time, its results joined again."""
    if points.shape[0] <= size:
        return function(points)
    xp = array_namespace(points)
    parts = [function(points[start : start + size]) for start in range(0, points.shape[0], size)]
    return tuple(xp.concatenate(pieces) for pieces in zip(*parts, strict=True))


def _evaluate_batch(network: Network, points: Array) -> Array:
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = activate(network.activation, h @ weight.T + bias)
    return (h @ network.weights[-1].T + network.biases[-1])[:, 0]


def _hidden_layer(
    network: Network, layer: int, h: np.ndarray, out: np.ndarray, derivative: np.ndarray | None = None
) -> np.ndarray:
    """`out` filled with a hidden layer's values at (n, in) inputs, and `derivative` with those of act'. numpy only."""
    a = np.matmul(h, network.weights[layer].T, out=out)
    a += network.biases[layer]
    if network.activation == "sine":
        if derivative is not None:
            np.cos(a, out=derivative)
        return np.sin(a, out=a)
    if derivative is not None:
        derivative[...] = activation_named(network.activation).derivative(np, a)
    a[...] = activate(network.activation, a)
    return a


def _evaluate_in_place(network: Network, points: np.ndarray) -> np.ndarray:
    """`evaluate` for numpy: batch after batch in the same memory, which stays in the core's cache.

    New memory for every operation is new pages for the system to hand out each time.
    """
    size = max(1, min(points.shape[0], batch_size(network)))
    kind = np.result_type(points, network.weights[0])
    # Two layers are alive at a time: one is read, the next one written.
    memory = np.empty((2, size * max(network.widths, default=0)), dtype=kind)
    values = np.empty(points.shape[0], dtype=kind)
    for start in range(0, points.shape[0], size):
        h = points[start : start + size]
        count = h.shape[0]
        for layer, width in enumerate(network.widths):
            h = _hidden_layer(network, layer, h, memory[layer % 2, : count * width].reshape(count, width))
        np.matmul(h, network.weights[-1][0], out=values[start : start + size])
    values += network.biases[-1]
    return values


def evaluate(network: Network, points: Array) -> Array:
    """Signed distances: (N, inputs) points in network space -> (N,) values in network units."""
    if isinstance(points, np.ndarray):
        return _evaluate_in_place(network, points)
    return _in_batches(lambda p: (_evaluate_batch(network, p),), points, batch_size(network))[0]


def _forward_mode_batch(network: Network, points: Array) -> tuple[Array, Array]:
    xp = array_namespace(points)
    count = points.shape[0]
    h = points
    # columns[j] holds d h / d x_j for every point; stacked, one GEMM a layer carries all of them.
    columns = xp.stack([xp.zeros_like(points) for _ in range(network.inputs)])
    for j in range(network.inputs):
        columns[j, :, j] = 1.0
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h, derivative = activate_with_derivative(network.activation, h @ weight.T + bias)
        rows = columns.reshape(network.inputs * count, weight.shape[1])
        columns = (rows @ weight.T).reshape(network.inputs, count, weight.shape[0]) * derivative
    value = (h @ network.weights[-1].T + network.biases[-1])[:, 0]
    return value, (columns @ network.weights[-1][0]).T


def gradient_forward(network: Network, points: Array) -> tuple[Array, Array]:
    """Values and gradients in forward mode, the paper's (arXiv 2201.09147, section "analytic normals").

    G_{i+1} = (W_{i+1} G_i) * cos(a_{i+1}) with one column a coordinate, all in one GEMM a layer and with
    a_i computed once.

    Args:
        points: (N, inputs) in network space.

    Returns:
        (N,) values and (N, inputs) gradients.
    """
    size = max(64, batch_size(network) // network.inputs)
    return _in_batches(lambda p: _forward_mode_batch(network, p), points, size)


def _reverse_mode_batch(network: Network, points: Array) -> tuple[Array, Array]:
    derivatives = []
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h, derivative = activate_with_derivative(network.activation, h @ weight.T + bias)
        derivatives.append(derivative)
    value = (h @ network.weights[-1].T + network.biases[-1])[:, 0]
    row = network.weights[-1]
    for weight, derivative in zip(network.weights[-2::-1], reversed(derivatives), strict=True):
        row = (row * derivative) @ weight
    return value, row


def _reverse_mode_in_place(network: Network, points: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """`gradient_reverse` for numpy, in the same memory for every batch, as `_evaluate_in_place`."""
    size = max(1, min(points.shape[0], batch))
    kind = np.result_type(points, network.weights[0])
    widths, weights = network.widths, network.weights
    memory = np.empty((2, size * max(widths, default=0)), dtype=kind)
    kept = [np.empty((size, width), dtype=kind) for width in widths]
    values = np.empty(points.shape[0], dtype=kind)
    gradients = np.empty(points.shape, dtype=kind)
    for start in range(0, points.shape[0], size):
        rows = slice(start, start + size)
        h = points[rows]
        count = h.shape[0]
        derivatives = [each[:count] for each in kept]
        for layer, width in enumerate(widths):
            out = memory[layer % 2, : count * width].reshape(count, width)
            h = _hidden_layer(network, layer, h, out, derivatives[layer])
        np.matmul(h, weights[-1][0], out=values[rows])
        row = weights[-1]
        for layer in range(len(widths) - 1, -1, -1):
            row = np.multiply(derivatives[layer], row, out=derivatives[layer])
            fan_in = weights[layer].shape[1]
            out = memory[layer % 2, : count * fan_in].reshape(count, fan_in) if layer else gradients[rows]
            row = np.matmul(row, weights[layer], out=out)
        if not widths:
            gradients[rows] = row
    values += network.biases[-1]
    return values, gradients


def gradient_reverse(network: Network, points: Array, batch: int | None = None) -> tuple[Array, Array]:
    """Values and gradients in reverse mode: g <- (g * cos(a_i)) W_i from the last layer down.

    One row a point instead of one column a coordinate, so the gradient costs about one more evaluation.
    Plain array operations, so torch can differentiate the result once more with respect to the weights.

    Args:
        points: (N, inputs) in network space.
        batch: points evaluated at a time; chosen by the width of the network when None.

    Returns:
        (N,) values and (N, inputs) gradients.
    """
    size = batch or batch_size(network)
    if isinstance(points, np.ndarray):
        return _reverse_mode_in_place(network, points, size)
    return _in_batches(lambda p: _reverse_mode_batch(network, p), points, size)


def random_network(
    widths: tuple[int, ...], inputs: int = 3, activation: str = "sine", seed: int = 0, omega: float = 1.0
) -> Network:
    """An untrained network with SIREN's initialisation (arXiv 2006.09661, section 3.2), omega folded in.

    Args:
        widths: width of each hidden layer.
        omega: frequency of the first layer and of the hidden ones; larger resolves finer detail.
    """
    rng = np.random.default_rng(seed)
    sizes = (inputs, *widths, 1)
    weights, biases = [], []
    for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        first, last = i == 0, i == len(sizes) - 2
        bound = 1.0 / fan_in if first else np.sqrt(6.0 / fan_in) / omega
        scale = 1.0 if last else omega
        weights.append((rng.uniform(-bound, bound, (fan_out, fan_in)) * scale).astype(np.float32))
        biases.append((rng.uniform(-1, 1, fan_out) / np.sqrt(fan_in) * scale).astype(np.float32))
    return Network(tuple(weights), tuple(biases), activation)


def bounded_residual(widths: tuple[int, ...], amplitude: float, seed: int = 0, omega: float = 1.0) -> Network:
    """An untrained residual r = A sin(u) with |r| <= A everywhere, and zero everywhere to begin with.

    That u is zero does not keep it from learning: its derivative by the weights of the bounding unit, A times the layer
    before, is not zero.

    Args:
        widths: width of each hidden layer before the bounding unit.
        amplitude: A, in network units.
        seed, omega: as in `random_network`.
    """
    hidden = random_network(widths, seed=seed, omega=omega)
    unit = np.zeros((1, widths[-1]), dtype=np.float32), np.zeros(1, dtype=np.float32)
    scale = np.full((1, 1), amplitude, dtype=np.float32), np.zeros(1, dtype=np.float32)
    return Network((*hidden.weights[:-1], unit[0], scale[0]), (*hidden.biases[:-1], unit[1], scale[1]))
