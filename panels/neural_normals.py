# SPDX-License-Identifier: GPL-3.0-or-later
"""3D View > Sidebar > Neural Implicit > Neural Normals: shade a mesh with a neural object's normals, with no bake."""

from __future__ import annotations

import bpy

from ..neural_implicit_addon import neural_object
from .engine_panels import ENGINE, properties
from .sidebar import Sidebar, draw_message


class NEURAL_IMPLICIT_PT_neural_normals(Sidebar, bpy.types.Panel):
    """Where the active mesh takes its normals from."""

    bl_label = "Neural Normals"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown for meshes that are no neural objects themselves."""
        obj = context.active_object
        return obj is not None and obj.type == "MESH" and not neural_object.is_neural(obj)

    def draw(self, context: bpy.types.Context) -> None:
        """The source, and what it still takes to see its normals."""
        layout, settings = properties(self.layout), context.active_object.neural_implicit
        layout.prop(settings, "normals_source")
        source = settings.normals_source
        if source is None:
            draw_message(layout, context, "Choose a neural object that this mesh lies close to", "INFO")
            return
        layout.prop(settings, "transition")
        if not neural_object.is_neural(source):
            draw_message(layout, context, f"{source.name} carries no network: train it, or choose another object")
        elif context.scene.render.engine != ENGINE:
            draw_message(
                layout, context, "Seen with the Neural Implicit render engine; other engines need a bake", "INFO"
            )


CLASSES = (NEURAL_IMPLICIT_PT_neural_normals,)
