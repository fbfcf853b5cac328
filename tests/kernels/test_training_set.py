# SPDX-License-Identifier: GPL-3.0-or-later
"""Minibatches: what is mixed in them, what is kept out of them, and the levels before at their points."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import shapes
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import training_set
from kernels.networks import Network, bounded_residual, random_network
from kernels.sampling import Samples, sample
from kernels.sequence import Band, NestedSequence
from kernels.training_config import LevelConfig, SamplingConfig, TrainingConfig
from kernels.training_set import TrainingSet

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CPU = torch.device("cpu")
CONFIG = TrainingConfig((LevelConfig((8,), 1.0, 1, 1.0),), volume_share=0.4, uniform_share=0.25)
RADIUS = 0.8


@cache
def sphere_samples() -> Samples:
    return sample(shapes.sphere_mesh(5, radius=RADIUS), SamplingConfig(12_000, 6_000, 3_000))


def new_set(**changes: object) -> TrainingSet:
    return TrainingSet(sphere_samples(), replace(CONFIG, **changes), CPU)


@cache
def coarse() -> Network:
    """A coarse level of the sphere."""
    return shapes.fitted_network(shapes.sphere(RADIUS), 64)


def correction(amplitude: float = 0.02) -> Network:
    """A residual that is not zero."""
    network = random_network((16, 1), seed=3, omega=8.0)
    return replace(network, weights=(*network.weights[:-1], np.full((1, 1), amplitude, np.float32)))


def rows_of(points: torch.Tensor, among: np.ndarray) -> np.ndarray:
    """Index among (M, 3) points of each of (N, 3) points."""
    index = {point.tobytes(): row for row, point in enumerate(among)}
    return np.array([index[point.tobytes()] for point in points.numpy()], dtype=int)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_minibatches_mix_what_the_configuration_says() -> None:
    points, targets = new_set().minibatch(1000, rng())
    assert points.shape == (1000, 3)
    assert targets.normals.shape == (600, 3)
    assert targets.distances.shape == (400,)
    assert targets.base_values is None
    assert targets.base_gradients is None
    samples = sphere_samples()
    # Of those off the surface, one in four is uniform in the cube.
    rows = rows_of(points[600:], samples.volume_points)
    assert (rows < samples.near_count).sum() == 300


def test_targets_are_those_of_the_points() -> None:
    points, targets = new_set().minibatch(1000, rng())
    on, off = points[:600].numpy(), points[600:].numpy()
    np.testing.assert_allclose(np.linalg.norm(on, axis=1), RADIUS, atol=2e-3)
    assert ((on / np.linalg.norm(on, axis=1, keepdims=True)) * targets.normals.numpy()).sum(1).min() > 0.99
    np.testing.assert_allclose(targets.distances.numpy(), np.linalg.norm(off, axis=1) - RADIUS, atol=3e-3)


def test_minibatches_are_determined_by_their_seed() -> None:
    first, same, other = (new_set().minibatch(1000, rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("finished", [0, 1])
def test_held_out_points_are_never_trained_on(finished: int) -> None:
    training = new_set()
    for _ in range(finished):
        training.add_level(coarse())
    points, normals = training.held_out
    assert points.shape == normals.shape
    assert 100 < len(points) <= TrainingSet.HELD_OUT
    held_out = {tuple(point) for point in points.tolist()}
    generator, seen = rng(), set()
    for _ in range(100):
        batch, targets = training.minibatch(1000, generator)
        seen.update(map(tuple, batch[: len(targets.normals)].tolist()))
    assert not held_out & seen
    # Nearly all others are.
    assert len(seen) > 0.99 * (len(sphere_samples().surface_points) - len(held_out))


@pytest.mark.parametrize("threads", [1, 2])
def test_base_is_the_sum_of_the_levels_before(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_set, "_PIECE", 1000)
    training = new_set(threads=threads)
    networks: list[Network] = []
    for network in (coarse(), correction(), correction(-0.01)):
        training.add_level(network)
        networks.append(network)
        bands = (Band(1.0),) * (len(networks) - 1)
        sequence = NestedSequence(tuple(networks), bands, kind="residual")
        points, targets = training.minibatch(1000, rng())
        for seen, (values, gradients) in (
            (points, (targets.base_values, targets.base_gradients)),
            (training.held_out[0], training.held_out_base),
        ):
            wanted = sequence.distance_and_gradient(sequence.finest, seen.numpy())
            np.testing.assert_allclose(values.numpy(), wanted[0], atol=1e-5)
            np.testing.assert_allclose(gradients.numpy(), wanted[1], atol=1e-4)
        surface = sequence.distance(sequence.finest, sphere_samples().surface_points)
        assert training.largest_error == pytest.approx(np.abs(surface).max(), abs=1e-5)


def test_new_residual_adds_nothing_to_the_base() -> None:
    training = new_set()
    training.add_level(coarse())
    before = training.held_out_base[0].clone()
    training.add_level(bounded_residual((8, 8), 0.1))
    assert torch.equal(before, training.held_out_base[0])


@settings(max_examples=15, deadline=None)
@given(delta=st.floats(0.005, 0.5), seed=st.integers(0, 100))
def test_residuals_are_trained_in_the_band_only(delta: float, seed: int) -> None:
    training = new_set()
    training.add_level(coarse())
    training.restrict_to_band(delta)
    points, targets = training.minibatch(1000, rng(seed))
    on = len(targets.normals)
    assert (on, len(points)) == (600, 1000)
    assert targets.base_values[on:].abs().max() <= delta
    # Points of the band are those of a plain look at all samples, and whatever of them there is may come.
    distances = NestedSequence((coarse(),), ()).distance(0, sphere_samples().volume_points)
    inside = np.flatnonzero(np.abs(distances) <= delta - 1e-5)
    rows = rows_of(points[on:], sphere_samples().volume_points)
    assert set(rows) <= set(np.flatnonzero(np.abs(distances) <= delta + 1e-5))
    assert len(set(rows)) > 0.5 * min(400, len(inside))
    spread, base = training.spread(500)
    assert base.abs().max() <= delta
    assert len(spread) == len(base) <= 1000


def test_band_without_any_sample_leaves_the_surface() -> None:
    training = new_set()
    training.add_level(coarse())
    training.restrict_to_band(0.0)
    points, targets = training.minibatch(1000, rng())
    assert len(points) == len(targets.normals) == 1000
    assert len(targets.distances) == 0
    assert len(targets.base_values) == len(targets.base_gradients) == 1000
    assert len(training.spread(100)[0]) == 0


def test_band_of_no_level_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no level"):
        new_set().restrict_to_band(0.1)
    with pytest.raises(ValueError, match="no level"):
        _ = new_set().largest_error


@pytest.mark.parametrize("count", [1, 100, 10**6])
def test_signs_are_those_of_points_clearly_off_the_surface(count: int) -> None:
    points, inside = new_set().signs(count)
    assert 0 < len(points) == len(inside) <= count
    distances = np.linalg.norm(points.numpy(), axis=1) - RADIUS
    assert np.abs(distances).min() > 0.045
    np.testing.assert_array_equal(inside.numpy(), distances < 0.0)


def test_samples_are_left_as_they_are() -> None:
    before = {name: np.copy(value) for name, value in sphere_samples().arrays().items()}
    training = new_set()
    training.add_level(coarse())
    training.add_level(correction())
    training.minibatch(1000, rng())
    for name, value in sphere_samples().arrays().items():
        np.testing.assert_array_equal(before[name], value)
