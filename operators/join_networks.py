# SPDX-License-Identifier: GPL-3.0-or-later
"""Join Networks: networks of one shape that were trained separately become the levels of one neural object."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ..kernels import nsdf
from ..kernels.extraction import QuadMesh, extract
from ..kernels.joining import join_networks
from ..kernels.sequence import NestedSequence
from ..kernels.stages import Stage
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.computation import IsCancelled, Progress
from ..neural_implicit_addon.computing_operator import ComputingOperator, OperatorError

# The share of the time that joining takes; the mesh that shows the result takes the rest.
JOINING_SHARE = 0.6


class NEURAL_IMPLICIT_OT_join_networks(ComputingOperator, bpy.types.Operator):
    """Join the networks of the selected neural objects into levels of the active one, the smallest network first.
    They must be of the same shape. Runs in the background; Esc cancels"""

    bl_idname = "neural_implicit.join_networks"
    bl_label = "Join Networks"
    # Without REGISTER, so that Adjust Last Operation does not block the window.
    bl_options = {"UNDO"}

    def prepare(
        self, context: bpy.types.Context, source: bpy.types.Object, sequence: NestedSequence
    ) -> tuple[str, Callable[[Progress, IsCancelled], tuple[NestedSequence, QuadMesh]]]:
        """See `ComputingOperator.prepare`."""
        self.check_editable(source)
        # Each mesh once, however many objects share it.
        meshes = dict.fromkeys(obj.data for obj in context.selected_objects if neural_object.is_neural(obj))
        others = [mesh for mesh in meshes if mesh != source.data]
        if not others:
            raise OperatorError("Select the neural objects to join, the one that should get the levels last")
        try:
            sequences = [sequence, *(neural_object.read_sequence(mesh) for mesh in others)]
        except nsdf.NsdfError as error:
            raise OperatorError(str(error)) from error

        def compute(progress: Progress, cancelled: IsCancelled) -> tuple[NestedSequence, QuadMesh]:
            joining = Stage(progress, end=JOINING_SHARE).reached
            extracting = Stage(progress, start=JOINING_SHARE).reached
            joined = join_networks(sequences, progress=joining, cancelled=cancelled)
            faces = neural_object.PROXY_FACES
            return joined, extract(joined, target_faces=faces, progress=extracting, cancelled=cancelled)

        return f"Joining {len(sequences)} networks in {source.name}", compute

    def take_in(
        self, context: bpy.types.Context, source: bpy.types.Object, result: tuple[NestedSequence, QuadMesh]
    ) -> set[str]:
        """Have the active object carry and show the levels."""
        self.check_unchanged(source)
        joined, proxy = result
        neural_object.update_proxy(source, joined, quad_mesh=proxy)
        # The other objects stay, in case they are wanted; selected, they would be offered for joining again.
        neural_object.select_only(context, source)
        self.report({"INFO"}, f"{source.name}: {joined.notation}")
        return {"FINISHED"}


CLASSES = (NEURAL_IMPLICIT_OT_join_networks,)
