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
from kernels.networks import Network, bounded_residual, evaluate, gradient_reverse
from kernels.sampling import Samples, sample
from kernels.sequence import Band, NestedSequence
from kernels.snapshots import LevelSnapshots, Snapshot, mean_offset, with_snapshot
from kernels.training import Errors, LevelTrainer, measure
from kernels.training_config import LevelConfig, LossWeights, SamplingConfig, TrainingConfig
from kernels.training_set import TrainingSet

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CPU = torch.device("cpu")
TINY = TrainingConfig(
    levels=(LevelConfig((32, 32), 8.0, 160, 1e6, 0.1, 512), LevelConfig((32, 32), 10.0, 160, 1e6, 0.05, 512)),
    volume_share=0.25,
    vector_rate=1e-2,
    warm_up_steps=10,
    weights=LossWeights(
        surface_distance=300.0, volume_distance=30.0, normal=5.0, surface_eikonal=5.0, volume_eikonal=2.0
    ),
)
BANDS = BandConfig(samples=4000)


@cache
def sphere_samples() -> Samples:
    return sample(shapes.sphere_mesh(4, radius=0.6), SamplingConfig(8000, 4000, 2000))


def new_trainer(config: TrainingConfig = TINY) -> LevelTrainer:
    """The trainer of a first level."""
    return LevelTrainer(config, 0, TrainingSet(sphere_samples(), config, CPU))


def shown_by(network: Network, before: Network | None, base: Network | None = None) -> Snapshot | None:
    """The snapshot of a training whose network is, at the moment, `network`: a residual where there is a `base`."""
    points = torch.from_numpy(shapes.surface_points(shapes.sphere(), 600).astype(np.float32))
    anywhere = np.random.default_rng(0).uniform(-1.0, 1.0, (2000, 3)).astype(np.float32)
    distances = shapes.sphere()(anywhere)
    clear = np.abs(distances) > 0.05
    training_set = SimpleNamespace(
        held_out=(points, torch.nn.functional.normalize(points, dim=1)),
        held_out_base=None if base is None else gradient_reverse(base.like(points), points),
        signs=lambda count: (torch.from_numpy(anywhere[clear][:count]), torch.from_numpy(distances[clear][:count] < 0)),
    )
    trainer = SimpleNamespace(training_set=training_set, averaged=lambda: network.like(points))
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


def test_blob_far_from_the_surface_is_not_shown() -> None:
    # A ball in a corner where nothing should be; the sphere itself, at which errors are measured, is as good as ever.
    blob = shapes.sphere(0.32, (0.66, 0.66, 0.66))
    blobs = fitted(400, shapes.union(shapes.sphere(), blob))
    points = shapes.surface_points(shapes.sphere(), 500).astype(np.float32)
    assert abs(evaluate(blobs, points)).mean() < 0.02
    assert shown_by(blobs, None) is None
    assert shown_by(blobs, fitted(40)) is None


def test_constant_offset_is_taken_out_of_what_is_shown() -> None:
    # In the middle of a training the values wander, and normals do not care.
    snapshot = shown_by(moved_by(fitted(300), 0.1), fitted(40))
    points = shapes.surface_points(shapes.sphere(), 500, seed=3).astype(np.float32)
    assert abs(evaluate(snapshot.network, points).mean()) < 1e-3
    assert snapshot.errors.surface_distance < 0.005


def test_first_level_that_starts_again_is_not_shown_while_it_is_much_worse() -> None:
    trainer = new_trainer()
    snapshots = LevelSnapshots(trainer, None)
    for _ in trainer.run():
        pass
    assert snapshots.take() is not None
    trainer._start(8.0)
    assert snapshots.take() is None


def test_training_is_shown_better_than_its_network_is() -> None:
    trainer = new_trainer()
    snapshots = LevelSnapshots(trainer, None)
    gains = []
    for progress in trainer.run():
        # At a bad moment nothing is shown at all.
        if progress.step in range(60, 130, 10) and (shown := snapshots.take()):
            gains.append(measure(trainer.network, *trainer.training_set.held_out).score / shown.errors.score)
    assert len(gains) >= 3
    assert np.mean(gains) > 1.0


def test_looking_does_not_change_the_training() -> None:
    def losses(look: bool) -> list[float]:
        trainer = new_trainer(replace(TINY, levels=(replace(TINY.levels[0], steps=25),)))
        snapshots = LevelSnapshots(trainer, None)
        return [progress.loss for progress in trainer.run() if not look or snapshots.take() or True]

    assert losses(look=True) == losses(look=False)


def test_average_is_taken_up_by_a_resumed_training() -> None:
    first = new_trainer()
    for progress in first.run():
        if progress.step == 40:
            break
    second = new_trainer()
    second.restore(first.state())
    for shown, parameter in zip(second.averaged().weights, second.network.weights, strict=True):
        assert torch.equal(shown, parameter)


def residual_of(amplitude: float) -> Network:
    """A residual that leaves the sphere's surface alone or not, by its amplitude."""
    network = bounded_residual((8,), amplitude, omega=6.0)
    weights = network.weights[0], np.linspace(-1.0, 1.0, 8, dtype=np.float32)[None], network.weights[2]
    return replace(network, weights=weights)


def test_residual_is_shown_when_the_sum_is_better_than_the_levels_before() -> None:
    good, bad = fitted(300), moved_by(fitted(40), 0.05)
    # Nothing learned yet: no better than without it.
    assert shown_by(bounded_residual((8,), 0.1), good, base=good) is None
    assert shown_by(residual_of(0.05), good, base=good) is None
    # What is wrong by a constant, a constant puts right.
    constant = bounded_residual((8,), 0.1)
    constant = replace(constant, biases=(constant.biases[0], np.float32([-np.arcsin(0.5)]), constant.biases[2]))
    snapshot = shown_by(constant, bad, base=bad)
    points = torch.from_numpy(shapes.surface_points(shapes.sphere(), 600).astype(np.float32)[:512])
    base = gradient_reverse(bad.like(points), points)
    expected = measure(constant.like(points), points, torch.nn.functional.normalize(points, dim=1), base)
    assert snapshot.errors.surface_distance == pytest.approx(expected.surface_distance, abs=1e-6)
    # Unlike a whole SDF it is shown as it is, within its amplitude.
    assert snapshot.network.bound == constant.bound
    for shown, trained in zip(snapshot.network.biases, constant.biases, strict=True):
        np.testing.assert_array_equal(shown, trained)


def test_residual_that_diverged_is_not_shown() -> None:
    base = moved_by(fitted(40), 0.05)
    broken = residual_of(0.05)
    broken = replace(broken, weights=(broken.weights[0] * np.float32(np.nan), *broken.weights[1:]))
    assert shown_by(broken, base, base=base) is None


def test_bands_of_residuals_in_training_are_certified() -> None:
    finished = NestedSequence((fitted(40), residual_of(0.03)), (Band(0.03, "certified"),), kind="residual")
    snapshot = Snapshot(residual_of(0.05), Errors(1.0, 0.01, 1.0), 0.0)
    sequence = with_snapshot(finished, snapshot, BANDS, "residual")
    assert sequence.kind == "residual"
    assert [band.evidence for band in sequence.bands] == ["certified", "certified"]
    assert [band.delta for band in sequence.bands] == pytest.approx([0.08, 0.05], rel=1e-3)
    assert nesting_violations(sequence, samples=4000) == [0.0, 0.0]
    nsdf.loads(nsdf.dumps(sequence))


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
