# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of an extracted surface belong to the shape, and which are strays that a network made up."""

from __future__ import annotations

import numpy as np

from .meshes import FILLED_SHARE
from .networks import evaluate, gradient_reverse
from .sequence import NestedSequence

# Beyond those that the source is known to have, a component smaller than this part of the largest one is a stray.
STRAY_FRACTION = 0.05
# A surface has fallen apart where this share of its vertices lies in components that the source cannot have so many of.
# Strays of trained networks have less than a hundredth.
FALLEN_APART = 0.02
# Components cut off by the cube's border are dropped when an uncut one has this part of the largest size.
CUT_FRACTION = 0.25
# Vertices of a component from which the coarsest level's surface is sought, and steps on the way.
SEEKING_VERTICES = 64
SEEKING_STEPS = 6
# They have arrived where the coarsest level is below this part of its band.
ARRIVED = 0.05


def component_labels(vertex_count: int, faces: np.ndarray) -> np.ndarray:
    """Which vertices hang together: (F, K) faces -> (vertex_count,) the lowest vertex of each one's component."""
    labels = np.arange(vertex_count)
    starts, ends = faces[:, :-1].reshape(-1), faces[:, 1:].reshape(-1)
    while True:
        first, second = labels[starts], labels[ends]
        apart = first != second
        if not apart.any():
            return labels
        starts, ends = starts[apart], ends[apart]
        first, second = first[apart], second[apart]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        # Pointer jumping: afterwards every label is a root again.
        while (labels[labels] != labels).any():
            labels = labels[labels]


def belonging_vertices(
    sequence: NestedSequence, points: np.ndarray, faces: np.ndarray, resolution: int, components: int | None
) -> tuple[np.ndarray, bool]:
    """Which vertices of a surface belong to components that the source has.

    A network can have surface that the source has not. Three kinds of component are taken for such strays: those that
    the cube's border cuts off (training keeps the source away from it) while an uncut one of comparable size is there;
    those near which the coarsest level has no surface, as long as the others are as many as the source has; and beyond
    the number of components of the source, those whose bounding box has a diagonal under `STRAY_FRACTION` of the
    largest one's. Larger ones are kept whatever that number is: where cells are thicker than a part of the shape, the
    part breaks, and what it held together are several components then.

    Args:
        sequence: whose surface it is.
        points: (V, 3) vertices in network space.
        faces: (F, K) indices of vertices.
        resolution: cells along each side of the cube.
        components: how many components the source has, None when nobody knows.

    Returns:
        (V,) booleans, and whether the surface is whole: not fallen apart into more components than the source has.
        Where nobody knows how many it has, any surface counts as whole.
    """
    labels = component_labels(len(points), faces)
    roots, member = np.unique(labels, return_inverse=True)
    lowest = np.full((len(roots), 3), np.inf, dtype=points.dtype)
    highest = -lowest
    np.minimum.at(lowest, member, points)
    np.maximum.at(highest, member, points)
    sizes = np.linalg.norm(highest - lowest, axis=1)
    cell = 2.0 / resolution
    # The outermost layer of cells is where surfaces are cut off; cells so large that the source itself reaches into
    # that layer tell nothing.
    cut = (np.maximum(highest, -lowest) > 1.0 - cell).any(axis=1) & (cell < 1.0 - FILLED_SHARE)
    # Unless the shape itself is what reaches the border, as networks of other people may.
    surplus = cut & (sizes.max() * CUT_FRACTION <= sizes[~cut].max(initial=0.0))
    candidates = np.flatnonzero(~surplus)
    supported = np.ones(len(roots), dtype=bool)
    if len(candidates) > 1 and sequence.bands:
        found = _have_coarse_surface(sequence, points, member)
        if found[candidates].any():
            supported = found
    if components is None or supported[candidates].sum() >= components:
        candidates = candidates[supported[candidates]]
    largest_first = candidates[np.argsort(-sizes[candidates], kind="stable")]
    own, others = np.split(largest_first, [min(components or 0, len(largest_first))])
    others = others[supported[others]]
    large = others[sizes[others] >= STRAY_FRACTION * sizes[largest_first[0]]]
    kept = np.isin(np.arange(len(roots)), np.concatenate([own, large]))
    counts = np.bincount(member)
    is_whole = components is None or bool(counts[others].sum() <= FALLEN_APART * counts[largest_first].sum())
    return kept[member], is_whole


def _have_coarse_surface(sequence: NestedSequence, points: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Whether the coarsest level has surface near each component of the finest one: (C,).

    From some of its vertices Newton's steps seek the coarsest zero set, not further away than twice the band. Where the
    level has only a shallow minimum that its band holds, they find none.

    Args:
        points: (V, 3) vertices in network space.
        member: (V,) the component of each, from 0 to C - 1.
    """
    counts = np.bincount(member)
    order = np.argsort(member, kind="stable")
    rank = np.arange(len(member)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = order[rank % -(-counts // SEEKING_VERTICES)[member[order]] == 0]
    delta = sequence.bands[0].delta
    start = points[chosen]
    places = start
    for _ in range(SEEKING_STEPS):
        values, gradients = gradient_reverse(sequence.networks[0], places)
        squared = (gradients**2).sum(axis=1).clip(1e-6)
        places = places - (values / squared)[:, None] * gradients
    values = evaluate(sequence.networks[0], places)
    arrived = (np.abs(values) <= ARRIVED * delta) & (np.linalg.norm(places - start, axis=1) <= 2.0 * delta)
    return np.bincount(member[chosen], arrived, minlength=len(counts)) > 0
