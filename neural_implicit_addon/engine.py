# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine: it only delegates."""

from __future__ import annotations

import bpy

from . import backends, builtin_panels, final_render, viewport


class NeuralImplicitRenderEngine(bpy.types.RenderEngine):
    """Sphere traces neural objects at full detail, among the scene's meshes."""

    bl_idname = viewport.ENGINE
    bl_label = "Neural Implicit"
    bl_use_preview = False
    bl_use_gpu_context = backends.may_render_on_gpu()
    # Materials are Blender's ordinary ones, and Material Preview shows the proxies in EEVEE.
    bl_use_shading_nodes_custom = False
    bl_use_eevee_viewport = True

    def render(self, depsgraph: bpy.types.Depsgraph) -> None:
        """One view layer of the final picture."""
        final_render.render(self, depsgraph)

    def update_render_passes(self, scene: bpy.types.Scene, renderlayer: bpy.types.ViewLayer) -> None:
        """Tell Blender, and so the compositor, which passes there will be."""
        for name, channels, kind in final_render.list_passes(renderlayer):
            self.register_pass(scene, renderlayer, name, len(channels), channels, kind)

    def view_update(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """The scene that the viewport shows has changed."""
        viewport.update(self)

    def view_draw(self, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Draw the viewport."""
        viewport.draw(self, context, depsgraph)


CLASSES = (NeuralImplicitRenderEngine,)


def register() -> None:
    """Make Blender's own panels show up for the engine."""
    builtin_panels.show_for(NeuralImplicitRenderEngine.bl_idname)


def unregister() -> None:
    """Take the engine out of Blender's own panels."""
    builtin_panels.hide_for(NeuralImplicitRenderEngine.bl_idname)
