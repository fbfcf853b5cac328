# SPDX-License-Identifier: GPL-3.0-or-later
"""Activations of the networks, each with its derivative.

Sine is ours (SIREN, arXiv 2006.09661); the others are there for networks that other people trained.
omega is folded into stored weights, so sine is plainly sin.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from .arrays import Array, array_namespace


class Activation(NamedTuple):
    """An elementwise function and its derivative, both called with (xp, pre_activation)."""

    value: Callable[[ModuleType, Array], Array]
    derivative: Callable[[ModuleType, Array], Array]


def _sigmoid(xp: ModuleType, a: Array) -> Array:
    # The tanh form cannot overflow, whatever the sign of `a`.
    return 0.5 * (xp.tanh(0.5 * a) + 1.0)


def _softplus(xp: ModuleType, a: Array) -> Array:
    return a.clip(0.0) + xp.log1p(xp.exp(-xp.abs(a)))


# ELU's exponential is clipped to the half line where it is used, so that it cannot overflow elsewhere.
ACTIVATIONS: dict[str, Activation] = {
    "sine": Activation(lambda xp, a: xp.sin(a), lambda xp, a: xp.cos(a)),
    "relu": Activation(lambda xp, a: a.clip(0.0), lambda xp, a: xp.where(a > 0.0, xp.ones_like(a), xp.zeros_like(a))),
    "elu": Activation(
        lambda xp, a: xp.where(a > 0.0, a, xp.expm1(a.clip(None, 0.0))),
        lambda xp, a: xp.exp(a.clip(None, 0.0)),
    ),
    "tanh": Activation(lambda xp, a: xp.tanh(a), lambda xp, a: 1.0 - xp.tanh(a) ** 2),
    "softplus": Activation(_softplus, _sigmoid),
}


def activation_named(name: str) -> Activation:
    """The activation called `name`.

    Raises:
        ValueError: no activation has that name.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ValueError(f"unknown activation {name!r}: expected one of {', '.join(ACTIVATIONS)}") from None


def activate(name: str, a: Array) -> Array:
    """h = act(a), elementwise."""
    return activation_named(name).value(array_namespace(a), a)


def activate_with_derivative(name: str, a: Array) -> tuple[Array, Array]:
    """(act(a), act'(a)), elementwise."""
    xp = array_namespace(a)
    activation = activation_named(name)
    return activation.value(xp, a), activation.derivative(xp, a)
