# SPDX-License-Identifier: GPL-3.0-or-later
"""Range analysis: bounds that nothing leaves, checked by samples and closed forms, and how close they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.activations import ACTIVATIONS
from kernels.networks import Network, bounded_residual, evaluate, random_network
from kernels.range_analysis import Enclosures, enclose, enclosures, sum_enclosures


def boxes(count: int, largest: float, inputs: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of all sizes up to `largest`, flat ones among them: centers and half sizes."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-1.0, 1.0, (count, inputs))
    half_sizes = largest * rng.uniform(0.0, 1.0, (count, 1)) ** 3 * rng.uniform(0.0, 1.0, (count, inputs))
    return centers, half_sizes


def inside(centers: np.ndarray, half_sizes: np.ndarray, count: int, seed: int = 1) -> np.ndarray:
    """Symbols of points in every box, the corners among them: (B, N, inputs) from -1 to 1."""
    rng = np.random.default_rng(seed)
    symbols = rng.uniform(-1.0, 1.0, (len(centers), count, centers.shape[1]))
    symbols[:, ::4] = np.sign(symbols[:, ::4])
    return symbols


def values_at(network: Network, centers: np.ndarray, half_sizes: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """The network in float64 at points of boxes: (B, N, inputs) symbols -> (B, N)."""
    points = centers[:, None] + half_sizes[:, None] * symbols
    return evaluate(network.like(points), points.reshape(-1, points.shape[2])).reshape(symbols.shape[:2])


def polynomial_at(found: Enclosures, symbols: np.ndarray) -> np.ndarray:
    """The polynomials of enclosures, written out: (B, N, 3) symbols -> (B, N)."""
    x, y, z = np.moveaxis(symbols, -1, 0)
    products = np.stack([x * x, x * y, x * z, y * y, y * z, z * z], axis=-1)
    second = (products @ found.curvatures[:, :, None])[..., 0]
    return found.values[:, None] + (symbols @ found.slopes[:, :, None])[..., 0] + second


@given(
    widths=st.lists(st.integers(1, 24), min_size=1, max_size=4).map(tuple),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    inputs=st.sampled_from([3, 4]),
    omega=st.floats(0.5, 60.0),
    largest=st.sampled_from([1e-4, 1e-2, 0.1, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_no_value_leaves_its_bounds(
    widths: tuple[int, ...], activation: str, inputs: int, omega: float, largest: float, seed: int
) -> None:
    network = random_network(widths, inputs, activation, seed, omega)
    centers, half_sizes = boxes(40, largest, inputs, seed)
    values = values_at(network, centers, half_sizes, inside(centers, half_sizes, 64))
    lower, upper = enclose([network], centers, half_sizes)
    assert (lower[:, None] <= values).all()
    assert (values <= upper[:, None]).all()


def test_a_million_samples_of_a_network_of_our_sizes() -> None:
    network = random_network((128, 128, 128), omega=30.0, seed=3)
    centers, half_sizes = boxes(2000, 0.05)
    symbols = inside(centers, half_sizes, 500)
    values = values_at(network, centers, half_sizes, symbols)
    found = enclosures(network, centers, half_sizes)
    lower, upper = found.bounds()
    assert (lower[:, None] <= values).all()
    assert (values <= upper[:, None]).all()
    # The polynomials themselves are as close as they say.
    assert (np.abs(values - polynomial_at(found, symbols)) <= found.errors[:, None] + 1e-12).all()


def test_single_points_are_known_but_for_rounding() -> None:
    network = random_network((64, 64), omega=20.0)
    centers, _ = boxes(500, 0.0)
    lower, upper = enclose([network], centers, np.zeros_like(centers))
    assert (upper - lower).max() < 1e-3
    values = evaluate(network.like(centers), centers)
    assert (lower <= values).all()
    assert (values <= upper).all()


def test_one_sine_in_closed_form() -> None:
    # f = 2 sin(3 x) + 0.5 over x from 0.2 to 0.4: from 2 sin(0.6) + 0.5 to 2 sin(1.2) + 0.5.
    weights = np.array([[3.0, 0.0, 0.0]], np.float32), np.array([[2.0]], np.float32)
    network = Network(weights, (np.zeros(1, np.float32), np.full(1, 0.5, np.float32)))
    lower, upper = enclose([network], np.array([[0.3, 0.0, 0.0]]), np.array([[0.1, 1.0, 1.0]]))
    assert 2.0 * np.sin(0.6) + 0.5 - 0.02 <= lower[0] <= 2.0 * np.sin(0.6) + 0.5
    assert 2.0 * np.sin(1.2) + 0.5 <= upper[0] <= 2.0 * np.sin(1.2) + 0.5 + 0.02
    # Over the whole axis it is what a sine can be.
    lower, upper = enclose([network], np.zeros((1, 3)), np.full((1, 3), 10.0))
    assert (lower[0], upper[0]) == pytest.approx((-1.5, 2.5), abs=1e-4)


def test_a_linear_network_is_exact() -> None:
    network = Network((np.array([[0.5, -1.0, 2.0]], np.float32),), (np.array([0.25], np.float32),))
    centers, half_sizes = boxes(200, 0.5)
    middle = centers @ [0.5, -1.0, 2.0] + 0.25
    reach = half_sizes @ [0.5, 1.0, 2.0]
    lower, upper = enclose([replace(network, activation="relu")], centers, half_sizes)
    np.testing.assert_allclose(lower, middle - reach, atol=2e-5)
    np.testing.assert_allclose(upper, middle + reach, atol=2e-5)


def test_errors_fall_with_the_third_power_of_the_box() -> None:
    network = random_network((64, 64), omega=20.0)
    centers, _ = boxes(300, 0.0)
    coarse, fine = (enclosures(network, centers, np.full_like(centers, half)).errors for half in (0.02, 0.01))
    # Two for the first power, four for affine arithmetic's second, eight for the third.
    assert np.median(coarse / fine) > 6.0


def test_bounds_of_a_sphere_are_close() -> None:
    network = shapes.fitted_network(shapes.sphere(), 256)
    centers, _ = boxes(500, 0.0)
    half_sizes = np.full_like(centers, 0.02)
    values = values_at(network, centers, half_sizes, inside(centers, half_sizes, 400))
    lower, upper = enclose([network], centers, half_sizes)
    width = values.max(1) - values.min(1)
    assert np.median((upper - lower) / width) < 1.5


def test_what_two_networks_share_cancels_in_their_difference() -> None:
    network = random_network((64, 64), omega=15.0)
    nudged = Network(network.weights, (*network.biases[:-1], network.biases[-1] + np.float32(0.125)), "sine")
    centers, half_sizes = boxes(500, 0.03)
    first, second = (enclosures(each, centers, half_sizes) for each in (nudged, network))
    difference = first - second
    # Of each only the error is left, on both sides.
    lower, upper = difference.bounds()
    assert (lower <= 0.125).all()
    assert (upper >= 0.125).all()
    np.testing.assert_allclose(upper - lower, 4.0 * first.errors, atol=1e-4)
    alone = first.bounds()
    assert (upper - lower).mean() < 0.2 * (alone[1] - alone[0]).mean()


@given(seed=st.integers(0, 1000), largest=st.sampled_from([1e-3, 0.03, 0.3]))
@settings(max_examples=20, deadline=None)
def test_sums_and_differences_hold_theirs(seed: int, largest: float) -> None:
    networks = [random_network((12, 12), seed=seed + i, omega=8.0) for i in range(2)]
    centers, half_sizes = boxes(50, largest, seed=seed)
    symbols = inside(centers, half_sizes, 64)
    first, second = (values_at(network, centers, half_sizes, symbols) for network in networks)
    found = [enclosures(network, centers, half_sizes) for network in networks]
    for result, values in (
        (sum_enclosures(networks, centers, half_sizes), first + second),
        (found[0] - found[1], first - second),
    ):
        lower, upper = result.bounds()
        assert (lower[:, None] <= values).all()
        assert (values <= upper[:, None]).all()
        assert (np.abs(values) <= result.largest()[:, None]).all()


def test_a_bounded_residual_is_bounded_over_any_box() -> None:
    network = bounded_residual((32, 32), amplitude=0.03, omega=30.0)
    rng = np.random.default_rng(0)
    unit = rng.normal(0.0, 2.0, network.weights[-2].shape).astype(np.float32)
    network = replace(network, weights=(*network.weights[:-2], unit, network.weights[-1]))
    lower, upper = enclose([network], np.zeros((1, 3)), np.ones((1, 3)))
    assert (lower[0], upper[0]) == pytest.approx((-0.03, 0.03), rel=1e-4)


@given(
    values=st.lists(st.floats(-1.0, 1.0), min_size=9, max_size=9), error=st.floats(0.0, 0.1), seed=st.integers(0, 100)
)
@settings(deadline=None)
def test_bounds_of_a_polynomial_are_reached_where_axes_are_apart(values: list[float], error: float, seed: int) -> None:
    slopes, own, mixed = np.split(np.array(values), 3)
    curvatures = np.array([own[0], mixed[0], mixed[1], own[1], mixed[2], own[2]])
    found = Enclosures(np.zeros(1), slopes[None], curvatures[None], np.full(1, error))
    lower, upper = found.bounds()
    reached = polynomial_at(found, np.random.default_rng(seed).uniform(-1.0, 1.0, (1, 500, 3)))
    assert lower[0] <= reached.min() - error
    assert reached.max() + error <= upper[0]
    # Without products of two axes every axis has its extremes independently: they are known in full.
    steps = np.linspace(-1.0, 1.0, 2001)[:, None]
    along = slopes * steps + own * steps**2
    apart = replace(found, curvatures=curvatures[None] * [1, 0, 0, 1, 0, 1])
    lower, upper = apart.bounds()
    assert lower[0] == pytest.approx(along.min(0).sum() - error, abs=1e-4)
    assert upper[0] == pytest.approx(along.max(0).sum() + error, abs=1e-4)


@pytest.mark.parametrize("activation", ["sine", "relu"])
@pytest.mark.parametrize("weight", [1e20, 1e30, 3e38])
def test_weights_that_leave_float32_are_no_proof_of_anything(activation: str, weight: float) -> None:
    network = random_network((16, 16), activation=activation)
    middle = np.full_like(network.weights[1], weight) * np.sign(network.weights[1])
    network = replace(network, weights=(network.weights[0], middle, network.weights[2]))
    centers, half_sizes = boxes(50, 0.5)
    symbols = inside(centers, half_sizes, 64)
    values = values_at(network, centers, half_sizes, symbols)
    found = enclosures(network, centers, half_sizes)
    for result in (found, found - enclosures(random_network((8,)), centers, half_sizes)):
        lower, upper = result.bounds()
        assert not np.isnan(lower).any()
        assert not np.isnan(upper).any()
    lower, upper = found.bounds()
    assert (lower[:, None] <= values).all()
    assert (values <= upper[:, None]).all()


def test_no_boxes() -> None:
    lower, upper = enclose([random_network((8,))], np.empty((0, 3)), np.empty((0, 3)))
    assert lower.shape == upper.shape == (0,)
