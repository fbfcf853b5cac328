# SPDX-License-Identifier: GPL-3.0-or-later
"""Multilayer perceptrons as signed distance functions: values, and gradients by GEMM without autodiff.

Points are rows: a layer is h -> act(h W^T + b) with W of shape (out, in), and the last layer is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .activations import activate, activate_with_derivative
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

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each hidden layer."""
        return tuple(bias.shape[0] for bias in self.biases[:-1])

    @property
    def name(self) -> str:
        """`WxH` in the paper's notation: width W and H hidden W x W matrices; `64-32` where widths differ."""
        widths = self.widths
        if len(set(widths)) == 1:
            return f"{widths[0]}x{len(widths) - 1}"
        return "-".join(map(str, widths))

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return sum(w.shape[0] * w.shape[1] + w.shape[0] for w in self.weights)

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


def evaluate(network: Network, points: Array) -> Array:
    """Signed distances: (N, inputs) points in network space -> (N,) values in network units."""
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
    return _in_batches(lambda p: _reverse_mode_batch(network, p), points, batch or batch_size(network))


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
