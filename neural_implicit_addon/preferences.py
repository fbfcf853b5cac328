# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the add-on: what renders, and the Python that trains."""

from __future__ import annotations

import bpy

from . import backends
from .training_python import known_answer, training_python

# The extension's own package, two levels above this module.
ADDON = __package__.rpartition(".")[0]


def _use_backend(_preferences: NeuralImplicitPreferences, _context: bpy.types.Context) -> None:
    """Another backend was chosen. No lambda: from Python 3.14 on, one in an annotation does not see this module."""
    backends.forget_failure()


class NeuralImplicitPreferences(bpy.types.AddonPreferences):
    """Viewing, rendering and baking need nothing that Blender does not bring; training needs torch and libigl."""

    bl_idname = ADDON

    backend: bpy.props.EnumProperty(
        name="Render With",
        description="What the Neural Implicit engine renders on, in the viewport and for the final picture",
        items=backends.BACKENDS,
        default="AUTO",
        update=_use_backend,
    )
    python: bpy.props.StringProperty(
        name="Python",
        description="The Python that trains. It needs torch and libigl. "
        "Empty for the one that Blender brings or the one in NEURAL_IMPLICIT_PYTHON",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        """The choice, and whether it can train or the command that makes it able to."""
        layout = self.layout
        layout.row().prop(self, "backend", expand=True)
        layout.label(text=backends.describe(self.backend), icon="INFO")
        layout.separator()
        layout.prop(self, "python")
        chosen = python_preference(context)
        answer = known_answer(chosen)
        column = layout.column(align=True)
        column.label(text="Training runs in a process of its own and needs torch and libigl")
        if answer is None:
            column.label(text="Looking whether they are there", icon="TIME")
        elif not answer.problem:
            column.label(text=f"They are there: {training_python(chosen)}", icon="CHECKMARK")
        else:
            column.label(text=answer.problem, icon="ERROR")
            if answer.command:
                column.label(text="To install, run in a terminal:")
                column.label(text=answer.command)


def python_preference(context: bpy.types.Context) -> str:
    """The path of the Python that the artist chose, or an empty string."""
    addon = context.preferences.addons.get(ADDON)
    return bpy.path.abspath(addon.preferences.python) if addon and addon.preferences.python else ""


def backend_preference(context: bpy.types.Context) -> str:
    """What the artist wants to render on: AUTO, GPU or CPU."""
    addon = context.preferences.addons.get(ADDON)
    return addon.preferences.backend if addon and addon.preferences else "AUTO"


CLASSES = (NeuralImplicitPreferences,)
