# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a level in training: shown when they help, inside bands that hold them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import shapes
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import nsdf
from kernels.nesting import BandConfig, nesting_violations
from kernels.networks import Network, evaluate
from kernels.sampling import Samples, SamplingConfig, sample
from kernels.sequence import Band, NestedSequence
from kernels.snapshots import LevelSnapshots, Snapshot, mean_offset, with_snapshot
from kernels.training import Errors, LevelTrainer, measure
from kernels.training_config import LevelConfig, TrainingConfig

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CPU = torch.device("cpu")
TINY = TrainingConfig(
    levels=(LevelConfig((24, 24), 8.0, 200, 1e6, 0.05), LevelConfig((32, 32), 10.0, 300, 1e6, 0.05)),
    batch=512,
    vector_rate=5e-3,
)
BANDS = BandConfig(samples=4000)


@cache
def sphere_samples() -> Samples:
    return sample(shapes.sphere_mesh(4, radius=0.6), SamplingConfig(8000, 4000, 2000))


def shown_by(network: Network, before: Network | None) -> Snapshot | None:
    """The snapshot of a training whose network is, at the moment, `network`."""
    points = torch.from_numpy(shapes.surface_points(shapes.sphere(), 600).astype(np.float32))
    held_out = points, torch.nn.functional.normalize(points, dim=1)
    trainer = SimpleNamespace(held_out=held_out, averaged=lambda: network.like(points))
    return LevelSnapshots(trainer, before).take()


def fitted(width: int, distance: shapes.Distance | None = None) -> Network:
    return shapes.fitted_network(distance or shapes.sphere(), width)


def moved_by(network: Network, offset: float) -> Network:
    return replace(network, biases=(*network.biases[:-1], network.biases[-1] + np.float32(offset)))


def test_first_level_is_shown_as_soon_as_it_has_a_shape() -> None:
    assert shown_by(fitted(200), None).errors.normal_degrees < 2.0
    noise = np.random.default_rng(0)
    shapeless = Network(
        (noise.normal(0, 30, (8, 3)).astype(np.float32), noise.normal(0, 1, (1, 8)).astype(np.float32)),
        (np.zeros(8, np.float32), np.zeros(1, np.float32)),
    )
    assert shown_by(shapeless, None) is None


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_network_that_diverged_is_not_shown(damage: float) -> None:
    broken = fitted(64)
    broken = replace(broken, weights=(broken.weights[0], broken.weights[1] * np.float32(damage)))
    assert shown_by(broken, None) is None
    assert shown_by(broken, fitted(64)) is None


def test_later_level_is_shown_only_when_it_is_better_than_the_one_before() -> None:
    coarse, fine = fitted(40), fitted(300)
    assert shown_by(fine, coarse) is not None
    assert shown_by(coarse, fine) is None


def test_constant_offset_is_taken_out_of_what_is_shown() -> None:
    # In the middle of a training the values wander, and normals do not care.
    snapshot = shown_by(moved_by(fitted(300), 0.1), fitted(40))
    points = shapes.surface_points(shapes.sphere(), 500, seed=3).astype(np.float32)
    assert abs(evaluate(snapshot.network, points).mean()) < 1e-3
    assert snapshot.errors.surface_distance < 0.005


def test_first_level_that_starts_again_is_not_shown_while_it_is_much_worse() -> None:
    trainer = LevelTrainer(TINY, 0, sphere_samples(), CPU)
    snapshots = LevelSnapshots(trainer, None)
    for _ in trainer.run():
        pass
    assert snapshots.take() is not None
    trainer._start(8.0)
    assert snapshots.take() is None


def test_training_is_shown_better_than_its_network_is() -> None:
    trainer = LevelTrainer(TINY, 0, sphere_samples(), CPU)
    snapshots = LevelSnapshots(trainer, None)
    gains = []
    for progress in trainer.run():
        if progress.step in (60, 80, 100, 120):
            shown = snapshots.take()
            gains.append(measure(trainer.network, *trainer.held_out).score / shown.errors.score)
    assert np.mean(gains) > 1.1


def test_looking_does_not_change_the_training() -> None:
    def losses(look: bool) -> list[float]:
        trainer = LevelTrainer(replace(TINY, levels=(replace(TINY.levels[0], steps=25),)), 0, sphere_samples(), CPU)
        snapshots = LevelSnapshots(trainer, None)
        return [progress.loss for progress in trainer.run() if not look or snapshots.take() or True]

    assert losses(look=True) == losses(look=False)


def test_average_is_taken_up_by_a_resumed_training() -> None:
    first = LevelTrainer(TINY, 0, sphere_samples(), CPU)
    for progress in first.run():
        if progress.step == 40:
            break
    second = LevelTrainer(TINY, 0, sphere_samples(), CPU)
    second.restore(first.state())
    for shown, parameter in zip(second.averaged().weights, second.network.weights, strict=True):
        assert torch.equal(shown, parameter)


@settings(max_examples=12, deadline=None)
@given(offset=st.floats(-0.05, 0.05), seed=st.integers(0, 5), coarse_width=st.sampled_from([40, 80, 160]))
def test_bands_hold_the_finest_level(offset: float, seed: int, coarse_width: int) -> None:
    # The level before stands off by some constant; its band must hold the surface nevertheless.
    before = moved_by(fitted(coarse_width), offset)
    snapshot = shown_by(shapes.fitted_network(shapes.sphere(), 300, seed=seed), before)
    if snapshot is None:
        return
    sequence = with_snapshot(NestedSequence((before,), ()), snapshot, BANDS)
    (violations,) = nesting_violations(sequence, samples=2000)
    assert violations < 0.01
    nsdf.loads(nsdf.dumps(sequence))


def test_earlier_bands_are_widened_for_the_new_one() -> None:
    coarse, middle = fitted(40), moved_by(fitted(160), 0.03)
    reached = float(np.abs(evaluate(coarse, shapes.surface_points(shapes.sphere(), 4000).astype(np.float32))).max())
    finished = NestedSequence((coarse, middle), (Band(reached + 0.04, "sampled"),))
    sequence = with_snapshot(finished, shown_by(fitted(300), middle), BANDS)
    assert len(sequence.bands) == 2
    assert max(nesting_violations(sequence, samples=4000)) < 0.01


def test_first_level_alone_needs_no_band() -> None:
    snapshot = Snapshot(fitted(40), Errors(1.0, 0.01, 1.0), 0.0)
    sequence = with_snapshot(None, snapshot, BANDS)
    assert (sequence.networks, sequence.bands) == ((snapshot.network,), ())


@pytest.mark.parametrize("offset", [0.0, 0.02, 0.1])
def test_offset_of_a_proxy_is_measured_in_network_units(offset: float) -> None:
    sequence = replace(shapes.sphere_sequence(), center=(5.0, 0.0, 0.0), radius=10.0)
    outward = shapes.surface_points(shapes.sphere(1.0), 3000)
    local = np.array([5.0, 0.0, 0.0]) + 10.0 * (0.6 + offset) * outward
    assert mean_offset(sequence, local) == pytest.approx(offset, abs=2e-3)
