# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of training: loss and weight gradients written out, beside an eager double backward of the same loss.

Both compute the same numbers at the same points: a bounded residual on top of a level before it, minibatches of the
product's size. On a GPU, where there is one, with its own clock; else on the CPU with all its cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from kernels.cores import available_cores
from kernels.losses import NORMAL_SOFTENING, Targets, sdf_loss
from kernels.networks import Network, bounded_residual
from kernels.training_config import LevelConfig, LossWeights, TrainingConfig
from kernels.weight_gradients import WeightGradients, multiplies_bfloat16_faster

from . import report

WIDTHS = ((64, 64), (128, 128, 128), (192, 192, 192), (256, 256, 256, 256))
AMPLITUDE, OMEGA = 0.05, 50.0
BATCH = LevelConfig.batch
TURNS, SECONDS = 3, 0.5
EAGER, WRITTEN_OUT, WRITTEN_OUT_BFLOAT16 = "eager double backward", "written out", "written out, bfloat16"
# What is asked of a GPU; a CPU has no such target.
LEAST_FACTOR_ON_GPU = 5.0

Gradients = list[torch.Tensor]


def targets(batch: int, volume_share: float, device: torch.device, seed: int = 0) -> tuple[torch.Tensor, Targets]:
    """Random points and what is to be learned there: (N, 3), N being `batch`."""
    rng = np.random.default_rng(seed)
    off = int(batch * volume_share)
    normals = rng.normal(size=(batch - off, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    arrays = (
        rng.uniform(-1.0, 1.0, (batch, 3)),
        normals,
        rng.uniform(-0.1, 0.1, off),
        rng.normal(0.0, 0.02, batch),
        rng.normal(size=(batch, 3)),
    )
    points, *known = (torch.from_numpy(array.astype(np.float32)).to(device) for array in arrays)
    return points, Targets(*known)


def eager_loss(network: Network, points: torch.Tensor, known: Targets, weights: LossWeights) -> torch.Tensor:
    """The product's loss as torch's own graph: the spatial gradient by autograd, to be differentiated once more."""
    points = points.clone().requires_grad_()
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = torch.sin(torch.nn.functional.linear(h, weight, bias))
    own = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])[:, 0]
    values = own + known.base_values
    gradients = torch.autograd.grad(own.sum(), points, create_graph=True)[0] + known.base_gradients
    on = len(known.normals)
    lengths = gradients.norm(dim=1)
    cosines = (gradients[:on] * known.normals).sum(1) / lengths[:on]
    angles = (2.0 * (1.0 - cosines) + NORMAL_SOFTENING).sqrt() - NORMAL_SOFTENING**0.5
    relative = (values[on:] - known.distances) / (known.distances.abs() + weights.volume_softening)
    off_unit = (lengths - 1.0).square()
    return (
        weights.surface_distance * values[:on].square().mean()
        + weights.volume_distance * relative.square().mean()
        + weights.normal * angles.mean()
        + weights.surface_eikonal * off_unit[:on].mean()
        + weights.volume_eikonal * off_unit[on:].mean()
    )


def trainable(widths: tuple[int, ...], device: torch.device) -> Network:
    """A residual whose bounding unit has begun to learn, so that nothing of its gradients is zero."""
    network = bounded_residual(widths, AMPLITUDE, seed=1, omega=OMEGA).like(torch.empty(0, device=device))
    network.weights[-2].uniform_(-0.1, 0.1, generator=torch.Generator(device).manual_seed(2))
    for array in network.weights + network.biases:
        array.requires_grad_()
    return network


def methods(network: Network, points: torch.Tensor, known: Targets, threads: int) -> dict[str, Callable[[], Gradients]]:
    """What is timed: each returns the derivatives by all weights, then by all biases."""
    weights, parameters = LossWeights(), [*network.weights, *network.biases]

    def eager() -> Gradients:
        return list(torch.autograd.grad(eager_loss(network, points, known, weights), parameters))

    def written_out(precision: torch.dtype) -> Callable[[], Gradients]:
        gradients = WeightGradients(network, precision, threads)
        return lambda: gradients(points, lambda v, g, rows: sdf_loss(v, g, rows, known, weights))[1]

    found = {EAGER: eager, WRITTEN_OUT: written_out(torch.float32)}
    if multiplies_bfloat16_faster(points.device):
        found[WRITTEN_OUT_BFLOAT16] = written_out(torch.bfloat16)
    return found


def shortest(work: Callable[[], object], device: torch.device, seconds: float = SECONDS) -> float:
    """Seconds that `work` takes: the least of some turns, in each of which it is done many times."""

    def timed(count: int) -> float:
        _finish(device)
        started = time.perf_counter()
        for _ in range(count):
            work()
        _finish(device)
        return (time.perf_counter() - started) / count

    timed(1)
    count = max(1, int(seconds / max(timed(1), 1e-6)))
    return min(timed(count) for _ in range(TURNS))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rows_of(widths: tuple[int, ...], device: torch.device, threads: int, seconds: float) -> Iterator[report.Row]:
    """Times for one size of network, and how far apart the results are."""
    points, known = targets(BATCH, TrainingConfig.volume_share, device)
    computed = methods(trainable(widths, device), points, known, threads)
    times = {}
    for method, work in computed.items():
        # Automatic differentiation has torch's own threads; what is written out brings one for each piece.
        torch.set_num_threads(threads if method == EAGER else 1)
        times[method] = shortest(work, device, seconds)
    what = f"{bounded_residual(widths, AMPLITUDE).name}, {BATCH} points, {_name_of(device)}"
    for method, taken in times.items():
        yield report.Row(f"{what}: {method}", 1e3 * taken, "ms")
    eager_seconds = times.pop(EAGER)
    least = LEAST_FACTOR_ON_GPU if device.type == "cuda" else None
    yield report.at_least(f"{what}: faster by", eager_seconds / min(times.values()), "x", least)
    wanted = computed[EAGER]()
    for method in times:
        apart = difference(computed[method](), wanted)
        most = 1e-3 if method == WRITTEN_OUT else None
        yield report.at_most(f"{what}: {method}, difference", apart, "of the norm", most)


def difference(found: Gradients, wanted: Gradients) -> float:
    """Norm of the difference of all derivatives, by the norm of the wanted ones."""
    apart = sum(float((a.float() - b).detach().square().sum()) for a, b in zip(found, wanted, strict=True))
    return (apart / sum(float(b.detach().square().sum()) for b in wanted)) ** 0.5


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {available_cores()}"


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure all sizes, on the CPU and on a GPU where torch has one."""
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    for device in devices:
        for widths in WIDTHS[:1] if quick else WIDTHS:
            yield from rows_of(widths, device, available_cores(), 0.0 if quick else SECONDS)
    if len(devices) == 1:
        yield report.not_measured("a step on a GPU", "torch has none here")
