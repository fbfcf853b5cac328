# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training is: the networks of a sequence, what each may cost, and the presets that artists choose from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .losses import LossWeights
from .nesting import BandConfig


@dataclass(frozen=True)
class SamplingConfig:
    """How many points are sampled, and where. Lengths are in network units."""

    surface_count: int = 600_000
    """Points on the surface, uniform by area, each with a normal."""
    near_count: int = 150_000
    """Points near the surface, each with a signed distance."""
    uniform_count: int = 100_000
    """Points in the cube [-1, 1]^3, each with a signed distance."""
    near_deviation: float = 0.02
    """Standard deviation of the distance of the near points from the surface."""
    crease_degrees: float = 50.0
    """Faces that meet at a larger angle keep an edge between them; at a smaller one their normals are blended."""
    sheet_thickness: float = 0.01
    """Thickness given to faces with outside on both sides."""
    seed: int = 0
    """Seed of the random numbers."""


@dataclass(frozen=True)
class LevelConfig:
    """One network of the sequence and what it may cost."""

    widths: tuple[int, ...]
    """Width of each hidden layer."""
    omega: float
    """Frequency of the first layer at the start: larger resolves finer detail, too large diverges."""
    steps: int
    """Optimiser steps at most."""
    seconds: float
    """Seconds at most; the learning-rate schedule ends with whichever comes first."""
    matrix_rate: float = 0.1
    """Learning rate of the hidden matrices, which Muon optimises. Deeper networks need a lower one: 256x3 does not
    settle at 0.1."""


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training: its levels, coarsest first, and what they share."""

    levels: tuple[LevelConfig, ...]
    """The networks to fit."""
    batch: int = 4096
    """Points of one step, on the surface and off it."""
    volume_share: float = 0.25
    """Share of a batch that lies off the surface."""
    uniform_share: float = 0.5
    """Share of the points off the surface that is uniform in the cube instead of near the surface."""
    vector_rate: float = 2e-3
    """Learning rate of the first and the last layer and of the biases, which Adam optimises."""
    warm_up_steps: int = 50
    """Steps over which the learning rates rise from zero."""
    final_rate_share: float = 0.01
    """Share of the learning rates left at the end of their cosine schedule."""
    validations: int = 20
    """How often a level is measured on held-out points; the best measured state is kept."""
    restarts: int = 3
    """How often a level that diverged starts again before the training fails."""
    restart_omega_factor: float = 0.6
    """Factor on omega at each restart."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """What is sampled from the mesh."""
    bands: BandConfig = field(default_factory=BandConfig)
    """How the bands between the levels are estimated."""
    seed: int = 0
    """Seed of the initial weights and of the minibatches."""


def _pyramid(width: int) -> tuple[int, ...]:
    return (width, width, width)


PRESETS: dict[str, TrainingConfig] = {
    "PREVIEW": TrainingConfig(
        levels=(LevelConfig((64, 64), 20.0, 600, 5.0), LevelConfig(_pyramid(128), 40.0, 1800, 26.0)),
    ),
    "BALANCED": TrainingConfig(
        levels=(
            LevelConfig((64, 64), 20.0, 1000, 7.0),
            LevelConfig(_pyramid(128), 40.0, 2000, 25.0),
            LevelConfig(_pyramid(192), 40.0, 4000, 80.0),
        ),
    ),
    "FINE": TrainingConfig(
        levels=(
            LevelConfig((64, 64), 20.0, 1500, 12.0),
            LevelConfig(_pyramid(128), 40.0, 4000, 60.0),
            LevelConfig((256, 256, 256, 256), 40.0, 16000, 440.0, matrix_rate=0.05),
        ),
    ),
}


def with_budget(config: TrainingConfig, factor: float) -> TrainingConfig:
    """The same training with the time and the steps of every level multiplied by `factor`."""
    levels = tuple(
        replace(level, steps=max(1, round(level.steps * factor)), seconds=level.seconds * factor)
        for level in config.levels
    )
    return replace(config, levels=levels)
