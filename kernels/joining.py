# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of one shape that were trained separately, joined into one nested sequence (as arXiv 2201.09147 has it).

Their network spaces may differ: a network of another cube is taken over exactly, by its first layer and its last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from .arrays import to_numpy
from .assumptions import assumptions
from .nesting import BandConfig, estimate_bands, sample_level_band
from .networks import Network
from .nsdf import MAX_LEVELS
from .sequence import Band, NestedSequence
from .stages import Stage

# Spaces that differ by less than this, relative to their size, are the same: bounding boxes of one mesh, rounded.
SAME_SPACE = 1e-4
# Cubes of one shape, or of one shape more and less simplified, share nearly all of their volume.
SMALLEST_OVERLAP = 0.7
# How far the surface of one network may be from that of another on average, in network units. Coarse networks of one
# shape are a hundredth or two away from each other; different shapes that fill the same cube are a tenth or more.
LARGEST_DISTANCE = 0.06
# Points of a surface by which shapes are compared.
COMPARED_POINTS = 4000
# The share of the time that comparing shapes takes; bands, which need more points, take the rest.
COMPARING_SHARE = 0.1


class JoiningError(ValueError):
    """Networks that cannot be the levels of one sequence. The message says why, in words for the artist."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise JoiningError(message)


def join_networks(
    sequences: Sequence[NestedSequence],
    config: BandConfig | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> NestedSequence:
    """One independent sequence of all levels of several, the smallest network first, its bands sampled.

    The network space, and what is known of the training, are those of the largest network.

    Args:
        sequences: of one or several levels each, in any order, of one local space.
        config: how bands are estimated; defaults when None.
        progress: told now and then the share that is done, from 0 to 1.
        cancelled: asked now and then.

    Raises:
        JoiningError: they are not independent networks of the same shape.
        Cancelled: `cancelled` said so.
    """
    _check_kinds(sequences)
    finest = max(sequences, key=lambda sequence: max(network.parameter_count for network in sequence.networks))
    levels = [network for sequence in sequences for network in _moved(sequence, finest)]
    _require(len(levels) > 1, "Joining needs at least two networks")
    _require(len(levels) <= MAX_LEVELS, f"A sequence has at most {MAX_LEVELS} levels; these would be {len(levels)}")
    levels.sort(key=lambda network: network.parameter_count)
    _check_different(levels)
    unknown = tuple(Band(0.0) for _ in levels[1:])
    joined = replace(
        finest, networks=tuple(levels), bands=unknown, kind="independent", training=_training(sequences, finest)
    )
    stage = Stage(progress)
    _check_shapes(joined, stage.part(0.0, COMPARING_SHARE), cancelled)
    joined = estimate_bands(joined, config or BandConfig(), cancelled=cancelled)
    stage.reached(1.0)
    return joined


def _check_kinds(sequences: Sequence[NestedSequence]) -> None:
    _require(bool(sequences), "There is nothing to join")
    for sequence in sequences:
        _require(
            sequence.kind == "independent" or sequence.finest == 0,
            f"The levels of {sequence.notation} are corrections of each other (residuals), which mean nothing to other "
            "networks; only networks that are a whole shape each can be joined",
        )
    first = sequences[0]
    for other in sequences[1:]:
        _require(other.inputs == first.inputs, "Some of the networks change with time and some do not")
        _require(other.time == first.time, f"The networks are of different times: {first.time} and {other.time}")


def _moved(sequence: NestedSequence, target: NestedSequence) -> tuple[Network, ...]:
    """The networks of a sequence in the network space of another one: the same distances in local space.

    With p_local = c + r p, what f is at p in its own space is f(s p' + o) at p' of the target's, with s = r' / r and
    o = (c' - c) / r, and a distance there is f / s.
    """
    scale = target.radius / sequence.radius
    offset = (np.asarray(target.center) - np.asarray(sequence.center)) / sequence.radius
    if abs(scale - 1.0) <= SAME_SPACE and np.abs(offset).max() <= SAME_SPACE:
        return sequence.networks
    # The sides that the cubes [-1, 1]^3 and [o - s, o + s] share, and the volume beside the larger one's.
    shared = (np.minimum(1.0, offset + scale) - np.maximum(-1.0, offset - scale)).clip(0.0)
    overlap = float(shared.prod()) / (2.0 * max(1.0, scale)) ** 3
    _require(
        overlap >= SMALLEST_OVERLAP,
        f"{sequence.notation} and {target.notation} are not of the same place and size: their bounds share "
        f"{100.0 * overlap:.0f} % of their volume",
    )
    return tuple(_with_space(network, scale, offset) for network in sequence.networks)


def _with_space(network: Network, scale: float, offset: np.ndarray) -> Network:
    """x -> f(scale x + offset) / scale, exactly but for the rounding of its weights; time stays as it is."""
    weights = [to_numpy(weight).astype(np.float64) for weight in network.weights]
    biases = [to_numpy(bias).astype(np.float64) for bias in network.biases]
    biases[0] = biases[0] + weights[0][:, :3] @ offset
    weights[0] = weights[0] * np.array([scale, scale, scale, 1.0])[: network.inputs]
    weights[-1], biases[-1] = weights[-1] / scale, biases[-1] / scale
    return Network(
        tuple(weight.astype(np.float32) for weight in weights),
        tuple(bias.astype(np.float32) for bias in biases),
        network.activation,
    )


def _check_different(levels: Sequence[Network]) -> None:
    for first, second in combinations(levels, 2):
        arrays = zip(first.weights + first.biases, second.weights + second.biases, strict=False)
        same = first.widths == second.widths and first.activation == second.activation
        twice = same and all(np.array_equal(one, other) for one, other in arrays)
        _require(not twice, f"The same network, {first.name}, is there twice")


def _check_shapes(joined: NestedSequence, stage: Stage, cancelled: Callable[[], bool] | None) -> None:
    """Whether the surface of each level lies near the one of the level before."""
    rng = np.random.default_rng(0)
    for level in range(1, len(joined.networks)):
        points = sample_level_band(joined, level, 0.0, COMPARED_POINTS, rng, cancelled)
        names = f"{joined.networks[level - 1].name} and {joined.networks[level].name}"
        _require(len(points) > 0, f"{joined.networks[level].name} has no surface within its bounds")
        distance = float(np.abs(joined.distance(level - 1, points)).mean())
        _require(
            distance <= LARGEST_DISTANCE,
            f"{names} are not of the same shape: their surfaces are {50.0 * distance:.0f} % of the bounds' size apart",
        )
        stage.reached(level / joined.finest)


def _training(sequences: Sequence[NestedSequence], finest: NestedSequence) -> dict[str, Any]:
    """What is known of the finest network, and what was assumed for any of them, but nothing of levels and bands."""
    training = {key: value for key, value in finest.training.items() if key not in ("levels", "nesting_violations")}
    assumed = [sentence for sequence in sequences for sentence in assumptions(sequence)]
    return {**training, "assumptions": list(dict.fromkeys(assumed))} if assumed else training
