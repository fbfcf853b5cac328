# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long computation has come, and whether it is still wanted.

A computation gets a `Stage` and hands parts of it to the functions it calls, so that none of them knows the others'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .cancelling import Cancelled


class Stage:
    """A stretch of a computation: where on the way from 0 to 1 it begins and ends, and who wants to know."""

    def __init__(
        self,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        """Args:
        progress: called with the share of the whole computation that is done.
        cancelled: asked whether the result is not wanted any more.
        start, end: the shares of the whole computation that are done before and after this stage.
        """
        self._progress = progress
        self._cancelled = cancelled
        self._start = start
        self._end = end

    def part(self, start: float, end: float) -> Stage:
        """The stretch from `start` to `end` of this stage, both from 0 to 1."""
        length = self._end - self._start
        return Stage(self._progress, self._cancelled, self._start + start * length, self._start + end * length)

    def reached(self, share: float) -> None:
        """Say that this share of the stage is done.

        Raises:
            Cancelled: nobody wants the result any more.
        """
        if self._cancelled is not None and self._cancelled():
            raise Cancelled
        if self._progress is not None:
            self._progress(self._start + share * (self._end - self._start))

    def pieces(self, count: int, size: int) -> Iterator[slice]:
        """The slices of `size` that make up `count` rows; the stage is reached along with them.

        Raises:
            Cancelled: nobody wants the result any more.
        """
        for start in range(0, count, size):
            self.reached(start / count)
            yield slice(start, min(start + size, count))
        self.reached(1.0)
