# SPDX-License-Identifier: GPL-3.0-or-later
"""Render properties of the Neural Implicit engine."""

from __future__ import annotations

import bpy

from .engine_panels import ENGINE, draw_lighting, properties


class _EnginePanel:
    """A panel of the properties editor, shown while the engine is the scene's."""

    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the engine is the scene's."""
        return context.engine in cls.COMPAT_ENGINES


class NEURAL_IMPLICIT_PT_render_sampling(_EnginePanel, bpy.types.Panel):
    """Quality against time."""

    bl_label = "Sampling"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        """Samples of the viewport and of the final picture."""
        layout = properties(self.layout)
        settings = context.scene.neural_implicit
        column = layout.column(align=True)
        column.prop(settings, "viewport_samples", text="Viewport")
        column.prop(settings, "samples", text="Render")


class NEURAL_IMPLICIT_PT_render_levels(_EnginePanel, bpy.types.Panel):
    """Which levels of the networks are used."""

    bl_label = "Level of Detail"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        """Automatic or locked, and the settings of that."""
        layout = properties(self.layout)
        settings = context.scene.neural_implicit
        layout.row().prop(settings, "level_of_detail", expand=True)
        if settings.level_of_detail == "LOCKED":
            column = layout.column(align=True)
            column.prop(settings, "traced_level")
            column.prop(settings, "normal_level")
        else:
            layout.prop(settings, "trace_finest")


class NEURAL_IMPLICIT_PT_render_lighting(_EnginePanel, bpy.types.Panel):
    """What lights the scene."""

    bl_label = "Lighting"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        """The scene's own lights or those of Solid mode, for the viewport and the final picture."""
        draw_lighting(self.layout, context.scene)


class NEURAL_IMPLICIT_PT_render_shadows(_EnginePanel, bpy.types.Panel):
    """What does not reach the surfaces."""

    bl_label = "Shadows"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        """Ambient occlusion and the sun's shadows."""
        layout = properties(self.layout)
        settings = context.scene.neural_implicit
        layout.prop(settings, "ambient_occlusion")
        row = layout.row()
        # Solid mode's lights cast none.
        row.active = settings.lighting == "SCENE"
        row.prop(settings, "sun_shadows")


class NEURAL_IMPLICIT_PT_render_film(_EnginePanel, bpy.types.Panel):
    """The background."""

    bl_label = "Film"
    bl_context = "render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Transparency."""
        properties(self.layout).prop(context.scene.render, "film_transparent", text="Transparent")


class NEURAL_IMPLICIT_PT_view_layer_passes(_EnginePanel, bpy.types.Panel):
    """The passes that the engine can write."""

    bl_label = "Data"
    bl_context = "view_layer"
    bl_parent_id = "VIEWLAYER_PT_layer_passes"

    def draw(self, context: bpy.types.Context) -> None:
        """A switch for each pass but Combined, which is always written."""
        column = properties(self.layout).column(heading="Include")
        column.prop(context.view_layer, "use_pass_z", text="Depth")
        column.prop(context.view_layer, "use_pass_normal", text="Normal")
        column.prop(context.view_layer, "use_pass_object_index", text="Object Index")


CLASSES = (
    NEURAL_IMPLICIT_PT_render_sampling,
    NEURAL_IMPLICIT_PT_render_levels,
    NEURAL_IMPLICIT_PT_render_lighting,
    NEURAL_IMPLICIT_PT_render_shadows,
    NEURAL_IMPLICIT_PT_render_film,
    NEURAL_IMPLICIT_PT_view_layer_passes,
)
