# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses that make a network a signed distance function, with their derivatives by its values and gradients.

The terms are those of IGR (arXiv 2002.10099) and of the SIREN line of work. Distances and the eikonal equation count
squared. Normals count by their angle, softened near zero: squared angles would spend the network on the few creases
that it cannot follow, at the expense of all else (the median error of a part with sharp edges: 1.3 degrees when
squared, 0.4 like this).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .training_config import LossWeights

# Added to the squared chord between two unit normals before its root is taken: angles below about 1.3 degrees, the
# root of it, count squared, larger ones by themselves.
NORMAL_SOFTENING = 5e-4


@dataclass(frozen=True)
class Targets:
    """What is known at N points: the first S lie on the surface, the other M off it.

    Attributes:
        normals: (S, 3) unit normals wanted.
        distances: (M,) signed distances in network units.
        base_values, base_gradients: (N,) and (N, 3) of the levels before, to which the network in training is added;
            None for a whole SDF.
    """

    normals: torch.Tensor
    distances: torch.Tensor
    base_values: torch.Tensor | None = None
    base_gradients: torch.Tensor | None = None


def sdf_loss(
    values: torch.Tensor, gradients: torch.Tensor, rows: slice, targets: Targets, weights: LossWeights
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weighted sum of all terms, each averaged over all points of its kind, and its derivatives.

    Args:
        values, gradients: (n,) and (n, 3) of the network in training at the `rows` of the points.
        rows: a part of the N points; the losses of all parts add up to the whole.

    Returns:
        The loss, its (n,) derivative by the values and its (n, 3) derivative by the gradients.
    """
    if targets.base_values is not None and targets.base_gradients is not None:
        values = values + targets.base_values[rows]
        gradients = gradients + targets.base_gradients[rows]
    on_total, off_total = max(1, len(targets.normals)), max(1, len(targets.distances))
    on = max(0, min(rows.stop, len(targets.normals)) - rows.start)
    normals = targets.normals[rows.start : rows.start + on]
    off_start = rows.start + on - len(targets.normals)
    distances = targets.distances[off_start : off_start + len(values) - on]

    # A point where the gradient vanishes must not spoil every weight.
    lengths = (gradients * gradients).sum(1).clamp_min(1e-16).sqrt()
    units = gradients / lengths[:, None]
    off_unit = lengths - 1.0
    eikonal = torch.full_like(values, weights.volume_eikonal / off_total)
    eikonal[:on] = weights.surface_eikonal / on_total
    loss = (eikonal * off_unit**2).sum()
    by_gradients = (2.0 * eikonal * off_unit)[:, None] * units

    cosines = (units[:on] * normals).sum(1)
    angles = (2.0 * (1.0 - cosines) + NORMAL_SOFTENING).sqrt()
    normal = weights.normal / on_total
    loss += normal * (angles - NORMAL_SOFTENING**0.5).sum()
    # d angle / d cosine = -1 / angle, and a cosine changes with what of the normal is across the gradient.
    turn = (normals - cosines[:, None] * units[:on]) / lengths[:on, None]
    by_gradients[:on] -= (normal / angles)[:, None] * turn

    softened = distances.abs() + weights.volume_softening
    relative = (values[on:] - distances) / softened
    surface, volume = weights.surface_distance / on_total, weights.volume_distance / off_total
    loss += surface * (values[:on] ** 2).sum() + volume * (relative**2).sum()
    by_values = torch.cat([2.0 * surface * values[:on], 2.0 * volume * relative / softened])
    return loss, by_values, by_gradients
