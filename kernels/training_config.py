# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training is: what is sampled, the networks of a sequence, and what each may cost. Presets choose these."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .nesting import BandConfig


@dataclass(frozen=True)
class SamplingConfig:
    """How many points are sampled, and where. Lengths are in network units."""

    surface_count: int = 600_000
    """Points on the surface, uniform by area, each with a normal."""
    near_count: int = 225_000
    """Points near the surface, each with a signed distance."""
    uniform_count: int = 60_000
    """Points in the cube [-1, 1]^3, each with a signed distance."""
    near_deviation: float = 0.02
    """Largest standard deviation of the distance of the near points from the surface: each has a random share of it."""
    wide_share: float = 1.0 / 3.0
    """Share of the near points that is spread `wide_deviation` instead. Without them, networks made up slivers of
    surface along sharp edges, a few hundredths of a unit away, where no other point said that there is none."""
    wide_deviation: float = 0.08
    """Largest standard deviation of the distance of those points: each has a random share of it."""
    crease_degrees: float = 50.0
    """Faces that meet at a larger angle keep an edge between them; at a smaller one their normals are blended."""
    sheet_thickness: float = 0.016
    """Thickness given to faces with outside on both sides: two cells of the grid on which surfaces thinner than a
    cell are looked for next (`extraction.FINER_RESOLUTIONS`), enough to find a sheet whole whichever way it lies."""
    seed: int = 0
    """Seed of the random numbers."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss (`losses.sdf_loss`)."""

    surface_distance: float = 8000.0
    """f^2 at points of the surface."""
    volume_distance: float = 200.0
    """((f - d) / (|d| + `volume_softening`))^2 at points whose signed distance d is known. The error is relative,
    because far away f has to be right in sign and size only. With 30, stray surfaces stayed about parts that have
    sharp edges, 50 of them; with 200 there was none on any shared mesh."""
    volume_softening: float = 0.05
    """Distance, in network units, below which the error at those points counts as an absolute one."""
    normal: float = 40.0
    """The angle between grad f and n, in radians and softened, at points of the surface."""
    surface_eikonal: float = 5.0
    """(|grad f| - 1)^2 at points of the surface."""
    volume_eikonal: float = 2.0
    """(|grad f| - 1)^2 at the other points."""


@dataclass(frozen=True)
class LevelConfig:
    """One network of the sequence and what it may cost."""

    widths: tuple[int, ...]
    """Width of each hidden layer; a residual gets its bounding unit in addition."""
    omega: float
    """Frequency of the first layer at the start: larger resolves finer detail, too large does not settle."""
    steps: int
    """Optimiser steps at most."""
    seconds: float
    """Seconds at most; the learning-rate schedule ends with whichever comes first."""
    matrix_rate: float = 0.05
    """Learning rate of the hidden matrices, which Muon optimises. Deeper networks need a lower one."""
    batch: int = 2048
    """Points of one step, on the surface and off it."""


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training: its levels, coarsest first, and what they share."""

    levels: tuple[LevelConfig, ...]
    """The networks to fit."""
    kind: str = "residual"
    """`residual`: every level but the first corrects the sum of those before it, and only in their band. `independent`:
    every level is a whole SDF."""
    volume_share: float = 0.2
    """Share of a batch that lies off the surface."""
    uniform_share: float = 0.5
    """Share of the points off the surface that is uniform in the cube instead of near the surface, where a level is a
    whole SDF; a residual is trained at whatever lies in its band."""
    vector_rate: float = 2e-3
    """Learning rate of the first and the last layer and of the biases, which Adam optimises."""
    bounding_rate: float = 3e-3
    """Learning rate of a residual's bounding unit. Its weights say how large the correction is; at the rate of the
    matrices they never settle."""
    amplitude_margin: float = 1.2
    """Amplitude of a residual, by the largest error that the levels before leave at the surface."""
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
    threads: int = 1
    """Pieces of a minibatch computed side by side on a CPU."""
    reduced_precision: bool = True
    """Whether the hidden matrices of residuals are multiplied in bfloat16 where that is faster."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss."""
    bands: BandConfig = field(default_factory=BandConfig)
    """How wide the bands between the levels are."""
    seed: int = 0
    """Seed of the initial weights and of the minibatches."""


def with_budget(config: TrainingConfig, factor: float) -> TrainingConfig:
    """The same training with the time and the steps of every level multiplied by `factor`."""
    levels = tuple(
        replace(level, steps=max(1, round(level.steps * factor)), seconds=level.seconds * factor)
        for level in config.levels
    )
    return replace(config, levels=levels)
