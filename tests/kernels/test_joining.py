# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks trained separately as the levels of one sequence: exact in another space, sorted, with bands that hold."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import shapes
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels import nsdf
from kernels.cancelling import Cancelled
from kernels.joining import JoiningError, join_networks
from kernels.nesting import BandConfig, nesting_violations
from kernels.networks import Network, evaluate, random_network
from kernels.sequence import Band, NestedSequence

FAST = BandConfig(samples=4000)


@cache
def sphere_network(width: int = 96, radius: float = 0.6) -> Network:
    return shapes.fitted_network(shapes.sphere(radius), width, 2.0, seed=width)


def single(network: Network, **description: Any) -> NestedSequence:
    return NestedSequence((network,), (), **description)


def with_time(network: Network) -> Network:
    """The same network at every time."""
    weight = np.concatenate([network.weights[0], np.zeros((network.widths[0], 1), np.float32)], axis=1)
    return Network((weight, *network.weights[1:]), network.biases)


def test_networks_are_sorted_by_size_and_their_bands_hold() -> None:
    networks = [sphere_network(width) for width in (128, 48, 96)]
    joined = join_networks([single(networks[0]), single(networks[1]), single(networks[2])], FAST)
    assert joined.notation == "48x0 > 96x0 > 128x0"
    assert joined.networks == (networks[1], networks[2], networks[0])
    assert joined.kind == "independent"
    assert [band.evidence for band in joined.bands] == ["sampled", "sampled"]
    assert nesting_violations(joined, samples=20_000) == [0.0, 0.0]


def test_levels_of_several_sequences_are_mixed() -> None:
    pair = NestedSequence((sphere_network(48), sphere_network(128)), (Band(0.1),))
    joined = join_networks([pair, single(sphere_network(96))], FAST)
    assert joined.notation == "48x0 > 96x0 > 128x0"


@given(center=st.tuples(*3 * [st.floats(-0.05, 0.05)]), scale=st.floats(0.95, 1.05), inputs=st.sampled_from([3, 4]))
@settings(max_examples=10, deadline=None)
def test_another_space_keeps_the_shape_and_the_distances(
    center: tuple[float, float, float], scale: float, inputs: int
) -> None:
    # What is nearly the same space counts as the same.
    assume(max(abs(scale - 1.0), *map(abs, center)) > 2e-4)
    # The same sphere, 2 * 0.6 in local space: in the cube of one network, and in another one's.
    fine = shapes.fitted_network(shapes.sphere(), 64, 2.0)
    local_center, radius = np.array([5.0, -3.0, 1.0]), 2.0
    there = shapes.sphere(0.6 / scale, tuple(-np.array(center) / scale))
    coarse = shapes.fitted_network(there, 48, 2.0)
    if inputs == 4:
        fine, coarse = with_time(fine), with_time(coarse)
    time = (0.0, 1.0) if inputs == 4 else None
    target = single(fine, center=tuple(local_center), radius=radius, time=time)
    other = single(coarse, center=tuple(local_center + radius * np.array(center)), radius=radius * scale, time=time)
    joined = join_networks([other, target], FAST)
    assert (joined.center, joined.radius, joined.time) == (target.center, target.radius, time)
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (500, inputs))
    local = target.to_local(points[:, :3])
    own = np.concatenate([other.to_network(local), points[:, 3:]], axis=1)
    expected = evaluate(coarse.like(own), own) * other.radius
    np.testing.assert_allclose(joined.like(points).distance(0, points) * joined.radius, expected, atol=2e-5)


def test_what_rounding_makes_of_one_space_changes_no_weights() -> None:
    first = single(sphere_network(48), center=(1.0, 2.0, 3.0), radius=2.0)
    second = single(sphere_network(96), center=(1.00001, 2.0, 3.0), radius=2.00001)
    assert join_networks([first, second], FAST).networks == (first.networks[0], second.networks[0])


def test_what_is_known_is_that_of_the_finest() -> None:
    finest = {"source": "statue", "normal_error_degrees": 1.5, "levels": [{}], "assumptions": ["It was closed.", "B"]}
    first = single(sphere_network(96), training=finest | {"nesting_violations": [0.5]})
    second = single(sphere_network(48), training={"source": "else", "assumptions": ["A", "B"]})
    joined = join_networks([second, first], FAST)
    assert joined.training == {
        "source": "statue",
        "normal_error_degrees": 1.5,
        "assumptions": ["A", "B", "It was closed."],
    }
    assert nsdf.loads(nsdf.dumps(joined)).notation == joined.notation


@pytest.mark.parametrize("assumed", [5, "text", [["nested"]], [{}], None, ["half \ud800"]], ids=repr)
def test_a_strangers_record_is_no_reason_to_fail(assumed: Any) -> None:
    finest = single(sphere_network(96), training={"assumptions": assumed})
    joined = join_networks([single(sphere_network(48)), finest], FAST)
    assert joined.training["assumptions"] == (["half ?"] if assumed == ["half \ud800"] else assumed)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "nothing to join"),
        ([single(sphere_network())], "at least two"),
        ([single(sphere_network()), single(sphere_network())], "same network, 96x0, is there twice"),
        ([single(sphere_network()), single(sphere_network(48), radius=2.0)], "share 12 % of their volume"),
        ([single(sphere_network()), single(sphere_network(48), center=(9.0, 0.0, 0.0))], "share 0 % of"),
        ([single(sphere_network()), single(sphere_network(48, 0.3))], "not of the same shape.* 1. %"),
        ([single(sphere_network()), single(with_time(sphere_network(48)), time=(0.0, 1.0))], "some do not"),
        (
            [single(with_time(sphere_network(width)), time=(0.0, float(width))) for width in (48, 96)],
            "different times",
        ),
        ([single(random_network((8 + i,))) for i in range(17)], "at most 16 levels"),
    ],
    ids=["none", "one", "twice", "larger", "elsewhere", "other shape", "with time", "other time", "too many"],
)
def test_what_cannot_be_joined(sequences: list[NestedSequence], message: str) -> None:
    with pytest.raises(JoiningError, match=message):
        join_networks(sequences, FAST)


def test_residual_levels_cannot_be_joined_but_a_first_level_can() -> None:
    residual = NestedSequence((sphere_network(48), random_network((8,))), (Band(0.1),), kind="residual")
    with pytest.raises(JoiningError, match="48x0 > 8x0 are corrections of each other"):
        join_networks([single(sphere_network()), residual], FAST)
    alone = replace(residual, networks=residual.networks[:1], bands=())
    assert join_networks([single(sphere_network()), alone], FAST).kind == "independent"


def test_a_network_without_a_surface_is_refused() -> None:
    empty = Network((np.zeros((200, 3), np.float32), np.zeros((1, 200), np.float32)), (np.zeros(200), np.ones(1)))
    with pytest.raises(JoiningError, match="200x0 has no surface"):
        join_networks([single(sphere_network()), single(empty)], FAST)


def test_cancelling() -> None:
    asked = iter([False] * 12 + [True])
    with pytest.raises(Cancelled):
        join_networks([single(sphere_network(48)), single(sphere_network(96))], FAST, cancelled=lambda: next(asked))


def test_progress_rises_to_the_end() -> None:
    told: list[float] = []
    join_networks([single(sphere_network(width)) for width in (48, 96, 128)], FAST, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 2
