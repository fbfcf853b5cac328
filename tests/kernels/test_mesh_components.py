# SPDX-License-Identifier: GPL-3.0-or-later
"""Components of surfaces, against a search and against shapes of which it is known what belongs to them."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.mesh_components import belonging_vertices, component_labels
from kernels.sequence import Band, NestedSequence


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_component_labels_agree_with_a_search(count, pairs) -> None:
    faces = np.array([(a % count, b % count) for a, b in pairs], dtype=np.int64).reshape(-1, 2)
    neighbours = {i: set() for i in range(count)}
    for a, b in faces.tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    expected = [-1] * count
    for root in range(count):
        pending = [root] if expected[root] < 0 else []
        while pending:
            vertex = pending.pop()
            if expected[vertex] < 0:
                expected[vertex] = root
                pending.extend(neighbours[vertex])
    np.testing.assert_array_equal(component_labels(count, faces), expected)


def spheres(*placed: tuple[float, tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spheres of given radii and centers: (V, 3) float32 vertices, (F, 3) faces, (V,) which sphere it is."""
    meshes = [shapes.moved(shapes.sphere_mesh(2, radius), center) for radius, center in placed]
    whole = shapes.joined(*meshes)
    which = np.repeat(np.arange(len(meshes)), [len(mesh.vertices) for mesh in meshes])
    return whole.vertices.astype(np.float32), whole.faces, which


def kept_of(sequence: NestedSequence, placed: list, components: int | None) -> list[int]:
    """The numbers of the spheres that are kept, each as a whole."""
    points, faces, which = spheres(*placed)
    kept, _ = belonging_vertices(sequence, points, faces, 64, components)
    shares = np.bincount(which, kept) / np.bincount(which)
    assert set(shares) <= {0.0, 1.0}
    return np.flatnonzero(shares).tolist()


MAIN = (0.6, (0.0, 0.0, 0.0))
SMALL = (0.08, (0.85, 0.0, 0.0))
TINY = (0.01, (0.0, 0.8, 0.0))
CUT = (0.3, (0.9, 0.9, 0.9))


@pytest.mark.parametrize(
    ("placed", "components", "expected"),
    [
        ([MAIN, SMALL, TINY], None, [0, 1]),
        ([TINY, MAIN, SMALL], None, [1, 2]),
        ([MAIN, SMALL, TINY], 3, [0, 1, 2]),
        # Something thin may have broken between them.
        ([MAIN, SMALL, TINY], 1, [0, 1]),
        ([TINY, SMALL, MAIN], 2, [1, 2]),
        ([CUT, MAIN, SMALL], 2, [1, 2]),
        # What the border cuts off is the shape itself where nothing else is of its size.
        ([CUT, TINY], None, [0]),
    ],
)
def test_sizes_and_the_border_decide(placed, components, expected) -> None:
    single = NestedSequence(shapes.sphere_sequence().networks[:1], ())
    assert kept_of(single, placed, components) == expected


def coarse_sphere(kind: str = "residual") -> NestedSequence:
    """A coarse sphere of radius 0.6 with surface nowhere else, in a band of 0.05, and any second level."""
    return NestedSequence(shapes.sphere_sequence().networks, (Band(0.05),), kind=kind)


@pytest.mark.parametrize("kind", ["independent", "residual"])
def test_component_that_the_coarse_level_has_not_is_dropped(kind: str) -> None:
    assert kept_of(coarse_sphere(kind), [MAIN, SMALL], None) == [0]
    assert kept_of(coarse_sphere(kind), [SMALL, MAIN], 1) == [1]


def test_component_that_the_coarse_level_has_not_is_kept_where_the_source_has_that_many() -> None:
    assert kept_of(coarse_sphere(), [MAIN, SMALL, TINY], 2) == [0, 1]


def test_larger_one_that_the_coarse_level_has_not_is_dropped() -> None:
    # The fine surface lies inside of the coarse one, everywhere on one side of it.
    assert kept_of(coarse_sphere(), [(0.58, (0.0, 0.0, 0.0)), (0.75, (0.0, 0.0, 0.0))], 1) == [0]


def test_large_one_that_the_coarse_level_has_is_kept_beyond_the_number_of_the_source() -> None:
    half, other = (0.58, (0.0, 0.0, 0.0)), (0.62, (0.0, 0.0, 0.0))
    assert kept_of(coarse_sphere(), [half, SMALL, other], 1) == [0, 2]


@pytest.mark.parametrize(
    ("placed", "components", "is_whole"),
    [
        ([MAIN], 1, True),
        ([MAIN, SMALL], 1, False),
        ([MAIN, SMALL], 2, True),
        ([MAIN, SMALL], None, True),
        # Cut off by the border, so none of its own.
        ([MAIN, CUT], 1, True),
        # Too small to be kept, but many.
        ([MAIN, *[(0.01, (0.8, 0.1 * number, 0.0)) for number in range(6)]], 1, False),
    ],
)
def test_surface_of_more_components_than_the_source_has_fallen_apart(placed, components, is_whole) -> None:
    single = NestedSequence(shapes.sphere_sequence().networks[:1], ())
    points, faces, _ = spheres(*placed)
    assert belonging_vertices(single, points, faces, 64, components)[1] is is_whole


def test_few_strays_leave_a_surface_whole() -> None:
    single = NestedSequence(shapes.sphere_sequence().networks[:1], ())
    large, stray = shapes.sphere_mesh(4, 0.6), shapes.moved(shapes.sphere_mesh(0, 0.01), (0.0, 0.8, 0.0))
    both = shapes.joined(large, stray)
    kept, is_whole = belonging_vertices(single, both.vertices.astype(np.float32), both.faces, 64, 1)
    np.testing.assert_array_equal(kept, np.arange(len(both.vertices)) < len(large.vertices))
    assert is_whole
