# SPDX-License-Identifier: GPL-3.0-or-later
"""The loss and its derivatives against the same formulas written with torch's functions and autograd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.losses import NORMAL_SOFTENING, LossWeights, Targets, sdf_loss
from kernels.networks import Network, bounded_residual, random_network
from kernels.weight_gradients import WeightGradients

WEIGHTS = LossWeights()
TERMS = [name for name in vars(WEIGHTS) if name != "volume_softening"]
DOUBLE = torch.float64


def targets(on: int = 40, off: int = 20, with_base: bool = False) -> Targets:
    """What is wanted at random points."""
    generator = torch.Generator().manual_seed(1)
    normals = torch.nn.functional.normalize(torch.randn((on, 3), generator=generator, dtype=DOUBLE), dim=1)
    distances = torch.rand(off, generator=generator, dtype=DOUBLE) - 0.4
    if not with_base:
        return Targets(normals, distances)
    base_values = 0.2 * torch.randn(on + off, generator=generator, dtype=DOUBLE)
    return Targets(normals, distances, base_values, torch.randn((on + off, 3), generator=generator, dtype=DOUBLE))


def seen(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Random values and gradients of a network."""
    generator = torch.Generator().manual_seed(0)
    values = 0.3 * torch.randn(count, generator=generator, dtype=DOUBLE)
    return values, torch.randn((count, 3), generator=generator, dtype=DOUBLE)


def expected_loss(values: torch.Tensor, gradients: torch.Tensor, wanted: Targets, weights: LossWeights) -> torch.Tensor:
    """The terms of the loss one by one, for autograd."""
    if wanted.base_values is not None:
        values, gradients = values + wanted.base_values, gradients + wanted.base_gradients
    on = len(wanted.normals)
    off_values, off_gradients = values[on:], gradients[on:]
    cosines = torch.nn.functional.cosine_similarity(gradients[:on], wanted.normals, dim=1)
    angles = (2.0 * (1.0 - cosines) + NORMAL_SOFTENING).sqrt() - NORMAL_SOFTENING**0.5
    relative = (off_values - wanted.distances) / (wanted.distances.abs() + weights.volume_softening)
    return (
        weights.surface_distance * values[:on].pow(2).mean()
        + weights.volume_distance * relative.pow(2).mean()
        + weights.normal * angles.mean()
        + weights.surface_eikonal * (gradients[:on].norm(dim=1) - 1).pow(2).mean()
        + weights.volume_eikonal * (off_gradients.norm(dim=1) - 1).pow(2).mean()
    )


def check(weights: LossWeights, wanted: Targets) -> None:
    """Value and derivatives of the loss are those of autograd."""
    values, gradients = (each.requires_grad_() for each in seen())
    expected = expected_loss(values, gradients, wanted, weights)
    by_values, by_gradients = torch.autograd.grad(expected, (values, gradients), materialize_grads=True)
    found = sdf_loss(values.detach(), gradients.detach(), slice(0, len(values)), wanted, weights)
    torch.testing.assert_close(found, (expected.detach(), by_values, by_gradients), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("with_base", [False, True], ids=["whole", "residual"])
def test_loss_and_derivatives_are_those_of_autograd(with_base: bool) -> None:
    check(WEIGHTS, targets(with_base=with_base))


@pytest.mark.parametrize("term", TERMS)
def test_every_term_has_its_own_weight(term: str) -> None:
    alone = LossWeights(**{name: float(name == term) for name in TERMS})
    check(alone, targets())
    assert sdf_loss(*seen(), slice(0, 60), targets(), alone)[0] > 0.0


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), max_size=5, unique=True), with_base=st.booleans())
def test_parts_add_up_to_the_whole(cuts: list[int], with_base: bool) -> None:
    wanted = targets(with_base=with_base)
    values, gradients = seen()
    whole = sdf_loss(values, gradients, slice(0, 60), wanted, WEIGHTS)
    borders = [0, *sorted(cuts), 60]
    rows = [slice(*pair) for pair in zip(borders, borders[1:], strict=False)]
    losses, by_values, by_gradients = zip(
        *(sdf_loss(values[part], gradients[part], part, wanted, WEIGHTS) for part in rows), strict=True
    )
    torch.testing.assert_close((sum(losses), torch.cat(by_values), torch.cat(by_gradients)), whole)


@pytest.mark.parametrize(("on", "off"), [(60, 0), (0, 60)])
def test_terms_without_points_count_nothing(on: int, off: int) -> None:
    values, gradients = (each.requires_grad_() for each in seen())
    wanted = targets(on, off)
    found = sdf_loss(values.detach(), gradients.detach(), slice(0, 60), wanted, WEIGHTS)
    # A mean of no points is not a number: the formula gets one point of the missing kind that is right in all.
    ideal = torch.tensor([[0.0, 0.0, 1.0]], dtype=DOUBLE)
    if on:
        wanted = replace(wanted, distances=values.new_zeros(1))
        more = torch.cat([values, values.new_zeros(1)]), torch.cat([gradients, ideal])
    else:
        wanted = replace(wanted, normals=ideal)
        more = torch.cat([values.new_zeros(1), values]), torch.cat([ideal, gradients])
    expected = expected_loss(*more, wanted, WEIGHTS)
    truth = torch.autograd.grad(expected, (values, gradients))
    torch.testing.assert_close(found, (expected.detach(), *truth), rtol=1e-9, atol=1e-12)


def test_loss_of_what_is_known_exactly_is_zero() -> None:
    wanted = targets()
    exact = torch.cat([torch.zeros(40, dtype=DOUBLE), wanted.distances])
    slopes = torch.cat([wanted.normals, wanted.normals[:20]])
    loss, by_values, by_gradients = sdf_loss(exact, slopes, slice(0, 60), wanted, WEIGHTS)
    assert loss == pytest.approx(0.0, abs=1e-12)
    assert by_values.abs().max() < 1e-12
    assert by_gradients.abs().max() < 1e-9
    # Normals the wrong way round: a chord of two for each.
    turned = torch.cat([-wanted.normals, wanted.normals[:20]])
    chord = (4.0 + NORMAL_SOFTENING) ** 0.5 - NORMAL_SOFTENING**0.5
    assert sdf_loss(exact, turned, slice(0, 60), wanted, WEIGHTS)[0] == pytest.approx(WEIGHTS.normal * chord)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_gradient_that_vanishes_gives_finite_derivatives(dtype: torch.dtype) -> None:
    wanted = targets() if dtype == DOUBLE else in_float32(targets())
    found = sdf_loss(torch.zeros(60, dtype=dtype), torch.zeros((60, 3), dtype=dtype), slice(0, 60), wanted, WEIGHTS)
    for each in found:
        assert torch.isfinite(each).all()


def in_float32(wanted: Targets) -> Targets:
    """The same targets as a training has them."""
    return Targets(*(None if array is None else array.float() for array in vars(wanted).values()))


def plain(network: Network, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and gradients by torch's own layers, so that autograd can differentiate them a second time."""
    points = points.clone().requires_grad_()
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = torch.sin(torch.nn.functional.linear(h, weight, bias))
    values = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])[:, 0]
    return values, torch.autograd.grad(values.sum(), points, create_graph=True)[0]


def learning(network: Network) -> Network:
    """The same network with a bounding unit, where it has one, that is no longer zero."""
    if network.bound is None:
        return network
    weights, biases = list(network.weights), list(network.biases)
    weights[-2], biases[-2] = random_network((network.widths[-2], 1)).weights[1] * 2.0, biases[-2] + 0.3
    return Network(tuple(weights), tuple(biases))


@pytest.mark.parametrize("residual", [False, True], ids=["whole", "residual"])
def test_gradients_of_weights_are_those_of_double_backward(residual: bool) -> None:
    network = bounded_residual((24, 24), 0.3, omega=4.0) if residual else random_network((24, 24), omega=4.0)
    network = learning(network)
    generator = torch.Generator().manual_seed(2)
    points = torch.rand((600, 3), generator=generator) * 2.0 - 1.0
    wanted = targets(400, 200, residual)
    exact = network.like(points.double())
    parameters = [array.requires_grad_() for array in exact.weights + exact.biases]
    expected = expected_loss(*plain(exact, points.double()), wanted, WEIGHTS)
    truth = torch.autograd.grad(expected, parameters)

    single = in_float32(wanted)
    loss, found = WeightGradients(network.like(points))(
        points, lambda values, gradients, rows: sdf_loss(values, gradients, rows, single, WEIGHTS)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for gradient, exact_gradient in zip(found, truth, strict=True):
        largest = exact_gradient.abs().max().item()
        assert largest > 0.0
        torch.testing.assert_close(gradient.double(), exact_gradient, rtol=0.0, atol=1e-4 * largest)
