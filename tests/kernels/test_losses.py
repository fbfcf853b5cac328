# SPDX-License-Identifier: GPL-3.0-or-later
"""The loss against the same formulas written with torch's layers and autograd differentiated twice."""

from __future__ import annotations

import pytest
import torch

from kernels.losses import LossWeights, sdf_loss
from kernels.networks import Network, random_network

WEIGHTS = LossWeights()


def batch(count: int = 40) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    on, off, normals = (torch.rand((count, 3), generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(3))
    return on, torch.nn.functional.normalize(normals, dim=1), off[: count // 2], off[: count // 2].norm(dim=1) - 0.5


def trainable(activation: str = "sine") -> Network:
    network = random_network((16, 16), activation=activation, omega=4.0).like(batch()[0])
    for array in network.weights + network.biases:
        array.requires_grad_()
    return network


def expected_loss(network: Network, on, normals, off, distances, weights: LossWeights) -> torch.Tensor:
    """The terms of the loss one by one, by double backward."""
    activation = {"sine": torch.sin, "softplus": torch.nn.functional.softplus}[network.activation]

    def value_and_gradient(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        points = points.clone().requires_grad_()
        h = points
        for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
            h = activation(torch.nn.functional.linear(h, weight, bias))
        value = torch.nn.functional.linear(h, network.weights[-1], network.biases[-1])[:, 0]
        return value, torch.autograd.grad(value.sum(), points, create_graph=True)[0]

    on_value, on_gradient = value_and_gradient(on)
    off_value, off_gradient = value_and_gradient(off)
    cosine = torch.nn.functional.cosine_similarity(on_gradient, normals, dim=1)
    return (
        weights.surface_distance * on_value.pow(2).mean()
        + weights.volume_distance
        * ((off_value - distances) / (distances.abs() + weights.volume_softening)).pow(2).mean()
        + weights.normal * (1 - cosine).mean()
        + weights.surface_eikonal * (on_gradient.norm(dim=1) - 1).pow(2).mean()
        + weights.volume_eikonal * (off_gradient.norm(dim=1) - 1).pow(2).mean()
    )


@pytest.mark.parametrize("activation", ["sine", "softplus"])
def test_value_and_parameter_gradients(activation: str) -> None:
    network = trainable(activation)
    parameters = [*network.weights, *network.biases]
    loss, expected = (function(network, *batch(), WEIGHTS) for function in (sdf_loss, expected_loss))
    torch.testing.assert_close(loss, expected)
    # The last bias moves values only, and every other parameter moves gradients as well: all of them count.
    for gradient, wanted in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        assert wanted.abs().max() > 0.0
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


TERMS = [name for name in vars(WEIGHTS) if name != "volume_softening"]


@pytest.mark.parametrize("term", TERMS)
def test_every_term_has_its_own_weight(term: str) -> None:
    network = trainable()
    alone = LossWeights(**{name: float(name == term) for name in TERMS})
    loss = sdf_loss(network, *batch(), alone)
    assert loss > 0.0
    torch.testing.assert_close(loss, expected_loss(network, *batch(), alone))


def test_loss_of_a_plane_that_is_known_exactly_is_zero() -> None:
    # f(p) = z, by ReLU: z = relu(z + 2) - 2 in the cube.
    zeros = torch.zeros(1, dtype=torch.float64)
    weights = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64), torch.ones((1, 1), dtype=torch.float64)
    plane = Network(weights, (zeros + 2.0, zeros - 2.0), "relu")
    on, _, off, _ = batch()
    on = on * torch.tensor([1.0, 1.0, 0.0])
    normals = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(len(on), 3)
    assert sdf_loss(plane, on, normals, off, off[:, 2], WEIGHTS) == pytest.approx(0.0, abs=1e-12)
    # Normals the wrong way round: 1 - cos = 2 for each.
    assert sdf_loss(plane, on, -normals, off, off[:, 2], WEIGHTS) == pytest.approx(2.0 * WEIGHTS.normal)


def test_gradient_that_vanishes_gives_a_finite_loss() -> None:
    network = trainable()
    with torch.no_grad():
        network.weights[0].zero_()
    on, normals, off, distances = batch()
    loss = sdf_loss(network, on, normals, off, distances, WEIGHTS)
    assert torch.isfinite(loss)
    for gradient in torch.autograd.grad(loss, [*network.weights, *network.biases]):
        assert torch.isfinite(gradient).all()
