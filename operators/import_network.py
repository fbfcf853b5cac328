# SPDX-License-Identifier: GPL-3.0-or-later
"""Import Network: a neural object from a `.nsdf` file, chosen in the file browser or dropped into the window."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import StringProperty
from bpy_extras.io_utils import ImportHelper, poll_file_object_drop

from ..kernels import nsdf
from ..kernels.nesting import without_unproven_claims
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.reporting import cancel


class NEURAL_IMPLICIT_OT_import_network(bpy.types.Operator, ImportHelper):
    """Make a neural object from a .nsdf file"""

    bl_idname = "neural_implicit.import_network"
    bl_label = "Import Neural SDF"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".nsdf"
    filter_glob: StringProperty(default="*.nsdf", options={"HIDDEN"})
    # Not remembered from one call to the next: a path that is set means that a file was dropped.
    filepath: StringProperty(name="File Path", subtype="FILE_PATH", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for a file, unless one was dropped."""
        # A dropped file arrives with its path; asking for one again would be odd.
        return self.execute(context) if self.filepath else super().invoke(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Read the file and make a neural object of it, the active one."""
        if context.mode != "OBJECT":
            return cancel(self, "Return to object mode first")
        path = Path(bpy.path.abspath(self.filepath))
        try:
            data = nsdf.read_bytes(path)
            read = neural_object.checked(nsdf.loads(data))
            sequence = without_unproven_claims(read)
            # Carried as it came, unless it claims too much.
            data = data if sequence.bands == read.bands else None
            obj = neural_object.create(context, sequence, path.stem or "Neural", data=data)
        except OSError as error:
            return cancel(self, f"Could not read {path}: {error.strerror or error}")
        except ValueError as error:
            return cancel(self, f"{path.name}: {error}")
        neural_object.select_only(context, obj)
        self.report({"INFO"}, f"{obj.name}: {sequence.notation}")
        return {"FINISHED"}


class NEURAL_IMPLICIT_FH_network(bpy.types.FileHandler):
    """Lets .nsdf files be dropped into the window."""

    bl_idname = "NEURAL_IMPLICIT_FH_network"
    bl_label = "Neural SDF"
    bl_import_operator = "neural_implicit.import_network"
    bl_file_extensions = ".nsdf"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Whether the pointer is where files can be dropped."""
        return poll_file_object_drop(context)


def _draw_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    menu.layout.operator(NEURAL_IMPLICIT_OT_import_network.bl_idname, text="Neural SDF (.nsdf)")


CLASSES = (NEURAL_IMPLICIT_OT_import_network, NEURAL_IMPLICIT_FH_network)


def register() -> None:
    """Add the entry in File > Import."""
    bpy.types.TOPBAR_MT_file_import.append(_draw_menu)


def unregister() -> None:
    """Remove the entry in File > Import."""
    bpy.types.TOPBAR_MT_file_import.remove(_draw_menu)
