# SPDX-License-Identifier: GPL-3.0-or-later
"""3D View > Sidebar > Neural Implicit: train, see what a neural object is, bake, extract, import and export."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

import bpy

from ..kernels import nsdf
from ..kernels.assumptions import assumptions
from ..kernels.sequence import NestedSequence
from ..neural_implicit_addon import background_work, neural_object, training_session
from ..neural_implicit_addon.computation import Computation
from ..neural_implicit_addon.preferences import ADDON, python_preference
from ..neural_implicit_addon.training_python import known_answer

# Width of a character and of the panel's margins in pixels, at a resolution scale of 1.
CHARACTER_WIDTH = 7.0
MARGINS = 60.0


class Sidebar:
    """Where all panels of this file are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Neural Implicit"


class NEURAL_IMPLICIT_PT_train(Sidebar, bpy.types.Panel):
    """From a mesh to a neural object."""

    bl_label = "Train"

    def draw(self, context: bpy.types.Context) -> None:
        """What will be trained on and the presets, or the training that is running."""
        layout = self.layout
        session = training_session.current()
        if session is not None:
            layout.progress(factor=session.share, text=f"{session.share:.0%}")
            draw_message(layout, context, session.status(), "TIME")
            for sentence in session.assumptions.get(session.source.name, []):
                draw_message(layout, context, sentence, "INFO")
            layout.operator("neural_implicit.cancel_training", icon="CANCEL")
            return
        sources = [obj for obj in context.selected_objects if obj.type == "MESH" and not neural_object.is_neural(obj)]
        if not sources:
            layout.label(text="Select a mesh to train on", icon="INFO")
        elif len(sources) == 1:
            layout.label(text=sources[0].name, icon="MESH_DATA")
        else:
            layout.label(text=f"{len(sources)} meshes, one after another", icon="MESH_DATA")
        column = layout.column(align=True)
        column.enabled = bool(sources)
        for preset in bpy.ops.neural_implicit.train.get_rna_type().properties["preset"].enum_items:
            split = column.split(factor=0.42, align=True)
            split.operator("neural_implicit.train", text=preset.name).preset = preset.identifier
            split.label(text=preset.description)
        answer = known_answer(python_preference(context))
        if answer is not None and answer.problem:
            draw_message(layout, context, answer.problem)
            layout.operator("preferences.addon_show", text="Set Up", icon="PREFERENCES").module = ADDON


class NEURAL_IMPLICIT_PT_object(Sidebar, bpy.types.Panel):
    """What the active neural object carries."""

    bl_label = "Neural Object"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown for neural objects."""
        return neural_object.is_neural(context.active_object)

    def draw(self, context: bpy.types.Context) -> None:
        """What the file of the active object says, and what can be done to its networks."""
        layout, obj = self.layout, context.active_object
        try:
            sequence = neural_object.read_sequence(obj.data)
            size = len(neural_object.read_bytes(obj.data))
        except nsdf.NsdfError as error:
            draw_message(layout, context, str(error))
            return
        layout.label(text=sequence.notation, icon="NETWORK_DRIVE")
        column = layout.column(align=True)
        for row in describe(sequence, size):
            split = column.split(factor=0.45)
            label = split.row()
            label.alignment = "RIGHT"
            label.label(text=row.name)
            split.label(text=row.value, icon=row.icon)
        for sentence in assumptions(sequence):
            draw_message(layout, context, sentence, "INFO")
        computation = background_work.running(Computation)
        if computation is not None:
            layout.progress(factor=computation.share, text=f"{computation.share:.0%}")
            draw_message(layout, context, computation.status(), "TIME")
            return
        buttons = layout.column(align=True)
        if any(band.evidence != "certified" for band in sequence.bands):
            settings = context.scene.neural_implicit
            buttons.prop(settings, "certify_seconds")
            certify = buttons.operator("neural_implicit.certify_bands", icon="CHECKMARK")
            certify.seconds = settings.certify_seconds
        others = [o for o in context.selected_objects if neural_object.is_neural(o) and o.data != obj.data]
        if others:
            buttons.operator("neural_implicit.join_networks", text=f"Join {len(others) + 1} Networks", icon="LINKED")


class NEURAL_IMPLICIT_PT_bake(Sidebar, bpy.types.Panel):
    """From the active neural object to the other selected meshes."""

    bl_label = "Bake Normals"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown for neural objects."""
        return neural_object.is_neural(context.active_object)

    def draw(self, context: bpy.types.Context) -> None:
        """What the normals go onto, and a button for each kind."""
        layout = self.layout
        targets = [obj for obj in context.selected_objects if obj != context.active_object and obj.type == "MESH"]
        if targets:
            text = targets[0].name if len(targets) == 1 else f"{len(targets)} meshes"
            layout.label(text=f"Onto {text}", icon="MESH_DATA")
        else:
            draw_message(layout, context, "Select the target meshes too, the neural object last", "INFO")
        column = layout.column(align=True)
        column.enabled = bool(targets)
        column.operator_enum("neural_implicit.bake_normals", "target")


class NEURAL_IMPLICIT_PT_exchange(Sidebar, bpy.types.Panel):
    """Meshes and files from neural objects, and neural objects from files."""

    bl_label = "Mesh and Files"

    def draw(self, context: bpy.types.Context) -> None:
        """The buttons; those that need a neural object only with one."""
        is_neural = neural_object.is_neural(context.active_object)
        settings = context.scene.neural_implicit
        column = self.layout.column(align=True)
        column.enabled = is_neural
        column.row(align=True).prop(settings, "extract_density", expand=True)
        column.prop(settings, "extract_resolution" if settings.extract_density == "RESOLUTION" else "extract_faces")
        column.prop(settings, "extract_normals")
        extract = column.operator("neural_implicit.extract_mesh", icon="MESH_GRID")
        extract.density = settings.extract_density
        extract.resolution = settings.extract_resolution
        extract.faces = settings.extract_faces
        extract.use_normals = settings.extract_normals
        column = self.layout.column(align=True)
        export = column.row(align=True)
        export.enabled = is_neural
        export.operator("neural_implicit.export_network", text="Export .nsdf", icon="EXPORT")
        column.operator("neural_implicit.import_network", text="Import .nsdf", icon="IMPORT")


class Row(NamedTuple):
    """A line of a panel: what it is, its value, and an icon before the value."""

    name: str
    value: str
    icon: str = "NONE"


def describe(sequence: NestedSequence, size: int) -> list[Row]:
    """What the panel says about a sequence whose file has `size` bytes, top to bottom."""
    rows = []
    for level, network in enumerate(sequence.networks):
        rows.append(Row(f"Level {level}", f"{network.parameter_count:,} parameters"))
        if level < len(sequence.bands):
            band = sequence.bands[level]
            # The size is about two network units, which mean nothing to an artist.
            value = f"{50.0 * band.delta:.2g} %, {band.evidence}"
            rows.append(Row(f"Band {level} / size", value, "CHECKMARK" if band.evidence == "certified" else "NONE"))
    rows.append(Row("File", f"{size / 1000.0:,.1f} KB"))
    shares = _numbers(sequence.training.get("nesting_violations"))
    if shares:
        rows.append(Row("Nesting violations", ", ".join(f"{100.0 * share:.2g} %" for share in shares)))
    error = _numbers([sequence.training.get("normal_error_degrees")])
    if error:
        rows.append(Row("Normal error", f"{error[0]:.2f}\N{DEGREE SIGN}"))
    return rows


def _numbers(values: Any) -> list[float]:
    """`values` as finite numbers, none if anything else is among them: the training record is free text from a file."""
    if not isinstance(values, list | tuple):
        return []
    # Integers of a file may be larger than any float.
    valid = all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e30 for v in values)
    return [float(v) for v in values] if valid else []


def draw_message(layout: bpy.types.UILayout, context: bpy.types.Context, message: str, icon: str = "ERROR") -> None:
    """A message of any length, broken into lines as wide as the region."""
    scale = context.preferences.system.ui_scale
    characters = int((context.region.width / scale - MARGINS) / CHARACTER_WIDTH)
    column = layout.column(align=True)
    for number, line in enumerate(textwrap.wrap(message, max(characters, 16))):
        column.label(text=line, icon="BLANK1" if number else icon)


CLASSES = (
    NEURAL_IMPLICIT_PT_train,
    NEURAL_IMPLICIT_PT_object,
    NEURAL_IMPLICIT_PT_bake,
    NEURAL_IMPLICIT_PT_exchange,
)
