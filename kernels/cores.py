# SPDX-License-Identifier: GPL-3.0-or-later
"""How many CPU threads to use, and who goes first."""

from __future__ import annotations

import os

# Of 19 at most: still well before what a system does when nobody wants anything else.
LOWERED_NICENESS = 10


def available_cores() -> int:
    """Cores that this process may run on: fewer than the machine has in a container or under an affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(requested: int) -> int:
    """Threads to compute with: as requested where the cores are there, all but one for 0, which Blender then has."""
    cores = available_cores()
    return min(requested, cores) if requested > 0 else max(1, cores - 1)


def give_way() -> None:
    """Let other processes go first on cores that they want, where the system has priorities of this kind.

    A training can then use all cores: what Blender needs to draw, it gets at once.
    """
    if hasattr(os, "nice"):
        os.nice(LOWERED_NICENESS)
