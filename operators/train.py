# SPDX-License-Identifier: GPL-3.0-or-later
"""Train: every selected mesh becomes a neural object."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty

from ..kernels.jobs import Request
from ..kernels.meshes import MeshError
from ..kernels.presets import PRESETS
from ..neural_implicit_addon import neural_object, training_session
from ..neural_implicit_addon.background_work import BackgroundOperator
from ..neural_implicit_addon.preferences import python_preference
from ..neural_implicit_addon.reporting import cancel
from ..neural_implicit_addon.source_mesh import evaluated_triangles
from ..neural_implicit_addon.training_python import find_python
from ..neural_implicit_addon.training_session import Source, TrainingSession
from ..neural_implicit_addon.worker_process import WorkerError


class NEURAL_IMPLICIT_OT_train(BackgroundOperator, bpy.types.Operator):
    """Turn each selected mesh into a neural object that stands exactly where the mesh stands.
    Runs in the background; Esc cancels, and training the same mesh again goes on from there"""

    bl_idname = "neural_implicit.train"
    bl_label = "Train"
    # Without REGISTER, so that Adjust Last Operation does not train again at every touch of a slider.
    bl_options = {"UNDO"}

    preset: EnumProperty(
        name="Preset",
        description="Quality and time",
        items=tuple((identifier, preset.label, preset.description) for identifier, preset in PRESETS.items()),
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

    def begin(self, context: bpy.types.Context, in_background: bool) -> TrainingSession | None:
        """See `BackgroundOperator.begin`. The worker uses all cores, and gives way to whoever else wants them."""
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
        request = Request(self.preset, budget=self.budget, seed=self.seed)
        return training_session.begin(TrainingSession(python, sources, request, hides_sources=in_background))

    def conclude(self, _context: bpy.types.Context, session: TrainingSession) -> set[str]:
        """Report what came of the session. What was made stays, so there is something to undo."""
        if session.problems:
            self.report({"ERROR"}, "; ".join(session.problems))
        elif session.cancelled:
            self.report({"WARNING"}, "Training cancelled; training the same mesh again goes on from here")
        else:
            trained = f"Trained {', '.join(session.made)}"
            assumed = [f"{name}: {'; '.join(texts)}" for name, texts in session.assumptions.items() if texts]
            self.report({"WARNING" if assumed else "INFO"}, ". ".join([trained, *assumed]))
        return {"FINISHED"} if session.has_changed_scene else {"CANCELLED"}


def _source(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Source:
    """What of `obj` is trained on; what is wrong with it is said with its name."""
    try:
        mesh = evaluated_triangles(obj, depsgraph)
    except MeshError as error:
        raise MeshError(f"{obj.name}: {error}") from error
    return Source(obj.name, obj.session_uid, obj.matrix_world.copy(), mesh)


CLASSES = (NEURAL_IMPLICIT_OT_train,)
