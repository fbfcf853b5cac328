# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reference trainings share: sine networks as they are published, and gradients by automatic differentiation.

Eager torch in single precision, written as plainly as the equations; nothing of the product's training is used. The
references read the same samples of the mesh as the product does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from kernels.networks import Network
from kernels.sequence import NestedSequence

Field = Callable[[torch.Tensor], torch.Tensor]
"""(N, 3) points -> (N,) values."""


@dataclass(frozen=True)
class State:
    """A reference training after a step.

    Attributes:
        step: how many were taken, in all levels together.
        seconds: spent on them; whatever is done between steps does not count.
        loss: of the last minibatch.
        sequence: gives what has been learned so far, in network space.
    """

    step: int
    seconds: float
    loss: float
    sequence: Callable[[], NestedSequence]


class Stopwatch:
    """Adds up the time inside of its `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self.seconds += time.perf_counter() - self._started


class SineNetwork(torch.nn.Module):
    """h -> sin(omega (W h + b)) for each hidden layer, then W h + b, with SIREN's initialisation (arXiv 2006.09661).

    Weights are uniform within 1 / 3 in the first layer and within sqrt(6 / fan_in) / omega in all others. Biases are
    what torch gives to linear layers, uniform within 1 / sqrt(fan_in).

    Args:
        widths: of the hidden layers.
        omega: of all hidden layers.
        seed: of the initial weights.
    """

    def __init__(self, widths: tuple[int, ...], omega: float, seed: int) -> None:
        super().__init__()
        self.omega = omega
        generator = torch.Generator().manual_seed(seed)
        sizes = (3, *widths, 1)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                fan_in = layer.in_features
                bound = 1.0 / fan_in if number == 0 else (6.0 / fan_in) ** 0.5 / omega
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Values at (N, 3) points: (N,)."""
        h = points
        for layer in self.layers[:-1]:
            h = torch.sin(self.omega * layer(h))
        return self.layers[-1](h)[:, 0]

    def folded(self) -> Network:
        """The same function as a network whose weights have omega in them, as numpy arrays."""
        scales = [*[self.omega] * (len(self.layers) - 1), 1.0]
        pairs = list(zip(self.layers, scales, strict=True))
        return Network(
            tuple((scale * layer.weight).detach().cpu().numpy().copy() for layer, scale in pairs),
            tuple((scale * layer.bias).detach().cpu().numpy().copy() for layer, scale in pairs),
        )


def value_and_gradient(field: Field, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(N,) values and (N, 3) gradients at (N, 3) points, which can be differentiated by the weights once more."""
    points = points.detach().clone().requires_grad_()
    values = field(points)
    return values, torch.autograd.grad(values.sum(), points, create_graph=True)[0]


class Pool:
    """Points with what is known of them, from which minibatches are drawn.

    Args:
        arrays: of equal length, one row a point.
        seed: of the draws.
    """

    def __init__(self, *arrays: np.ndarray, seed: int) -> None:
        self._tensors = [torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in arrays]
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> list[torch.Tensor]:
        """Random rows, some perhaps twice."""
        rows = torch.randint(len(self._tensors[0]), (count,), generator=self._generator)
        return [tensor[rows] for tensor in self._tensors]
