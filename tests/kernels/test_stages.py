# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress and cancellation of computations that are made of parts."""

from __future__ import annotations

import pytest

from kernels.cancelling import Cancelled
from kernels.stages import Stage


def test_parts_of_parts_report_shares_of_the_whole() -> None:
    said = []
    part = Stage(said.append).part(0.5, 1.0).part(0.0, 0.5)
    assert [part.reached(share) for share in (0.0, 0.5, 1.0)] == [None] * 3
    assert said == [0.5, 0.625, 0.75]


def test_pieces_cover_all_rows_once_and_report_along_with_them() -> None:
    said = []
    pieces = list(Stage(said.append).pieces(10, 4))
    assert pieces == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert said == [0.0, 0.4, 0.8, 1.0]
    assert list(Stage().pieces(0, 4)) == []


def test_cancelled_between_two_pieces() -> None:
    seen = []
    with pytest.raises(Cancelled):
        seen.extend(piece for piece in Stage(cancelled=lambda: len(seen) == 2).part(0.0, 0.1).pieces(100, 10))
    assert len(seen) == 2
