# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and gradients of networks against torch's autograd, on numpy arrays and on tensors."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import networks, nsdf
from kernels.activations import ACTIVATIONS
from kernels.networks import (
    Network,
    bounded_residual,
    evaluate,
    gradient_forward,
    gradient_reverse,
    random_network,
)
from kernels.sequence import Band, NestedSequence

Gradient = Callable[[Network, networks.Array], tuple[networks.Array, networks.Array]]
MODES = pytest.mark.parametrize("gradient", [gradient_forward, gradient_reverse], ids=["forward", "reverse"])
TORCH_ACTIVATIONS = {
    "sine": torch.sin,
    "relu": torch.relu,
    "elu": torch.nn.functional.elu,
    "tanh": torch.tanh,
    "softplus": torch.nn.functional.softplus,
}


def autograd(network: Network, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and gradients as torch's own layers and autograd find them."""
    points = points.clone().requires_grad_()
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = TORCH_ACTIVATIONS[network.activation](torch.nn.functional.linear(h, weight, bias))
    values = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])[:, 0]
    return values.detach(), torch.autograd.grad(values.sum(), points)[0]


def points_in_cube(count: int, inputs: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (count, inputs)).astype(np.float32)


@MODES
@pytest.mark.parametrize("widths", [(64, 64), (128, 128, 128), (256, 256, 256, 256)], ids=["64x1", "128x2", "256x3"])
def test_gradients_are_those_of_autograd(gradient: Gradient, widths: tuple[int, ...]) -> None:
    points = torch.from_numpy(points_in_cube(3000))
    network = random_network(widths, omega=25.0).like(points)
    values, gradients = gradient(network, points)
    expected_values, expected_gradients = autograd(network, points)
    assert (values - expected_values).abs().max() < 1e-5 * max(1.0, float(expected_values.abs().max()))
    assert (gradients - expected_gradients).abs().max() < 1e-5 * expected_gradients.abs().max()


@MODES
@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    inputs=st.sampled_from([3, 4]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    seed=st.integers(0, 1000),
)
def test_any_network_in_double_precision(
    gradient: Gradient, widths: list[int], inputs: int, activation: str, seed: int
) -> None:
    points = torch.from_numpy(points_in_cube(20, inputs, seed)).double()
    network = random_network(tuple(widths), inputs, activation, seed, omega=3.0).like(points)
    values, gradients = gradient(network, points)
    expected_values, expected_gradients = autograd(network, points)
    torch.testing.assert_close(values, expected_values, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-10, atol=1e-10)
    assert torch.equal(evaluate(network, points), values)


@MODES
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_numpy_and_torch_agree(gradient: Gradient, activation: str) -> None:
    points = points_in_cube(1000).astype(np.float64)
    network = random_network((32, 48), activation=activation, omega=5.0).like(points)
    values, gradients = gradient(network, points)
    tensor = torch.from_numpy(points)
    torch_values, torch_gradients = gradient(network.like(tensor), tensor)
    np.testing.assert_allclose(torch_values.numpy(), values, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(torch_gradients.numpy(), gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("widths", [(), (24,), (40, 8, 16)])
def test_numpy_in_one_memory_agrees_with_plain_layers(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "FLOATS_PER_BATCH", 100 * max(widths, default=1))
    network = random_network(widths, omega=8.0)
    # Coordinates in columns, as a tracer may hold them, and points of higher precision than the weights.
    points = np.asfortranarray(points_in_cube(277).astype(np.float64))
    tensor = torch.from_numpy(points)
    expected_values, expected_gradients = autograd(network.like(tensor), tensor)
    values, gradients = gradient_reverse(network, points)
    np.testing.assert_allclose(evaluate(network, points), expected_values, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(values, expected_values, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients, expected_gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 777])
def test_batches_do_not_change_results(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_in_cube(count).astype(np.float64)
    network = random_network((16, 16), omega=10.0).like(points)
    whole = [evaluate(network, points), *gradient_forward(network, points), *gradient_reverse(network, points)]
    monkeypatch.setattr(networks, "FLOATS_PER_BATCH", 1)
    parts = [evaluate(network, points), *gradient_forward(network, points), *gradient_reverse(network, points)]
    for one, other in zip(whole, parts, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_memory_is_bounded_for_a_million_points() -> None:
    points = points_in_cube(1_000_000)
    network = random_network((64, 64))
    tracemalloc.start()
    try:
        gradient_reverse(network, points)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One hidden layer of all points at once would be 256 MB. The results, joined from their parts, are 32 MB.
    assert peak < 60e6


def test_gradients_can_be_differentiated_by_torch() -> None:
    # What training needs: d (sum of squared gradients) / d weights, against finite differences.
    points = torch.from_numpy(points_in_cube(10)).double()
    network = random_network((8, 8), omega=3.0).like(points)
    weight = network.weights[1].clone().requires_grad_()

    def energy(weight: torch.Tensor) -> torch.Tensor:
        weights = (network.weights[0], weight, network.weights[2])
        return (gradient_reverse(Network(weights, network.biases), points)[1] ** 2).sum()

    assert torch.autograd.gradcheck(energy, weight)


def test_layout_of_a_random_network() -> None:
    network = random_network((64, 64), seed=3)
    assert [w.shape for w in network.weights] == [(64, 3), (64, 64), (1, 64)]
    assert [b.shape for b in network.biases] == [(64,), (64,), (1,)]
    assert all(array.dtype == np.float32 for array in network.weights + network.biases)
    assert network.inputs == 3
    assert network.widths == (64, 64)
    assert network.parameter_count == 3 * 64 + 64 + 64 * 64 + 64 + 64 + 1
    again, other = random_network((64, 64), seed=3), random_network((64, 64), seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(network.weights, again.weights, strict=True))
    assert not np.array_equal(network.weights[0], other.weights[0])
    assert random_network((8,), inputs=4).inputs == 4


def test_omega_is_folded_into_all_layers_but_the_last() -> None:
    plain, scaled = random_network((64, 64), omega=1.0), random_network((64, 64), omega=30.0)
    np.testing.assert_allclose(scaled.weights[0], 30.0 * plain.weights[0], rtol=1e-5)
    # Hidden weights are drawn from a range divided by omega, so that activations keep their spread.
    np.testing.assert_allclose(scaled.weights[1], plain.weights[1], rtol=1e-5)
    np.testing.assert_allclose(scaled.biases[1], 30.0 * plain.biases[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("widths", "name"), [((64, 64), "64x1"), ((256,) * 4, "256x3"), ((32,), "32x0"), ((64, 32), "64-32")]
)
def test_names(widths: tuple[int, ...], name: str) -> None:
    assert random_network(widths).name == name


# Bounded residuals.


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.integers(1, 24), min_size=0, max_size=3),
    amplitude=st.floats(-10.0, 10.0, width=32),
    offset=st.floats(-1.0, 1.0, width=32),
    omega=st.floats(0.1, 100.0),
    seed=st.integers(0, 1000),
)
def test_values_stay_within_the_bound(
    widths: list[int], amplitude: float, offset: float, omega: float, seed: int
) -> None:
    network = random_network((*widths, 1), seed=seed, omega=omega)
    network = Network(
        (*network.weights[:-1], np.full((1, 1), amplitude, np.float32)),
        (*network.biases[:-1], np.full(1, offset, np.float32)),
    )
    # Far beyond the cube as well: the bound is that of all of space.
    values = evaluate(network, 10.0 * points_in_cube(500, seed=seed))
    assert network.bound == pytest.approx(abs(amplitude) + abs(offset), rel=1e-6)
    assert np.abs(values).max() <= network.bound * (1.0 + 1e-6)


def test_bound_is_reached() -> None:
    # A bound that nothing comes near would make bands wider than they need to be.
    network = random_network((16, 1), omega=20.0)
    assert np.abs(evaluate(network, points_in_cube(5000))).max() > 0.99 * abs(float(network.weights[-1][0, 0]))


@pytest.mark.parametrize(
    "network",
    [
        random_network((16, 16)),
        random_network((16, 1, 16)),
        random_network((16, 1), activation="softplus"),
        random_network(()),
    ],
    ids=["wide", "narrow before the last", "not periodic", "linear"],
)
def test_others_have_no_bound(network: Network) -> None:
    assert network.bound is None


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(2, 32), min_size=1, max_size=3),
    amplitude=st.floats(1e-4, 1.0),
    seed=st.integers(0, 1000),
    omega=st.floats(0.5, 50.0),
)
def test_new_residual_is_zero_and_can_learn(widths: list[int], amplitude: float, seed: int, omega: float) -> None:
    network = bounded_residual(tuple(widths), amplitude, seed, omega)
    points = points_in_cube(200, seed=seed)
    values, gradients = gradient_reverse(network, points)
    assert not values.any()
    assert not gradients.any()
    assert network.bound == pytest.approx(amplitude, rel=1e-6)
    assert network.widths == (*widths, 1)
    assert network.name == random_network(tuple(widths)).name
    assert all(array.dtype == np.float32 for array in network.weights + network.biases)
    # A step in the direction in which its bounding unit may go makes it something.
    tensor = torch.from_numpy(points)
    trainable = network.like(tensor)
    trainable.weights[-2].requires_grad_()
    evaluate(trainable, tensor).sum().backward()
    assert trainable.weights[-2].grad.abs().max() > 0.0


def test_residuals_differ_by_their_seed_and_omega() -> None:
    first = bounded_residual((16, 16), 0.1, seed=1, omega=5.0)
    again = bounded_residual((16, 16), 0.1, seed=1, omega=5.0)
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    assert not np.array_equal(first.weights[0], bounded_residual((16, 16), 0.1, seed=2, omega=5.0).weights[0])
    slower = bounded_residual((16, 16), 0.1, seed=1, omega=1.0)
    np.testing.assert_allclose(first.weights[0], 5.0 * slower.weights[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("widths", "name"), [((64, 64, 1), "64x1"), ((128, 128, 128, 1), "128x2"), ((64, 32, 1), "64-32"), ((1,), "1x0")]
)
def test_bounding_unit_is_not_in_the_name(widths: tuple[int, ...], name: str) -> None:
    assert random_network(widths).name == name


def test_bound_goes_to_a_file_and_back() -> None:
    residual = bounded_residual((16, 16), 0.05, omega=9.0)
    sequence = NestedSequence((random_network((16, 16)), residual), (Band(0.1),), kind="residual")
    read = nsdf.loads(nsdf.dumps(sequence)).networks[1]
    assert (read.bound, read.name, read.widths) == (residual.bound, "16x1", (16, 16, 1))
    assert residual.like(torch.zeros(1)).bound == residual.bound


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'step'"):
        evaluate(random_network((4,), activation="step"), points_in_cube(2))
