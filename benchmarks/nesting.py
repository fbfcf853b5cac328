# SPDX-License-Identifier: GPL-3.0-or-later
"""Nesting: the share of a million fresh points of the finer band (or surface) that lie outside of the coarser band.

The points are found in another way than bands are made: scattered around the source mesh and over the whole cube; those
in the finer band count. Of the last level it is the zero set that counts, where rays end: it is found between points on
either side of it. "Sampled" is the same sequence with its bands estimated anew from samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kernels.nesting import BandConfig, estimate_bands
from kernels.sequence import NestedSequence

from . import metrics, report, subjects
from .subjects import Subject

POINTS, QUICK_POINTS = 1_000_000, 2_000
# Points looked at in one go, and how many goes at most: some bands are so thin that few points fall into them.
CHUNK, MOST_CHUNKS = 100_000, 60
# Of the points that are tried, the share that is uniform in the cube, where stray parts of a zero set would be.
UNIFORM_SHARE = 0.2
# Steps towards the zero set, and how far from either end of what is left of a segment each of them stays.
STEPS, LEAST_SHARE = 6, 0.05
# How far the ends of these segments are from the point between them, network units.
REACH = 0.02
MOST_PERCENT = {"certified": 0.0, "sampled": 0.1, "given": None}


def candidates(anchors: np.ndarray, spread: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 3) points to try: around the anchors (N, 3), up to some `spread` away, and some over the whole cube."""
    uniform = rng.uniform(-1.0, 1.0, (int(UNIFORM_SHARE * count), 3))
    around = anchors[rng.integers(0, len(anchors), count - len(uniform))]
    around = around + spread * rng.uniform(-1.0, 1.0, around.shape)
    return np.concatenate([around, uniform]).clip(-1.0, 1.0).astype(np.float32)


def in_band(sequence: NestedSequence, level: int, points: np.ndarray) -> np.ndarray:
    """Those of the points (N, 3) that lie in the band of a level: (M, 3)."""
    return points[np.abs(sequence.distance(level, points)) <= sequence.bands[level].delta]


def on_surface(sequence: NestedSequence, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points of the finest level's zero set on short segments through the points (N, 3): (M, 3)."""
    directions = rng.normal(size=points.shape)
    directions *= REACH / np.linalg.norm(directions, axis=1, keepdims=True)
    # Outside the cube nothing is promised.
    low, high = ((points + sign * directions).clip(-1.0, 1.0).astype(np.float32) for sign in (-1.0, 1.0))
    low_value, high_value = (sequence.distance(sequence.finest, ends) for ends in (low, high))
    crosses = (low_value < 0.0) != (high_value < 0.0)
    low, high, low_value, high_value = (each[crosses] for each in (low, high, low_value, high_value))
    for _ in range(STEPS):
        share = (low_value / (low_value - high_value)).clip(LEAST_SHARE, 1.0 - LEAST_SHARE)
        between = low + share[:, None] * (high - low)
        value = sequence.distance(sequence.finest, between)
        replaces_low = (value < 0.0) == (low_value < 0.0)
        low, low_value = np.where(replaces_low[:, None], between, low), np.where(replaces_low, value, low_value)
        high, high_value = np.where(replaces_low[:, None], high, between), np.where(replaces_low, high_value, value)
    return np.where((np.abs(low_value) < np.abs(high_value))[:, None], low, high)


def violations(sequence: NestedSequence, anchors: np.ndarray, count: int, seed: int = 11) -> list[tuple[int, int]]:
    """For every band, how many fresh points were found that belong in it, and how many of them lie outside.

    Args:
        anchors: (N, 3) points near the surface, network space.
        count: points wanted for each band.
    """
    found = []
    for level, band in enumerate(sequence.bands):
        rng = np.random.default_rng((seed, level))
        tested = outside = 0
        is_last = level + 1 == len(sequence.bands)
        for _ in range(MOST_CHUNKS):
            spread = 2.0 * (0.01 if is_last else sequence.bands[level + 1].delta)
            points = candidates(anchors, spread, min(CHUNK, 8 * count), rng)
            points = on_surface(sequence, points, rng) if is_last else in_band(sequence, level + 1, points)
            points = points[: count - tested]
            outside += int((np.abs(sequence.distance(level, points)) > band.delta).sum())
            tested += len(points)
            if tested == count:
                break
        found.append((tested, outside))
    return found


def rows_of(subject: Subject, sequence: NestedSequence, count: int, whose: str) -> Iterator[report.Row]:
    """The violations of each band of a sequence, in percent.

    Args:
        subject: whose mesh the points are scattered around.
        whose: what the rows call the bands.
    """
    anchors = sequence.to_network(metrics.random_points(subject.source(), 200_000, seed=12))
    for level, (tested, outside) in enumerate(violations(sequence, anchors, count)):
        evidence = sequence.bands[level].evidence
        name = f"{subject.name}, {whose}, {evidence}, band {level} of {sequence.bands[level].delta:.4f}"
        yield report.Row(f"{name}: points", tested)
        if tested:
            share = 100.0 * outside / tested
            yield report.at_most(f"{name}: outside", share, "%", MOST_PERCENT[evidence])


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained, with its own bands and with sampled ones."""
    trainings = (subjects.BUNNY_PREVIEW, subjects.BUNNY_FINE, subjects.IGEA_FINE, subjects.NEFERTITI_BALANCED)
    count = QUICK_POINTS if quick else POINTS
    config = BandConfig(samples=2_000) if quick else BandConfig()
    for subject in subjects.subjects(trainings, quick):
        yield from rows_of(subject, subject.sequence, count, "its bands")
        yield from rows_of(subject, estimate_bands(subject.sequence, config), count, "bands estimated anew")
