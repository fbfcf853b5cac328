# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators whose work goes on beside Blender. Events are played; the real window is in tests/window."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


class FakeWork:
    """Goes on until it was looked at three times."""

    def __init__(self, name: str = "Work") -> None:
        self.name = name
        self.looks = 3
        self.cancelled = False

    @property
    def running(self) -> bool:
        return self.looks > 0 and not self.cancelled

    def update(self, _context: object) -> bool:
        self.looks -= 1
        return True

    def finish(self, context: object) -> None:
        while self.running:
            self.update(context)

    def status(self) -> str:
        return f"{self.name}: {self.looks} looks left"

    def cancel(self) -> None:
        self.cancelled = True


class Interrupted(FakeWork):
    """The artist presses Ctrl+C where a script waits."""

    def finish(self, _context: object) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def module(addon_module):
    return addon_module("neural_implicit_addon.background_work")


@pytest.fixture
def operator(module, monkeypatch):
    """A function from a work to an operator that begins it; the operator remembers what it concluded."""
    # The windows' side of it has tests of its own.
    monkeypatch.setattr(module, "_works", SimpleNamespace(show=lambda *_: None, remove=lambda *_: None))

    class Operator(module.BackgroundOperator):
        def __init__(self, work: FakeWork | None) -> None:
            self.work = self._work = work
            self.begun: list[bool] = []
            self.concluded = 0

        def begin(self, _context: object, in_background: bool) -> FakeWork | None:
            self.begun.append(in_background)
            return self.work

        def conclude(self, _context: object, work: FakeWork) -> set[str]:
            assert not work.running
            self.concluded += 1
            return {"CANCELLED"} if work.cancelled else {"FINISHED"}

    return Operator


@pytest.fixture
def context(blender) -> SimpleNamespace:
    """A window with a viewport on the left and a finished render on the right."""
    areas = [
        SimpleNamespace(type=kind, x=x, y=0, width=100, height=100)
        for kind, x in (("VIEW_3D", 0), ("IMAGE_EDITOR", 100))
    ]
    return SimpleNamespace(window=SimpleNamespace(screen=SimpleNamespace(areas=areas)))


def event(kind: str, value: str = "PRESS", x: int = 50) -> SimpleNamespace:
    return SimpleNamespace(type=kind, value=value, mouse_x=x, mouse_y=50)


def test_script_gets_the_result_when_it_is_there(operator, context) -> None:
    called = operator(FakeWork())
    assert called.execute(context) == {"FINISHED"}
    assert called.begun == [False]
    assert called.concluded == 1


def test_without_a_window_invoking_waits_too(operator, context) -> None:
    called = operator(FakeWork())
    assert called.invoke(context, event("LEFTMOUSE")) == {"FINISHED"}
    assert called.begun == [False]


def test_work_that_cannot_begin_is_not_concluded(operator, context) -> None:
    called = operator(None)
    assert called.execute(context) == {"CANCELLED"}
    assert called.concluded == 0


def test_work_does_not_outlive_the_script_that_waits_for_it(operator, context) -> None:
    called = operator(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        called.execute(context)
    assert called.work.cancelled


def test_timer_looks_at_the_work_and_all_other_events_pass(operator, context) -> None:
    called = operator(FakeWork())
    for other in (event("MOUSEMOVE", "NOTHING"), event("A"), event("ESC", "RELEASE")):
        assert called.modal(context, other) == {"PASS_THROUGH"}
    assert called.work.looks == 3
    assert [called.modal(context, event("TIMER")) for _ in range(3)] == [{"PASS_THROUGH"}] * 2 + [{"FINISHED"}]
    assert called.concluded == 1


def test_escape_cancels_and_goes_no_further(operator, context) -> None:
    called = operator(FakeWork())
    # Passed on, it would cancel a work that was begun before, too.
    assert called.modal(context, event("ESC")) == {"CANCELLED"}
    assert called.work.cancelled


def test_escape_that_leaves_a_render_does_not_cancel(operator, context) -> None:
    called = operator(FakeWork())
    assert called.modal(context, event("ESC", x=150)) == {"PASS_THROUGH"}
    assert not called.work.cancelled


def test_closing_the_window_cancels(operator, context) -> None:
    called = operator(FakeWork())
    called.cancel(context)
    assert called.work.cancelled
    assert called.concluded == 0


@pytest.fixture
def windows(module, monkeypatch, blender):
    """A context with windows that only remember: their timers, and the line in each workspace's status bar."""
    timers, lines = [], {}

    def workspace(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, status_text_set=lambda text: lines.update({name: text}))

    def add(_seconds: float, window: object) -> object:
        timers.append(object())
        return timers[-1]

    manager = SimpleNamespace(event_timer_add=add, event_timer_remove=timers.remove)
    workspaces = {name: workspace(name) for name in ("Layout", "Sculpting")}
    monkeypatch.setattr(module, "redraw_viewports", lambda: None)
    context = SimpleNamespace(window_manager=manager, window=None, workspace=workspaces["Layout"])
    fake = SimpleNamespace(context=context, data=SimpleNamespace(workspaces=workspaces), app=blender.app)
    monkeypatch.setattr(module, "bpy", fake)
    return SimpleNamespace(context=context, timers=timers, lines=lines, workspaces=workspaces)


def test_works_share_the_status_bar(module, windows) -> None:
    works, first, second = module._Works(), FakeWork("First"), FakeWork("Second")
    works.add(windows.context, first)
    works.add(windows.context, second)
    works.show(windows.context)
    assert windows.lines == {"Layout": "First: 3 looks left   |   Second: 3 looks left   |   Esc: Cancel"}
    first.cancel()
    works.remove(first)
    # Also where the second one has nothing new to show for a long time.
    assert windows.lines == {"Layout": "Second: 3 looks left   |   Esc: Cancel"}
    assert len(windows.timers) == 1


def test_nothing_stays_in_the_status_bar_of_any_workspace(module, windows) -> None:
    works, work = module._Works(), FakeWork()
    works.add(windows.context, work)
    works.show(windows.context)
    windows.context.workspace = windows.workspaces["Sculpting"]
    works.show(windows.context)
    del windows.workspaces["Layout"]
    works.remove(work)
    assert windows.lines["Sculpting"] is None
    assert windows.timers == []
    # Blender cancels an operator once more when the window closes after it.
    works.remove(work)


def test_running_work_is_found_by_its_kind(module, monkeypatch) -> None:
    work = FakeWork()
    monkeypatch.setattr(module._works, "timers", {work: None})
    assert module.running(FakeWork) is work
    assert module.running(Interrupted) is None
    work.cancel()
    assert module.running(FakeWork) is None


def test_opening_a_file_cancels_what_runs(module, monkeypatch, blender) -> None:
    work = FakeWork()
    monkeypatch.setattr(module._works, "timers", {work: None})
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert work.cancelled
