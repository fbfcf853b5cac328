# SPDX-License-Identifier: GPL-3.0-or-later
"""M-plicits' training of nested residuals (arXiv 2609.28684), as its paper and released configurations describe it.

A coarse network learns the distances of the whole cube. Each further one is a residual, trained in the band of the sum
before it, whose weights are frozen: f_k = f_1 + r_1 + ... + r_k. The band's half width is 1.3 times the largest |f| at
points of the surface. Band samples lie outside, a random part of the way along the normal to where the distance stops
growing with it (the local feature size); for as many points, scattered on both sides, only the eikonal equation counts.

The published batches, 900,000 and 400,000 points, allow a CPU no hundred steps in minutes. `batch` is what is taken
instead, 20,000, which the same authors use elsewhere; the levels share the time as their published trainings do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import igl
import numpy as np
import torch

from kernels.meshes import TriangleMesh
from kernels.sampling import Samples
from kernels.sequence import Band, NestedSequence

from .references import Field, Pool, SineNetwork, State, Stopwatch, value_and_gradient


@dataclass(frozen=True)
class MplicitsLevel:
    """One network."""

    widths: tuple[int, ...]
    """Width of each hidden layer."""
    omega: float
    """Frequency of all hidden layers."""
    steps: int
    """Steps as published, on whole batches."""
    share: float
    """Share of the seconds, as the published trainings took them: 2.5, 1.0 and 1.9 minutes."""


@dataclass(frozen=True)
class MplicitsConfig:
    """The training, as it is published but for the batch."""

    levels: tuple[MplicitsLevel, ...] = (
        MplicitsLevel((128, 128), 30.0, 3500, 0.46),
        MplicitsLevel((256, 256), 45.0, 1500, 0.19),
        MplicitsLevel((400, 400), 100.0, 1500, 0.35),
    )
    """The networks, coarsest first."""
    batch: int = 20_000
    """Points of a step, half of them on the surface or in the band."""
    seconds: float = 300.0
    """Seconds at most, shared by the levels."""
    rate: float = 1e-4
    """Learning rate of Adam."""
    surface_distance: float = 3e3
    """Weight of f^2 on the surface, and of the squared error in a band."""
    volume_distance: float = 2e2
    """Weight of (f - d)^2 off the surface, coarse network only."""
    normal: float = 1e2
    """Weight of 1 - cos(grad f, n)."""
    eikonal: float = 5e1
    """Weight of (|grad f| - 1)^2 at all points."""
    band_factor: float = 1.3
    """Half width of a band, by the largest |f| at points of the surface."""
    warm_up: float = 0.1
    """Share of a level's training after which the state of lowest loss is kept."""
    feature_tolerance: float = 2e-4
    """How far a distance may be from the way along the normal, network units."""
    band_points: int = 50_000
    """Points of the surface from which band samples are drawn."""
    seed: int = 668_123
    """Of the initial weights and of the batches, as published."""


def coarse_loss(
    field: Field,
    surface: torch.Tensor,
    normals: torch.Tensor,
    volume: torch.Tensor,
    distances: torch.Tensor,
    config: MplicitsConfig,
) -> torch.Tensor:
    """Loss of a whole SDF: (S, 3) points with (S, 3) unit normals, (M, 3) points with (M,) signed distances."""
    values, gradients = value_and_gradient(field, torch.cat([surface, volume]))
    on = len(surface)
    cosines = torch.nn.functional.cosine_similarity(gradients[:on], normals, dim=1)
    return (
        config.surface_distance * values[:on].square().mean()
        + config.volume_distance * (values[on:] - distances).square().mean()
        + config.normal * (1.0 - cosines).mean()
        + config.eikonal * (gradients.norm(dim=1) - 1.0).square().mean()
    )


def residual_loss(
    field: Field,
    band: torch.Tensor,
    normals: torch.Tensor,
    distances: torch.Tensor,
    unknown: torch.Tensor,
    config: MplicitsConfig,
) -> torch.Tensor:
    """Loss of a sum of levels: (B, 3) band points with normals and distances, (M, 3) points of unknown distance."""
    values, gradients = value_and_gradient(field, torch.cat([band, unknown]))
    on = len(band)
    cosines = torch.nn.functional.cosine_similarity(gradients[:on], normals, dim=1)
    return (
        config.surface_distance * (values[:on] - distances).square().mean()
        + config.normal * (1.0 - cosines).mean()
        + config.eikonal * (gradients.norm(dim=1) - 1.0).square().mean()
    )


def feature_sizes(
    mesh: TriangleMesh, points: np.ndarray, normals: np.ndarray, largest: float, tolerance: float, marches: int = 16
) -> np.ndarray:
    """How far one can go from surface points along their normals with the distance to the mesh growing by as much.

    Args:
        mesh: in network space, as the (N, 3) points with (N, 3) unit normals are.
        largest: where the march ends, network units.
        tolerance: difference from which the distance does not grow any more.
        marches: steps in which `largest` is reached.

    Returns:
        (N,) from 0 to `largest`.
    """
    sizes = np.zeros(len(points))
    going = np.arange(len(points))
    for step in range(1, marches + 1):
        way = largest * step / marches
        ahead = points[going] + way * normals[going]
        distances = np.sqrt(igl.point_mesh_squared_distance(ahead, mesh.vertices, mesh.faces)[0])
        going = going[np.abs(distances - way) < tolerance]
        sizes[going] = way
    return sizes


def mplicits_steps(samples: Samples, mesh: TriangleMesh, config: MplicitsConfig) -> Iterator[State]:
    """Train all levels, a step at a time.

    Args:
        samples: of the mesh; its uniform points are the ones off the surface.
        mesh: in network space.
    """
    run = _Run(samples, mesh, config)
    for level in config.levels:
        yield from run.level(level)


class _Run:
    """The state between levels: what is finished, and the clock."""

    def __init__(self, samples: Samples, mesh: TriangleMesh, config: MplicitsConfig) -> None:
        self.config, self.mesh, self.samples = config, mesh, samples
        self.half = config.batch // 2
        uniform = slice(samples.near_count, None)
        self.surface = Pool(samples.surface_points, samples.surface_normals, seed=config.seed)
        self.volume = Pool(samples.volume_points[uniform], samples.volume_distances[uniform], seed=config.seed + 1)
        self.finished: list[SineNetwork] = []
        self.deltas: list[float] = []
        self.watch, self.step = Stopwatch(), 0

    def level(self, level: MplicitsLevel) -> Iterator[State]:
        """Train one level; the state of lowest loss is what the next one builds on."""
        config = self.config
        with self.watch:
            network = SineNetwork(level.widths, level.omega, config.seed + len(self.finished))
            optimizer = torch.optim.Adam(network.parameters(), lr=config.rate)
            loss_of = self._residual_losses(network) if self.finished else self._coarse_losses(network)
        ends = self.watch.seconds + level.share * config.seconds
        began, lowest, best = self.watch.seconds, float("inf"), network
        for number in range(level.steps):
            with self.watch:
                loss = loss_of()
                optimizer.zero_grad()
                loss.backward()
                self.step += 1
                reached = float(loss.detach())
                share = max(number / level.steps, (self.watch.seconds - began) / (level.share * config.seconds))
                if share >= config.warm_up and reached < lowest:
                    # Before the step is taken: the loss is that of these weights.
                    lowest, best = reached, copy.deepcopy(network)
                optimizer.step()
            shown = [*self.finished, best]
            yield State(self.step, self.watch.seconds, reached, lambda shown=shown: self._sequence(shown))
            if self.watch.seconds >= ends:
                break
        self.finished.append(best.requires_grad_(False))
        with self.watch, torch.no_grad():
            points = torch.from_numpy(self.samples.surface_points[: config.band_points])
            self.deltas.append(config.band_factor * float(self._sum(points).abs().max()))

    def _sum(self, points: torch.Tensor) -> torch.Tensor:
        return sum(network(points) for network in self.finished)

    def _coarse_losses(self, network: SineNetwork) -> Callable[[], torch.Tensor]:
        def loss() -> torch.Tensor:
            drawn = *self.surface.draw(self.half), *self.volume.draw(self.half)
            return coarse_loss(network, *drawn, self.config)

        return loss

    def _residual_losses(self, network: SineNetwork) -> Callable[[], torch.Tensor]:
        config, delta = self.config, self.deltas[-1]
        points = self.samples.surface_points[: config.band_points]
        normals = self.samples.surface_normals[: config.band_points]
        sizes = feature_sizes(self.mesh, points, normals, delta, config.feature_tolerance)
        pool = Pool(points, normals, sizes, seed=config.seed + 2)
        generator = torch.Generator().manual_seed(config.seed + 3)

        def loss() -> torch.Tensor:
            base, directions, ways = pool.draw(self.half)
            distances = torch.rand(self.half, generator=generator) * ways
            around, across, _ = pool.draw(self.half)
            sides = delta * (2.0 * torch.rand((self.half, 1), generator=generator) - 1.0)
            band, unknown = base + distances[:, None] * directions, around + sides * across
            return residual_loss(
                lambda where: self._sum(where) + network(where), band, directions, distances, unknown, config
            )

        return loss

    def _sequence(self, networks: list[SineNetwork]) -> NestedSequence:
        bands = tuple(Band(delta, "sampled") for delta in self.deltas[: len(networks) - 1])
        kind = "residual" if len(networks) > 1 else "independent"
        return NestedSequence(tuple(network.folded() for network in networks), bands, kind=kind)
