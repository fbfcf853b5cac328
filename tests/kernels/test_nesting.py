# SPDX-License-Identifier: GPL-3.0-or-later
"""Bands and the nesting condition, against spheres whose bands are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.nesting import (
    BandConfig,
    bounded_bands,
    estimate_bands,
    nesting_violations,
    sample_level_band,
    without_unproven_claims,
)
from kernels.networks import Network, bounded_residual, random_network
from kernels.sequence import Band, NestedSequence

FAST = BandConfig(samples=10_000)


def shell(sequence: NestedSequence, level: int, delta: float, count: int = 60_000) -> np.ndarray:
    """Points of {|f_level| <= delta}, by brute force: uniform around a sphere of radius 0.6, those kept that belong."""
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach = 1.5 * delta + 0.02
    points = directions * (0.6 + rng.uniform(-reach, reach, (count, 1)))
    return points[np.abs(sequence.distance(level, points)) <= delta]


@cache
def fitted_sphere() -> Network:
    return shapes.fitted_network(shapes.sphere(), 512)


@pytest.fixture(scope="module")
def spheres() -> NestedSequence:
    """Three levels of a sphere of radius 0.6, with estimated bands."""
    return estimate_bands(shapes.fitted_sequence(shapes.sphere(), (48, 128, 512)), FAST)


def test_samples_of_a_band_lie_in_it_and_fill_it(spheres: NestedSequence) -> None:
    points = sample_level_band(spheres, 2, 0.05, 10_000, np.random.default_rng(0))
    distance = np.linalg.norm(points, axis=1) - 0.6
    assert len(points) > 9_000
    assert np.abs(spheres.distance(2, points)).max() <= 0.05
    # All depths of the band, and all directions.
    assert np.histogram(distance, 10, (-0.05, 0.05))[0].min() > 500
    octants = ((points > 0) @ [1, 2, 4]).astype(int)
    assert np.bincount(octants, minlength=8).min() > 700


def test_bands_against_the_supremum_over_a_dense_shell(spheres: NestedSequence) -> None:
    assert [band.evidence for band in spheres.bands] == ["sampled", "sampled"]
    for level, finer in ((1, 1e-3), (0, spheres.bands[1].delta)):
        reached = np.abs(spheres.distance(level, shell(spheres, level + 1, finer))).max()
        delta = spheres.bands[level].delta
        # Wide enough, and not wider than the margin, the least width and the sampling allow.
        assert reached <= delta <= max(1.3 * reached, FAST.narrowest + finer)


def test_exact_levels_get_the_narrowest_bands() -> None:
    fine = fitted_sphere()
    sequence = NestedSequence((fine, fine, fine), (Band(0.0), Band(0.0)))
    deltas = [band.delta for band in estimate_bands(sequence, FAST).bands]
    assert deltas == pytest.approx([0.04, 0.02], abs=1e-3)


def test_band_of_a_coarse_level_of_another_size() -> None:
    # Spheres of radius 0.6 and 0.5: on the finer one the coarse distance is -0.1.
    networks = tuple(shapes.fitted_network(shapes.sphere(radius), 512) for radius in (0.6, 0.5))
    sequence = estimate_bands(NestedSequence(networks, (Band(0.0),)), FAST)
    assert sequence.bands[0].delta == pytest.approx(1.2 * 0.1, rel=0.1)


def test_estimated_bands_are_not_violated(spheres: NestedSequence) -> None:
    assert nesting_violations(spheres, samples=20_000) == [0.0, 0.0]


def test_violations_of_a_band_that_is_too_narrow() -> None:
    # On a sphere, a coarse sphere moved up by 0.05 has the distance -0.05 cos(theta): it is beyond 0.025 where
    # |cos(theta)| > 1/2. Samples come from all directions of the cube, so those are counted the same way.
    networks = (shapes.fitted_network(shapes.sphere(center=(0.0, 0.0, 0.05)), 512), fitted_sphere())
    directions = np.random.default_rng(9).uniform(-1.0, 1.0, (100_000, 3))
    expected = (np.abs(directions[:, 2]) > 0.5 * np.linalg.norm(directions, axis=1)).mean()
    (share,) = nesting_violations(NestedSequence(networks, (Band(0.025, "given"),)), samples=20_000)
    assert share == pytest.approx(expected, abs=0.03)


def test_violations_are_counted_in_the_whole_finer_band() -> None:
    # The coarse band is half as wide as the finer one: half of the finer one lies outside.
    fine = fitted_sphere()
    sequence = NestedSequence((fine, fine, fine), (Band(0.05, "given"), Band(0.1, "given")))
    coarse, fine_share = nesting_violations(sequence, samples=20_000)
    assert coarse == pytest.approx(0.5, abs=0.05)
    assert fine_share == 0.0


def test_levels_without_a_surface_have_bands_all_the_same() -> None:
    weights = np.zeros((4, 3), np.float32), np.zeros((1, 4), np.float32)
    empty = Network(weights, (np.zeros(4, np.float32), np.ones(1, np.float32)))
    sequence = estimate_bands(NestedSequence((empty, empty), (Band(0.0),)), FAST)
    assert sequence.bands[0].delta == FAST.narrowest
    assert nesting_violations(sequence) == [None]


def test_samples_of_a_band_with_time_are_spread_over_its_range() -> None:
    # A sphere that rises with t: the center is at 0.1 t.
    sphere = fitted_sphere()
    weight = np.concatenate([sphere.weights[0], -0.1 * sphere.weights[0][:, 2:]], axis=1)
    rising = Network((weight, *sphere.weights[1:]), sphere.biases)
    sequence = NestedSequence((rising,), (), time=(-2.0, 1.0))
    points = sample_level_band(sequence, 0, 0.02, 2000, np.random.default_rng(0))
    centers = np.outer(0.1 * points[:, 3], [0.0, 0.0, 1.0])
    assert np.abs(np.linalg.norm(points[:, :3] - centers, axis=1) - 0.6).max() < 0.03
    assert points[:, 3].min() == pytest.approx(-2.0, abs=0.02)
    assert points[:, 3].max() == pytest.approx(1.0, abs=0.02)


def test_the_same_seed_gives_the_same_bands(spheres: NestedSequence) -> None:
    assert estimate_bands(spheres, FAST).bands == spheres.bands
    assert estimate_bands(spheres, FAST, seed=1).bands != spheres.bands


# Bands that follow from the bounds of residuals.


def wild_residual(amplitude: float, seed: int) -> Network:
    """A residual that makes use of its whole amplitude, everywhere in the cube."""
    network = random_network((12, 1), seed=seed, omega=15.0)
    zero = np.zeros(1, np.float32)
    return Network(
        (network.weights[0], 4.0 * network.weights[1], np.full((1, 1), amplitude, np.float32)),
        (*network.biases[:-1], zero),
    )


@settings(max_examples=60, deadline=None)
@given(
    amplitudes=st.lists(st.floats(-0.5, 0.5, width=32), min_size=1, max_size=4),
    narrowest=st.sampled_from([0.0, 1e-3, 0.02, 0.3]),
    seed=st.integers(0, 10_000),
)
def test_certified_bands_nest_everywhere(amplitudes: list[float], narrowest: float, seed: int) -> None:
    networks = [random_network((16, 16), seed=seed, omega=4.0)]
    networks += [wild_residual(amplitude, seed + 1 + i) for i, amplitude in enumerate(amplitudes)]
    sequence = NestedSequence(tuple(networks), (Band(0.0),) * len(amplitudes), kind="residual")
    sequence = bounded_bands(sequence, BandConfig(narrowest=narrowest))
    assert [band.evidence for band in sequence.bands] == ["certified"] * len(amplitudes)
    # In double precision, so that bands of next to nothing are not lost in rounding.
    points = np.random.default_rng(seed).uniform(-1.0, 1.0, (4000, 3))
    sequence = sequence.like(points)
    distances = [np.abs(sequence.distance(level, points)) for level in range(len(networks))]
    # Definition 1, of every pair of levels; the finest one's band is its zero set, so no wider than a rounding.
    deltas = [*(band.delta for band in sequence.bands), 0.0]
    for coarse, fine, delta, finer in zip(distances, distances[1:], deltas, deltas[1:], strict=False):
        assert (coarse[fine <= finer] <= delta).all()
        assert delta >= finer + narrowest
    # On the finest surface, wherever it is: |F_j| is at most the sum of the amplitudes after j.
    for level, delta in enumerate(deltas[:-1]):
        assert (distances[level] - distances[-1]).max() <= delta


def test_certified_bands_are_no_wider_than_the_amplitudes_ask() -> None:
    networks = random_network((16, 16)), wild_residual(0.1, 1), wild_residual(-0.05, 2), wild_residual(0.001, 3)
    sequence = NestedSequence(networks, (Band(0.0),) * 3, center=(1.0, 2.0, 3.0), radius=7.0, kind="residual")
    found = bounded_bands(sequence, BandConfig(narrowest=0.02))
    assert [band.delta for band in found.bands] == pytest.approx([0.17, 0.07, 0.02], rel=1e-3)
    assert all(band.delta > wanted for band, wanted in zip(found.bands, (0.17, 0.07), strict=False))
    # Nothing else of the sequence has changed.
    assert (found.networks, found.center, found.radius, found.kind) == (networks, (1.0, 2.0, 3.0), 7.0, "residual")


def test_certified_bands_have_no_violations_among_fresh_samples() -> None:
    base = shapes.fitted_network(shapes.sphere(), 128)
    # Amplitudes beyond the narrowest band: nothing but the bounds makes the bands.
    networks = base, wild_residual(0.05, 1), wild_residual(0.03, 2)
    sequence = NestedSequence(networks, (Band(0.0),) * 2, kind="residual")
    assert nesting_violations(bounded_bands(sequence, FAST), samples=10_000) == [0.0, 0.0]


def test_new_residuals_change_nothing_and_need_the_narrowest_bands() -> None:
    networks = fitted_sphere(), bounded_residual((8, 8), 0.004), bounded_residual((8, 8), 0.002)
    sequence = bounded_bands(NestedSequence(networks, (Band(0.0),) * 2, kind="residual"), FAST)
    assert [band.delta for band in sequence.bands] == pytest.approx([2.0 * FAST.narrowest, FAST.narrowest])


@pytest.mark.parametrize(
    ("kind", "second"),
    [("independent", wild_residual(0.1, 1)), ("residual", random_network((8, 8)))],
    ids=["independent", "unbounded"],
)
def test_other_sequences_are_not_certified_by_bounds(kind: str, second: Network) -> None:
    sequence = NestedSequence((random_network((8, 8)), wild_residual(0.1, 2), second), (Band(0.1),) * 2, kind=kind)
    assert bounded_bands(sequence, FAST) is None


def test_claims_are_kept_where_the_bounds_prove_them() -> None:
    networks = random_network((16, 16)), wild_residual(0.1, 1), wild_residual(0.05, 2)
    sequence = bounded_bands(NestedSequence(networks, (Band(0.0),) * 2, kind="residual"), FAST)
    assert without_unproven_claims(sequence).bands == sequence.bands
    wider = Band(0.3, "certified"), Band(0.06, "sampled")
    assert without_unproven_claims(replace(sequence, bands=wider)).bands == wider


@pytest.mark.parametrize("kind", ["residual", "independent"])
def test_claims_that_nothing_proves_are_given(kind: str) -> None:
    networks = random_network((16, 16)), wild_residual(0.1, 1), wild_residual(0.05, 2)
    # Residuals of 0.1 and 0.05 move the surface out of the first band, which the second widens.
    sequence = NestedSequence(networks, (Band(0.155, "certified"), Band(0.06, "certified")), kind=kind)
    checked = without_unproven_claims(sequence)
    second = "certified" if kind == "residual" else "given"
    assert checked.bands == (Band(0.155, "given"), Band(0.06, second))
    assert (checked.networks, checked.kind) == (networks, kind)
