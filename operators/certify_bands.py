# SPDX-License-Identifier: GPL-3.0-or-later
"""Certify Bands: prove that the levels of the active neural object lie in one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import bpy
from bpy.props import FloatProperty

from ..kernels.certification import CertificationConfig, CertifiedBands, certify_bands
from ..kernels.sequence import NestedSequence
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.computation import IsCancelled, Progress
from ..neural_implicit_addon.computing_operator import ComputingOperator, OperatorError


class NEURAL_IMPLICIT_OT_certify_bands(ComputingOperator, bpy.types.Operator):
    """Prove that no detail of the active neural object is lost between its levels, and how wide the bands between them
    must be for that. Runs in the background; Esc cancels"""

    bl_idname = "neural_implicit.certify_bands"
    bl_label = "Certify Bands"
    # Without REGISTER, so that Adjust Last Operation does not block the window.
    bl_options = {"UNDO"}

    seconds: FloatProperty(
        name="Time Limit",
        description="Seconds after which bands that are not proven yet stay as they are",
        min=1.0,
        soft_max=600.0,
        default=60.0,
    )

    def prepare(
        self, _context: bpy.types.Context, source: bpy.types.Object, sequence: NestedSequence
    ) -> tuple[str, Callable[[Progress, IsCancelled], CertifiedBands]]:
        """See `ComputingOperator.prepare`."""
        self.check_editable(source)
        if not sequence.bands:
            raise OperatorError(f"{source.name} has a single level, so there is no band to certify")
        config = replace(CertificationConfig(), seconds=self.seconds)

        def compute(progress: Progress, cancelled: IsCancelled) -> CertifiedBands:
            return certify_bands(sequence, config, progress=progress, cancelled=cancelled)

        return f"Certifying {source.name}", compute

    def take_in(self, _context: bpy.types.Context, source: bpy.types.Object, certified: CertifiedBands) -> set[str]:
        """Have the object carry the bands, and say which of them are certified."""
        self.check_unchanged(source)
        sequence = certified.sequence
        neural_object.write_sequence(source.data, sequence)
        open_bands = [str(level) for level, band in enumerate(sequence.bands) if band.evidence != "certified"]
        if open_bands:
            which = f"band {open_bands[0]} is" if len(open_bands) == 1 else f"bands {', '.join(open_bands)} are"
            self.report({"WARNING"}, f"{source.name}: {which} not proven in {self.seconds:g} s; give it more time")
        else:
            self.report({"INFO"}, f"{source.name}: all bands are certified")
        return {"FINISHED"}


CLASSES = (NEURAL_IMPLICIT_OT_certify_bands,)
