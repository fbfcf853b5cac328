# SPDX-License-Identifier: GPL-3.0-or-later
"""What artists choose from: presets name a quality and a time, and the networks follow from the shape."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .training_config import LevelConfig, SamplingConfig, TrainingConfig

if TYPE_CHECKING:
    # Found by libigl, which Blender's process, where presets are chosen, has not.
    from .shape_traits import ShapeTraits


# `ShapeTraits.detail` of scans and sculpts, and the share of the frequencies that shapes without any detail get.
ORDINARY_DETAIL = 10.0
LOWEST_OMEGA_SHARE = 0.45


@dataclass(frozen=True)
class LevelPlan:
    """One level of a preset: its network, and its share of the time."""

    widths: tuple[int, ...]
    """Width of each hidden layer."""
    omega: float
    """Frequency of the first layer for a shape of ordinary detail."""
    share: float
    """Share of the time that training takes."""
    steps: int
    """Optimiser steps at most, for machines that are faster than the time was made for."""
    matrix_rate: float
    """Learning rate of the hidden matrices."""
    batch: int = 2048
    """Points of one step. Where there is time, more give a smoother surface."""


@dataclass(frozen=True)
class Preset:
    """A quality and what it costs."""

    label: str
    """Name that the artist reads."""
    description: str
    """What it is for and how long it takes, in a sentence."""
    seconds: float
    """Seconds from pressing Train to the finished object, on two CPU cores."""
    levels: tuple[LevelPlan, ...]
    """Levels, coarsest first."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """What is sampled from the mesh before."""


_COARSE = (64, 64)
_MEDIUM = (128, 128, 128)

PRESETS: dict[str, Preset] = {
    "PREVIEW": Preset(
        "Preview",
        "30 seconds: first look",
        30.0,
        (LevelPlan(_COARSE, 20.0, 0.15, 2000, 0.1), LevelPlan(_MEDIUM, 90.0, 0.85, 6000, 0.05)),
        # Half a minute sees few points more than once.
        SamplingConfig(surface_count=300_000, near_count=90_000, uniform_count=30_000),
    ),
    "BALANCED": Preset(
        "Balanced",
        "Two minutes: most work",
        120.0,
        (
            LevelPlan(_COARSE, 20.0, 0.05, 3000, 0.1),
            LevelPlan(_MEDIUM, 90.0, 0.3, 8000, 0.05),
            LevelPlan((192, 192, 192), 120.0, 0.65, 12_000, 0.03, 4096),
        ),
    ),
    "FINE": Preset(
        "Fine",
        "Five minutes: close-ups",
        300.0,
        (
            LevelPlan(_COARSE, 20.0, 0.03, 4000, 0.1),
            LevelPlan(_MEDIUM, 90.0, 0.2, 12_000, 0.05),
            LevelPlan((256, 256, 256, 256), 120.0, 0.77, 20_000, 0.015, 4096),
        ),
    ),
}


def training_config(preset: Preset, traits: ShapeTraits) -> TrainingConfig:
    """The training of a preset for a shape: residuals of smooth shapes get lower frequencies.

    The first level is coarse for every shape. For the others, half the frequency lowers the error of parts with large
    smooth faces by a fifth, and raises that of scans by as much.
    """
    smoothness = min(1.0, max(LOWEST_OMEGA_SHARE, traits.detail / ORDINARY_DETAIL))
    first, *later = preset.levels
    plans = [first, *(replace(plan, omega=plan.omega * smoothness) for plan in later)]
    levels = tuple(
        LevelConfig(plan.widths, plan.omega, plan.steps, plan.share * preset.seconds, plan.matrix_rate, plan.batch)
        for plan in plans
    )
    return TrainingConfig(levels)
