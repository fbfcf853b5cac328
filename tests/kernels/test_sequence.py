# SPDX-License-Identifier: GPL-3.0-or-later
"""Nested sequences: the map to network space, sums of residual levels, and where the finest level may be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapes
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels.sequence
from kernels.networks import Network, evaluate, gradient_reverse, random_network
from kernels.sequence import Band, NestedSequence

NETWORKS = tuple(random_network((16, 16), seed=seed, omega=4.0) for seed in range(3))
BANDS = (Band(0.2, "certified"), Band(0.1, "sampled"))


def points_in_cube(count: int = 500, reach: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).uniform(-reach, reach, (count, 3))


@given(
    center=st.tuples(*3 * [st.floats(-1e6, 1e6)]),
    radius=st.floats(1e-6, 1e6),
    point=st.tuples(*3 * [st.floats(-1.0, 1.0)]),
)
@settings(deadline=None)
def test_maps_to_local_and_network_space_are_inverse(
    center: tuple[float, ...], radius: float, point: tuple[float, ...]
) -> None:
    sequence = NestedSequence(NETWORKS[:1], (), center, radius)
    points = np.array([point])
    local = sequence.to_local(points)
    matrix = sequence.network_to_local
    np.testing.assert_allclose(points @ matrix[:3, :3].T + matrix[:3, 3], local, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(local, np.array(center) + radius * points, rtol=1e-12)
    # What is lost is a rounding of the local coordinates, seen from network space.
    lost = 4e-16 * (np.abs(center).max() + radius) / radius
    np.testing.assert_allclose(sequence.to_network(local), points, rtol=0, atol=4 * lost)


def test_maps_work_on_tensors() -> None:
    sequence = NestedSequence(NETWORKS[:1], (), (1.0, 2.0, 3.0), 0.5)
    points = points_in_cube()
    tensor = torch.from_numpy(points)
    np.testing.assert_array_equal(sequence.to_local(tensor).numpy(), sequence.to_local(points))
    np.testing.assert_array_equal(sequence.to_network(tensor).numpy(), sequence.to_network(points))


def test_independent_level_is_its_network_alone() -> None:
    sequence = NestedSequence(NETWORKS, BANDS)
    points = points_in_cube()
    for level, network in enumerate(NETWORKS):
        np.testing.assert_array_equal(sequence.distance(level, points), evaluate(network, points))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_residual_level_is_the_sum_of_all_up_to_it(level: int) -> None:
    points = torch.from_numpy(points_in_cube()).requires_grad_()
    sequence = NestedSequence(NETWORKS, BANDS, kind="residual").like(points)
    total = torch.stack([evaluate(network, points) for network in sequence.networks[: level + 1]]).sum(0)
    expected = torch.autograd.grad(total.sum(), points)[0]
    value, gradient = sequence.distance_and_gradient(level, points.detach())
    torch.testing.assert_close(value, total.detach())
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(sequence.distance(level, points.detach()), total.detach())


@pytest.mark.parametrize("kind", ["independent", "residual"])
def test_in_band_is_its_definition(kind: str) -> None:
    sequence = NestedSequence(NETWORKS, BANDS, kind=kind)
    points = points_in_cube(20_000, 1.1)
    expected = (np.abs(points) <= 1.0).all(1)
    for level, band in enumerate(BANDS):
        expected &= np.abs(sequence.distance(level, points)) <= band.delta
    assert 0 < expected.sum() < len(points)
    np.testing.assert_array_equal(sequence.in_band(points), expected)
    tensor = torch.from_numpy(points)
    np.testing.assert_array_equal(sequence.like(tensor).in_band(tensor).numpy(), expected)


def test_in_band_of_a_single_level_is_the_cube() -> None:
    points = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 1.0], [1.01, 0.0, 0.0]])
    assert NestedSequence(NETWORKS[:1], ()).in_band(points).tolist() == [True, True, False]
    assert NestedSequence(NETWORKS, BANDS).in_band(points[:0]).tolist() == []


def test_a_residual_is_asked_in_its_band_alone_and_every_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sphere = shapes.sphere_sequence().networks[0]
    # Corrections of any size: what they say outside of their bands must not matter.
    garbage = tuple(random_network((16,), seed=seed, omega=9.0) for seed in (1, 2))
    sequence = NestedSequence((sphere, *garbage), (Band(0.1), Band(0.2)), kind="residual")
    points = points_in_cube(20_000, 1.1)
    asked: dict[int, np.ndarray] = {}

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def note(network: Network, rows: np.ndarray) -> Any:
            assert id(network) not in asked, "a network is asked twice"
            asked[id(network)] = rows
            return function(network, rows)

        return note

    monkeypatch.setattr(kernels.sequence, "evaluate", noting(evaluate))
    monkeypatch.setattr(kernels.sequence, "gradient_reverse", noting(gradient_reverse))
    in_cube = points[(np.abs(points) <= 1.0).all(1)]
    first = in_cube[np.abs(evaluate(sphere, in_cube)) <= 0.1]
    second = first[np.abs(evaluate(sphere, first) + evaluate(garbage[0], first)) <= 0.2]
    assert 0 < len(second) < len(first) < len(in_cube)
    for ask, expected in (
        (sequence.place_in_bands, (in_cube, first)),
        (sequence.gradient_in_bands, (in_cube, first, second)),
    ):
        asked.clear()
        ask(points)
        for network, rows in zip(sequence.networks, expected, strict=False):
            np.testing.assert_array_equal(asked[id(network)], rows)
        assert len(asked) == len(expected)


@pytest.mark.parametrize("kind", ["independent", "residual"])
@pytest.mark.parametrize("levels", [1, 3])
def test_gradients_in_bands_are_those_of_the_finest_level(kind: str, levels: int) -> None:
    sequence = NestedSequence(NETWORKS[:levels], BANDS[: levels - 1], kind=kind)
    points = points_in_cube(5000, 1.1)
    places, gradients = sequence.gradient_in_bands(points)
    inside = sequence.in_band(points)
    np.testing.assert_allclose(places, sequence.place_in_bands(points), rtol=1e-12)
    np.testing.assert_allclose(gradients[inside], sequence.distance_and_gradient(levels - 1, points[inside])[1])
    assert not gradients[~inside].any()
    tensor = torch.from_numpy(points)
    both = sequence.like(tensor).gradient_in_bands(tensor)
    np.testing.assert_allclose(both[0].numpy(), places)
    np.testing.assert_allclose(both[1].numpy(), gradients, atol=1e-12)
    nothing = sequence.gradient_in_bands(points[:0])
    assert [part.shape for part in nothing] == [(0,), (0, 3)]


def test_normals_are_those_of_the_sphere() -> None:
    sequence = shapes.sphere_sequence()
    points = shapes.surface_points(shapes.sphere(), 500)
    normals = sequence.normals(points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, rtol=1e-6)
    # In radians: the length of a small difference of unit vectors.
    assert np.linalg.norm(normals - points / 0.6, axis=1).mean() < 0.02
    np.testing.assert_array_equal(normals, sequence.normals(points, level=1))
    assert not np.array_equal(normals, sequence.normals(points, level=0))


def test_normals_of_a_network_with_time_have_three_components() -> None:
    sequence = NestedSequence((random_network((8,), inputs=4),), (), time=(0.0, 1.0))
    assert sequence.normals(np.zeros((5, 4))).shape == (5, 3)


def test_description() -> None:
    sequence = NestedSequence(NETWORKS, BANDS)
    assert sequence.notation == "16x1 > 16x1 > 16x1"
    assert sequence.finest == 2
    assert sequence.inputs == 3
    assert sequence.parameter_count == 3 * NETWORKS[0].parameter_count


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": (), "bands": ()}, "at least one level"),
        ({"bands": BANDS[:1]}, "3 levels need 2 bands, got 1"),
        ({"kind": "other"}, "unknown kind"),
        ({"networks": (*NETWORKS[:2], random_network((8,), inputs=4))}, "same number of inputs"),
    ],
)
def test_what_is_no_sequence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(NestedSequence(NETWORKS, BANDS), **change)
