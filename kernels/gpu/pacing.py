# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a piece of work may be: cut by the speed that the GPU has shown, so that none of them takes long.

Operating systems end what keeps a GPU busy for about two seconds, and a window must be drawn many times a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..scenes import Region

# What a piece should take, in seconds.
PIECE_SECONDS = 0.02
# Pieces that take less than this share of it are too small to tell the speed, or have nothing in them.
SHORT_SHARE = 0.25

# Multiplications a second before anything was measured: less than any GPU does.
FIRST_SPEED = 2e9
# After a short piece the next one may have this many times the pixels. Rays that miss everything cost a small part of
# those that graze a surface, so a piece full of the latter may follow one that took no time.
GROWTH = 1.2

# Sides of pieces in pixels are multiples of this, which work groups divide, and at least...
PIECE_GRAIN = 16
# ... so large, however slow the GPU: smaller ones take hardly less time.
SMALLEST_SIDE = 32


class Pace:
    """The speed of a GPU, learned from the work it does. Work is counted in multiplications, roughly."""

    def __init__(self) -> None:
        self.speed = FIRST_SPEED
        self._known: set[str] = set()

    def measured(self, kind: str, work: float, seconds: float) -> None:
        """Learn from a piece of work.

        Args:
            kind: what its shaders depend on. Nothing is learned from the first of a kind: compiling them takes long.
        """
        if kind not in self._known:
            self._known.add(kind)
            return
        # Slower than thought counts at once, faster little by little.
        shown = min(work / max(seconds, 1e-6), GROWTH * self.speed)
        if shown > self.speed or seconds >= SHORT_SHARE * PIECE_SECONDS:
            self.speed = shown

    def piece_side(self, work_per_pixel: float) -> int:
        """Side of the square of pixels that takes PIECE_SECONDS."""
        pixels = self.speed * PIECE_SECONDS / max(work_per_pixel, 1.0)
        return max(SMALLEST_SIDE, int(math.sqrt(pixels)) // PIECE_GRAIN * PIECE_GRAIN)


def pieces(rectangle: Region, side: int) -> Iterator[Region]:
    """A rectangle cut into squares of at most that side, from the bottom up."""
    x, y, width, height = rectangle
    for bottom in range(y, y + height, side):
        for left in range(x, x + width, side):
            yield left, bottom, min(side, x + width - left), min(side, y + height - bottom)
