# SPDX-License-Identifier: GPL-3.0-or-later
"""What a level is fitted to, step by step: minibatches of the samples, and what the levels before are there.

A residual is added to the levels before, which do not change any more: their values and gradients are computed once for
every sample and looked up afterwards. It is trained only where they say that the surface may be, in their band.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from . import blas
from .losses import Targets
from .networks import Network, gradient_reverse
from .sampling import Samples
from .training_config import TrainingConfig

# Points of one piece of work when a finished level is evaluated at all samples.
_PIECE = 1 << 14
# Network units from the surface at which a point has a sign that no early network may have wrong.
_CLEARLY_OFF = 0.05


@dataclass
class _Base:
    """Sum of the finished levels at some points: (N,) values and (N, 3) gradients, network units."""

    values: torch.Tensor
    gradients: torch.Tensor

    def add(self, network: Network, points: np.ndarray, threads: int) -> None:
        """Add a level, a numpy network, at the (N, 3) points."""
        pieces = [points[start : start + _PIECE] for start in range(0, len(points), _PIECE)]
        with blas.limited_threads(1), ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda piece: gradient_reverse(network, piece), pieces))
        for mine, theirs in zip((self.values, self.gradients), zip(*parts, strict=True), strict=True):
            mine += torch.from_numpy(np.concatenate(theirs)).to(mine.device)


class TrainingSet:
    """Samples of one mesh on a device, and the levels finished so far at them.

    Args:
        samples: surface points in random order.
        config: how minibatches are mixed.
        device: where minibatches are wanted.
    """

    # Surface points never trained on, by which states are compared.
    HELD_OUT = 8192

    def __init__(self, samples: Samples, config: TrainingConfig, device: torch.device) -> None:
        self.config = config
        self._samples = samples
        self._device = device
        surface = (samples.surface_points, samples.surface_normals)
        self._surface_points, self._surface_normals = (torch.from_numpy(a).to(device) for a in surface)
        volume = (samples.volume_points, samples.volume_distances)
        self._volume_points, self._volume_distances = (torch.from_numpy(a).to(device) for a in volume)
        self._held_out = min(self.HELD_OUT, len(samples.surface_points) // 4)
        # The sum of the finished levels on the surface and off it; None before there is one to add to.
        self._bases: tuple[_Base, _Base] | None = None
        # Off the surface, the samples that the next level is trained on.
        self._volume_rows = np.arange(len(samples.volume_points))

    @property
    def device(self) -> torch.device:
        """Where minibatches are."""
        return self._device

    @property
    def held_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(H, 3) surface points that are never trained on and their (H, 3) unit normals."""
        return self._surface_points[: self._held_out], self._surface_normals[: self._held_out]

    @property
    def held_out_base(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(H,) values and (H, 3) gradients of the levels before there; None for a whole SDF."""
        if self._bases is None:
            return None
        return self._bases[0].values[: self._held_out], self._bases[0].gradients[: self._held_out]

    @property
    def largest_error(self) -> float:
        """Largest |F| of the finished levels at the samples of the surface, in network units."""
        if self._bases is None:
            raise ValueError("no level has been finished yet")
        return float(self._bases[0].values.abs().max())

    def spread(self, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """About `count` points off the surface that the level is trained on, and the levels before there."""
        rows = torch.from_numpy(self._volume_rows[:: max(1, len(self._volume_rows) // count)]).to(self._device)
        return self._volume_points[rows], None if self._bases is None else self._bases[1].values[rows]

    def signs(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """At most `count` points clearly off the surface, and whether each lies inside."""
        clear = torch.nonzero(self._volume_distances.abs() > _CLEARLY_OFF)[:, 0]
        clear = clear[:: max(1, -(-len(clear) // count))]
        return self._volume_points[clear], self._volume_distances[clear] < 0.0

    def add_level(self, network: Network) -> None:
        """Let the next level be a residual of the finished ones, of which `network`, numpy arrays, is the last."""
        if self._bases is None:
            self._bases = tuple(
                _Base(torch.zeros(len(points), device=self._device), torch.zeros_like(points))
                for points in (self._surface_points, self._volume_points)
            )
        samples = (self._samples.surface_points, self._samples.volume_points)
        for base, points in zip(self._bases, samples, strict=True):
            base.add(network, points, self.config.threads)

    def restrict_to_band(self, delta: float) -> None:
        """Train the next level only where the finished ones are at most `delta`, in network units."""
        if self._bases is None:
            raise ValueError("no level has been finished yet")
        self._volume_rows = np.flatnonzero((self._bases[1].values.abs() <= delta).cpu().numpy())

    def minibatch(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, Targets]:
        """(count, 3) random points, those on the surface first, and what is known there."""
        volume = int(count * self.config.volume_share) if len(self._volume_rows) else 0
        on = rng.integers(self._held_out, len(self._surface_points), count - volume)
        off = self._volume_choice(volume, rng)
        on_rows, off_rows = (torch.from_numpy(rows).to(self._device) for rows in (on, off))
        points = torch.cat([self._surface_points[on_rows], self._volume_points[off_rows]])
        normals, distances = self._surface_normals[on_rows], self._volume_distances[off_rows]
        if self._bases is None:
            return points, Targets(normals, distances)
        surface, others = self._bases
        values = torch.cat([surface.values[on_rows], others.values[off_rows]])
        gradients = torch.cat([surface.gradients[on_rows], others.gradients[off_rows]])
        return points, Targets(normals, distances, values, gradients)

    def _volume_choice(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of `count` samples off the surface."""
        if self._bases is not None:
            return self._volume_rows[rng.integers(0, max(1, len(self._volume_rows)), count)]
        uniform = int(count * self.config.uniform_share)
        near, total = self._samples.near_count, len(self._samples.volume_points)
        return np.concatenate([rng.integers(0, near, count - uniform), rng.integers(near, total, uniform)])
