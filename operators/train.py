# SPDX-License-Identifier: GPL-3.0-or-later
"""Train: every selected mesh becomes a neural object."""

from __future__ import annotations

import time
from contextlib import ExitStack

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..kernels.cores import available_cores
from ..kernels.jobs import Request
from ..kernels.meshes import MeshError
from ..neural_implicit_addon import neural_object, training_session
from ..neural_implicit_addon.preferences import python_preference
from ..neural_implicit_addon.redrawing import redraw_viewports
from ..neural_implicit_addon.reporting import cancel
from ..neural_implicit_addon.source_mesh import evaluated_triangles
from ..neural_implicit_addon.training_python import find_python
from ..neural_implicit_addon.training_session import Source, TrainingSession
from ..neural_implicit_addon.worker_process import WorkerError

# Seconds between two looks at the worker.
INTERVAL = 0.1


class NEURAL_IMPLICIT_OT_train(bpy.types.Operator):
    """Turn each selected mesh into a neural object that stands exactly where the mesh stands.
    Runs in the background; Esc cancels, and training the same mesh again goes on from there"""

    bl_idname = "neural_implicit.train"
    bl_label = "Train"
    # Without REGISTER, so that Adjust Last Operation does not train again at every touch of a slider.
    bl_options = {"UNDO"}

    preset: EnumProperty(
        name="Preset",
        description="Quality and time",
        items=(
            ("PREVIEW", "Preview", "First look, under 1 min"),
            ("BALANCED", "Balanced", "Fine detail, 3 min"),
            ("FINE", "Fine", "Finest detail, 10 min"),
        ),
        default="BALANCED",
    )
    budget: FloatProperty(
        name="Budget",
        description="Factor on the time that the preset takes",
        min=0.01,
        soft_min=0.25,
        soft_max=4.0,
        default=1.0,
        options={"SKIP_SAVE"},
    )
    seed: IntProperty(
        name="Seed",
        description="Another seed gives another, equally good network",
        min=0,
        default=0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The tooltip of a button, which differs from preset to preset."""
        preset = properties.bl_rna.properties["preset"].enum_items[properties.preset]
        return f"{preset.description}. {cls.__doc__}"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Train and return when done, for scripts and background runs. Blender waits, so all cores may train."""
        session = self._begin(context, threads=available_cores())
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
        if bpy.app.background:
            # Without a window there is nobody to go on working, and no event would ever arrive.
            return self.execute(context)
        session = self._begin(context, threads=0, hides_sources=True)
        if session is None:
            return {"CANCELLED"}
        _progress.open(context)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Look at the worker at every tick of the timer; let all other events through."""
        session = self._session
        with ExitStack() as on_error:
            on_error.callback(self.cancel, context)
            if event.type == "ESC" and event.value == "PRESS":
                session.cancel()
            # A render reads the scene from a thread of its own; what the worker has made waits until it is done.
            elif event.type == "TIMER" and not bpy.app.is_job_running("RENDER") and session.update(context):
                _progress.show(context, f"{session.status()}   |   Esc: Cancel")
            on_error.pop_all()
        if session.running:
            return {"PASS_THROUGH"}
        _progress.close()
        return self._result(session)

    def cancel(self, _context: bpy.types.Context) -> None:
        """Called by Blender when the window or the file is closed under the operator."""
        self._session.cancel()
        _progress.close()

    def _begin(self, context: bpy.types.Context, threads: int, hides_sources: bool = False) -> TrainingSession | None:
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
            sources = [_source(obj, depsgraph) for obj in objects]
            python = find_python(python_preference(context))
        except (MeshError, WorkerError) as error:
            cancel(self, str(error))
            return None
        request = Request(self.preset, threads=threads, budget=self.budget, seed=self.seed)
        self._session = training_session.begin(TrainingSession(python, sources, request, hides_sources))
        return self._session

    def _result(self, session: TrainingSession) -> set[str]:
        """Report what came of the session. What was made stays, so there is something to undo."""
        if session.problems:
            self.report({"ERROR"}, "; ".join(session.problems))
        elif session.cancelled:
            self.report({"WARNING"}, "Training cancelled; training the same mesh again goes on from here")
        else:
            self.report({"INFO"}, f"Trained {', '.join(session.made)}")
        return {"FINISHED"} if session.has_changed_scene else {"CANCELLED"}


def _source(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Source:
    """What of `obj` is trained on; what is wrong with it is said with its name."""
    try:
        mesh = evaluated_triangles(obj, depsgraph)
    except MeshError as error:
        raise MeshError(f"{obj.name}: {error}") from error
    return Source(obj.name, obj.session_uid, obj.matrix_world.copy(), mesh)


class _Progress:
    """What a modal training adds to Blender's windows: a timer that wakes it, and a line in the status bar.

    The operator does not own them: when the add-on is disabled, Blender drops a running operator without a word.
    """

    def __init__(self) -> None:
        self._timer: bpy.types.Timer | None = None
        # By name: the artist may change the workspace while training runs, and may remove one.
        self._workspaces: set[str] = set()

    def open(self, context: bpy.types.Context) -> None:
        """Start the timer."""
        self._timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)

    def show(self, context: bpy.types.Context, text: str) -> None:
        """Put a line into the status bar, and have the sidebars drawn again."""
        context.workspace.status_text_set(text)
        self._workspaces.add(context.workspace.name)
        redraw_viewports()

    def close(self) -> None:
        """Take all of it away."""
        if self._timer is not None:
            bpy.context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        for name in self._workspaces & set(bpy.data.workspaces.keys()):
            bpy.data.workspaces[name].status_text_set(None)
        self._workspaces.clear()
        redraw_viewports()


_progress = _Progress()

CLASSES = (NEURAL_IMPLICIT_OT_train,)


def unregister() -> None:
    """Leave no timer and no line in the status bar behind when the add-on is disabled during a training."""
    _progress.close()
