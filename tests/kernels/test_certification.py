# SPDX-License-Identifier: GPL-3.0-or-later
"""Certified bands: what is proven holds at fresh samples, for shapes whose bands are known and for any networks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.cancelling import Cancelled
from kernels.certification import CertificationConfig, CertifiedBands, certify_bands
from kernels.nesting import sample_level_band
from kernels.networks import Network, bounded_residual, random_network
from kernels.sequence import Band, NestedSequence

# The boxes end a proof, never the clock: what is tested does not depend on the machine.
PATIENT = CertificationConfig(seconds=1e6, boxes=200_000, samples=3000)


@cache
def sphere_network(radius: float = 0.6, height: float = 0.0) -> Network:
    return shapes.fitted_network(shapes.sphere(radius, (0.0, 0.0, height)), 96, 2.0)


def two_spheres(delta: float, radius: float = 0.6, height: float = 0.05) -> NestedSequence:
    """A sphere of radius 0.6 inside the band of another one."""
    return NestedSequence((sphere_network(radius, height), sphere_network()), (Band(delta, "given"),))


def residuals(amplitude: float, delta: float, network: Network | None = None) -> NestedSequence:
    """A sphere and a residual of no meaning that never leaves [-amplitude, amplitude]."""
    residual = network or bounded_residual((32, 32), amplitude, omega=30.0)
    unit = np.random.default_rng(0).normal(0.0, 3.0, residual.weights[-2].shape).astype(np.float32)
    residual = replace(residual, weights=(*residual.weights[:-2], unit, residual.weights[-1]))
    return NestedSequence((sphere_network(), residual), (Band(delta, "given"),), kind="residual")


def shares_outside(sequence: NestedSequence) -> list[float]:
    """Of every band, the share of the points of the finer band that lie outside it."""
    found = []
    for level, band in enumerate(sequence.bands):
        finer = sequence.bands[level + 1].delta if level + 1 < len(sequence.bands) else 0.0
        points = sample_level_band(sequence, level + 1, finer, 30_000, np.random.default_rng(7))
        outside = np.abs(sequence.distance(level, points)) > band.delta
        found.append(float(outside.sum()))
    return found


def evidences(certified: CertifiedBands) -> list[str]:
    return [band.evidence for band in certified.sequence.bands]


def test_a_band_that_is_wide_enough_is_proven_and_kept() -> None:
    # On the sphere around the origin, the distance from one that is 0.05 higher is at most 0.05.
    certified = certify_bands(two_spheres(0.08), PATIENT)
    assert certified.sequence.bands == (Band(0.08, "certified"),)
    (proof,) = certified.proofs
    assert proof.open_share == 0.0
    assert 0.05 <= proof.upper <= 0.08
    assert proof.sampled == pytest.approx(0.05, abs=2e-3)
    assert shares_outside(certified.sequence) == [0]


def test_a_band_that_is_too_narrow_is_widened() -> None:
    certified = certify_bands(two_spheres(0.02), PATIENT)
    (band,) = certified.sequence.bands
    assert band.evidence == "certified"
    assert 0.05 <= band.delta <= 0.06
    assert shares_outside(certified.sequence) == [0]


def test_what_a_coarse_level_has_far_away_counts() -> None:
    # The coarse level is small on the surface of the finer one, and large on a second shell that only that one has.
    fine = shapes.fitted_network(
        lambda p: np.minimum(shapes.sphere()(p), np.linalg.norm(p - 0.85, axis=1) - 0.1), 256, 4
    )
    sequence = NestedSequence((sphere_network(), fine), (Band(0.1, "given"),))
    (band,) = certify_bands(sequence, PATIENT).sequence.bands
    # From the sphere of radius 0.6 the far side of the ball at (0.85, 0.85, 0.85) is sqrt(3) 0.85 + 0.1 - 0.6 away.
    assert band.delta >= 0.9


def test_three_levels_are_proven_from_the_finest_on() -> None:
    sequence = shapes.fitted_sequence(shapes.sphere(), (48, 128, 256), omega=2.0)
    certified = certify_bands(sequence, PATIENT)
    assert evidences(certified) == ["certified", "certified"]
    coarse, fine = certified.sequence.bands
    assert coarse.delta > fine.delta
    assert all(new.delta >= old.delta for new, old in zip(certified.sequence.bands, sequence.bands, strict=True))
    assert shares_outside(certified.sequence) == [0, 0]
    assert [proof.open_share for proof in certified.proofs] == [0.0, 0.0]


def test_bounded_residuals_are_proven_by_one_box() -> None:
    certified = certify_bands(residuals(0.03, 0.0301), PATIENT)
    assert certified.sequence.bands == (Band(0.0301, "certified"),)
    assert certified.proofs[0].boxes == 1
    assert certified.proofs[0].sampled == pytest.approx(0.03, rel=1e-2)
    assert certified.proofs[0].upper == pytest.approx(0.03, rel=1e-4)


def test_a_bound_that_is_not_reached_near_the_surface_is_not_needed() -> None:
    # |r| is 0.05 at most, but a hundredth of that where the sphere is: r = 0.05 sin(0.01).
    still = bounded_residual((32, 32), 0.05)
    still = replace(still, biases=(*still.biases[:-2], np.full(1, 0.01, np.float32), still.biases[-1]))
    sequence = NestedSequence((sphere_network(), still), (Band(0.001, "given"),), kind="residual")
    certified = certify_bands(sequence, PATIENT)
    assert certified.sequence.bands == (Band(0.001, "certified"),)
    assert certified.proofs[0].sampled == pytest.approx(0.05 * np.sin(0.01), rel=1e-2)


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["independent", "residual"]), delta=st.floats(0.0, 0.5))
@settings(max_examples=10, deadline=None)
def test_what_is_proven_of_any_networks_holds(seed: int, kind: str, delta: float) -> None:
    networks = tuple(random_network((8, 8), seed=seed + i, omega=2.0) for i in range(3))
    sequence = NestedSequence(networks, (Band(delta), Band(0.5 * delta)), kind=kind)
    certified = certify_bands(sequence, replace(PATIENT, boxes=10_000))
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.0, 1.0, (50_000, 3))
    exact = certified.sequence.like(points)
    for level, (band, proof) in enumerate(zip(exact.bands, certified.proofs, strict=True)):
        finer = exact.bands[level + 1].delta if level + 1 < len(exact.bands) else 0.0
        reached = np.abs(exact.distance(level, points[np.abs(exact.distance(level + 1, points)) <= finer]))
        assert reached.max(initial=0.0) <= proof.upper
        if band.evidence == "certified":
            assert reached.max(initial=0.0) <= band.delta


def test_networks_with_time_are_proven_over_all_of_it() -> None:
    # The distance of a sphere that rises with t, from 0 to 0.05 over t from 2 to 3, and of one that stays.
    network = sphere_network()
    moving = np.concatenate([network.weights[0], -0.05 * network.weights[0][:, 2:]], axis=1)
    rest = np.concatenate([network.weights[0], np.zeros_like(network.weights[0][:, 2:])], axis=1)
    start = network.biases[0] + 2.0 * 0.05 * network.weights[0][:, 2]
    rising = Network((moving, *network.weights[1:]), (start, *network.biases[1:]))
    still = Network((rest, *network.weights[1:]), network.biases)
    sequence = NestedSequence((rising, still), (Band(0.08, "given"),), time=(2.0, 3.0))
    certified = certify_bands(sequence, PATIENT)
    assert certified.sequence.bands == (Band(0.08, "certified"),)
    assert 0.05 <= certified.proofs[0].upper <= 0.08
    # Of a single moment, too; and there it may be proven closer.
    start = certify_bands(replace(sequence, bands=(Band(0.01),), time=(2.0, 2.0)), PATIENT)
    assert start.sequence.bands == (Band(0.01, "certified"),)
    unfinished = certify_bands(sequence, replace(PATIENT, boxes=10)).proofs[0]
    assert 0.0 < unfinished.open_share <= 1.0


def test_what_runs_out_of_boxes_stays_as_it_was() -> None:
    certified = certify_bands(two_spheres(0.08), replace(PATIENT, boxes=10))
    assert certified.sequence.bands == (Band(0.08, "given"),)
    assert certified.proofs[0].open_share > 0.0
    assert certified.proofs[0].upper > 0.08


def test_a_claim_that_a_sample_disproves_is_not_kept() -> None:
    sequence = replace(two_spheres(0.02), bands=(Band(0.02, "certified"),))
    certified = certify_bands(sequence, replace(PATIENT, boxes=10))
    assert evidences(certified) == ["sampled"]
    assert certified.sequence.bands[0].delta >= 0.05


def three_spheres(coarse: Band, fine: Band) -> NestedSequence:
    """Spheres of radius 0.6, each 0.05 below the one before: 0.1 from the first to the last."""
    return NestedSequence(tuple(sphere_network(height=height) for height in (0.05, 0.0, -0.05)), (coarse, fine))


def test_a_band_that_is_certified_stays_so_and_takes_no_time_from_the_others() -> None:
    sequence = three_spheres(Band(0.2, "given"), Band(0.08, "certified"))
    certified = certify_bands(sequence, replace(PATIENT, boxes=10))
    assert certified.sequence.bands == sequence.bands
    coarse, fine = certified.proofs
    assert (fine.boxes, fine.open_share, fine.upper) == (0, 0.0, 0.08)
    assert coarse.boxes >= 10
    # Also the coarser one: what it was proven for has not changed.
    sequence = three_spheres(Band(0.2, "certified"), Band(0.08, "given"))
    certified = certify_bands(sequence, replace(PATIENT, boxes=10))
    assert certified.sequence.bands == sequence.bands
    assert [proof.boxes > 0 for proof in certified.proofs] == [False, True]


@pytest.mark.parametrize("delta", [0.08, 0.2])
def test_a_certified_band_is_proven_anew_where_the_finer_one_became_wider(delta: float) -> None:
    # Within 0.02 of the middle sphere the first one is at most 0.07 away; within 0.05 it is 0.1 away.
    sequence = three_spheres(Band(delta, "certified"), Band(0.02, "given"))
    certified = certify_bands(sequence, PATIENT)
    assert evidences(certified) == ["certified", "certified"]
    assert certified.sequence.bands[1].delta >= 0.05
    assert certified.sequence.bands[0].delta >= max(delta, 0.1)
    assert certified.proofs[0].boxes > 0
    assert shares_outside(certified.sequence) == [0, 0]


@pytest.mark.parametrize("delta", [0.08, 0.2])
def test_a_proof_for_a_narrower_finer_band_is_none(delta: float) -> None:
    sequence = three_spheres(Band(delta, "certified"), Band(0.02, "given"))
    certified = certify_bands(sequence, replace(PATIENT, boxes=10))
    assert evidences(certified) == ["sampled", "sampled"]
    assert certified.sequence.bands[0].delta >= max(delta, 0.1)
    assert shares_outside(certified.sequence) == [0, 0]


def test_a_bound_that_is_nearly_as_good_is_taken() -> None:
    # Not proven in so few boxes, but a band a little wider is.
    few = replace(PATIENT, boxes=1200)
    certified = certify_bands(two_spheres(0.0535), replace(few, widest=4.0))
    (band,) = certified.sequence.bands
    assert certified.proofs[0].open_share > 0.0
    assert band.evidence == "certified"
    assert 0.0535 < band.delta <= 4.0 * 0.0535
    assert shares_outside(certified.sequence) == [0]
    assert evidences(certify_bands(two_spheres(0.0535), replace(few, widest=1.0))) == ["given"]


def test_a_single_level_has_no_bands() -> None:
    sequence = NestedSequence((sphere_network(),), ())
    assert certify_bands(sequence) == CertifiedBands(sequence, ())


def test_progress_rises_to_the_end() -> None:
    told: list[float] = []
    sequence = shapes.fitted_sequence(shapes.sphere(), (48, 128, 256), omega=2.0)
    certify_bands(sequence, PATIENT, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 10


def test_cancelling() -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        certify_bands(two_spheres(0.08), PATIENT, cancelled=lambda: next(asked))
