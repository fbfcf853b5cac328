# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of objects on screen against projected points, and the levels chosen by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes

from kernels.cameras import Camera, project
from kernels.level_of_detail import choose_levels, radius_in_pixels
from kernels.sequence import Band, NestedSequence

SIZE = (200, 120)


def camera(distance: float, perspective: bool = True) -> Camera:
    """Looks along -z from (0, 0, distance)."""
    projection = np.diag([2.4, 4.0, -1.0, 0.0 if perspective else 1.0])
    if perspective:
        projection[3, 2] = -1.0
    to_world = np.eye(4)
    to_world[2, 3] = distance
    return Camera(projection, to_world, 0.01, 1000.0)


def sequence_of(*deltas: float) -> NestedSequence:
    network = shapes.sphere_sequence().networks[0]
    return NestedSequence((network,) * (len(deltas) + 1), tuple(Band(delta) for delta in deltas))


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_radius_is_that_of_the_projected_sphere(scale: float, perspective: bool) -> None:
    view = camera(6.0 * scale, perspective)
    matrix = np.diag([scale, scale, scale, 1.0])
    nearest = np.array([[0.0, 0.0, scale], [0.0, scale, scale]])
    pixels, _ = project(view, nearest, SIZE)
    assert radius_in_pixels(view, matrix, SIZE) == pytest.approx(np.linalg.norm(pixels[1] - pixels[0]))


def test_a_camera_inside_or_at_the_clip_plane() -> None:
    inside = replace(camera(0.5), clip_start=0.0)
    assert radius_in_pixels(inside, np.eye(4), SIZE) == np.inf
    assert radius_in_pixels(camera(0.5), np.eye(4), SIZE) > 1000.0
    assert choose_levels(sequence_of(0.05), np.inf, True).traced == (0, 1)


def test_levels_that_cannot_be_seen_are_left_out() -> None:
    sequence = sequence_of(0.1, 0.02)
    assert choose_levels(sequence, 1000.0, True).traced == (0, 1, 2)
    assert choose_levels(sequence, 20.0, True).traced == (0, 1)  # 0.02 * 20 is less than half a pixel
    assert choose_levels(sequence, 4.0, True).traced == (0,)
    assert choose_levels(sequence, 20.0, True).normals == 2
    assert choose_levels(sequence, 4.0, True).normals == 1
    assert choose_levels(sequence, 1.0, True).normals == 0


def test_the_finest_level_is_left_for_the_normals() -> None:
    choice = choose_levels(sequence_of(0.1, 0.02), 1000.0, False)
    assert (choice.traced, choice.normals) == ((0, 1), 2)
    only = choose_levels(sequence_of(), 1000.0, False)
    assert (only.traced, only.normals) == ((0,), 0)


@pytest.mark.parametrize("trace_finest", [True, False])
@pytest.mark.parametrize("radius", [0.1, np.inf])
def test_levels_asked_for_win(radius: float, trace_finest: bool) -> None:
    sequence = sequence_of(0.1, 0.02)
    choice = choose_levels(sequence, radius, trace_finest, traced_level=2, normal_level=0)
    assert (choice.traced, choice.normals) == ((0, 1, 2), 0)
    beyond = choose_levels(sequence, radius, trace_finest, traced_level=7, normal_level=9)
    assert (beyond.traced, beyond.normals) == ((0, 1, 2), 2)
    assert choose_levels(sequence, radius, trace_finest, traced_level=-1).traced == (0,)


def test_normals_of_residual_sequences_come_from_the_band_of_the_last_level_traced() -> None:
    sequence = replace(sequence_of(0.1, 0.02), kind="residual")
    everything = choose_levels(sequence, 1000.0, True)
    assert (everything.traced, everything.normals) == ((0, 1, 2), 2)
    # So small on screen that level 0 would do, but not for normals: these need level 1 traced.
    independent = choose_levels(sequence_of(0.1, 0.01), 4.0, True)
    assert independent.traced == (0,)
    for radius in np.geomspace(0.5, 500.0, 60):
        choice = choose_levels(sequence, radius, True)
        assert choice.normals == choose_levels(sequence_of(0.1, 0.02), radius, True).normals
        assert choice.normals <= choice.traced[-1] + 1
        assert choice.traced[-1] < sequence.finest or choice.normals == sequence.finest


@pytest.mark.parametrize(
    ("traced", "normals", "expected"),
    [(0, 2, ((0,), 1)), (0, None, ((0,), 1)), (None, 2, ((0, 1), 2)), (1, 0, ((0, 1), 0)), (2, None, ((0, 1, 2), 2))],
)
def test_levels_asked_for_of_a_residual_sequence(
    traced: int | None, normals: int | None, expected: tuple[tuple[int, ...], int]
) -> None:
    sequence = replace(sequence_of(0.1, 0.05), kind="residual")
    choice = choose_levels(sequence, 4.0, True, traced_level=traced, normal_level=normals)
    assert (choice.traced, choice.normals) == expected


def test_smaller_objects_never_get_finer_levels() -> None:
    sequence = sequence_of(0.2, 0.07, 0.02)
    choices = [choose_levels(sequence, radius, True) for radius in np.geomspace(0.5, 500.0, 60)]
    assert (np.diff([len(choice.traced) for choice in choices]) >= 0).all()
    assert (np.diff([choice.normals for choice in choices]) >= 0).all()
    assert all(choice.normals >= choice.traced[-1] for choice in choices)
