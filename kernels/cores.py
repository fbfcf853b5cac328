# SPDX-License-Identifier: GPL-3.0-or-later
"""How many CPU threads to use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores that this process may run on: fewer than the machine has in a container or under an affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(requested: int) -> int:
    """Threads to compute with: as requested where the cores are there, all but one for 0, which Blender then has."""
    cores = available_cores()
    return min(requested, cores) if requested > 0 else max(1, cores - 1)
