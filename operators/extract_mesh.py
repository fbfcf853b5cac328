# SPDX-License-Identifier: GPL-3.0-or-later
"""Extract Mesh: an ordinary quad mesh from the active neural object."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ..kernels.extraction import QuadMesh, extract
from ..kernels.sequence import NestedSequence
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.computation import IsCancelled, Progress
from ..neural_implicit_addon.computing_operator import ComputingOperator
from ..neural_implicit_addon.settings import (
    density_property,
    faces_property,
    resolution_property,
    use_normals_property,
)

# Up to as many grid cells along the cube, an extraction is over before anybody could cancel it.
MOMENTARY_RESOLUTION = 127


class NEURAL_IMPLICIT_OT_extract_mesh(ComputingOperator, bpy.types.Operator):
    """Make an ordinary mesh of quads from the active neural object, in the same place.
    Runs in the background; Esc cancels"""

    bl_idname = "neural_implicit.extract_mesh"
    bl_label = "Extract Mesh"
    # Without REGISTER, so that Adjust Last Operation does not block the window at every touch of a slider.
    bl_options = {"UNDO"}

    density: density_property()
    resolution: resolution_property()
    faces: faces_property()
    use_normals: use_normals_property()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Extract while the artist goes on working, unless it is the work of a moment."""
        is_momentary = self.density == "RESOLUTION" and self.resolution <= MOMENTARY_RESOLUTION
        return self.execute(context) if is_momentary else super().invoke(context, event)

    def prepare(
        self, _context: bpy.types.Context, source: bpy.types.Object, sequence: NestedSequence
    ) -> tuple[str, Callable[[Progress, IsCancelled], QuadMesh]]:
        """See `ComputingOperator.prepare`."""
        # Read here: the properties of an operator are Blender's data, which the thread must not touch.
        resolution, target = (None, self.faces) if self.density == "FACES" else (self.resolution, None)

        def compute(progress: Progress, cancelled: IsCancelled) -> QuadMesh:
            return extract(sequence, resolution, target, progress=progress, cancelled=cancelled)

        fineness = f"{resolution} cells" if target is None else f"{target:,} faces"
        return f"Extracting {source.name}, {fineness}", compute

    def take_in(self, context: bpy.types.Context, source: bpy.types.Object, quad_mesh: QuadMesh) -> set[str]:
        """Put the mesh in the neural object's place, and make it the active one."""
        name = f"{source.name} Mesh"
        mesh = bpy.data.meshes.new(name)
        neural_object.fill_mesh(mesh, quad_mesh, self.use_normals)
        neural_object.take_materials(mesh, source)
        obj = bpy.data.objects.new(name, mesh)
        neural_object.place_like(context, obj, source)
        neural_object.select_only(context, obj)
        self.report({"INFO"}, f"{obj.name}: {len(mesh.polygons):,} quads")
        return {"FINISHED"}


CLASSES = (NEURAL_IMPLICIT_OT_extract_mesh,)
