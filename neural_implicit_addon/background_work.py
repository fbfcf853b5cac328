# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators whose work takes longer than a moment: Blender goes on meanwhile, and Esc cancels.

From the window such an operator runs modally. Its work is done elsewhere, in a process (training_session.py) or in a
thread (computation.py); a timer wakes the operator to take in what was done, which only Blender's main thread may do.
A line in the status bar says how far it is. Called by a script, or where there is no window, the operator returns when
the work is done.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Protocol, TypeVar

import bpy

from .redrawing import redraw_viewports

# Seconds between two looks at a work.
INTERVAL = 0.1
# Editors that Esc leaves, a finished render and a choice of files: there it is not meant for the work.
EDITORS_WITH_ESCAPE = {"IMAGE_EDITOR", "FILE_BROWSER"}


class Work(Protocol):
    """What is done beside Blender. None of it waits, but `finish`."""

    @property
    def running(self) -> bool:
        """Whether there is something left to do or to take in."""

    def update(self, context: bpy.types.Context) -> bool:
        """Take in what was done since the last call; True when there is something new to show. The first one starts."""

    def finish(self, context: bpy.types.Context) -> None:
        """Do all of it and return."""

    def status(self) -> str:
        """One line for the status bar."""

    def cancel(self) -> None:
        """End it. What was taken in so far stays."""


AnyWork = TypeVar("AnyWork", bound=Work)


class BackgroundOperator:
    """A mixin for operators that begin a work and conclude it. It makes them modal where there is a window."""

    def begin(self, context: bpy.types.Context, in_background: bool) -> Work | None:
        """Check all that can be checked before the expensive part.

        Args:
            in_background: the artist goes on working beside it; otherwise Blender waits for it.

        Returns:
            The work, which nothing has started yet; None when something was wrong and was reported.
        """
        raise NotImplementedError

    def conclude(self, context: bpy.types.Context, work: Work) -> set[str]:
        """Report what came of the work, which is not running any more; called once, after a cancellation too.

        Returns:
            What an operator's `execute` returns.
        """
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do the work and return when it is done, for scripts and background runs."""
        work = self.begin(context, in_background=False)
        if work is None:
            return {"CANCELLED"}
        try:
            work.finish(context)
        finally:
            # When the script that called is interrupted, nothing goes on without it.
            if work.running:
                work.cancel()
        return self.conclude(context, work)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Do the work while the artist goes on working."""
        if bpy.app.background:
            # Without a window there is nobody to go on working, and no event would ever arrive.
            return self.execute(context)
        work = self.begin(context, in_background=True)
        if work is None:
            return {"CANCELLED"}
        self._work = work
        _works.add(context, work)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look at the work at every tick of the timer; let all other events through."""
        work = self._work
        with ExitStack() as on_error:
            on_error.callback(self.cancel, context)
            if event.type == "ESC" and event.value == "PRESS" and not _has_own_escape(context.window, event):
                work.cancel()
            # A render reads the scene from a thread of its own; what was done waits until it has ended.
            elif event.type == "TIMER" and not bpy.app.is_job_running("RENDER") and work.update(context):
                _works.show(context)
            on_error.pop_all()
        if work.running:
            return {"PASS_THROUGH"}
        _works.remove(work)
        return self.conclude(context, work)

    def cancel(self, _context: bpy.types.Context) -> None:
        """Called by Blender when the window or the file is closed under the operator."""
        self._work.cancel()
        _works.remove(self._work)


def _has_own_escape(window: bpy.types.Window, event: bpy.types.Event) -> bool:
    """Whether the mouse is over an editor that Esc closes, as it does a finished render."""
    return any(
        area.x <= event.mouse_x < area.x + area.width and area.y <= event.mouse_y < area.y + area.height
        for area in window.screen.areas
        if area.type in EDITORS_WITH_ESCAPE
    )


class _Works:
    """The works beside the windows: a timer for each, which wakes its operator, and their line in the status bar.

    The operators do not own them: when the add-on is disabled, Blender drops a running operator without a word.
    """

    def __init__(self) -> None:
        self.timers: dict[Work, bpy.types.Timer] = {}
        # By name: the artist may change the workspace meanwhile, and may remove one.
        self._workspaces: set[str] = set()

    def add(self, context: bpy.types.Context, work: Work) -> None:
        """Start the timer of a work."""
        self.timers[work] = context.window_manager.event_timer_add(INTERVAL, window=context.window)

    def show(self, context: bpy.types.Context) -> None:
        """Say in the status bar what is going on, and have the sidebars drawn again."""
        self._workspaces.add(context.workspace.name)
        self._write()

    def remove(self, work: Work) -> None:
        """Take away all that shows a work; nothing where that is done already."""
        timer = self.timers.pop(work, None)
        if timer is not None:
            bpy.context.window_manager.event_timer_remove(timer)
        # Works that go on may have nothing new to show for minutes.
        self._write()

    def _write(self) -> None:
        """Bring the line up to date wherever it was written, or take it away there when nothing goes on."""
        lines = [work.status() for work in self.timers if work.running]
        text = "   |   ".join([*lines, "Esc: Cancel"]) if lines else None
        for name in self._workspaces & set(bpy.data.workspaces.keys()):
            bpy.data.workspaces[name].status_text_set(text)
        if text is None:
            self._workspaces.clear()
        redraw_viewports()


_works = _Works()


def running(kind: type[AnyWork]) -> AnyWork | None:
    """The work of a kind that goes on beside the windows, or None."""
    return next((work for work in _works.timers if isinstance(work, kind) and work.running), None)


@bpy.app.handlers.persistent
def _cancel_before_load(*_arguments: object) -> None:
    """The objects of a work belong to the file that is being left."""
    for work in _works.timers:
        work.cancel()


CLASSES = ()


def register() -> None:
    """End what runs when another file is opened."""
    bpy.app.handlers.load_pre.append(_cancel_before_load)


def unregister() -> None:
    """End what runs, and leave no timer and no line in the status bar behind, when the add-on is disabled."""
    bpy.app.handlers.load_pre.remove(_cancel_before_load)
    for work in list(_works.timers):
        work.cancel()
        _works.remove(work)
