# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural normal mapping (arXiv 2201.09147, section "neural normal mapping"): a sequence's normals on any surface.

No UVs, no cage and no rays: a point in the bands takes the gradient of the finest level at its own place. Vertices
take them for good (`baking`), pixels of a mesh when they are rendered.
"""

from __future__ import annotations

import numpy as np

from .arrays import normalize_rows
from .sequence import NestedSequence


def normals_at(sequence: NestedSequence, points: np.ndarray, to_network: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals of the finest level at points of another space.

    With p_network = A p + b, the distance as a function of p has the gradient A^T grad f: the inverse transpose of
    the way back, right for every affine map, mirrored ones included.

    Args:
        points: (N, 3) in a space of the caller's.
        to_network: (4, 4) affine map from there to network space.

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
    near_places, slopes = sequence.gradient_in_bands(candidates)
    in_band = near_places <= 1.0
    found = near[in_band]
    gradients = normalize_rows(slopes[in_band]).astype(np.float64) @ linear
    lengths = np.linalg.norm(gradients, axis=1)
    usable = lengths > 0.0
    found, gradients, lengths = found[usable], gradients[usable], lengths[usable]
    places = np.full(len(points), np.inf)
    places[found] = near_places[in_band][usable]
    normals = np.zeros((len(points), 3), dtype=np.float32)
    normals[found] = gradients / lengths[:, None]
    return normals, places


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
