# SPDX-License-Identifier: GPL-3.0-or-later
"""Extract Mesh: an ordinary quad mesh from the active neural object."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty

from ..kernels import nsdf
from ..kernels.extraction import extract
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.reporting import cancel


class NEURAL_IMPLICIT_OT_extract_mesh(bpy.types.Operator):
    """Make an ordinary mesh of quads from the active neural object, in the same place"""

    bl_idname = "neural_implicit.extract_mesh"
    bl_label = "Extract Mesh"
    bl_options = {"REGISTER", "UNDO"}

    density: EnumProperty(
        name="Density",
        description="How the number of faces is chosen",
        items=(
            ("RESOLUTION", "Resolution", "By the number of grid cells along the network's cube"),
            ("FACES", "Face Count", "By the number of faces wanted"),
        ),
    )
    resolution: IntProperty(
        name="Resolution",
        description="Grid cells along each side of the network's cube; twice as many give four times the faces",
        min=8,
        max=512,
        default=128,
    )
    faces: IntProperty(
        name="Faces",
        description="Number of quads wanted; the result comes within about a tenth of it",
        min=50,
        max=1_000_000,
        soft_max=200_000,
        default=20_000,
    )
    use_normals: BoolProperty(
        name="Neural Normals",
        description="Give the mesh the normals of the finest level as custom normals; without, it is shaded smooth",
        default=True,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """The panel of the last operation."""
        layout = self.layout
        layout.use_property_split = True
        layout.row().prop(self, "density", expand=True)
        layout.prop(self, "resolution" if self.density == "RESOLUTION" else "faces")
        layout.prop(self, "use_normals")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Extract the mesh and put it in the neural object's place, the active one."""
        source = context.active_object
        if not neural_object.is_neural(source):
            return cancel(self, "Make a neural object the active one")
        if context.mode != "OBJECT":
            return cancel(self, "Return to object mode first")
        try:
            sequence = neural_object.read_sequence(source.data)
            quad_mesh = extract(sequence, self.resolution, self.faces if self.density == "FACES" else None)
        except nsdf.NsdfError as error:
            return cancel(self, str(error))
        except ValueError as error:
            return cancel(self, f"{source.name}: {error}")
        name = f"{source.name} Mesh"
        mesh = bpy.data.meshes.new(name)
        neural_object.fill_mesh(mesh, quad_mesh, self.use_normals)
        for material in source.data.materials:
            mesh.materials.append(material)
        obj = bpy.data.objects.new(name, mesh)
        neural_object.place_like(context, obj, source)
        neural_object.select_only(context, obj)
        self.report({"INFO"}, f"{obj.name}: {len(mesh.polygons):,} quads")
        return {"FINISHED"}


CLASSES = (NEURAL_IMPLICIT_OT_extract_mesh,)
