# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural normal mapping (arXiv 2201.09147, section "neural normal mapping"): a sequence's normals on any surface.

No UVs, no cage and no rays: a point in the bands takes the gradient of the finest level at its own place. Pixels of a
mesh do so when they are rendered. Vertices take a normal for good (`baking`); few as they are, each walks to the zero
set first and takes the gradient there, where the network was trained for it. For an exact distance it is the same.
"""

from __future__ import annotations

import numpy as np

from .arrays import normalize_rows
from .sequence import NestedSequence

# Newton steps to the zero set, and the distance from it, in network units, from which no further step is taken.
_SURFACE_STEPS = 3
_ON_SURFACE = 2e-4


def normals_at(
    sequence: NestedSequence, points: np.ndarray, to_network: np.ndarray, from_surface: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Normals of the finest level at points of another space.

    With p_network = A p + b, the distance as a function of p has the gradient A^T grad f: the inverse transpose of
    the way back, right for every affine map, mirrored ones included.

    Args:
        points: (N, 3) in a space of the caller's.
        to_network: (4, 4) affine map from there to network space.
        from_surface: take the gradients where Newton steps from the points end on the zero set, not at the points.

    Returns:
        (N, 3) float32 unit normals in the points' space, zero where there is none, and (N,) places in the bands
        (`NestedSequence.place_in_bands`), infinite where there is no normal. Points that are not finite have none.
    """
    linear, offset = to_network[:3, :3], to_network[:3, 3]
    # Broken vertices are an expected input; networks never see what is not finite or too far for float32.
    with np.errstate(invalid="ignore", over="ignore"):
        network_points = np.asarray(points, np.float64) @ linear.T + offset
        near = np.flatnonzero((np.abs(network_points) <= 1.0).all(axis=1))
    candidates = network_points[near].astype(np.float32)
    if from_surface:
        near_places = sequence.place_in_bands(candidates)
        in_band = near_places <= 1.0
        slopes = _gradients_on_surface(sequence, candidates[in_band])
    else:
        near_places, slopes = sequence.gradient_in_bands(candidates)
        in_band = near_places <= 1.0
        slopes = slopes[in_band]
    found = near[in_band]
    gradients = normalize_rows(slopes).astype(np.float64) @ linear
    lengths = np.linalg.norm(gradients, axis=1)
    usable = lengths > 0.0
    found, gradients, lengths = found[usable], gradients[usable], lengths[usable]
    places = np.full(len(points), np.inf)
    places[found] = near_places[in_band][usable]
    normals = np.zeros((len(points), 3), dtype=np.float32)
    normals[found] = gradients / lengths[:, None]
    return normals, places


def _gradients_on_surface(sequence: NestedSequence, points: np.ndarray) -> np.ndarray:
    """Gradients of the finest level near the points of its zero set that are nearest to (N, 3) points in the bands.

    A step that leaves the bands would end where the level means nothing, so such a point keeps its own gradient.
    """
    values, gradients = sequence.distance_and_gradient(sequence.finest, points)
    result = gradients.copy()
    index, moved = np.arange(len(points)), points
    for _ in range(_SURFACE_STEPS):
        far = np.abs(values) > _ON_SURFACE
        index, values, gradients = index[far], values[far], gradients[far]
        steps = values / (gradients**2).sum(axis=1).clip(0.25)
        moved = moved[far] - steps[:, None] * gradients
        inside = sequence.in_band(moved)
        index, moved = index[inside], moved[inside]
        values, gradients = sequence.distance_and_gradient(sequence.finest, moved)
        result[index] = gradients
    return result


def band_weights(places: np.ndarray, transition: float) -> np.ndarray:
    """How much neural normals count: 1 inside the bands, 0 outside, softly over the share `transition` of a band.

    Args:
        places: (N,) in the bands, as `NestedSequence.place_in_bands`.
        transition: share of the band, from its border inwards; 0 for a hard border.

    Returns:
        (N,) from 0 to 1, by the smooth step 3 s^2 - 2 s^3 of the way s from the border.
    """
    within = places <= 1.0
    if transition <= 0.0:
        return within.astype(np.float64)
    share = np.where(within, (1.0 - np.where(within, places, 1.0)) / transition, 0.0).clip(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def mix_normals(existing: np.ndarray, neural: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Unit normals between `existing` (weight 0) and `neural` (weight 1): (N, 3), (N, 3), (N,) -> (N, 3).

    Rows of weight 0 come back untouched, and so do those where opposite normals cancel each other out.
    """
    mixed = existing + weights[:, None] * (neural - existing)
    lengths = np.linalg.norm(mixed, axis=1)
    changed = (weights > 0.0) & (lengths > 1e-6)
    result = np.array(existing, dtype=np.float32)
    result[changed] = mixed[changed] / lengths[changed, None]
    return result


def seen_normals(facing: np.ndarray, neural: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Normals of a surface's pixels, its own turned into neural ones: (N, 3), (N, 3), (N,) -> (N, 3).

    Args:
        facing: unit normals of the surface, on the side that is seen.
        neural: unit; those that look to the other side are turned around: the surface is seen from behind, or is
            thinner than the way between it and the neural surface.
        weights: from `band_weights`.
    """
    sides = np.where((facing * neural).sum(axis=1) < 0.0, -1.0, 1.0)
    return mix_normals(facing, sides[:, None] * neural, weights)
