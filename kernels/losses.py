# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses that make a network a signed distance function: distance, normal alignment and the eikonal equation.

The terms are those of IGR (arXiv 2002.10099) and of the SIREN line of work, squared so that they are smooth at
their minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import Array, array_namespace
from .networks import Network, gradient_reverse


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss."""

    surface_distance: float = 1000.0
    """f^2 at points of the surface."""
    volume_distance: float = 30.0
    """((f - d) / (|d| + `volume_softening`))^2 at points whose signed distance d is known. The error is relative,
    because far away f has to be right in sign and size only, so that no stray surface arises there."""
    volume_softening: float = 0.05
    """Distance, in network units, below which the error at those points counts as an absolute one."""
    normal: float = 100.0
    """1 - cos(grad f, n) at points of the surface."""
    surface_eikonal: float = 5.0
    """(|grad f| - 1)^2 at points of the surface."""
    volume_eikonal: float = 2.0
    """(|grad f| - 1)^2 at the other points."""


def sdf_loss(
    network: Network,
    surface_points: Array,
    surface_normals: Array,
    volume_points: Array,
    volume_distances: Array,
    weights: LossWeights,
) -> Array:
    """The weighted sum of all terms, averaged over each kind of points; a scalar that torch can differentiate.

    The gradient of f is written out by `gradient_reverse`, so its derivative with respect to the weights takes one
    backward pass over a plain graph, not a differentiation of a differentiation.

    Args:
        network: with weights that require gradients.
        surface_points, surface_normals: (S, 3) points of the zero set and the unit normals wanted there.
        volume_points, volume_distances: (M, 3) points and their (M,) signed distances, network units.
    """
    count = surface_points.shape[0]
    xp = array_namespace(surface_points)
    points = xp.concatenate((surface_points, volume_points))
    values, gradients = gradient_reverse(network, points, batch=points.shape[0])
    # The root has no derivative at zero: one point where the gradient vanishes would spoil every weight.
    lengths = xp.sqrt((gradients * gradients).sum(-1).clip(1e-16))
    off_unit = (lengths - 1.0) ** 2
    softened = xp.abs(volume_distances) + weights.volume_softening
    relative_errors = (values[count:] - volume_distances) / softened
    cosines = (gradients[:count] * surface_normals).sum(-1) / lengths[:count]
    return (
        weights.surface_distance * (values[:count] ** 2).mean()
        + weights.volume_distance * (relative_errors**2).mean()
        + weights.normal * (1.0 - cosines).mean()
        + weights.surface_eikonal * off_unit[:count].mean()
        + weights.volume_eikonal * off_unit[count:].mean()
    )
