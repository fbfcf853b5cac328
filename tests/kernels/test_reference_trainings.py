# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' reference trainings: their losses worked out by hand, and that they learn a ball.

They are here because they need torch, which is not loaded beside Blender.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from shapes import sphere_mesh

from benchmarks import fidelity
from benchmarks.mplicits_reference import (
    MplicitsConfig,
    MplicitsLevel,
    coarse_loss,
    feature_sizes,
    mplicits_steps,
    residual_loss,
)
from benchmarks.references import SineNetwork, value_and_gradient
from benchmarks.siren_reference import SirenConfig, siren_loss, siren_steps
from kernels.networks import evaluate
from kernels.sampling import Samples, sample
from kernels.training_config import SamplingConfig

pytestmark = pytest.mark.usefixtures("one_torch_thread")

RADIUS = 0.6
SIREN, MPLICITS = SirenConfig(), MplicitsConfig()


@pytest.fixture(scope="module")
def samples() -> Samples:
    config = SamplingConfig(surface_count=6000, near_count=2000, uniform_count=4000)
    return sample(sphere_mesh(4, RADIUS), config)


def test_network_is_the_published_formula() -> None:
    network = SineNetwork((5, 4), 30.0, seed=3)
    parameters = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in network.layers]
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (7, 3)).astype(np.float32)
    h = points.astype(np.float64)
    for weight, bias in parameters[:-1]:
        h = np.sin(30.0 * (h @ weight.T + bias))
    expected = (h @ parameters[-1][0].T + parameters[-1][1])[:, 0]
    np.testing.assert_allclose(network(torch.from_numpy(points)).detach().numpy(), expected, atol=1e-5)
    # Folded, as the product stores it.
    np.testing.assert_allclose(evaluate(network.folded(), points), expected, atol=1e-5)


@pytest.mark.parametrize(("layer", "bound"), [(0, 1 / 3), (1, math.sqrt(6 / 64) / 30), (2, math.sqrt(6 / 64) / 30)])
def test_weights_begin_as_published(layer: int, bound: float) -> None:
    network = SineNetwork((64, 64), 30.0, seed=0)
    weight = network.layers[layer].weight.detach()
    assert float(weight.abs().max()) <= bound
    # Uniform: the standard deviation is the bound over the root of three.
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.2)
    bias = network.layers[layer].bias.detach()
    assert float(bias.abs().max()) <= network.layers[layer].in_features ** -0.5


def test_seed_decides() -> None:
    first, second, other = (SineNetwork((8,), 30.0, seed).layers[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_gradients_of_a_quadratic() -> None:
    points = torch.tensor([[1.0, 2.0, 3.0], [-0.5, 0.0, 0.25]])
    values, gradients = value_and_gradient(lambda p: p.square().sum(1), points)
    torch.testing.assert_close(values, points.square().sum(1))
    torch.testing.assert_close(gradients, 2.0 * points)


# f(p) = 2 z + 0.1: its gradient is (0, 0, 2) everywhere.
def slanted(points: torch.Tensor) -> torch.Tensor:
    return 2.0 * points[:, 2] + 0.1


SURFACE = torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.5, 0.2]])  # f = 0.1, 0.5
UP_AND_ACROSS = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # cosines with the gradient: 1, 0
OTHERS = torch.tensor([[0.1, 0.1, -0.05], [0.0, 0.0, 0.45]])  # f = 0, 1


def test_siren_loss_by_hand() -> None:
    found = siren_loss(slanted, SURFACE, UP_AND_ACROSS, OTHERS, SIREN).detach()
    # Four points: |f| on two, exp(-100 |f|) on two, 1 - cos on two, | |grad| - 1 | = 1 on all.
    expected = (3e3 * 0.6 + 1e2 * (1.0 + math.exp(-100.0)) + 1e2 * (0.0 + 1.0) + 5e1 * 4.0) / 4.0
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_siren_loss_of_the_true_distance_is_what_is_near_the_surface() -> None:
    points = torch.tensor([[RADIUS, 0.0, 0.0], [0.0, -RADIUS, 0.0]])
    far = torch.tensor([[0.0, 0.0, 1.0], [0.9, 0.9, 0.9]])
    found = siren_loss(lambda p: p.norm(dim=1) - RADIUS, points, points / RADIUS, far, SIREN).detach()
    assert float(found) == pytest.approx(0.0, abs=1e-3)


def test_coarse_loss_by_hand() -> None:
    distances = torch.tensor([0.2, 0.4])  # errors -0.2, 0.6
    found = coarse_loss(slanted, SURFACE, UP_AND_ACROSS, OTHERS, distances, MPLICITS).detach()
    expected = 3e3 * (0.01 + 0.25) / 2 + 2e2 * (0.04 + 0.36) / 2 + 1e2 * 0.5 + 5e1 * 1.0
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_residual_loss_by_hand() -> None:
    distances = torch.tensor([0.0, 0.2])  # errors 0.1, 0.3
    found = residual_loss(slanted, SURFACE, UP_AND_ACROSS, distances, OTHERS, MPLICITS).detach()
    expected = 3e3 * (0.01 + 0.09) / 2 + 1e2 * 0.5 + 5e1 * 1.0
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_feature_size_ends_where_the_way_back_is_shorter() -> None:
    # Inwards from a ball, the distance grows up to its middle: exactly the radius.
    mesh = sphere_mesh(4, RADIUS)
    points = mesh.vertices[::40]
    sizes = feature_sizes(mesh, points, -points / RADIUS, 1.0, 5e-3, marches=50)
    assert sizes.min() > RADIUS - 0.06
    assert sizes.max() < RADIUS + 0.06
    # Outwards it grows without end.
    np.testing.assert_allclose(feature_sizes(mesh, points, points / RADIUS, 0.5, 2e-3), 0.5)


def test_siren_learns_a_ball_and_repeats_itself(samples: Samples) -> None:
    config = replace(SIREN, widths=(32, 32), points=200, rate=1e-3)
    states = [list(itertools.islice(siren_steps(samples, config), 60)) for _ in range(2)]
    assert [state.loss for state in states[0]] == [state.loss for state in states[1]]
    assert states[0][-1].loss < 0.5 * states[0][0].loss
    assert [state.step for state in states[0]] == list(range(1, 61))
    seconds = [state.seconds for state in states[0]]
    assert seconds == sorted(seconds)
    sequence = states[0][-1].sequence()
    assert sequence.notation == "32x1"


def test_mplicits_trains_residuals_in_bands(samples: Samples) -> None:
    levels = (MplicitsLevel((24, 24), 30.0, 40, 0.5), MplicitsLevel((32, 32), 45.0, 30, 0.5))
    config = replace(MPLICITS, levels=levels, batch=400, seconds=1e6, rate=1e-3, band_points=1000)
    states = list(mplicits_steps(samples, sphere_mesh(4, RADIUS), config))
    assert [state.step for state in states] == list(range(1, 71))
    coarse, both = states[39].sequence(), states[-1].sequence()
    assert (coarse.kind, both.kind) == ("independent", "residual")
    assert both.notation == "24x1 > 32x1"
    # The band is 1.3 times the largest |f_1| at the surface, where the coarse level stays as it was.
    surface = samples.surface_points[:1000]
    assert both.bands[0].delta == pytest.approx(1.3 * np.abs(both.distance(0, surface)).max(), rel=1e-5)
    for first, second in zip(coarse.networks[0].weights, both.networks[0].weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_mplicits_ends_levels_by_the_clock(samples: Samples) -> None:
    config = replace(MPLICITS, batch=100, seconds=1e-9, band_points=200)
    states = list(mplicits_steps(samples, sphere_mesh(3, RADIUS), config))
    assert len(states) == len(config.levels)


@pytest.mark.parametrize(("third", "steps"), [(False, 5), (True, 3)], ids=["ends before", "goes on"])
def test_a_training_after_some_seconds(samples: Samples, third: bool, steps: int) -> None:
    config = replace(SIREN, widths=(8,), points=20)
    states = list(itertools.islice(siren_steps(samples, config), 5))
    rest = iter(states)
    seconds = states[2].seconds if third else 1e9
    found = fidelity.trained_for(rest, seconds, {"center": (1.0, 2.0, 3.0), "radius": 2.0})
    assert found.training == {"seconds": states[steps - 1].seconds, "steps": steps}
    assert (found.center, found.radius) == ((1.0, 2.0, 3.0), 2.0)
    # Nothing is trained beyond what is asked for.
    assert len(list(rest)) == 5 - steps
