# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a level in training: when it is worth showing, and the band that holds it meanwhile.

All of it is computed at a few hundred surface points, so that looking at a training does not slow it down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .nesting import BandConfig, bounded_bands
from .networks import Network, evaluate, gradient_reverse
from .sequence import Band, NestedSequence
from .training import Errors, LevelTrainer, as_numpy, errors_of, measure

# Surface points at which a snapshot is measured. Two networks are compared at the same ones, so few are enough.
POINTS = 512
# Normals that are further off than this in the mean show no shape yet.
SHAPELESS_DEGREES = 45.0
# A first level that starts again after diverging is shown again when its score is below this many times the best one.
TOLERATED_FACTOR = 2.0
# Points clearly inside or outside that are looked at, and the share of wrong signs at which a snapshot is not shown.
SIGN_POINTS = 1024
TOLERATED_BLOBS = 0.01
# Newton steps longer than this, in network units, do not lead to the surface nearby.
LONGEST_STEP = 0.1
# Of a proxy, this many vertices are looked at to see how far the surface has moved away from it.
PROXY_VERTICES = 512


@dataclass(frozen=True)
class Snapshot:
    """A level in training at one moment."""

    network: Network
    """On the CPU, as numpy arrays."""
    errors: Errors
    """At held-out surface points."""
    reached: float
    """Largest |f| of the level before on this level's surface, in network units; 0 for the first level."""


class LevelSnapshots:
    """Looks at one level in training, and tells whether showing it would be better than not.

    Args:
        trainer: fits the level.
        before: the finished level before it, which is shown meanwhile; None for the first level.
    """

    def __init__(self, trainer: LevelTrainer, before: Network | None) -> None:
        self._trainer = trainer
        training_set = trainer.training_set
        self._points, self._normals = (held_out[:POINTS] for held_out in training_set.held_out)
        base = training_set.held_out_base
        self._base = None if base is None else (base[0][:POINTS], base[1][:POINTS])
        self._signs = training_set.signs(SIGN_POINTS)
        self._before = None if before is None else before.like(self._points)
        # What a snapshot's score has to be below.
        self._limit = np.inf
        if self._base is not None:
            self._limit = errors_of(*self._base, self._normals).score
        elif self._before is not None:
            self._limit = measure(self._before, self._points, self._normals).score

    def take(self) -> Snapshot | None:
        """The level as it is now, or None while the levels before it are better without it.

        What is looked at is the running mean of the network, and a whole SDF is moved by a constant so that it is zero
        in the mean where the surface is: in the middle of a training both are much better than the network itself.
        """
        with torch.no_grad():
            network = self._trainer.averaged()
            values, gradients = gradient_reverse(network, self._points)
            if self._base is not None:
                values, gradients = values + self._base[0], gradients + self._base[1]
            else:
                shift = values.mean()
                values = values - shift
                network = replace(network, biases=(*network.biases[:-1], network.biases[-1] - shift))
            errors = errors_of(values, gradients, self._normals)
            # A comparison with a score that is not a number is False.
            if not (errors.score < self._limit and errors.normal_degrees < SHAPELESS_DEGREES):
                return None
            if self._base is not None:
                return Snapshot(as_numpy(network), errors, 0.0)
            if self._has_blobs(network):
                return None
            if self._before is None:
                self._limit = min(self._limit, TOLERATED_FACTOR * errors.score)
                return Snapshot(as_numpy(network), errors, 0.0)
            steps = values / (gradients**2).sum(1).clip(1e-2)
            on_level = (self._points - steps[:, None] * gradients)[steps.abs() < LONGEST_STEP]
            reached = gradient_reverse(self._before, on_level)[0].abs().max() if len(on_level) else 0.0
        return Snapshot(as_numpy(network), errors, float(reached))

    def _has_blobs(self, network: Network) -> bool:
        """Whether a whole SDF has the wrong sign at points that are clearly inside or outside: surfaces seen there."""
        points, inside = self._signs
        return bool(((evaluate(network, points) < 0.0) != inside).float().mean() > TOLERATED_BLOBS)


def with_snapshot(
    finished: NestedSequence | None, snapshot: Snapshot, config: BandConfig, kind: str = "independent"
) -> NestedSequence:
    """The finished levels with one in training as the finest; each band holds the surface of the finer one.

    A level that has been trained little also has surfaces far from the mesh. They stay outside the bands, unseen.

    The bands between finished levels were estimated for the last of them as the finest. They are widened by the new
    band, since |f_j| changes over it by about its width.
    """
    if finished is None:
        return NestedSequence((snapshot.network,), (), kind=kind)
    if kind == "residual":
        bands = (*finished.bands, Band(config.narrowest, "given"))
        grown = replace(finished, networks=(*finished.networks, snapshot.network), bands=bands)
        return bounded_bands(grown, config) or grown
    finer = max(config.narrowest, config.margin * snapshot.reached)
    bands = [Band(finer, "sampled")]
    for band in reversed(finished.bands):
        finer = band.delta + config.margin * finer
        bands.insert(0, Band(finer, "sampled"))
    return replace(finished, networks=(*finished.networks, snapshot.network), bands=tuple(bands))


def mean_offset(sequence: NestedSequence, local_points: np.ndarray) -> float:
    """How far (N, 3) points in local space lie from the finest level's surface in the mean, in network units.

    Of many points, some are looked at.
    """
    chosen = local_points[:: max(1, len(local_points) // PROXY_VERTICES)]
    points = sequence.to_network(chosen).astype(np.float32)
    return float(np.abs(sequence.distance(sequence.finest, points)).mean())
