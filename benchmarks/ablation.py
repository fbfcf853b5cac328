# SPDX-License-Identifier: GPL-3.0-or-later
"""What each choice of the trainer is worth: PREVIEW with one thing changed, all else alike.

Each variant trains in the same seconds on the same samples, and is measured at the same held-out points of the surface:
the mean and the median angle of its finest level's normals. One run each: differences of a few hundredths of a degree
are chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from kernels.cores import available_cores
from kernels.meshes import clean, in_network_space
from kernels.networks import Network
from kernels.presets import PRESETS, training_config
from kernels.sampling import Samples, sample
from kernels.sequence import Band, NestedSequence
from kernels.training import LevelTrainer
from kernels.training_config import LevelConfig, SamplingConfig, TrainingConfig
from kernels.training_set import TrainingSet

from . import fitted, measures, report, subjects


class AdamTrainer(LevelTrainer):
    """A trainer that optimises the hidden matrices by Adam as well, at the rate of the other weights."""

    def _new_optimizers(self) -> tuple[torch.optim.Optimizer, ...]:
        *muon, adam = super()._new_optimizers()
        matrices = [group["params"] for optimizer in muon for group in optimizer.param_groups]
        if not matrices:
            return (adam,)
        groups = [{"params": params, "peak": self.config.vector_rate} for params in matrices]
        return torch.optim.Adam(groups, betas=(0.9, 0.99)), adam


class LastStateTrainer(LevelTrainer):
    """A trainer that keeps the state at the end instead of the best one that was measured."""

    def _validate(self) -> bool:
        self.best = self.best_errors = None
        return super()._validate()


def _unchanged(config: TrainingConfig) -> TrainingConfig:
    return config


@dataclass(frozen=True)
class Variant:
    """One thing that is done in another way.

    Attributes:
        name: what the rows of the report call it.
        change: the training with that difference, from the training as it is.
        trainer: what fits a level.
    """

    name: str
    change: Callable[[TrainingConfig], TrainingConfig] = _unchanged
    trainer: type[LevelTrainer] = LevelTrainer


def _with_levels(config: TrainingConfig, name: str, factor: float) -> TrainingConfig:
    """A training in which a field of every level but the first is multiplied by a factor, and stays of its type."""
    first, *others = config.levels
    values = (getattr(level, name) for level in others)
    changed = (
        replace(level, **{name: type(value)(factor * value)}) for level, value in zip(others, values, strict=True)
    )
    return replace(config, levels=(first, *changed))


def _with_weights(config: TrainingConfig, factor: float, *names: str) -> TrainingConfig:
    """A training in which weights of the loss are multiplied by a factor."""
    changed = {name: factor * getattr(config.weights, name) for name in names}
    return replace(config, weights=replace(config.weights, **changed))


VARIANTS = (
    Variant("as it is"),
    Variant("independent levels", lambda c: replace(c, kind="independent")),
    Variant("Adam for the hidden matrices", trainer=AdamTrainer),
    Variant("the last state instead of the best", trainer=LastStateTrainer),
    Variant("float32 only", lambda c: replace(c, reduced_precision=False)),
    Variant("half the batch", lambda c: _with_levels(c, "batch", 0.5)),
    Variant("twice the batch", lambda c: _with_levels(c, "batch", 2.0)),
    Variant("half the points off the surface", lambda c: replace(c, volume_share=0.5 * c.volume_share)),
    Variant("twice the points off the surface", lambda c: replace(c, volume_share=2.0 * c.volume_share)),
    Variant("a tenth of the bounding unit's rate", lambda c: replace(c, bounding_rate=0.1 * c.bounding_rate)),
    Variant("ten times the bounding unit's rate", lambda c: replace(c, bounding_rate=10.0 * c.bounding_rate)),
    Variant("twice the amplitude", lambda c: replace(c, amplitude_margin=2.0 * c.amplitude_margin)),
    Variant("half the matrices' rate", lambda c: _with_levels(c, "matrix_rate", 0.5)),
    Variant("twice the matrices' rate", lambda c: _with_levels(c, "matrix_rate", 2.0)),
    Variant("two thirds of omega", lambda c: _with_levels(c, "omega", 2.0 / 3.0)),
    Variant("omega and a half", lambda c: _with_levels(c, "omega", 1.5)),
    Variant("a quarter of the normals' weight", lambda c: _with_weights(c, 0.25, "normal")),
    Variant("four times the normals' weight", lambda c: _with_weights(c, 4.0, "normal")),
    Variant("no eikonal equation", lambda c: _with_weights(c, 0.0, "surface_eikonal", "volume_eikonal")),
)

MESHES = (subjects.IGEA, "fandisk.obj")
PRESET = "PREVIEW"


def train(config: TrainingConfig, samples: Samples, trainer: type[LevelTrainer]) -> NestedSequence:
    """All levels of a training; bands are as narrow as they may be, because normals alone are measured."""
    training_set = TrainingSet(samples, config, torch.device("cpu"))
    networks: list[Network] = []
    for level in range(len(config.levels)):
        fitting = trainer(config, level, training_set)
        for _ in fitting.run():
            pass
        networks.append(fitting.best)
        if config.kind == "residual":
            training_set.add_level(fitting.best)
    bands = (Band(config.bands.narrowest),) * (len(networks) - 1)
    return NestedSequence(tuple(networks), bands, kind=config.kind)


def rows_of(name: str, samples: Samples, config: TrainingConfig, variants: tuple[Variant, ...]) -> Iterator[report.Row]:
    """The errors of each variant at the samples that no training sees."""
    points, normals = (tensor.numpy() for tensor in TrainingSet(samples, config, torch.device("cpu")).held_out)
    for variant in variants:
        sequence = train(variant.change(config), samples, variant.trainer)
        angles = measures.angles(sequence.normals(points).astype(np.float64), normals.astype(np.float64))
        yield report.Row(f"{name}, {variant.name}: mean", float(angles.mean()), "degrees")
        yield report.Row(f"{name}, {variant.name}: median", float(np.median(angles)), "degrees")


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure on igea and fandisk; no row for a mesh that is absent."""
    # As in the worker: each minibatch is cut into pieces, one a thread.
    torch.set_num_threads(1)
    if quick:
        few = SamplingConfig(surface_count=4000, near_count=1000, uniform_count=1000)
        samples = sample(in_network_space(clean(fitted.bumpy_torus_mesh())), few)
        levels = tuple(LevelConfig((16, 16), omega, 20, 1e3, batch=256) for omega in (20.0, 30.0))
        yield from rows_of("torus", samples, TrainingConfig(levels, warm_up_steps=5), VARIANTS[:3])
        return
    for mesh in MESHES:
        path = report.shared_mesh(mesh)
        if path is None:
            continue
        samples = sample(in_network_space(clean(subjects.read_mesh(path))), SamplingConfig())
        config = replace(training_config(PRESETS[PRESET], samples.traits), threads=available_cores())
        yield from rows_of(path.stem, samples, config, VARIANTS)
