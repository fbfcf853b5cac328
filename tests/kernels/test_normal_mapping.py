# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural normals at points: their weight across the bands, and their mix with a surface's own normals."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels import normal_mapping
from kernels.networks import Network, evaluate, gradient_reverse, random_network
from kernels.sequence import Band, NestedSequence


def test_places_grow_from_the_surface_to_the_border_of_the_band() -> None:
    sequence = shapes.sphere_sequence()
    delta = sequence.bands[0].delta
    distances = np.array([-0.9, -0.5, 0.0, 0.5, 0.9]) * delta
    places = normal_mapping.normals_at(sequence, (0.6 + distances)[:, None] * np.eye(3)[:1], np.eye(4))[1]
    # The network is off by about 1e-3.
    np.testing.assert_allclose(places, np.abs(distances) / delta, atol=2e-3 / delta)
    beyond = (0.6 + np.array([1.2, -1.2]) * delta)[:, None] * np.eye(3)[:1]
    normals, places = normal_mapping.normals_at(sequence, beyond, np.eye(4))
    assert np.isinf(places).all()
    assert (normals == 0.0).all()


def test_the_narrowest_band_counts_and_one_level_has_none() -> None:
    sphere = shapes.sphere_sequence()
    three = NestedSequence((*sphere.networks, sphere.networks[1]), (*sphere.bands, sphere.bands[0]))
    points = shapes.surface_points(shapes.sphere(0.61), 50).astype(np.float32)
    each = [np.abs(evaluate(network, points)) / sphere.bands[0].delta for network in sphere.networks]
    np.testing.assert_allclose(three.place_in_bands(points), np.maximum(*each), rtol=1e-5)
    one = NestedSequence(sphere.networks[:1], ())
    np.testing.assert_array_equal(one.place_in_bands(np.array([[0.0, 0, 0], [0, 1.1, 0]], np.float32)), [0.0, np.inf])


def test_a_residual_says_nothing_outside_of_its_band() -> None:
    # A correction that is a whole other shape, and in the band of the sphere still has the last word.
    sphere = shapes.sphere_sequence().networks[1]
    other = random_network((32, 32), seed=4, omega=9.0)
    sequence = NestedSequence((sphere, other), (Band(0.05),), kind="residual")
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (20_000, 3)).astype(np.float32)
    distances = evaluate(sphere, points)
    inside = np.abs(distances) <= 0.05
    # There are points outside on which the sum of both has a surface: it is not one of the sequence.
    assert (np.abs(distances + evaluate(other, points))[~inside] < 1e-3).any()
    normals, places = normal_mapping.normals_at(sequence, points, np.eye(4))
    assert not normals[~inside].any()
    assert np.isinf(places[~inside]).all()
    np.testing.assert_allclose(places[inside], np.abs(distances[inside]) / 0.05, atol=1e-5)
    slopes = gradient_reverse(sphere, points[inside])[1] + gradient_reverse(other, points[inside])[1]
    expected = slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
    np.testing.assert_allclose(normals[inside], expected, atol=1e-5)


def test_weights_fall_smoothly_over_the_transition() -> None:
    places = np.array([0.0, 0.75, 0.875, 1.0, 1.0001, np.inf])
    np.testing.assert_allclose(normal_mapping.band_weights(places, 0.25), [1.0, 1.0, 0.5, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(normal_mapping.band_weights(places, 0.0), [1, 1, 1, 1, 0, 0])
    fine = normal_mapping.band_weights(np.linspace(0.0, 1.2, 200), 1.0)
    assert (np.diff(fine) <= 0.0).all()
    assert np.abs(np.diff(fine)).max() == pytest.approx(1.5 * 1.2 / 199, rel=0.02), "no steps"


def test_mix_is_between_the_two_normals_and_leaves_weight_zero_alone() -> None:
    existing = np.array([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    baked = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], np.float32)
    mixed = normal_mapping.mix_normals(existing, baked, np.array([0.0, 0.5, 1.0, 0.5]))
    np.testing.assert_array_equal(mixed[0], existing[0])
    np.testing.assert_allclose(mixed[1], [np.sqrt(0.5), np.sqrt(0.5), 0.0], atol=1e-6)
    np.testing.assert_allclose(mixed[2], [0.0, 1.0, 0.0], atol=1e-7)
    np.testing.assert_array_equal(mixed[3], existing[3])


def test_mix_leaves_broken_normals_alone() -> None:
    mixed = normal_mapping.mix_normals(np.full((1, 3), np.nan, np.float32), np.zeros((1, 3), np.float32), np.zeros(1))
    assert np.isnan(mixed).all()


def test_normals_from_the_surface_are_those_of_the_zero_set() -> None:
    # f = sin z (1 + sin x / 2) is zero where z is; off that plane its gradient leans along x.
    weights = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]), np.array([[1.0, 0.25, -0.25]])
    biases = np.array([0.0, np.pi / 2, np.pi / 2]), np.zeros(1)
    plane = Network(tuple(w.astype(np.float32) for w in weights), tuple(b.astype(np.float32) for b in biases))
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (500, 3))
    upwards = np.array([0.0, 0.0, 1.0])
    here, _ = normal_mapping.normals_at(NestedSequence((plane,), ()), points, np.eye(4))
    there, places = normal_mapping.normals_at(NestedSequence((plane,), ()), points, np.eye(4), from_surface=True)
    assert (places <= 1.0).all()
    # cos x / 2 against 1 + sin x / 2, by z: about a seventh of a radian at the border.
    assert np.abs(here - upwards).max() > 0.1
    np.testing.assert_allclose(there, np.tile(upwards, (500, 1)), atol=2e-4)


def test_points_whose_way_to_the_surface_leaves_the_band_keep_their_own_gradients() -> None:
    # The zero set of the finer level lies outside the coarser level's band: there is no way to it.
    far = shapes.fitted_network(shapes.sphere(0.8))
    near = shapes.sphere_sequence().networks[0]
    sequence = NestedSequence((near, far), (Band(0.05),))
    points = shapes.surface_points(shapes.sphere(0.6), 200).astype(np.float32)
    here, _ = normal_mapping.normals_at(sequence, points, np.eye(4))
    there, _ = normal_mapping.normals_at(sequence, points, np.eye(4), from_surface=True)
    np.testing.assert_allclose(here, there, atol=1e-6)
