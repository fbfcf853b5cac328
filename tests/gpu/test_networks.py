# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks evaluated by work groups against the same networks in numpy, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.activations import ACTIVATIONS
from kernels.networks import Network, random_network
from kernels.sequence import Band, NestedSequence

Module = Callable[[str], ModuleType]
Evaluate = Callable[..., tuple[np.ndarray, np.ndarray]]

# A work group takes the points of one row of `inputs`.
MAIN = """
void main()
{
  int count = int(parameters.values[0].x);
  int first = int(parameters.values[0].y), last = int(parameters.values[0].z);
  int row = int(gl_WorkGroupID.x);
  for (int i = invocation(); i < count; i += THREADS) {
    points[i] = vec4(texelFetch(inputs, ivec2(i, row), 0).xyz, 0.0);
  }
  add_values(first, last, count);
  set_gradients(first, last, count);
  for (int i = invocation(); i < count; i += THREADS) {
    imageStore(result, ivec2(i, row), vec4(gradients[i].xyz, points[i].w));
  }
}
"""


@pytest.fixture(scope="session")
def evaluate(device: Any, addon_module: Module) -> Evaluate:
    """A function from a sequence, (rows, count, 3) points and a level to values and gradients of that level."""
    networks, sources = addon_module("kernels.gpu.networks"), addon_module("kernels.gpu.sources")
    module = addon_module("kernels.gpu.device")

    def run(
        sequence: NestedSequence, points: np.ndarray, level: int, tile_texels: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        packed = networks.pack(sequence, tile_texels or networks.SOFTWARE_TILE_TEXELS)
        first, last = networks.summed_networks(sequence, level)
        rows, count = points.shape[:2]
        head = np.array([[count, first, last, 0.0]])
        parameters = networks.padded(np.concatenate([head, packed.table(1)]))
        source = sources.join("network", constants=packed.constants(1, gradient=True)) + MAIN
        shader = module.ComputeShader(
            "networks", source, (networks.THREADS, 1), ("weights", "inputs"), ("result",), (), len(parameters)
        )
        inputs = device.texture(np.pad(points, [(0, 0), (0, 0), (0, 1)]).astype(np.float32))
        result = device.empty_texture(count, rows)
        weights = device.texture(packed.pixels)
        device.dispatch(shader, (rows, 1), {"weights": weights, "inputs": inputs}, {"result": result}, parameters)
        found = device.read(result)
        return found[..., 3], found[..., :3]

    return run


def check(
    evaluate: Evaluate, sequence: NestedSequence, level: int, rows: int = 1, count: int = 40, tile_texels: int = 0
) -> None:
    """The GPU agrees with numpy in double precision, as closely as single precision allows."""
    points = np.random.default_rng(3).uniform(-1.0, 1.0, (rows, count, 3)).astype(np.float32)
    values, gradients = evaluate(sequence, points, level, tile_texels)
    exact = sequence.like(np.zeros(1))
    expected, slopes = exact.distance_and_gradient(level, points.reshape(-1, 3).astype(np.float64))
    scale = np.linalg.norm(slopes, axis=1).mean() + np.abs(expected).mean()
    np.testing.assert_allclose(values.reshape(-1), expected, atol=2e-5 * scale)
    np.testing.assert_allclose(gradients.reshape(-1, 3), slopes, atol=1e-4 * scale)


def single(widths: tuple[int, ...], activation: str = "sine", omega: float = 1.0, seed: int = 0) -> NestedSequence:
    """A sequence of one untrained network."""
    return NestedSequence((random_network(widths, activation=activation, seed=seed, omega=omega),), ())


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(evaluate: Evaluate, activation: str) -> None:
    check(evaluate, single((32, 48, 32), activation), 0)


@pytest.mark.parametrize("widths", [(64, 64), (128, 128, 128), (256, 256, 256, 256), (192, 192), (400, 512)])
def test_widths(evaluate: Evaluate, widths: tuple[int, ...]) -> None:
    check(evaluate, single(widths), 0, rows=2, count=70)


def test_tiles_of_hardware(evaluate: Evaluate, addon_module: Module) -> None:
    sequence = single((128, 64, 68))
    check(evaluate, sequence, 0, rows=2, count=70, tile_texels=addon_module("kernels.gpu.networks").TILE_TEXELS)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 140), min_size=1, max_size=5), st.integers(1, 128), st.integers(0, 9))
def test_any_widths_and_counts(evaluate: Evaluate, widths: list[int], count: int, seed: int) -> None:
    check(evaluate, single(tuple(widths), seed=seed), 0, count=count)


def bounded(widths: tuple[int, ...], bound: float, activation: str = "sine", seed: int = 0) -> Network:
    """A network whose last hidden layer is a single unit, so that its values lie within `bound`, and an offset."""
    network = random_network((*widths, 1), activation=activation, seed=seed, omega=3.0)
    last = np.full((1, 1), bound, np.float32), np.full(1, 0.25 * bound, np.float32)
    return Network((*network.weights[:-1], last[0]), (*network.biases[:-1], last[1]), activation)


@pytest.mark.parametrize("widths", [(64, 64), (128, 128, 128), (192, 192, 192), (31,), (260, 300)])
def test_single_units_that_bound_a_network(evaluate: Evaluate, widths: tuple[int, ...]) -> None:
    check(evaluate, NestedSequence((bounded(widths, 0.7),), ()), 0, rows=2, count=70)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_single_units_of_any_activation(evaluate: Evaluate, activation: str) -> None:
    check(evaluate, NestedSequence((bounded((32, 48), 0.7, activation),), ()), 0)


def test_bounded_residuals_in_a_sequence(evaluate: Evaluate, addon_module: Module) -> None:
    networks = (random_network((32, 32)), bounded((64, 64), 0.1, seed=1), bounded((96, 96), 0.02, seed=2))
    sequence = NestedSequence(networks, (Band(0.1), Band(0.02)), kind="residual")
    for level in range(3):
        check(evaluate, sequence, level)
    check(evaluate, sequence, 2, tile_texels=addon_module("kernels.gpu.networks").TILE_TEXELS)


def test_single_units_cost_no_layer(addon_module: Module) -> None:
    networks = addon_module("kernels.gpu.networks")
    plain = networks.pack(NestedSequence((random_network((128, 128)),), ()))
    with_unit = networks.pack(NestedSequence((bounded((128, 128), 0.1),), ()))
    np.testing.assert_array_equal(plain.layers[:, 3], with_unit.layers[:, 3])
    np.testing.assert_array_equal(plain.loop_iterations(0, 0), with_unit.loop_iterations(0, 0))


def test_large_arguments(evaluate: Evaluate) -> None:
    # omega is folded into the weights: the first layer's sines see some hundreds of radians.
    network = random_network((64, 64), omega=30.0, seed=2)
    weights = (network.weights[0] * 10.0, *network.weights[1:])
    check(evaluate, NestedSequence((Network(weights, network.biases),), ()), 0)


def test_levels_of_independent_and_residual_sequences(evaluate: Evaluate) -> None:
    networks = (random_network((32, 32)), random_network((64,), activation="tanh"), random_network((96, 96)))
    for kind in ("independent", "residual"):
        sequence = NestedSequence(networks, (Band(0.1), Band(0.1)), kind=kind)
        for level in range(3):
            check(evaluate, sequence, level)


def test_unsupported_networks_are_refused(addon_module: Module) -> None:
    networks, error = addon_module("kernels.gpu.networks"), addon_module("kernels.gpu.device").UnsupportedNetworkError
    with pytest.raises(error, match="516 wide is wider than supported on the GPU .512."):
        networks.pack(single((516,)))
    with pytest.raises(error, match="three inputs"):
        networks.pack(NestedSequence((random_network((8,), inputs=4),), ()))
    with pytest.raises(error, match="deeper"):
        networks.pack(single((4,) * 17)).constants(0, gradient=True)


def test_shared_memory_is_enough_for_any_width(addon_module: Module) -> None:
    networks = addon_module("kernels.gpu.networks")
    for width in range(1, networks.WIDEST + 1):
        weights = (np.zeros((width, 3), np.float32), np.zeros((1, width), np.float32))
        network = Network(weights, (np.zeros(width, np.float32), np.zeros(1, np.float32)))
        for texels in (networks.SOFTWARE_TILE_TEXELS, networks.TILE_TEXELS):
            packed = networks.pack(NestedSequence((network,), ()), texels)
            # Of the 32 KiB that every driver has, the rays of a work group need 11.6.
            assert packed.activation_texels * 16 <= 32768 - 11800, width
