# SPDX-License-Identifier: GPL-3.0-or-later
"""Activations and their derivatives, against finite differences and autograd, and far from zero."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from kernels.activations import ACTIVATIONS, activate, activate_with_derivative, activation_named

ALL = pytest.mark.parametrize("name", sorted(ACTIVATIONS))


@ALL
def test_derivative_against_finite_differences(name: str) -> None:
    # No point within the step of zero, where ReLU and ELU have a kink.
    a, step = np.linspace(-6.0, 6.0, 400), 1e-6
    value, derivative = activate_with_derivative(name, a)
    np.testing.assert_array_equal(value, activate(name, a))
    np.testing.assert_allclose(
        derivative, (activate(name, a + step) - activate(name, a - step)) / (2 * step), atol=1e-8
    )


@ALL
def test_derivative_against_autograd(name: str) -> None:
    a = torch.linspace(-6.0, 6.0, 400, dtype=torch.float64, requires_grad=True)
    value, derivative = activate_with_derivative(name, a)
    torch.testing.assert_close(derivative.detach(), torch.autograd.grad(value.sum(), a)[0])


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_neither_warn_nor_overflow(name: str, dtype: type) -> None:
    a = np.array([-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, derivative = activate_with_derivative(name, a)
    assert value.dtype == derivative.dtype == dtype
    assert np.isfinite(value).all()
    assert (np.abs(derivative) <= 1.0).all()


def test_relu_has_no_slope_at_zero_and_softplus_is_log_of_two_there() -> None:
    zero = np.zeros(1)
    assert activate_with_derivative("relu", zero)[1] == 0.0
    value, derivative = activate_with_derivative("softplus", zero)
    assert value == pytest.approx(np.log(2.0))
    assert derivative == 0.5


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'step': expected one of sine, relu, elu, tanh, softplus"):
        activation_named("step")
