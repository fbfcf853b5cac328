# SPDX-License-Identifier: GPL-3.0-or-later
"""Train: every selected mesh becomes a neural object."""

from __future__ import annotations

import os
import time

import bpy
from bpy.props import EnumProperty, IntProperty

from ..kernels.jobs import Request
from ..kernels.meshes import MeshError, TriangleMesh
from ..neural_implicit_addon import neural_object, training_session, worker_process
from ..neural_implicit_addon.preferences import python_preference
from ..neural_implicit_addon.reporting import cancel
from ..neural_implicit_addon.source_mesh import evaluated_triangles
from ..neural_implicit_addon.training_session import Source, TrainingSession

# Seconds between two looks at the worker.
INTERVAL = 0.1


class NEURAL_IMPLICIT_OT_train(bpy.types.Operator):
    """Turn each selected mesh into a neural object that stands exactly where the mesh stands.
    Runs in the background; Esc cancels, and training the same mesh again goes on from there"""

    bl_idname = "neural_implicit.train"
    bl_label = "Train"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        name="Preset",
        description="Quality and time",
        items=(
            ("PREVIEW", "Preview", "A first look in less than a minute"),
            ("BALANCED", "Balanced", "Fine detail in about three minutes"),
            ("FINE", "Fine", "The finest detail in about ten minutes"),
        ),
        default="BALANCED",
    )
    seed: IntProperty(
        name="Seed",
        description="Another seed gives another, equally good network",
        min=0,
        default=0,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Train and return when done, for scripts and background runs. Blender waits, so all cores may train."""
        session = self._begin(context, threads=os.cpu_count() or 1)
        if session is None:
            return {"CANCELLED"}
        try:
            while session.running:
                session.update(context)
                time.sleep(INTERVAL)
        finally:
            # When the script that called is interrupted, no worker is left behind.
            if session.running:
                session.cancel()
        return self._result(session)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Train while the artist goes on working; one core is left to Blender."""
        session = self._begin(context, threads=0)
        if session is None:
            return {"CANCELLED"}
        self._timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look at the worker at every tick of the timer; let all other events through."""
        session = self._session
        if event.type == "ESC" and event.value == "PRESS":
            session.cancel()
        elif event.type == "TIMER" and session.update(context):
            context.workspace.status_text_set(f"{session.status()}   |   Esc: Cancel")
            _redraw(context)
        if session.running:
            return {"PASS_THROUGH"}
        self._end_modal(context)
        return self._result(session)

    def cancel(self, context: bpy.types.Context) -> None:
        """Called by Blender when the window or the file is closed under the operator."""
        self._session.cancel()
        self._end_modal(context)

    def _begin(self, context: bpy.types.Context, threads: int) -> TrainingSession | None:
        """Check all that can be checked before the expensive part; None when something was wrong and was reported."""
        if training_session.current() is not None:
            cancel(self, "A training is already running: wait for it or cancel it first")
            return None
        selected = [obj for obj in context.selected_objects if obj.type == "MESH"]
        objects = [obj for obj in selected if not neural_object.is_neural(obj)]
        if not objects:
            cancel(
                self,
                "This is a neural object already: select the mesh it was made from"
                if selected
                else "Select the meshes to train on first",
            )
            return None
        context.view_layer.update()
        depsgraph = context.evaluated_depsgraph_get()
        try:
            sources = [Source(obj.name, obj.session_uid, _triangles(obj, depsgraph)) for obj in objects]
            python = worker_process.find_python(python_preference(context))
        except (MeshError, worker_process.WorkerError) as error:
            cancel(self, str(error))
            return None
        self._session = training_session.begin(
            TrainingSession(python, sources, Request(self.preset, threads=threads, seed=self.seed))
        )
        return self._session

    def _end_modal(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        _redraw(context)

    def _result(self, session: TrainingSession) -> set[str]:
        """Report what came of the session. What was made stays, so there is something to undo."""
        if session.problems:
            self.report({"ERROR"}, "; ".join(session.problems))
        elif session.cancelled:
            self.report({"WARNING"}, "Training cancelled; training the same mesh again goes on from here")
        else:
            self.report({"INFO"}, f"Trained {', '.join(session.made)}")
        return {"FINISHED"} if session.has_changed_scene else {"CANCELLED"}


def _triangles(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> TriangleMesh:
    try:
        return evaluated_triangles(obj, depsgraph)
    except MeshError as error:
        raise MeshError(f"{obj.name}: {error}") from error


def _redraw(context: bpy.types.Context) -> None:
    """Show progress in every sidebar and viewport."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


CLASSES = (NEURAL_IMPLICIT_OT_train,)
