# SPDX-License-Identifier: GPL-3.0-or-later
"""Render properties of the Neural Implicit engine."""

from __future__ import annotations

import bpy

ENGINE = "NEURAL_IMPLICIT"


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
        """Samples and levels."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.neural_implicit
        layout.prop(settings, "samples")
        layout.prop(settings, "trace_finest")


class NEURAL_IMPLICIT_PT_render_film(_EnginePanel, bpy.types.Panel):
    """The background."""

    bl_label = "Film"
    bl_context = "render"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        """Transparency."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(context.scene.render, "film_transparent", text="Transparent")


class NEURAL_IMPLICIT_PT_view_layer_passes(_EnginePanel, bpy.types.Panel):
    """The passes that the engine can write."""

    bl_label = "Data"
    bl_context = "view_layer"
    bl_parent_id = "VIEWLAYER_PT_layer_passes"

    def draw(self, context: bpy.types.Context) -> None:
        """A switch for each pass but Combined, which is always written."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(heading="Include")
        column.prop(context.view_layer, "use_pass_z", text="Depth")
        column.prop(context.view_layer, "use_pass_normal", text="Normal")


CLASSES = (
    NEURAL_IMPLICIT_PT_render_sampling,
    NEURAL_IMPLICIT_PT_render_film,
    NEURAL_IMPLICIT_PT_view_layer_passes,
)
