# SPDX-License-Identifier: GPL-3.0-or-later
"""How a loss of a network's values and spatial gradients changes with the weights, written out for sine networks.

With a_i = W_i h_{i-1} + b_i, h_i = sin(a_i), the spatial gradient runs down: q_i = g_i * cos(a_i), g_{i-1} = q_i W_i.
The derivative of a loss by the weights runs through that pass upwards, then through the evaluation downwards:

    t_i = G_{i-1} W_i^T,  G_i = t_i * cos(a_i),         G_{-1} = d loss / d gradient
    A_i = H_i * cos(a_i) - t_i * g_i * sin(a_i),        H_{i-1} = A_i W_i,  H_{last} = d loss / d value * w
    d loss / d W_i = q_i^T G_{i-1} + A_i^T h_{i-1}

These are the six matrix products a layer that automatic differentiation of the gradient needs as well. Written out,
they are taken for a thousand points at a time, whose layers stay in a core's cache, each such piece on its own thread,
and in bfloat16 where a processor multiplies that faster: 1.2 to 1.7 times as fast as torch with a graph of the same
formulas, differentiated twice (`benchmarks/training_step.py`, two cores).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from .networks import Network

# Fewer, and the calls cost more than the numbers; more, and the layers leave the core's cache.
POINTS_PER_PIECE = 1024
# On other devices a piece is bounded by memory only.
POINTS_PER_DEVICE_PIECE = 1 << 16

PointLoss = Callable[[torch.Tensor, torch.Tensor, slice], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""(n,) values, (n, inputs) gradients, the rows they are of -> the loss and its derivatives by both."""


def multiplies_bfloat16_faster(device: torch.device) -> bool:
    """Whether matrix products of bfloat16 are faster here than those of float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


class WeightGradients:
    """Loss and weight gradients of one sine network, step after step.

    Args:
        network: its parameters are read at every call, so that an optimiser may change them in between.
        precision: of the products of hidden matrices: float32, or bfloat16, which rounds to three digits. The first
            layer, whose angles are large, and the last ones, on which every value depends, are in float32 anyway.
        threads: pieces computed side by side on a CPU.
    """

    def __init__(self, network: Network, precision: torch.dtype = torch.float32, threads: int = 1) -> None:
        if network.activation != "sine":
            raise ValueError(f"only sine networks can be trained, not {network.activation}")
        self.network = network
        self.device = network.weights[0].device
        hidden = [weight for weight in network.weights[1:-1] if min(weight.shape) > 1]
        self._rounded = {id(weight): precision for weight in hidden if precision != torch.float32}
        self.points_per_piece = POINTS_PER_PIECE
        if self.device.type != "cpu":
            self.points_per_piece, threads = POINTS_PER_DEVICE_PIECE, 1
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def __call__(self, points: torch.Tensor, loss: PointLoss) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The loss at (N, inputs) points, network space, and its derivative by each weight, then by each bias.

        `loss` is asked piece by piece, possibly from several threads, and its losses are added up: where it is a mean,
        it divides by the number of all points.
        """
        size = self.points_per_piece
        pieces = [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]
        weights = [weight.detach().to(self._rounded.get(id(weight), weight.dtype)) for weight in self.network.weights]
        biases = [bias.detach() for bias in self.network.biases]

        def of_piece(rows: slice) -> tuple[torch.Tensor, list[torch.Tensor]]:
            # The mode belongs to a thread.
            with torch.no_grad():
                return _piece_gradients(weights, biases, points[rows], loss, rows)

        parts = list(map(of_piece, pieces) if self._pool is None else self._pool.map(of_piece, pieces))
        total, gradients = parts[0]
        for other, more in parts[1:]:
            total = total + other
            for mine, theirs in zip(gradients, more, strict=True):
                mine += theirs
        return total, gradients

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _piece_gradients(
    weights: list[torch.Tensor], biases: list[torch.Tensor], points: torch.Tensor, loss: PointLoss, rows: slice
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss and gradients of one piece. Names as in the module's docstring; layers are counted from 0."""
    hidden = len(weights) - 1
    # What enters each layer, and the cosine of each: sines and cosines of float32 angles, kept in the precision of the
    # products that they enter.
    entering, cosines = [points], []
    for layer in range(hidden):
        weight = weights[layer]
        angles = (entering[-1].to(weight.dtype) @ weight.T).float().add_(biases[layer])
        kept = weights[layer + 1].dtype
        cosines.append(angles.cos().to(weight.dtype))
        entering.append(angles.sin_().to(kept))
    values = torch.addmv(biases[-1], entering[-1].float(), weights[-1][0])

    downwards, turned = [None] * hidden, [None] * hidden
    row = weights[-1]
    for layer in reversed(range(hidden)):
        weight = weights[layer]
        downwards[layer] = row = row.to(weight.dtype)
        turned[layer] = cosines[layer] * row
        row = turned[layer] @ weight
    value, by_value, upwards = loss(values, row, rows)

    by_weights = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    by_biases = [torch.zeros_like(bias) for bias in biases]
    bent = []
    for layer in range(hidden):
        weight = weights[layer]
        upwards = upwards.to(weight.dtype)
        by_weights[layer] += turned[layer].T @ upwards
        across = upwards @ weight.T
        upwards = across * cosines[layer]
        bent.append(across.mul_(downwards[layer]).mul_(entering[layer + 1]))
    by_weights[-1] += upwards.sum(0, keepdim=True)
    by_weights[-1] += by_value @ entering[-1].float()
    by_biases[-1] += by_value.sum()
    back = by_value[:, None] * weights[-1]
    for layer in reversed(range(hidden)):
        weight = weights[layer]
        angles = back.to(weight.dtype).mul(cosines[layer]).sub_(bent[layer].to(weight.dtype))
        by_weights[layer] += angles.T @ entering[layer].to(weight.dtype)
        by_biases[layer] += angles.sum(0, dtype=torch.float32)
        if layer:
            back = angles @ weight
    return value, by_weights + by_biases
