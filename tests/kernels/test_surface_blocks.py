# SPDX-License-Identifier: GPL-3.0-or-later
"""Which blocks of a grid are looked at: all that hold surface, and few others."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels.networks import evaluate
from kernels.sequence import Band, NestedSequence
from kernels.stages import Stage
from kernels.surface_blocks import blocks_near_surface, can_be_proven, in_first_band, network_points


def with_evidence(evidence: str) -> NestedSequence:
    """The two levels of a torus with a band of 0.03."""
    return NestedSequence(shapes.torus_sequence().networks, (Band(0.03, evidence),))


@pytest.mark.parametrize("evidence", ["sampled", "certified"])
@pytest.mark.parametrize("resolution", [30, 128, 301])
def test_every_block_with_surface_is_there_and_few_others(evidence: str, resolution: int) -> None:
    sequence = with_evidence(evidence)
    blocks = blocks_near_surface(sequence, resolution, Stage())
    assert len(np.unique(blocks.coords, axis=0)) == len(blocks.coords)
    points = shapes.surface_points(shapes.torus(), 5000)
    for _ in range(3):
        values, gradients = sequence.distance_and_gradient(1, points.astype(np.float32))
        points = points - values[:, None] * gradients
    holding = np.unique(((points + 1.0) * (resolution / 4.0)).astype(np.int64), axis=0)
    present = {tuple(coords) for coords in blocks.coords.tolist()}
    assert {tuple(coords) for coords in holding.tolist()} <= present
    # The surface goes through about 1.5 blocks for each block's face of its area; those beside it come along.
    area = 4.0 * np.pi**2 * 0.55 * 0.22
    assert len(present) < 6.0 * area / (4.0 / resolution) ** 2


def test_centers_know_their_distances() -> None:
    sequence = with_evidence("sampled")
    blocks = blocks_near_surface(sequence, 128, Stage())
    points = network_points(2.0 * blocks.coords + 1.0, 128)
    for level in (0, 1):
        of_level = blocks.levels == level
        values, gradients = sequence.distance_and_gradient(level, points[of_level])
        np.testing.assert_allclose(blocks.values[of_level], values, atol=1e-5)
        np.testing.assert_allclose(blocks.gradients[of_level], gradients / 64.0, atol=1e-5)
    assert (blocks.levels == 1).sum() > 1000


def test_range_analysis_drops_blocks_and_never_one_that_the_band_reaches() -> None:
    sequence, size, resolution = with_evidence("certified"), 8, 256
    assert can_be_proven(sequence, size, resolution)
    coords = np.stack(np.meshgrid(*[np.arange(resolution // size)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = in_first_band(sequence, coords, size, resolution).reshape((resolution // size,) * 3)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (200_000, 3)).astype(np.float32)
    reached = points[np.abs(evaluate(sequence.networks[0], points)) <= 0.03]
    assert kept[tuple(((reached + 1.0) * (resolution / size / 2.0)).astype(np.int64).T)].all()
    assert kept.mean() < 0.5


def test_range_analysis_needs_proven_bands_and_large_blocks() -> None:
    assert not can_be_proven(with_evidence("sampled"), 8, 128)
    assert not can_be_proven(NestedSequence(shapes.torus_sequence().networks[:1], ()), 8, 128)
    assert can_be_proven(with_evidence("certified"), 8, 128)
    assert not can_be_proven(with_evidence("certified"), 4, 64)
    assert not can_be_proven(with_evidence("certified"), 8, 512)
