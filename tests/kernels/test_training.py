# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of single levels on a sphere: it converges, resumes exactly, and answers divergence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import shapes
import torch

from kernels import training
from kernels.losses import sdf_loss
from kernels.networks import Network, gradient_reverse
from kernels.sampling import Samples, SamplingConfig, sample
from kernels.training import LevelTrainer, TrainingError, measure
from kernels.training_config import PRESETS, LevelConfig, TrainingConfig, with_budget

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CPU = torch.device("cpu")
# Ended by its steps, never by its seconds: the same on every machine. Rates of its own, which no tuning of the
# presets changes.
SMALL = TrainingConfig(levels=(LevelConfig((32, 32), 8.0, 150, 1e6, 0.05),), batch=1024, vector_rate=5e-3)


@cache
def sphere_samples() -> Samples:
    return sample(shapes.sphere_mesh(5, radius=0.8), SamplingConfig(20_000, 8_000, 3_000))


def trainer(config: TrainingConfig = SMALL) -> LevelTrainer:
    return LevelTrainer(config, 0, sphere_samples(), CPU)


def with_level(config: TrainingConfig = SMALL, **changes: object) -> TrainingConfig:
    return replace(config, levels=(replace(config.levels[0], **changes),))


def arrays(network: Network) -> list[np.ndarray]:
    return [*network.weights, *network.biases]


@pytest.fixture(scope="module")
def trained() -> LevelTrainer:
    finished = trainer()
    finished.losses = [progress.loss for progress in finished.run()]
    return finished


def test_fits_a_sphere(trained: LevelTrainer) -> None:
    points = shapes.surface_points(shapes.sphere(0.8), 2000, seed=7).astype(np.float32)
    values, gradients = gradient_reverse(trained.best, points)
    cosines = (gradients * points).sum(1) / (np.linalg.norm(gradients, axis=1) * 0.8)
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).mean() < 3.0
    assert np.abs(values).mean() < 5e-3
    far = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 3)).astype(np.float32)
    assert np.abs(gradient_reverse(trained.best, far)[0] - shapes.sphere(0.8)(far)).mean() < 0.1
    assert np.mean(trained.losses[-10:]) < 0.05 * trained.losses[0]


def test_best_state_is_the_one_that_was_measured(trained: LevelTrainer) -> None:
    points, normals = trained.held_out
    assert measure(trained.best.like(points), points, normals) == trained.best_errors
    assert trained.best_errors.score <= measure(trained.network, points, normals).score
    assert trained.best.widths == (32, 32)
    assert all(isinstance(array, np.ndarray) and array.dtype == np.float32 for array in arrays(trained.best))


def test_best_state_outlives_worse_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    level = trainer()
    scores = iter([5.0, 2.0, 4.0, *[3.0] * 30])
    states = []

    def pretended(network: Network, points: torch.Tensor, normals: torch.Tensor) -> training.Errors:
        states.append(level.snapshot())
        return training.Errors(next(scores), 0.0, 0.0)

    monkeypatch.setattr(training, "measure", pretended)
    for _ in level.run():
        pass
    assert level.best_errors.normal_degrees == 2.0
    assert all(np.array_equal(a, b) for a, b in zip(arrays(level.best), arrays(states[1]), strict=True))


def test_measured_errors_are_angles_and_distances() -> None:
    # A plane z = 0.1 seen at points of z = 0, whose wanted normals lean by 30 degrees.
    zero = torch.zeros(1)
    plane = Network((torch.tensor([[0.0, 0.0, 1.0]]), torch.ones(1, 1)), (zero + 2.0, zero - 2.1), "relu")
    points = torch.rand(100, 3) * torch.tensor([1.0, 1.0, 0.0])
    normals = torch.tensor([[0.5, 0.0, 3**0.5 / 2]]).expand(100, 3)
    errors = measure(plane, points, normals)
    assert errors.normal_degrees == pytest.approx(30.0, abs=1e-3)
    assert errors.surface_distance == pytest.approx(0.1, abs=1e-6)


def test_progress_counts_up(trained: LevelTrainer) -> None:
    seen = list(trainer(with_level(steps=30)).run())
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert [progress.share for progress in seen] == pytest.approx([step / 30 for step in range(1, 31)])
    assert all(a.seconds < b.seconds for a, b in zip(seen, seen[1:], strict=False))
    assert len(trained.losses) == 150


def test_seconds_end_a_level() -> None:
    level = trainer(with_level(steps=10**9, seconds=0.5))
    *_, last = level.run()
    assert last.share == 1.0
    assert last.step < 10**9
    assert level.best is not None


def test_a_single_step_is_a_training() -> None:
    level = trainer(with_level(steps=1))
    try:
        assert [progress.step for progress in level.run()] == [1]
    except TrainingError:
        pytest.fail("one step is too few to judge a network by")


@pytest.mark.parametrize("stop", [1, 37, 75, 149])
def test_restored_state_goes_on_bit_for_bit(stop: int, trained: LevelTrainer) -> None:
    first = trainer()
    for progress in first.run():
        if progress.step == stop:
            break
    # Through the arrays of a file, as the worker keeps them.
    state = {name: np.array(value) for name, value in first.state().items()}
    assert all(value.dtype != object for value in state.values())
    second = trainer()
    second.restore(state)
    assert second.seconds == first.seconds
    losses = [progress.loss for progress in second.run()]
    assert losses == trained.losses[stop:]
    assert second.best_errors == trained.best_errors
    for a, b in zip(arrays(second.best), arrays(trained.best), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", [lambda s: s.pop("omega"), lambda s: s.update({"current.1": np.zeros((7, 7))})])
def test_state_of_something_else_is_refused(damage: Callable[[dict[str, np.ndarray]], object]) -> None:
    level = trainer(with_level(steps=3))
    for _ in level.run():
        pass
    state = level.state()
    damage(state)
    with pytest.raises((KeyError, ValueError, RuntimeError)):
        trainer(with_level(steps=3)).restore(state)


def test_loss_that_is_not_finite_restarts_with_a_lower_omega(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def diverging(*arguments: object) -> torch.Tensor:
        calls.append(level.omega)
        return sdf_loss(*arguments) * (float("nan") if len(calls) == 20 else 1.0)

    monkeypatch.setattr(training, "sdf_loss", diverging)
    level = trainer(with_level(steps=60))
    steps = [progress.step for progress in level.run()]
    # The step that diverged is not reported, and counting starts again.
    assert steps == [*range(1, 20), *range(1, 61)]
    assert level.restarts == 1
    assert calls[:20] == [8.0] * 20
    assert calls[20:] == pytest.approx([8.0 * SMALL.restart_omega_factor] * 60)
    assert all(np.isfinite(array).all() for array in arrays(level.best))


def test_absurd_rate_fails_with_advice() -> None:
    level = trainer(replace(with_level(steps=40, matrix_rate=1e20), vector_rate=1e20, restarts=2))
    with pytest.raises(TrainingError, match="did not converge, even after 2 restarts.*Check the mesh"):
        for _ in level.run():
            pass
    assert level.omega == pytest.approx(8.0 * 0.6**2)


def test_absurd_omega_is_lowered_or_fails_with_advice() -> None:
    level = trainer(with_level(omega=1e36, steps=40))
    with pytest.raises(TrainingError, match="did not converge"):
        for _ in level.run():
            pass


def test_empty_zero_set_is_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    def pushed_away(network: Network, *_: object) -> torch.Tensor:
        # Away from every zero: what a network does that gave up on the surface.
        return ((network.biases[-1] - 5.0) ** 2).sum() + sum(0.0 * w.sum() for w in arrays(network))

    monkeypatch.setattr(training, "sdf_loss", pushed_away)
    level = trainer(replace(with_level(steps=100), vector_rate=1.0, restarts=1))
    with pytest.raises(TrainingError, match="did not converge"):
        for _ in level.run():
            pass
    assert level.restarts == 1


def test_budget_scales_steps_and_seconds() -> None:
    for config in PRESETS.values():
        half = with_budget(config, 0.5)
        for level, scaled in zip(config.levels, half.levels, strict=True):
            assert scaled.steps == round(level.steps / 2)
            assert scaled.seconds == level.seconds / 2
            assert scaled.widths == level.widths
        assert all(level.steps == 1 for level in with_budget(config, 1e-9).levels)


def test_minibatches_mix_what_the_configuration_says() -> None:
    level = trainer(replace(SMALL, batch=1000, volume_share=0.4, uniform_share=0.25))
    points, normals, volume_points, distances = level._minibatch()
    assert points.shape == normals.shape == (600, 3)
    assert volume_points.shape == (400, 3)
    assert distances.shape == (400,)
    np.testing.assert_allclose(np.linalg.norm(points.numpy(), axis=1), 0.8, atol=2e-3)
    assert (distances.abs() > 0.1).sum() > 50
    # Held-out points are never trained on.
    held_out = {tuple(point) for point in level.held_out[0].tolist()}
    assert not held_out & {tuple(point) for point in level.surface[0].tolist()}
