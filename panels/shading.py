# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewport's shading popover while it shows the engine's pictures: lighting, and false colours."""

from __future__ import annotations

import bpy

from .engine_panels import ENGINE, draw_lighting, properties

# What the colours of each false-colour display mean, a line each.
LEGENDS = {
    "LEVEL": ("Blue, orange, green, yellow:", "the ray ended on level 0, 1, 2, 3", "Grey: no neural object"),
    "ITERATIONS": ("Dark: few evaluations", "Yellow: 63 or more", "Grey: no neural object"),
    "BAND": (
        "Green: on the surface of the level before",
        "Red: at the border of its band",
        "Grey: no band is there",
    ),
}


class _ShadingPanel:
    """A part of the shading popover."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "HEADER"
    bl_parent_id = "VIEW3D_PT_shading"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the viewport shows the engine's pictures."""
        return context.space_data.shading.type == "RENDERED" and context.engine == ENGINE


class NEURAL_IMPLICIT_PT_shading_lighting(_ShadingPanel, bpy.types.Panel):
    """What lights the scene."""

    bl_label = "Lighting"

    def draw(self, context: bpy.types.Context) -> None:
        """The same choice as in the render properties."""
        draw_lighting(self.layout, context.scene)


class NEURAL_IMPLICIT_PT_shading_display(_ShadingPanel, bpy.types.Panel):
    """The shaded picture, or how it came about."""

    bl_label = "Neural Objects"

    def draw(self, context: bpy.types.Context) -> None:
        """The display and what its colours mean."""
        settings = context.scene.neural_implicit
        layout = properties(self.layout)
        layout.prop(settings, "display")
        column = layout.column(align=True)
        column.scale_y = 0.8
        for line in LEGENDS.get(settings.display, ()):
            column.label(text=line)


CLASSES = (NEURAL_IMPLICIT_PT_shading_lighting, NEURAL_IMPLICIT_PT_shading_display)
