# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of pieces of work on GPUs that are made up: whatever their speed, no piece takes long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.gpu.pacing import PIECE_GRAIN, PIECE_SECONDS, SMALLEST_SIDE, Pace, pieces

WORK_PER_PIXEL = 5e5
# Seconds that any piece takes, for starting it and waiting for it.
OVERHEAD = 2e-4


def seconds_of(pace: Pace, speed: float, shares: np.ndarray) -> np.ndarray:
    """Seconds of piece after piece on a GPU of that speed; each has the share of the work that is counted for it."""
    found = []
    for share in shares:
        work = WORK_PER_PIXEL * pace.piece_side(WORK_PER_PIXEL) ** 2
        found.append(OVERHEAD + share * work / speed)
        pace.measured("network", work, found[-1])
    return np.array(found)


@pytest.mark.parametrize("speed", [3e10, 1e12, 3e13])
def test_pieces_grow_until_they_take_the_time_that_they_should(speed: float) -> None:
    seconds = seconds_of(Pace(), speed, np.ones(200))
    assert seconds.max() < 2.0 * PIECE_SECONDS
    assert seconds[-50:].mean() > 0.3 * PIECE_SECONDS


@pytest.mark.parametrize("speed", [1e9, 3e10, 1e12])
def test_no_piece_is_near_a_watchdog(speed: float) -> None:
    # Rays that miss cost a thirtieth of what is counted; they fill most of the picture.
    shares = np.where(np.random.default_rng(0).random(500) < 0.2, 1.0, 1.0 / 30.0)
    assert seconds_of(Pace(), speed, shares).max() < 0.6


def test_compiling_teaches_nothing() -> None:
    pace = Pace()
    before = pace.piece_side(WORK_PER_PIXEL)
    pace.measured("network", 1e9, 5.0)
    assert pace.piece_side(WORK_PER_PIXEL) == before


def test_slivers_and_short_pieces_teach_nothing_wrong() -> None:
    pace = Pace()
    seconds_of(pace, 1e12, np.ones(100))
    learned = pace.speed
    for _ in range(10_000):
        # The corner of an object that fills a few pixels of a tile.
        pace.measured("network", 64 * WORK_PER_PIXEL, OVERHEAD)
    assert 0.5 * learned <= pace.speed <= 2.0 * learned


def test_slow_gpu_still_gets_pieces() -> None:
    pace = Pace()
    for _ in range(3):
        pace.measured("network", 1e6, 10.0)
    assert pace.piece_side(WORK_PER_PIXEL) == SMALLEST_SIDE


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 150), st.integers(1, 150), st.integers(1, 8))
def test_pieces_cover_a_rectangle_once(x: int, y: int, width: int, height: int, grains: int) -> None:
    covered = np.zeros((200, 200), dtype=int)
    side = grains * PIECE_GRAIN
    for left, bottom, piece_width, piece_height in pieces((x, y, width, height), side):
        assert max(piece_width, piece_height) <= side
        covered[bottom : bottom + piece_height, left : left + piece_width] += 1
    expected = np.zeros_like(covered)
    expected[y : y + height, x : x + width] = 1
    np.testing.assert_array_equal(covered, expected)
