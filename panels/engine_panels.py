# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's panels share: its name, the look of properties, and the choice of lighting."""

from __future__ import annotations

import bpy

from ..neural_implicit_addon.engine import NeuralImplicitRenderEngine

ENGINE = NeuralImplicitRenderEngine.bl_idname


def properties(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """The layout with names on the left and values, without a dot for animation, on the right."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    return layout


def draw_lighting(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """The scene's own lights or those of Solid mode, with Blender's previews, as in the shading popover."""
    settings, shading = scene.neural_implicit, scene.display.shading
    layout.row().prop(settings, "lighting", expand=True)
    if settings.lighting in {"STUDIO", "MATCAP"}:
        layout.template_icon_view(shading, "studio_light", scale=4.0, scale_popup=3.0)
    if settings.lighting == "STUDIO":
        layout.prop(shading, "show_specular_highlight")
        layout.prop(shading, "use_world_space_lighting")
        if shading.use_world_space_lighting:
            layout.prop(shading, "studiolight_rotate_z", text="Rotation")
