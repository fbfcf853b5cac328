# SPDX-License-Identifier: GPL-3.0-or-later
"""Mapping vertices into a sequence and normals back, for every affine pair of objects."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
import wild_residuals
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import baking, normal_mapping
from kernels.sequence import NestedSequence

scales = st.floats(0.2, 5.0).flatmap(lambda s: st.sampled_from([s, -s]))


def affine(scale, angles, offset) -> np.ndarray:
    """(4, 4): scale, then rotations about x, y and z, then a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(scale)
    for axis, angle in enumerate(angles):
        rotation = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        rotation[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix[:3, :3] = rotation @ matrix[:3, :3]
    matrix[:3, 3] = offset
    return matrix


transforms = st.builds(
    affine,
    st.tuples(scales, scales, scales),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    st.tuples(*[st.floats(-100.0, 100.0)] * 3),
)


def placed_torus() -> NestedSequence:
    """The torus with a local space that is not network space."""
    sequence = shapes.torus_sequence()
    return NestedSequence(sequence.networks, sequence.bands, center=(3.0, -2.0, 1.0), radius=0.5)


@settings(max_examples=25, deadline=None)
@given(source=transforms, target=transforms)
def test_normals_of_the_same_surface_in_any_two_spaces(source, target) -> None:
    sequence = placed_torus()
    network_points = shapes.surface_points(shapes.torus(), 60)
    network_normals = shapes.gradient(shapes.torus(), network_points)
    world = np.c_[sequence.to_local(network_points), np.ones(60)] @ source.T
    points = (world @ np.linalg.inv(target).T)[:, :3]

    normals, inside = baking.normals_from(sequence, points, baking.between_locals(target, source))

    assert inside.all()
    # Independent of the matrices inside: two tangents carried along as differences of points, and their cross product.
    linear = np.linalg.inv(target)[:3, :3] @ source[:3, :3]
    first = np.cross(network_normals, np.array([0.3, 0.5, 0.8]))
    second = np.cross(network_normals, first)
    expected = np.cross(first @ linear.T, second @ linear.T)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    outwards = network_normals @ linear.T
    expected *= np.sign((expected * outwards).sum(axis=1, keepdims=True))
    # A map that stretches one axis 25 times as much as another makes the network's own error of a degree larger.
    cosines = (normals * expected).sum(axis=1)
    assert cosines.min() > np.cos(np.radians(25.0))
    assert np.median(cosines) > np.cos(np.radians(3.0))


def test_normals_match_the_closed_form() -> None:
    points = shapes.surface_points(shapes.torus(), 500)
    normals, inside = baking.normals_from(shapes.torus_sequence(), points, np.eye(4))
    assert inside.all()
    expected = shapes.gradient(shapes.torus(), points)
    assert np.degrees(np.linalg.norm(normals - expected, axis=1)).max() < 2.0
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("slope", [2.0, 1e4])
def test_residuals_that_are_enormous_outside_their_bands(slope: float) -> None:
    rng = np.random.default_rng(4)
    # Directions of the octahedron's faces and all sizes.
    points = rng.dirichlet((1.0, 1.0, 1.0), 4000) * rng.choice((-1.0, 1.0), (4000, 3))
    points *= rng.uniform(0.7, 1.4, (4000, 1))
    normals, inside = baking.normals_from(wild_residuals.octahedra(slope), points, np.eye(4))
    surely, perhaps = (wild_residuals.in_bands(points, margin) for margin in (1e-5, -1e-5))
    within = (np.abs(points) <= 1.0).all(axis=1)
    assert (surely & within).sum() > 300
    assert inside[surely & within].all()
    assert not inside[~perhaps | ~within].any()
    # Nearest to a point beside an edge is the edge, where the normals of both faces are right.
    beside_edge = (np.abs(points) < 0.1).any(axis=1)
    checked = inside & ~beside_edge
    assert checked.sum() > 100
    np.testing.assert_allclose(normals[checked], np.sign(points[checked]) / np.sqrt(3.0), atol=1e-4)


def test_points_outside_the_band_get_no_normal() -> None:
    sequence = shapes.sphere_sequence()
    surface = shapes.surface_points(shapes.sphere(), 100)
    far = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [1e300, 0.0, 0.0], [-0.9, 0.9, 0.9]])
    broken = np.array([[np.nan, 0.6, 0.0], [np.inf, 0.0, 0.0], [0.0, 0.6, -np.inf]])
    normals, inside = baking.normals_from(sequence, np.concatenate([surface, far, broken]), np.eye(4))
    assert inside[:100].all()
    assert not inside[100:].any()
    assert (normals[100:] == 0.0).all()


@pytest.mark.parametrize("extent", [1e-6, 1.0, 1e6])
def test_any_extent(extent) -> None:
    torus = shapes.torus_sequence()
    sequence = NestedSequence(torus.networks, torus.bands, center=(extent, 0.0, 0.0), radius=extent)
    points = shapes.surface_points(shapes.torus(), 50)
    normals, inside = baking.normals_from(sequence, sequence.to_local(points), np.eye(4))
    assert inside.all()
    np.testing.assert_allclose(normals, shapes.gradient(shapes.torus(), points), atol=0.04)


@pytest.mark.parametrize("scale", [(0, 1, 1), (0, 0, 0), (np.nan, 1, 1), (np.inf, 1, 1), (1, 1, 1e-300)])
@pytest.mark.parametrize("which", ["source", "target"])
def test_flattened_objects_are_a_clear_error(scale, which) -> None:
    flat = np.diag([*scale, 1.0]).astype(float)
    flat[0, 1] = 0.0
    pair = {"source": np.eye(4), "target": np.eye(4), which: flat}
    if scale == (1, 1, 1e-300):
        baking.between_locals(pair["target"], pair["source"])  # tiny, but not flat
        return
    with pytest.raises(ValueError, match=f"the {which}'s scale"):
        baking.between_locals(pair["target"], pair["source"])


def test_shear_onto_a_plane_is_a_clear_error() -> None:
    flat = np.eye(4)
    flat[:3, 2] = flat[:3, 0]
    with pytest.raises(ValueError, match="scale"):
        baking.between_locals(flat, np.eye(4))


def noisy(normals: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """`normals` turned by random angles of the given mean."""
    deviation = np.radians(degrees) / np.sqrt(np.pi / 2.0)
    turned = normals + np.random.default_rng(seed).normal(0.0, deviation, normals.shape)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


@pytest.mark.parametrize("own_error", [0.5, 1.0, 2.0, 4.0, 8.0, 30.0])
def test_adaptive_mix_is_no_worse_than_either_and_trusts_it_on_coarse_meshes(own_error) -> None:
    truth = shapes.gradient(shapes.sphere(), shapes.surface_points(shapes.sphere(), 4000))
    own, network = noisy(truth, own_error, 1), noisy(truth, 2.0, 2)
    # Angles whose two components are normally distributed: the root of the mean square is 2 / sqrt(pi) of the mean.
    weight = baking.confidence(own, network, 2.0 * 2.0 / np.sqrt(np.pi))
    mixed = normal_mapping.mix_normals(own, network, np.full(len(own), weight))

    def mean_error(normals: np.ndarray) -> float:
        return float(np.degrees(np.linalg.norm(normals - truth, axis=1)).mean())

    assert mean_error(mixed) < 1.02 * mean_error(network)
    assert mean_error(mixed) <= 1.02 * mean_error(own)
    if own_error <= 2.0:
        assert mean_error(mixed) < 0.95 * mean_error(network)
    if own_error >= 8.0:
        assert weight > 0.9


def test_smooth_normals_of_a_cube_of_quads_are_its_diagonals() -> None:
    points = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    normals = baking.smooth_normals(points + 100.0, quads.ravel(), np.arange(0, 24, 4))
    np.testing.assert_allclose(normals, points / np.sqrt(3.0), atol=1e-6)
    # By angle, not by number of faces: halving some of the quads changes nothing.
    halves = np.concatenate([quads[:2, :3], quads[:2, [0, 2, 3]]])
    corners = np.concatenate([halves.ravel(), quads[2:].ravel()])
    starts = np.concatenate([np.arange(0, 12, 3), np.arange(12, 28, 4)])
    np.testing.assert_allclose(baking.smooth_normals(points, corners, starts), points / np.sqrt(3.0), atol=1e-6)


def test_smooth_normals_where_there_are_none() -> None:
    none = np.empty(0, int)
    points = np.array([[0, 0, 0], [0, 3, 0], [np.nan, 0, 0], [0, 0, 1], [1, 0, 0]], float)
    expected = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]], float)
    np.testing.assert_array_equal(baking.smooth_normals(points, none, none), expected)
    # The one sound face still counts beside a broken one.
    normals = baking.smooth_normals(points, np.array([0, 4, 1, 0, 2, 3]), np.array([0, 3]))
    np.testing.assert_allclose(normals[[0, 1, 4]], [[0, 0, 1]] * 3, atol=1e-12)
    assert np.isfinite(normals).all()


def test_identical_normals_need_no_network() -> None:
    normals = shapes.gradient(shapes.sphere(), shapes.surface_points(shapes.sphere(), 50))
    assert baking.confidence(normals, normals, 2.0) == 0.0
    assert baking.confidence(normals[:0], normals[:0], 2.0) == 1.0


def test_colors_hold_normals() -> None:
    normals = shapes.gradient(shapes.sphere(), shapes.surface_points(shapes.sphere(), 20))
    colors = baking.encode_colors(normals)
    assert colors.shape == (20, 4)
    assert colors.min() >= 0.0
    assert colors.max() <= 1.0
    np.testing.assert_array_equal(colors[:, 3], 1.0)
    np.testing.assert_allclose(baking.decode_colors(colors), normals, atol=1e-6)
