# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads: within the cores that are there, one of them left to Blender; and who goes first."""

from __future__ import annotations

import pytest

from kernels import cores


def test_one_core_is_left_and_no_more_are_used_than_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    # A container or an affinity counts, not the machine around it.
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)
    assert cores.thread_count(0) == 7
    assert cores.thread_count(3) == 3
    assert cores.thread_count(1000) == 8
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    assert cores.thread_count(0) == 1


def test_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(cores.os, "nice", asked.append, raising=False)
    cores.give_way()
    # Lower than others, by as much as any user may ask for.
    assert asked == [cores.LOWERED_NICENESS]
    assert 0 < cores.LOWERED_NICENESS <= 19


def test_systems_without_such_priorities_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cores.os, "nice", raising=False)
    cores.give_way()
