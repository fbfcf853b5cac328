# SPDX-License-Identifier: GPL-3.0-or-later
"""Components and walls seen through, counted on shapes where they are known."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

pytest.importorskip("igl")
pytest.importorskip("scipy")

from benchmarks import topology
from kernels.sequence import NestedSequence

SIDE = 48


def sequence_of(distance: shapes.Distance) -> NestedSequence:
    """A single network fitted to a distance."""
    return NestedSequence((shapes.fitted_network(distance),), ())


def test_components_are_counted_with_the_strays() -> None:
    large, small = shapes.sphere(0.35, (-0.5, 0.0, 0.0)), shapes.sphere(0.2, (0.5, 0.0, 0.0))
    assert topology.component_count(sequence_of(large), 48) == 1
    assert topology.component_count(sequence_of(shapes.union(large, small)), 48) == 2


def test_only_pixels_amid_others_lie_within_outlines() -> None:
    depths = np.full((6, 8), np.inf)
    depths[1:5, 1:5], depths[1:5, 5:] = 2.0, 2.5
    expected = np.zeros((6, 8), dtype=bool)
    # The border of the picture repeats its pixels.
    expected[2:4, 2:4] = expected[2:4, 6:] = True
    np.testing.assert_array_equal(topology.within_outlines(depths), expected)


@pytest.mark.parametrize(("radius", "share"), [(0.6, 0.0), (0.57, 1.0)])
def test_a_surface_that_lies_behind_its_source_is_seen_through(radius: float, share: float) -> None:
    mesh = shapes.sphere_mesh(5, 0.6)
    through, looked_at = topology.seen_through(sequence_of(shapes.sphere(radius)), mesh, SIDE)
    assert looked_at > 400
    assert through == pytest.approx(share * looked_at)


def test_a_surface_that_is_not_there_is_seen_through() -> None:
    mesh = shapes.joined(shapes.sphere_mesh(5, 0.3), shapes.moved(shapes.sphere_mesh(5, 0.3), (0.0, 0.0, 0.65)))
    through, looked_at = topology.seen_through(sequence_of(shapes.sphere(0.3)), mesh, SIDE)
    assert 0.3 * looked_at < through < 0.7 * looked_at
