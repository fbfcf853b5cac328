# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays on their way through a sequence: what is known of each of them, kept so that many are moved at once."""

from __future__ import annotations

from .arrays import Array, array_namespace


class _Row:
    """One row of the numbers of a `RayBatch`, read and written as an attribute."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __get__(self, rays: RayBatch, owner: type) -> Array:
        return rays.numbers[self.number]

    def __set__(self, rays: RayBatch, values: Array) -> None:
        rays.numbers[self.number] = values


class RayBatch:
    """Rays of one stage that are still alive.

    All numbers of a ray are one column of one array, so that rays are picked and joined at once. Lengths are along the
    ray, in network units, from where it entered the bounds; values are distances to the stage's inflated surface,
    positive before it.

    Attributes:
        index: (n,) row in the caller's arrays.
        numbers: (20, n) what follows.
        start: (3, n) point of entry.
        unit: (3, n) unit direction.
    """

    ROWS = 20

    length = _Row(6)  # the current point is start + length * unit
    stop = _Row(7)  # length at which the ray leaves the bounds
    outside = _Row(8)  # largest length known to lie before the surface
    outside_value = _Row(9)  # distance found there; infinite where it was to another stage's surface
    beyond = _Row(10)  # smallest length known to lie behind the surface; infinite while no step has crossed it
    beyond_value = _Row(11)  # distance found there
    tested = _Row(12)  # length at which the ray was last found to be in the band of the stage before
    reach = _Row(13)  # from there to this length it is taken to be in that band
    relaxed = _Row(14)  # 1 where the last step was longer than the distance, `outside` being where it began; or 0
    slope = _Row(15)  # distance lost for each length, as last seen, or as most pixels have it
    side = _Row(16)  # +1, or -1 for a ray that started inside the object
    steps = _Row(17)  # evaluations taken
    in_band = _Row(18)  # 1 where the ray starts in the first band; or 0
    coarse = _Row(19)  # of a residual sequence: distance on the stage before at the current length; or infinite

    def __init__(self, index: Array, numbers: Array) -> None:
        self.index = index
        self.numbers = numbers

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def start(self) -> Array:
        return self.numbers[0:3]

    @property
    def unit(self) -> Array:
        return self.numbers[3:6]

    def points(self, rows: Array | None = None) -> Array:
        """(n, 3) current points in network space, of all rays or some."""
        if rows is None:
            return (self.start + self.length * self.unit).T
        place = self.numbers[:7][:, rows]
        return (place[0:3] + place[6] * place[3:6]).T

    def rows(self, keep: Array) -> RayBatch:
        """The rays at the indices `keep`, in that order."""
        return RayBatch(self.index[keep], self.numbers[:, keep])

    @staticmethod
    def joined(groups: list[RayBatch]) -> RayBatch:
        """All rays of some groups."""
        if len(groups) == 1:
            return groups[0]
        xp = array_namespace(groups[0].numbers)
        return RayBatch(
            xp.concatenate([group.index for group in groups]), xp.concatenate([group.numbers for group in groups], 1)
        )
