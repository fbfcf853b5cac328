# SPDX-License-Identifier: GPL-3.0-or-later
"""The derivatives written out, for any loss of values and gradients, against autograd differentiating twice."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import weight_gradients
from kernels.networks import Network, random_network
from kernels.weight_gradients import WeightGradients


def points_in_cube(count: int, inputs: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, inputs), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


def some_loss(values: torch.Tensor, gradients: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """A sum over points that depends on every value and every part of every gradient, each in its own way."""
    slopes = torch.arange(1.0, gradients.shape[1] + 1, dtype=gradients.dtype)
    return (torch.sin(2.0 * values) * (1.0 + points[:, 0]) + (gradients * slopes).sum(1) ** 2 + values**2).sum()


def expected(network: Network, points: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The loss and its derivatives in double precision: torch's own layers, differentiated twice."""
    network, points = network.like(points.double()), points.double().requires_grad_()
    parameters = [array.requires_grad_() for array in network.weights + network.biases]
    h = points
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        h = torch.sin(torch.nn.functional.linear(h, weight, bias))
    values = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])[:, 0]
    gradients = torch.autograd.grad(values.sum(), points, create_graph=True)[0]
    loss = some_loss(values, gradients, points.detach())
    return loss.detach(), torch.autograd.grad(loss, parameters, materialize_grads=True)


def found(gradients_of: WeightGradients, points: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The same by WeightGradients; only the point loss itself is left to autograd."""

    def point_loss(
        values: torch.Tensor, gradients: torch.Tensor, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            values, gradients = values.detach().requires_grad_(), gradients.detach().requires_grad_()
            loss = some_loss(values, gradients, points[rows])
            return loss.detach(), *torch.autograd.grad(loss, (values, gradients))

    return gradients_of(points, point_loss)


def check(network: Network, points: torch.Tensor, gradients_of: WeightGradients, tolerance: float) -> None:
    """Every derivative is right to `tolerance` of the largest of its array."""
    loss, gradients = found(gradients_of, points)
    truth, exact = expected(network, points)
    assert loss.item() == pytest.approx(truth.item(), rel=tolerance)
    for gradient, wanted in zip(gradients, exact, strict=True):
        assert gradient.dtype == torch.float32
        assert gradient.shape == wanted.shape
        torch.testing.assert_close(gradient.double(), wanted, rtol=0.0, atol=tolerance * wanted.abs().max().item())


def bounded(widths: tuple[int, ...], omega: float) -> Network:
    """A network whose last hidden layer is one sine, of some amplitude."""
    network = random_network((*widths, 1), omega=omega)
    return replace(network, weights=(*network.weights[:-1], network.weights[-1] * 0.0 + 0.3))


@pytest.mark.parametrize(
    "network",
    [
        random_network((64, 64), omega=8.0),
        random_network((48, 16, 32), omega=8.0),
        random_network((24,), omega=4.0),
        random_network((24, 24), inputs=4, omega=4.0),
        bounded((64, 64, 64), 8.0),
        bounded((16,), 4.0),
    ],
    ids=["64x1", "widths that differ", "one layer", "with time", "bounded", "bounded, one layer"],
)
def test_derivatives_are_those_of_double_backward(network: Network) -> None:
    points = points_in_cube(500, network.inputs)
    gradients_of = WeightGradients(network.like(points))
    check(network, points, gradients_of, 2e-4)
    for gradient in found(gradients_of, points)[1]:
        assert gradient.abs().max() > 0.0


@settings(max_examples=30, deadline=None)
@given(widths=st.lists(st.integers(1, 20), min_size=1, max_size=4), seed=st.integers(0, 1000), count=st.integers(1, 80))
def test_any_network(widths: list[int], seed: int, count: int) -> None:
    network = random_network(tuple(widths), seed=seed, omega=2.0)
    points = points_in_cube(count, seed=seed)
    loss, gradients = found(WeightGradients(network.like(points)), points)
    truth, exact = expected(network, points)
    # What cancels out may be all rounding, so the largest derivative of all sets the scale.
    scale = max(1.0, *(each.abs().max().item() for each in exact))
    assert loss.item() == pytest.approx(truth.item(), rel=1e-4, abs=1e-4)
    for gradient, wanted in zip(gradients, exact, strict=True):
        torch.testing.assert_close(gradient.double(), wanted, rtol=0.0, atol=1e-4 * scale)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 64, 499, 500, 501])
def test_pieces_and_threads_do_not_change_results(threads: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_gradients, "POINTS_PER_PIECE", size)
    points = points_in_cube(500)
    network = bounded((32, 32), 6.0)
    gradients_of = WeightGradients(network.like(points), threads=threads)
    try:
        check(network, points, gradients_of, 2e-4)
        # In the same order of additions, whichever thread was first.
        once, again = (found(gradients_of, points)[1] for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    finally:
        gradients_of.close()


def test_closing_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_gradients, "POINTS_PER_PIECE", 10)
    before = set(threading.enumerate())
    gradients_of = WeightGradients(random_network((8, 8)).like(points_in_cube(1)), threads=2)
    found(gradients_of, points_in_cube(100))
    assert set(threading.enumerate()) - before
    gradients_of.close()
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize("with_bound", [False, True], ids=["whole", "bounded"])
def test_bfloat16_is_right_to_its_three_digits(with_bound: bool) -> None:
    # On a processor without such products torch computes them all the same, only slower.
    network = bounded((64, 64, 64), 4.0) if with_bound else random_network((64, 64, 64), omega=4.0)
    points = points_in_cube(2000)
    _, gradients = found(WeightGradients(network.like(points), torch.bfloat16), points)
    _, exact = expected(network, points)
    for gradient, wanted in zip(gradients, exact, strict=True):
        assert gradient.dtype == torch.float32
        error = torch.linalg.vector_norm(gradient.double() - wanted) / torch.linalg.vector_norm(wanted)
        assert error < 0.05
    # It does compute in bfloat16, or the figure above would say nothing.
    single = found(WeightGradients(network.like(points)), points)[1]
    assert not torch.equal(gradients[1], single[1])


def test_changed_parameters_are_seen_by_the_next_call() -> None:
    points = points_in_cube(100)
    network = random_network((16, 16), omega=4.0).like(points)
    gradients_of = WeightGradients(network)
    found(gradients_of, points)
    network.weights[1].mul_(1.5)
    network.biases[0].add_(0.2)
    check(network, points, gradients_of, 2e-4)


def test_graph_of_trainable_parameters_is_not_recorded() -> None:
    points = points_in_cube(50)
    network = random_network((8, 8)).like(points)
    for array in network.weights + network.biases:
        array.requires_grad_()
    loss, gradients = found(WeightGradients(network), points)
    assert not loss.requires_grad
    assert not any(gradient.requires_grad for gradient in gradients)


def test_other_activations_are_refused() -> None:
    network = random_network((8, 8), activation="softplus").like(points_in_cube(1))
    with pytest.raises(ValueError, match="only sine networks can be trained, not softplus"):
        WeightGradients(network)
