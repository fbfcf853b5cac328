# SPDX-License-Identifier: GPL-3.0-or-later
"""SIREN's training of a signed distance function (arXiv 2006.09661, equation 6), with its published figures.

A whole network at once: |f| and normals on the surface, the eikonal equation everywhere, and exp(-100 |f|) off the
surface, where no distance is known to it. Each term is the mean over all points of the batch, on the surface and off,
those that it does not concern counting as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from kernels.sampling import Samples
from kernels.sequence import NestedSequence

from .references import Field, Pool, SineNetwork, State, Stopwatch, value_and_gradient


@dataclass(frozen=True)
class SirenConfig:
    """The training, as it is published."""

    widths: tuple[int, ...] = (256, 256, 256, 256)
    """Width of each hidden layer: 256x3."""
    omega: float = 30.0
    """Frequency of all hidden layers."""
    points: int = 1400
    """Points on the surface in each batch, and as many uniform in the cube [-1, 1]^3."""
    rate: float = 1e-4
    """Learning rate of Adam."""
    clip: float = 1.0
    """Largest norm of all derivatives together; longer ones are scaled down to it."""
    surface_distance: float = 3e3
    """Weight of |f| on the surface."""
    off_surface: float = 1e2
    """Weight of exp(-sharpness |f|) off the surface."""
    sharpness: float = 1e2
    """The sharpness, per network unit."""
    normal: float = 1e2
    """Weight of 1 - cos(grad f, n) on the surface."""
    eikonal: float = 5e1
    """Weight of | |grad f| - 1 | everywhere."""
    seed: int = 0
    """Of the initial weights and of the batches."""


def siren_loss(
    field: Field, surface: torch.Tensor, normals: torch.Tensor, others: torch.Tensor, config: SirenConfig
) -> torch.Tensor:
    """The loss of a batch: (S, 3) points of the surface with (S, 3) unit normals, and (M, 3) other points."""
    values, gradients = value_and_gradient(field, torch.cat([surface, others]))
    on, total = len(surface), len(values)
    cosines = torch.nn.functional.cosine_similarity(gradients[:on], normals, dim=1)
    return (
        config.surface_distance * values[:on].abs().sum()
        + config.off_surface * torch.exp(-config.sharpness * values[on:].abs()).sum()
        + config.normal * (1.0 - cosines).sum()
        + config.eikonal * (gradients.norm(dim=1) - 1.0).abs().sum()
    ) / total


def siren_steps(samples: Samples, config: SirenConfig) -> Iterator[State]:
    """Train without end, a step at a time; only the surface points and normals of the samples are used."""
    network = SineNetwork(config.widths, config.omega, config.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.rate)
    surface = Pool(samples.surface_points, samples.surface_normals, seed=config.seed)
    generator = torch.Generator().manual_seed(config.seed + 1)
    watch, step = Stopwatch(), 0
    while True:
        with watch:
            points, normals = surface.draw(config.points)
            others = 2.0 * torch.rand((config.points, 3), generator=generator) - 1.0
            loss = siren_loss(network, points, normals, others, config)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            optimizer.step()
            step += 1
            reached = float(loss.detach())
        yield State(step, watch.seconds, reached, lambda: NestedSequence((network.folded(),), ()))
