# SPDX-License-Identifier: GPL-3.0-or-later
"""Computations in a thread: they start, say how far they are, wait for object mode, and are cancelled."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from processes import wait_until

OBJECT, EDIT = SimpleNamespace(mode="OBJECT"), SimpleNamespace(mode="EDIT_MESH")
# A test that waits so long for its own thread has failed.
LIMIT = 600.0


@pytest.fixture
def module(addon_module):
    return addon_module("neural_implicit_addon.computation")


@pytest.fixture
def cancelled_error(addon_module) -> type:
    return addon_module("kernels.cancelling").Cancelled


class Halves:
    """Computes 42: the first half at once, the second when the test says so."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.thread: threading.Thread | None = None
        self.saw_cancellation = False

    def __call__(self, progress, cancelled) -> int:
        self.thread = threading.current_thread()
        progress(0.5)
        self.go_on.wait(LIMIT)
        self.saw_cancellation = cancelled()
        return 42


def test_script_computes_in_its_own_thread(module) -> None:
    halves = Halves()
    halves.go_on.set()
    computation = module.Computation("Counting", halves)
    computation.finish(OBJECT)
    assert not computation.running
    assert computation.result() == 42
    assert halves.thread is threading.current_thread()


def test_nobody_waits_for_the_thread(module) -> None:
    halves = Halves()
    computation = module.Computation("Counting", halves)
    assert computation.update(OBJECT), "the start is something to show"
    wait_until(lambda: computation.share == 0.5)
    assert computation.status() == "Counting: 50%"
    # Whether this look or the one before is the first to see it depends on the threads.
    computation.update(OBJECT)
    assert not computation.update(OBJECT), "nothing is new"
    assert computation.running
    computation.share = 0.7
    assert computation.update(OBJECT)
    halves.go_on.set()
    wait_until(lambda: computation.update(OBJECT) and not computation.running)
    assert computation.result() == 42
    assert halves.thread is not threading.current_thread()


def test_result_waits_for_object_mode(module) -> None:
    halves = Halves()
    halves.go_on.set()
    computation = module.Computation("Counting", halves)
    computation.update(EDIT)
    wait_until(lambda: "waiting for object mode" in computation.status())
    computation.update(EDIT)
    assert computation.running
    assert computation.update(OBJECT)
    assert not computation.running


def test_cancelling_returns_at_once_and_the_thread_follows(module, cancelled_error, monkeypatch) -> None:
    monkeypatch.setattr(module, "GRACE", LIMIT)
    halves = Halves()
    computation = module.Computation("Counting", halves)
    computation.update(OBJECT)
    wait_until(lambda: halves.thread is not None)
    computation.cancel()
    assert not computation.running
    assert halves.thread.is_alive()
    with pytest.raises(cancelled_error):
        computation.result()
    halves.go_on.set()
    module.unregister()
    assert not halves.thread.is_alive(), "disabling the add-on leaves a thread behind"
    assert halves.saw_cancellation
    with pytest.raises(cancelled_error):
        computation.result()


@pytest.mark.parametrize("beside", [False, True])
def test_what_goes_wrong_in_the_thread_is_raised_where_the_result_is_asked_for(module, beside) -> None:
    def fail(_progress, _cancelled):
        raise ZeroDivisionError("of all numbers")

    computation = module.Computation("Failing", fail)
    if beside:
        wait_until(lambda: computation.update(OBJECT) and not computation.running)
    else:
        computation.finish(OBJECT)
    with pytest.raises(ZeroDivisionError, match="of all numbers"):
        computation.result()
