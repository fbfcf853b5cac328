# SPDX-License-Identifier: GPL-3.0-or-later
"""Gradients by reverse mode against torch's autograd, and against forward mode and finite differences.

All on the same points, as torch tensors on the CPU, with the same number of threads. Autograd gets torch's own fused
linear layers, and all points at once as well as the batches that suit the cache; the faster of the two counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from kernels.cores import thread_count
from kernels.networks import Network, batch_size, evaluate, gradient_forward, gradient_reverse, random_network

POINTS = 20_000
REPEATS = 9
WIDTHS = ((64,) * 2, (128,) * 3, (256,) * 3, (256,) * 4)
OMEGA = 20.0
# The best step in single precision: smaller drowns in rounding, larger in curvature.
DIFFERENCE_STEP = 1e-3

Gradient = Callable[[Network, torch.Tensor], torch.Tensor]


def autograd(network: Network, points: torch.Tensor) -> torch.Tensor:
    """Gradients as torch finds them, all points at once: (N, 3) -> (N, 3)."""
    points = points.clone().requires_grad_()
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = torch.sin(torch.nn.functional.linear(h, weight, bias))
    values = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])
    return torch.autograd.grad(values.sum(), points)[0]


def autograd_in_batches(network: Network, points: torch.Tensor) -> torch.Tensor:
    """Gradients as torch finds them, with the batches that our own evaluation uses."""
    return torch.cat([autograd(network, batch) for batch in points.split(batch_size(network))])


def central_differences(network: Network, points: torch.Tensor) -> torch.Tensor:
    """Gradients by six evaluations."""
    steps = DIFFERENCE_STEP * torch.eye(3, dtype=points.dtype)
    columns = [evaluate(network, points + step) - evaluate(network, points - step) for step in steps]
    return torch.stack(columns, dim=1) / (2.0 * DIFFERENCE_STEP)


METHODS: dict[str, Gradient] = {
    "autograd": autograd,
    "autograd, batched": autograd_in_batches,
    "reverse mode": lambda network, points: gradient_reverse(network, points)[1],
    "forward mode": lambda network, points: gradient_forward(network, points)[1],
    "finite differences": central_differences,
}


def best_times(network: Network, points: torch.Tensor, repeats: int = REPEATS) -> dict[str, float]:
    """Seconds of each method: the shortest of several runs, taken in turns so that all see the same machine."""
    times = dict.fromkeys(METHODS, float("inf"))
    for _ in range(repeats):
        for name, method in METHODS.items():
            started = time.perf_counter()
            method(network, points)
            times[name] = min(times[name], time.perf_counter() - started)
    return times


def rows_of(widths: tuple[int, ...], repeats: int = REPEATS) -> list[report.Row]:
    """Times and differences for one size of network."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand((POINTS, 3), generator=generator) * 2.0 - 1.0
    network = random_network(widths, omega=OMEGA).like(points)
    expected = autograd(network, points)
    scale = float(expected.abs().max())
    differences = {
        name: float((method(network, points) - expected).abs().max()) / scale for name, method in METHODS.items()
    }
    times = best_times(network, points, repeats)
    fastest_autograd = min(times["autograd"], times["autograd, batched"])
    rows = [report.Row(f"{network.name}: {name}, {POINTS} points", 1e3 * times[name], "ms") for name in METHODS]
    rows.append(
        report.at_least(f"{network.name}: reverse mode, faster by", fastest_autograd / times["reverse mode"], "x", 1.0)
    )
    rows.append(
        report.at_most(f"{network.name}: reverse mode, largest difference", differences["reverse mode"], "", 1e-5)
    )
    rows.append(
        report.at_most(f"{network.name}: forward mode, largest difference", differences["forward mode"], "", 1e-5)
    )
    rows.append(
        report.Row(f"{network.name}: finite differences, largest difference", differences["finite differences"])
    )
    return rows


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure all sizes. Differences are in parts of the largest component of the gradient."""
    # One core is left to whatever else runs, so that no thread waits for it.
    torch.set_num_threads(thread_count(0))
    for widths in WIDTHS[:2] if quick else WIDTHS:
        yield from rows_of(widths, 1 if quick else REPEATS)


if __name__ == "__main__":
    print(report.table(list(run())))
