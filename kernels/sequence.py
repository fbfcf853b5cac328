# SPDX-License-Identifier: GPL-3.0-or-later
"""Nested sequences: neural SDFs of one shape, coarse to fine, each with the band in which the next one is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import Array, array_namespace, asarray_like, full_like_rows, nonzero_rows, normalize_rows
from .networks import Network, evaluate, gradient_reverse

KINDS = ("independent", "residual")
EVIDENCES = ("certified", "sampled", "given")


@dataclass(frozen=True)
class Band:
    """The tubular neighbourhood |f_j| <= delta of a level's zero set in which the next level may be used.

    Attributes:
        delta: half width, in network units.
        evidence: how it was obtained. `sampled`: a supremum over samples, hence a lower bound; `certified`: an
            upper bound by range analysis; `given`: somebody's word.
    """

    delta: float
    evidence: str = "given"


@dataclass(frozen=True)
class NestedSequence:
    """Levels of one shape in network space, and the map from there to the mesh's local space.

    Attributes:
        networks: one a level, coarsest first.
        bands: one for every level but the last.
        center, radius: p_local = center + radius * p_network.
        kind: `independent`: level j is a whole SDF f_j; `residual`: level j is a correction r_j, and the
            SDF of level j is f_0 + r_1 + ... + r_j, meaningful only inside the bands before it.
        time: range of the fourth input, or None for a static shape.
        training: provenance, free form (source, seconds, errors reached, nesting violations, seed).
    """

    networks: tuple[Network, ...]
    bands: tuple[Band, ...]
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = 1.0
    kind: str = "independent"
    time: tuple[float, float] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.networks:
            raise ValueError("a nested sequence needs at least one level")
        if len(self.bands) != len(self.networks) - 1:
            raise ValueError(f"{len(self.networks)} levels need {len(self.networks) - 1} bands, got {len(self.bands)}")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        if len({network.inputs for network in self.networks}) != 1:
            raise ValueError("all levels of a sequence need the same number of inputs")

    @property
    def inputs(self) -> int:
        """3, or 4 with time."""
        return self.networks[0].inputs

    @property
    def finest(self) -> int:
        """Index of the last level, the one whose gradient gives the normals."""
        return len(self.networks) - 1

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of all levels."""
        return sum(network.parameter_count for network in self.networks)

    @property
    def notation(self) -> str:
        """The levels in the paper's notation, for example `64x1 > 128x2`."""
        return " > ".join(network.name for network in self.networks)

    def like(self, array: Array) -> NestedSequence:
        """The same sequence with networks in the kind, precision and device of `array`."""
        return NestedSequence(
            tuple(network.like(array) for network in self.networks),
            self.bands,
            self.center,
            self.radius,
            self.kind,
            self.time,
            self.training,
        )

    @property
    def network_to_local(self) -> np.ndarray:
        """The map from network space to local space as a (4, 4) float64 matrix."""
        matrix = np.diag([self.radius, self.radius, self.radius, 1.0])
        matrix[:3, 3] = self.center
        return matrix

    def to_network(self, local_points: Array) -> Array:
        """(N, 3) points in local space -> network space."""
        return (local_points - asarray_like(self.center, local_points)) / self.radius

    def to_local(self, network_points: Array) -> Array:
        """(N, 3) points in network space -> local space."""
        return network_points * self.radius + asarray_like(self.center, network_points)

    def summed(self, level: int) -> range:
        """Indices of the networks whose sum is the SDF of `level`."""
        return range(level + 1) if self.kind == "residual" else range(level, level + 1)

    def distance(self, level: int, points: Array) -> Array:
        """Signed distance of one level: (N, inputs) points in network space -> (N,) in network units."""
        return sum(evaluate(self.networks[j], points) for j in self.summed(level))

    def distance_and_gradient(self, level: int, points: Array) -> tuple[Array, Array]:
        """Signed distance and gradient of one level: (N, inputs) -> (N,), (N, inputs), network space."""
        pairs = [gradient_reverse(self.networks[j], points) for j in self.summed(level)]
        return sum(value for value, _ in pairs), sum(gradient for _, gradient in pairs)

    def normals(self, points: Array, level: int | None = None) -> Array:
        """Neural normal mapping: unit grad F_level at any points of the band, (N, inputs) -> (N, 3), network space.

        `level` is the finest when None. Equation (5) of arXiv 2201.09147.
        """
        _, gradient = self.distance_and_gradient(self.finest if level is None else level, points)
        return normalize_rows(gradient[:, :3])

    def in_band(self, points: Array) -> Array:
        """Where the finest level may be used: (N, inputs) points in network space -> (N,) booleans.

        A point counts when it lies in the cube [-1, 1]^3 and in the band of every level before the finest.
        """
        return self.place_in_bands(points) <= 1.0

    def place_in_bands(self, points: Array) -> Array:
        """How near to a border of the bands points lie: (N, inputs) points in network space -> (N,).

        The largest |f_j| / delta_j of the levels before the finest: 0 on their surfaces, 1 at a band's border,
        infinite outside the cube [-1, 1]^3 or a band.
        """
        return self._walk_bands(points, lambda network, inside: (evaluate(network, inside),))[0]

    def gradient_in_bands(self, points: Array) -> tuple[Array, Array]:
        """`place_in_bands`, and the gradient of the finest level at the points that have a place.

        Each network is asked once: what a residual level needs of the levels before it is known from their bands.

        Returns:
            (N,) places and (N, inputs) gradients in network space, zero where the place is infinite.
        """
        if self.kind == "residual":
            places, index, before = self._walk_bands(points, gradient_reverse)
        else:
            places, index, before = self._walk_bands(points, lambda network, inside: (evaluate(network, inside),))
        gradients = full_like_rows(points, tuple(points.shape), 0.0)
        gradients[index] = gradient_reverse(self.networks[-1], points[index])[1]
        if self.kind == "residual" and before:
            gradients[index] += before[1]
        return places, gradients

    def _walk_bands(
        self, points: Array, ask: Callable[[Network, Array], tuple[Array, ...]]
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        """Ask the levels before the finest about points, each only about those in the bands before it: a residual
        means nothing elsewhere, and an independent level need not.

        Args:
            points: (N, inputs) in network space.
            ask: the values of a network at points and what else is wanted of it there, one row a point.

        Returns:
            (N,) `place_in_bands`, the (M,) rows of the points in all bands, and what was asked for there: of the last
            level before the finest, which for residual levels is the sum of all networks'.
        """
        xp = array_namespace(points)
        places = full_like_rows(points, (points.shape[0],), float("inf"))
        index = nonzero_rows((xp.abs(points[:, :3]) <= 1.0).all(-1))
        places[index] = 0.0
        found: tuple[Array, ...] = ()
        for network, band in zip(self.networks, self.bands, strict=False):
            asked = ask(network, points[index])
            if self.kind == "residual" and found:
                asked = tuple(before + correction for before, correction in zip(found, asked, strict=True))
            distance = xp.abs(asked[0])
            inside = distance <= band.delta
            places[index[~inside]] = float("inf")
            index = index[inside]
            places[index] = xp.maximum(places[index], distance[inside] / max(band.delta, 1e-30))
            found = tuple(part[inside] for part in asked)
        return places, index, found
