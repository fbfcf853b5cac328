# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the add-on: the Python that trains."""

from __future__ import annotations

import bpy

from . import worker_process

# The extension's own package, two levels above this module.
ADDON = __package__.rpartition(".")[0]


class NeuralImplicitPreferences(bpy.types.AddonPreferences):
    """Viewing, rendering and baking need nothing that Blender does not bring; training needs torch and libigl."""

    bl_idname = ADDON

    python: bpy.props.StringProperty(
        name="Python",
        description="The Python that trains. It needs torch and libigl. "
        "Empty for the one that Blender brings or the one in NEURAL_IMPLICIT_PYTHON",
        subtype="FILE_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """The choice, and the command that makes a Python ready for it."""
        layout = self.layout
        layout.prop(self, "python")
        python = worker_process.candidate_pythons(self.python)[0]
        column = layout.column(align=True)
        column.label(text="Training runs in a process of its own and needs torch and libigl. To install them:")
        column.label(text=f'"{python}" -m pip install torch libigl')


def python_preference(context: bpy.types.Context) -> str:
    """The path of the Python that the artist chose, or an empty string."""
    addon = context.preferences.addons.get(ADDON)
    return bpy.path.abspath(addon.preferences.python) if addon and addon.preferences.python else ""


CLASSES = (NeuralImplicitPreferences,)
