# SPDX-License-Identifier: GPL-3.0-or-later
"""Render properties of the Neural Implicit engine."""

from __future__ import annotations

import bpy

ENGINE = "NEURAL_IMPLICIT"


class NEURALIMPLICIT_PT_render_sampling(bpy.types.Panel):
    """Quality against time."""

    bl_label = "Sampling"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "render"
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown while the engine is the scene's."""
        return context.engine in cls.COMPAT_ENGINES

    def draw(self, context: bpy.types.Context) -> None:
        """Samples and levels."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = context.scene.neural_implicit
        layout.prop(settings, "samples")
        layout.prop(settings, "trace_finest")


class NEURALIMPLICIT_PT_render_film(bpy.types.Panel):
    """The background."""

    bl_label = "Film"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "render"
    bl_options = {"DEFAULT_CLOSED"}
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown while the engine is the scene's."""
        return context.engine in cls.COMPAT_ENGINES

    def draw(self, context: bpy.types.Context) -> None:
        """Transparency."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(context.scene.render, "film_transparent", text="Transparent")


class NEURALIMPLICIT_PT_view_layer_passes(bpy.types.Panel):
    """The passes that the engine can write."""

    bl_label = "Data"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "view_layer"
    bl_parent_id = "VIEWLAYER_PT_layer_passes"
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown while the engine is the scene's."""
        return context.engine in cls.COMPAT_ENGINES

    def draw(self, context: bpy.types.Context) -> None:
        """A switch for each pass but Combined, which is always written."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(heading="Include")
        column.prop(context.view_layer, "use_pass_z", text="Depth")
        column.prop(context.view_layer, "use_pass_normal", text="Normal")


CLASSES = (
    NEURALIMPLICIT_PT_render_sampling,
    NEURALIMPLICIT_PT_render_film,
    NEURALIMPLICIT_PT_view_layer_passes,
)
