# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of single levels on a sphere: they converge, resume exactly, answer divergence, and correct each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapes
import torch

from kernels import training
from kernels.losses import sdf_loss
from kernels.networks import Network, evaluate, gradient_reverse, random_network
from kernels.sampling import Samples, sample
from kernels.training import LevelTrainer, TrainingError, errors_of, measure
from kernels.training_config import LevelConfig, LossWeights, SamplingConfig, TrainingConfig
from kernels.training_set import TrainingSet

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CPU = torch.device("cpu")
# Ended by its steps, never by its seconds: the same on every machine. Rates and weights of its own, which no
# tuning of the presets changes.
SMALL = TrainingConfig(
    levels=(LevelConfig((32, 32), 8.0, 150, 1e6, 0.05, 1024), LevelConfig((32, 32), 12.0, 150, 1e6, 0.03, 1024)),
    volume_share=0.25,
    vector_rate=5e-3,
    warm_up_steps=10,
    weights=LossWeights(
        surface_distance=1000.0, volume_distance=30.0, normal=5.0, surface_eikonal=5.0, volume_eikonal=2.0
    ),
)


@cache
def sphere_samples() -> Samples:
    return sample(shapes.sphere_mesh(5, radius=0.8), SamplingConfig(20_000, 8_000, 3_000))


@cache
def bad_level() -> Network:
    """A first level that has the sphere in the wrong place."""
    return shapes.fitted_network(shapes.sphere(0.8, (0.05, -0.05, 0.0)), 200)


def trainer(config: TrainingConfig = SMALL) -> LevelTrainer:
    return LevelTrainer(config, 0, TrainingSet(sphere_samples(), config, CPU))


def residual_trainer(config: TrainingConfig = SMALL) -> LevelTrainer:
    """The trainer of the level after the bad one."""
    training_set = TrainingSet(sphere_samples(), config, CPU)
    training_set.add_level(bad_level())
    return LevelTrainer(config, 1, training_set)


BOTH = pytest.mark.parametrize("new_trainer", [trainer, residual_trainer], ids=["whole", "residual"])


def with_level(config: TrainingConfig = SMALL, **changes: object) -> TrainingConfig:
    return replace(config, levels=tuple(replace(level, **changes) for level in config.levels))


def finish(level: LevelTrainer) -> LevelTrainer:
    """The trainer when its level is trained."""
    for _ in level.run():
        pass
    return level


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
    points, normals = trained.training_set.held_out
    assert measure(trained.best.like(points), points, normals) == trained.best_errors
    assert trained.best_errors.score <= measure(trained.network, points, normals).score
    assert trained.best.widths == (32, 32)
    assert all(isinstance(array, np.ndarray) and array.dtype == np.float32 for array in arrays(trained.best))


def test_best_state_outlives_worse_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    level = trainer()
    scores = iter([5.0, 2.0, 4.0, *[3.0] * 30])
    states = []

    def pretended(*_: object) -> training.Errors:
        states.append(level.snapshot())
        return training.Errors(next(scores), 0.0, 0.0)

    monkeypatch.setattr(training, "measure", pretended)
    finish(level)
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


def test_errors_of_a_residual_are_those_of_the_sum() -> None:
    points = torch.from_numpy(shapes.surface_points(shapes.sphere(0.8), 500).astype(np.float32))
    normals = torch.nn.functional.normalize(points, dim=1)
    base, residual = (random_network((8, 8), seed=seed, omega=2.0).like(points) for seed in (1, 2))
    # One network whose halves do not know each other is the sum.
    zeros = torch.zeros(8, 8)
    both = Network(
        (
            torch.cat([base.weights[0], residual.weights[0]]),
            torch.cat([torch.cat([base.weights[1], zeros], 1), torch.cat([zeros, residual.weights[1]], 1)]),
            torch.cat([base.weights[2], residual.weights[2]], 1),
        ),
        (*(torch.cat([a, b]) for a, b in zip(base.biases[:2], residual.biases[:2], strict=True)),)
        + (base.biases[2] + residual.biases[2],),
    )
    found = measure(residual, points, normals, gradient_reverse(base, points))
    wanted = measure(both, points, normals)
    assert found.normal_degrees == pytest.approx(wanted.normal_degrees, abs=1e-3)
    assert found.normal_rms_degrees == pytest.approx(wanted.normal_rms_degrees, abs=1e-3)
    assert found.surface_distance == pytest.approx(wanted.surface_distance, abs=1e-6)


def test_progress_counts_up(trained: LevelTrainer) -> None:
    seen = list(trainer(with_level(steps=30)).run())
    assert [progress.step for progress in seen] == list(range(1, 31))
    assert [progress.share for progress in seen] == pytest.approx([step / 30 for step in range(1, 31)])
    assert all(a.seconds < b.seconds for a, b in zip(seen, seen[1:], strict=False))
    assert len(trained.losses) == 150


def test_seconds_end_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on by a tenth of a second whenever somebody looks.
    ticks = itertools.count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))
    level = trainer(with_level(steps=10**9, seconds=2.0))
    *_, last = level.run()
    assert last.share == 1.0
    assert last.seconds == pytest.approx(2.0)
    assert last.step == 20
    assert level.best is not None


def test_a_single_step_is_a_training() -> None:
    level = trainer(with_level(steps=1))
    try:
        assert [progress.step for progress in level.run()] == [1]
    except TrainingError:
        pytest.fail("one step is too few to judge a network by")


@pytest.mark.parametrize("stop", [1, 37, 59])
@BOTH
def test_restored_state_goes_on_bit_for_bit(new_trainer: Callable[[TrainingConfig], LevelTrainer], stop: int) -> None:
    config = with_level(steps=60)
    whole = new_trainer(config)
    losses = []
    for progress in whole.run():
        losses.append(progress.loss)
        if progress.step == stop:
            # Through the arrays of a file, as the worker keeps them.
            state = {name: np.array(value) for name, value in whole.state().items()}
    assert all(value.dtype != object for value in state.values())
    resumed = new_trainer(config)
    resumed.restore(state)
    assert resumed.seconds == state["seconds"]
    assert [progress.loss for progress in resumed.run()] == losses[stop:]
    assert resumed.best_errors == whole.best_errors
    for a, b in zip(arrays(resumed.best), arrays(whole.best), strict=True):
        np.testing.assert_array_equal(a, b)


def test_restored_state_keeps_the_time_it_was_given() -> None:
    first = trainer(with_level(seconds=100.0))
    next(first.run())
    second = trainer(with_level(seconds=7.0))
    second.restore(first.state())
    assert second.seconds_given == 100.0
    assert second.share == first.share


@pytest.mark.parametrize("damage", [lambda s: s.pop("omega"), lambda s: s.update({"current.1": np.zeros((7, 7))})])
def test_state_of_something_else_is_refused(damage: Callable[[dict[str, np.ndarray]], object]) -> None:
    state = finish(trainer(with_level(steps=3))).state()
    damage(state)
    with pytest.raises((KeyError, ValueError, RuntimeError)):
        trainer(with_level(steps=3)).restore(state)


def test_state_of_another_level_is_refused() -> None:
    state = finish(trainer(with_level(steps=3))).state()
    with pytest.raises((KeyError, ValueError, RuntimeError)):
        residual_trainer(with_level(steps=3)).restore(state)


def test_random_numbers_of_others_do_not_change_a_training() -> None:
    def final(seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        return finish(trainer(with_level(steps=20))).best.weights[1]

    np.testing.assert_array_equal(final(1), final(2))


@BOTH
def test_loss_that_is_not_finite_restarts_with_a_lower_omega(
    new_trainer: Callable[[TrainingConfig], LevelTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def diverging(*arguments: Any) -> tuple[torch.Tensor, ...]:
        calls.append(level.omega)
        loss, *derivatives = sdf_loss(*arguments)
        return loss * (float("nan") if len(calls) == 20 else 1.0), *derivatives

    monkeypatch.setattr(training, "sdf_loss", diverging)
    level = new_trainer(with_level(steps=60))
    omega = level.omega
    steps = [progress.step for progress in level.run()]
    # The step that diverged is not reported, and counting starts again.
    assert steps == [*range(1, 20), *range(1, 61)]
    assert level.restarts == 1
    assert calls[:20] == [omega] * 20
    assert calls[20:] == pytest.approx([omega * SMALL.restart_omega_factor] * 60)
    assert all(np.isfinite(array).all() for array in arrays(level.best))


def test_absurd_rate_fails_with_advice() -> None:
    level = trainer(replace(with_level(steps=40, matrix_rate=1e20), vector_rate=1e20, restarts=2))
    with pytest.raises(TrainingError, match="did not converge, even after 2 restarts.*Check the mesh"):
        finish(level)
    assert level.omega == pytest.approx(8.0 * 0.6**2)


def test_absurd_omega_is_lowered_or_fails_with_advice() -> None:
    level = trainer(with_level(omega=1e36, steps=40))
    with pytest.raises(TrainingError, match="did not converge"):
        finish(level)


def test_empty_zero_set_is_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    def pushed_away(values: torch.Tensor, gradients: torch.Tensor, *_: object) -> tuple[torch.Tensor, ...]:
        # Away from every zero: what a network does that gave up on the surface.
        return ((values - 5.0) ** 2).sum(), 2.0 * (values - 5.0), torch.zeros_like(gradients)

    monkeypatch.setattr(training, "sdf_loss", pushed_away)
    level = trainer(replace(with_level(steps=100), vector_rate=1.0, restarts=1))
    with pytest.raises(TrainingError, match="did not converge"):
        finish(level)
    assert level.restarts == 1


# Levels after the first.


@pytest.fixture(scope="module")
def corrected() -> LevelTrainer:
    return finish(residual_trainer())


def sum_at(residual: Network, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and gradients of the bad level with its residual."""
    pairs = [gradient_reverse(network, points) for network in (bad_level(), residual)]
    return sum(value for value, _ in pairs), sum(gradient for _, gradient in pairs)


def test_residual_makes_a_bad_level_better(corrected: LevelTrainer) -> None:
    points = shapes.surface_points(shapes.sphere(0.8), 2000, seed=7).astype(np.float32)
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)

    def degrees(gradients: np.ndarray) -> float:
        cosines = (gradients * normals).sum(1) / np.linalg.norm(gradients, axis=1)
        return float(np.degrees(np.arccos(cosines.clip(-1.0, 1.0))).mean())

    (before, slopes_before), (after, slopes_after) = (
        gradient_reverse(bad_level(), points),
        sum_at(corrected.best, points),
    )
    assert degrees(slopes_after) < 0.5 * degrees(slopes_before)
    assert np.abs(after).mean() < 0.3 * np.abs(before).mean()


def test_residual_is_measured_with_the_levels_before(corrected: LevelTrainer) -> None:
    points, normals = corrected.training_set.held_out
    values, gradients = (torch.from_numpy(each) for each in sum_at(corrected.best, points.numpy()))
    wanted = errors_of(values, gradients, normals)
    assert corrected.best_errors.normal_degrees == pytest.approx(wanted.normal_degrees, abs=1e-3)
    assert corrected.best_errors.surface_distance == pytest.approx(wanted.surface_distance, abs=1e-6)


def test_residual_keeps_the_amplitude_that_its_band_was_made_for(corrected: LevelTrainer) -> None:
    amplitude = SMALL.amplitude_margin * corrected.training_set.largest_error
    assert corrected.best.bound == pytest.approx(amplitude, rel=1e-6)
    anywhere = np.random.default_rng(0).uniform(-1.0, 1.0, (5000, 3)).astype(np.float32)
    values = np.abs(evaluate(corrected.best, anywhere))
    assert 0.0 < values.max() <= amplitude * (1.0 + 1e-6)
    # It can put right the largest error there is.
    assert amplitude >= corrected.training_set.largest_error


def test_residual_is_trained_in_a_band_that_holds_the_surface(corrected: LevelTrainer) -> None:
    _, base = corrected.training_set.spread(10**6)
    assert 0.5 * corrected.best.bound < base.abs().max() < 0.3
    assert base.abs().max() >= corrected.training_set.largest_error


@pytest.mark.parametrize("rate", [1e-3, 1.0], ids=["slow", "too fast"])
@pytest.mark.parametrize("steps", [1, 30])
def test_residual_never_makes_a_level_worse(steps: int, rate: float) -> None:
    # Levels that are better already than so short a training, or one that goes wrong, can make them.
    good = shapes.fitted_network(shapes.sphere(0.8), 400)
    config = replace(with_level(steps=steps, matrix_rate=rate), vector_rate=rate, bounding_rate=rate, warm_up_steps=1)
    training_set = TrainingSet(sphere_samples(), config, CPU)
    training_set.add_level(good)
    level = finish(LevelTrainer(config, 1, training_set))
    points, normals = training_set.held_out
    assert level.best_errors.score <= errors_of(*training_set.held_out_base, normals).score
    # What is kept is what was measured.
    found = measure(level.best.like(points), points, normals, training_set.held_out_base)
    assert found.score == pytest.approx(level.best_errors.score, abs=1e-6)


def test_independent_levels_are_whole_distances() -> None:
    config = replace(with_level(steps=120), kind="independent")
    level = finish(LevelTrainer(config, 1, TrainingSet(sphere_samples(), config, CPU)))
    assert not level.is_residual
    assert level.best.bound is None
    assert level.best.widths == config.levels[1].widths
    points = shapes.surface_points(shapes.sphere(0.8), 1000, seed=3).astype(np.float32)
    assert np.abs(evaluate(level.best, points)).mean() < 0.02
    anywhere = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 3)).astype(np.float32)
    assert np.abs(evaluate(level.best, anywhere) - shapes.sphere(0.8)(anywhere)).mean() < 0.1


def test_threads_change_a_training_by_roundings_only() -> None:
    config = with_level(steps=20, batch=4096)
    first, *_ = trainer(config).run()
    other, *_ = trainer(replace(config, threads=2)).run()
    assert other.loss == pytest.approx(first.loss, rel=1e-5)
