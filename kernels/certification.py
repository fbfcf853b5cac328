# SPDX-License-Identifier: GPL-3.0-or-later
"""Certified bands: the nesting condition proven by range analysis instead of sampled.

A band is proven when {|F_{j+1}| <= d_{j+1}} lies inside {|F_j| <= d_j}. The cube is divided into boxes, and a box is
done when range analysis says one of these of all of its points:

- |F_j| <= d_j: they are in the band, whatever the finer level is there;
- |F_{j+1}| > d_{j+1}: they are not in the finer band, and do not count;
- |F_j - F_{j+1}| + d_{j+1} <= d_j: they are in the band if they are in the finer one.

Other boxes are divided further, those first where |F_j| may be largest. What is known at any time is then an upper
bound of |F_j| over the finer band, and it falls. Far from the surface boxes stay large, and so they do inside the band,
where only the coarse level is asked; small ones are needed around the band's border.

A proof is about one width of the finer band. A band that is certified already is proven anew only where that one had
to become wider, or where a sample contradicts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from .cancelling import Cancelled
from .nesting import sample_level_band
from .range_analysis import Enclosures, enclosures, sum_enclosures
from .sequence import Band, NestedSequence

# Tracing compares values in float32, and the proof is about exact ones: bands must be wider than proven by this part.
EVALUATION_MARGIN = 5e-5
# Boxes examined between two looks at the clock.
BOXES_PER_ROUND = 4096


@dataclass(frozen=True)
class CertificationConfig:
    """What a proof may cost, and which bounds are of use."""

    seconds: float = 60.0
    """Seconds for all bands together."""
    boxes: int = 5_000_000
    """Boxes examined at most for each band."""
    samples: int = 10_000
    """Points of each finer band at which the coarser level is looked at first: no band can be narrower than there."""
    margin: float = 1.1
    """Factor on what was found at these points where a band turns out to be too narrow."""
    widest: float = 1.5
    """Where time ends before a band is proven, the bound known by then is taken if it is wider by no more than this."""


@dataclass(frozen=True)
class BandProof:
    """What is known about one band. Lengths are in network units.

    Attributes:
        upper: proven upper bound of |F_j| over the finer band; where the proof is complete, at most the band's width.
        sampled: the largest |F_j| that was found there, a lower bound of the same supremum.
        boxes: how many boxes were examined: none where the band was certified before.
        open_share: share of the cube that was not decided when time or boxes ended: 0 for a complete proof.
    """

    upper: float
    sampled: float
    boxes: int
    open_share: float


@dataclass(frozen=True)
class CertifiedBands:
    """A sequence whose bands are certified where they could be proven, and the figures of the proofs.

    Attributes:
        sequence: as given, but for the bands. A band proven as it is keeps its width; one that is too narrow, or that
            was proven less closely, is wider; one that was not proven is as it was. One that was certified stays so,
            unless a sample contradicts it or a finer band became wider, and time did not suffice to prove it anew.
        proofs: one for every band.
    """

    sequence: NestedSequence
    proofs: tuple[BandProof, ...]


class _Boxes:
    """Boxes still to be decided.

    Attributes:
        centers, half_sizes: (N, inputs) in network space.
        bounds: (N,) upper bounds of |F_j| over the part of each that is in the finer band.
    """

    def __init__(self, centers: np.ndarray, half_sizes: np.ndarray, bounds: np.ndarray) -> None:
        self.centers, self.half_sizes, self.bounds = centers, half_sizes, bounds

    def __len__(self) -> int:
        return len(self.bounds)

    def volume(self, axes: np.ndarray) -> float:
        """Sum of the boxes' volumes, of half sizes, over some of the axes, (inputs,) booleans."""
        return float(self.half_sizes[:, axes].prod(1).sum())

    def take_worst(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Remove the boxes with the largest bounds: their centers and half sizes."""
        chosen = np.zeros(len(self), dtype=bool)
        chosen[np.argpartition(self.bounds, len(self) - min(count, len(self)))[-count:]] = True
        taken = self.centers[chosen], self.half_sizes[chosen]
        self.centers, self.half_sizes, self.bounds = (a[~chosen] for a in (self.centers, self.half_sizes, self.bounds))
        return taken

    def add(self, centers: np.ndarray, half_sizes: np.ndarray, bounds: np.ndarray) -> None:
        """Put boxes to the others."""
        self.centers = np.concatenate([self.centers, centers])
        self.half_sizes = np.concatenate([self.half_sizes, half_sizes])
        self.bounds = np.concatenate([self.bounds, bounds])


def _divided(centers: np.ndarray, half_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every box halved along every axis: (B, inputs), (B, inputs) -> (B 2^inputs, inputs) each."""
    inputs = centers.shape[1]
    signs = np.array(list(product((-0.5, 0.5), repeat=inputs)))
    children = centers[:, None] + signs * half_sizes[:, None]
    return children.reshape(-1, inputs), np.repeat(0.5 * half_sizes, len(signs), axis=0)


class _Condition:
    """The nesting condition of one band: |F_level| is at most `delta` wherever |F_{level + 1}| is at most `finer`."""

    def __init__(self, sequence: NestedSequence, level: int, finer: float, delta: float) -> None:
        times = [sequence.time or (-1.0, 1.0)] if sequence.inputs == 4 else []
        self.domain = np.array([(-1.0, 1.0)] * 3 + times)
        self.coarse = [sequence.networks[j] for j in sequence.summed(level)]
        self.next = sequence.networks[level + 1]
        self.is_residual = sequence.kind == "residual"
        self.finer, self.target = finer, delta / (1.0 + EVALUATION_MARGIN)

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """The cube, and all of time, as one box: (1, inputs) center and half size."""
        return self.domain.mean(1)[None], 0.5 * np.diff(self.domain, axis=1).T

    def holds_everywhere(self) -> bool:
        """Whether that is known without dividing the cube, as where weights bound the residual."""
        return bool(self.bounds(*self.whole())[0] <= self.target)

    def bounds(self, centers: np.ndarray, half_sizes: np.ndarray) -> np.ndarray:
        """Upper bounds of |F_level| over the part of each box that is in the finer band: (B,), -inf where none is."""
        coarse = sum_enclosures(self.coarse, centers, half_sizes)
        bounds = coarse.largest()
        # The finer level costs more, and most boxes do not need it.
        rows = np.flatnonzero(bounds > self.target)
        if len(rows):
            found = enclosures(self.next, centers[rows], half_sizes[rows])
            bounds[rows] = np.minimum(bounds[rows], self._with_finer(coarse[rows], found))
        return bounds

    def _with_finer(self, coarse: Enclosures, network: Enclosures) -> np.ndarray:
        difference = network if self.is_residual else network - coarse
        fine = coarse + network if self.is_residual else network
        lower, upper = fine.bounds()
        outside = (lower > self.finer) | (upper < -self.finer)
        return np.where(outside, -np.inf, difference.largest() + self.finer)


def certify_bands(
    sequence: NestedSequence,
    config: CertificationConfig | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> CertifiedBands:
    """Prove the bands of a sequence that are not certified yet, from the finest to the coarsest.

    Bands that are certified are believed: `nesting.without_unproven_claims` is for files that anybody may have written.

    Args:
        config: defaults when None.
        progress: told now and then the share that is done, from 0 to 1.
        cancelled: asked now and then.

    Raises:
        Cancelled: `cancelled` said so.
    """
    config = config or CertificationConfig()
    report = progress or (lambda _share: None)
    rng = np.random.default_rng(0)
    bands, proofs = list(sequence.bands), []
    ends = time.monotonic() + config.seconds
    for done, level in enumerate(range(len(bands) - 1, -1, -1)):
        finer = bands[level + 1].delta if level + 1 < len(bands) else 0.0
        sampled = _largest_sample(sequence, level, finer, config.samples, rng, cancelled)
        band, target = bands[level], bands[level].delta
        is_as_before = level + 1 == len(bands) or finer == sequence.bands[level + 1].delta
        if band.evidence == "certified" and is_as_before and sampled <= band.delta:
            proofs.append(BandProof(band.delta, sampled, boxes=0, open_share=0.0))
            report((done + 1) / len(bands))
            continue
        if not _Condition(sequence, level, finer, target).holds_everywhere():
            target = max(target, config.margin * sampled)
        # Bands still to come have the same right to the time that is left, certified ones too: where this one becomes
        # wider, they have to be proven anew.
        band_ends = time.monotonic() + (ends - time.monotonic()) / (level + 1)

        def told(part: float, done: int = done) -> None:
            report((done + part) / len(bands))

        condition = _Condition(sequence, level, finer, target)
        proof = _prove(condition, sampled, config.boxes, band_ends, told, cancelled)
        bands[level] = _proven_band(band, proof, target, config.widest)
        proofs.append(proof)
    report(1.0)
    return CertifiedBands(replace(sequence, bands=tuple(bands)), tuple(reversed(proofs)))


def _largest_sample(
    sequence: NestedSequence,
    level: int,
    finer: float,
    count: int,
    rng: np.random.Generator,
    cancelled: Callable[[], bool] | None,
) -> float:
    """The largest |F_level| at points where |F_{level + 1}| <= finer."""
    points = sample_level_band(sequence, level + 1, finer, count, rng, cancelled)
    # Points that have not quite arrived count for less by what they are outside.
    outside = (np.abs(sequence.distance(level + 1, points)) - finer).clip(0.0)
    return float((np.abs(sequence.distance(level, points)) - outside).max(initial=0.0))


def _prove(
    condition: _Condition,
    sampled: float,
    most_boxes: int,
    ends: float,
    progress: Callable[[float], None],
    cancelled: Callable[[], bool] | None,
) -> BandProof:
    """Divide the cube until the condition holds in every box, or boxes or time (of the monotonic clock) run out."""
    centers, half_sizes = condition.whole()
    extended = half_sizes[0] > 0.0
    whole = half_sizes[0, extended].prod()
    bounds = condition.bounds(centers, half_sizes)
    undecided = bounds > condition.target
    boxes = _Boxes(centers[undecided], half_sizes[undecided], bounds[undecided])
    proven = bounds[~undecided].max(initial=0.0)
    examined = 1
    while len(boxes) and examined < most_boxes and time.monotonic() < ends:
        if cancelled is not None and cancelled():
            raise Cancelled
        centers, half_sizes = _divided(*boxes.take_worst(BOXES_PER_ROUND >> len(condition.domain)))
        bounds = condition.bounds(centers, half_sizes)
        undecided = bounds > condition.target
        boxes.add(centers[undecided], half_sizes[undecided], bounds[undecided])
        proven = max(proven, bounds[~undecided].max(initial=0.0))
        examined += len(bounds)
        progress(1.0 - boxes.volume(extended) / whole)
    upper = max(proven, boxes.bounds.max(initial=0.0))
    return BandProof(float(upper), sampled, examined, float(boxes.volume(extended) / whole))


def _proven_band(band: Band, proof: BandProof, target: float, widest: float) -> Band:
    """The band that a proof allows: `target`, or a little more, certified; as it was where too little is proven."""
    upper = proof.upper * (1.0 + EVALUATION_MARGIN)
    if upper <= widest * target:
        return Band(max(target, upper), "certified")
    # What points were found outside of is too narrow for sure; and what was certified was so for a narrower finer band.
    if proof.sampled > band.delta or band.evidence == "certified":
        return Band(target, "sampled")
    return band
