# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of the trainer: the eager step computes what the product does, variants differ in one thing.

They are here because they need torch, which is not loaded beside Blender.
"""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from benchmarks import ablation, training_step
from kernels.presets import PRESETS
from kernels.training_config import LevelConfig, LossWeights, TrainingConfig

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CPU = torch.device("cpu")
CONFIG = TrainingConfig((LevelConfig((8, 8), 20.0, 5, 1e3), LevelConfig((16, 16, 16), 30.0, 5, 1e3)))


def test_both_steps_compute_the_same() -> None:
    points, known = training_step.targets(300, 0.25, CPU)
    network = training_step.trainable((16, 16), CPU)
    computed = training_step.methods(network, points, known, threads=1)
    wanted = computed[training_step.EAGER]()
    assert min(float(gradient.abs().max()) for gradient in wanted) > 0.0
    assert training_step.difference(computed[training_step.WRITTEN_OUT](), wanted) < 1e-5
    # The difference is a norm: all of it where nothing is found.
    nothing = [torch.zeros_like(gradient) for gradient in wanted]
    assert training_step.difference(nothing, wanted) == pytest.approx(1.0)


def test_eager_loss_by_hand() -> None:
    # f = 0 with a level before it of which everything is known: one point on the surface, one off it.
    zero = torch.zeros((1, 3)), torch.zeros(1)
    network = training_step.Network((zero[0],), (zero[1],))
    known = training_step.Targets(
        normals=torch.tensor([[0.0, 0.0, 1.0]]),
        distances=torch.tensor([0.3]),
        base_values=torch.tensor([0.1, 0.5]),
        base_gradients=torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    )
    weights = LossWeights(10.0, 20.0, 0.1, 3.0, 5.0, 7.0)
    loss = training_step.eager_loss(network, torch.zeros((2, 3)), known, weights)
    angle = (2.0 + training_step.NORMAL_SOFTENING) ** 0.5 - training_step.NORMAL_SOFTENING**0.5
    expected = 10.0 * 0.1**2 + 20.0 * (0.2 / 0.4) ** 2 + 3.0 * angle + 5.0 * 1.0 + 7.0 * 0.0
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_first_variant_is_the_trainer_as_it_is() -> None:
    assert ablation.VARIANTS[0].change(CONFIG) == CONFIG
    assert ablation.VARIANTS[0].trainer is ablation.LevelTrainer


@pytest.mark.parametrize("variant", ablation.VARIANTS[1:], ids=lambda variant: variant.name)
def test_every_variant_differs_in_one_thing(variant: ablation.Variant) -> None:
    changed = variant.change(CONFIG)
    different = [field.name for field in fields(CONFIG) if getattr(changed, field.name) != getattr(CONFIG, field.name)]
    assert len(different) + (variant.trainer is not ablation.LevelTrainer) == 1


def test_variants_have_names_of_their_own_and_a_preset() -> None:
    assert len({variant.name for variant in ablation.VARIANTS}) == len(ablation.VARIANTS)
    assert ablation.PRESET in PRESETS
