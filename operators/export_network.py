# SPDX-License-Identifier: GPL-3.0-or-later
"""Export Network: the active neural object's sequence as a `.nsdf` file."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ExportHelper

from ..kernels import nsdf
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.reporting import cancel


class NEURAL_IMPLICIT_OT_export_network(bpy.types.Operator, ExportHelper):
    """Write the networks of the active neural object to a .nsdf file"""

    bl_idname = "neural_implicit.export_network"
    bl_label = "Export Neural SDF"
    bl_options = {"REGISTER"}

    filename_ext = ".nsdf"
    filter_glob: StringProperty(default="*.nsdf", options={"HIDDEN"})
    # Not remembered from one call to the next, because the next object has another name.
    filepath: StringProperty(name="File Path", subtype="FILE_PATH", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for a path, beginning with the object's name."""
        obj = context.active_object
        if not neural_object.is_neural(obj):
            return cancel(self, "Make a neural object the active one")
        if not self.filepath:
            self.filepath = bpy.path.clean_name(obj.name) + self.filename_ext
        return super().invoke(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write the active object's bytes, checked, to the path."""
        obj = context.active_object
        if not neural_object.is_neural(obj):
            return cancel(self, "Make a neural object the active one")
        path = bpy.path.abspath(self.filepath)
        try:
            data = neural_object.read_bytes(obj.data)
            # What is damaged here would be damaged there: better to know now.
            nsdf.loads(data)
            nsdf.replace_bytes(path, data)
        except nsdf.NsdfError as error:
            return cancel(self, f"{obj.name}: {error}")
        except (OSError, ValueError) as error:
            return cancel(self, f"Could not write {path}: {getattr(error, 'strerror', None) or error}")
        self.report({"INFO"}, f"Wrote {path} ({len(data):,} bytes)")
        return {"FINISHED"}


def _draw_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.operator(NEURAL_IMPLICIT_OT_export_network.bl_idname, text="Neural SDF (.nsdf)")


CLASSES = (NEURAL_IMPLICIT_OT_export_network,)


def register() -> None:
    """Add the entry in File > Export."""
    bpy.types.TOPBAR_MT_file_export.append(_draw_menu)


def unregister() -> None:
    """Remove the entry in File > Export."""
    bpy.types.TOPBAR_MT_file_export.remove(_draw_menu)
