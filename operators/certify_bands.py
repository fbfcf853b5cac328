# SPDX-License-Identifier: GPL-3.0-or-later
"""Certify Bands: prove that the levels of the active neural object lie in one another."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from ..kernels.certification import BandProof, CertificationConfig, CertifiedBands, certify_bands
from ..kernels.sequence import NestedSequence
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.computation import IsCancelled, Progress
from ..neural_implicit_addon.computing_operator import ComputingOperator, OperatorError
from ..neural_implicit_addon.settings import seconds_property


class NEURAL_IMPLICIT_OT_certify_bands(ComputingOperator, bpy.types.Operator):
    """Prove that no detail of the active neural object is lost between its levels, and how wide the bands between them
    must be for that. What is certified already stays so. Runs in the background; Esc cancels"""

    bl_idname = "neural_implicit.certify_bands"
    bl_label = "Certify Bands"
    # Without REGISTER, so that Adjust Last Operation does not block the window.
    bl_options = {"UNDO"}

    seconds: seconds_property()

    def prepare(
        self, _context: bpy.types.Context, source: bpy.types.Object, sequence: NestedSequence
    ) -> tuple[str, Callable[[Progress, IsCancelled], CertifiedBands]]:
        """See `ComputingOperator.prepare`."""
        self.check_editable(source)
        if not sequence.bands:
            raise OperatorError(f"{source.name} has a single level, so there is no band to certify")
        config = CertificationConfig(seconds=self.seconds)

        def compute(progress: Progress, cancelled: IsCancelled) -> CertifiedBands:
            return certify_bands(sequence, config, progress=progress, cancelled=cancelled)

        return f"Certifying {source.name}", compute

    def take_in(self, _context: bpy.types.Context, source: bpy.types.Object, certified: CertifiedBands) -> set[str]:
        """Have the object carry the bands, and say which of them are certified."""
        self.check_unchanged(source)
        sequence = certified.sequence
        neural_object.write_sequence(source.data, sequence)
        open_levels = [level for level, band in enumerate(sequence.bands) if band.evidence != "certified"]
        if open_levels:
            which = "; ".join(_unproven(level, certified.proofs[level], self.seconds) for level in open_levels)
            self.report({"WARNING"}, f"{source.name}: {which}")
        else:
            self.report({"INFO"}, f"{source.name}: all bands are certified")
        return {"FINISHED"}


def _unproven(level: int, proof: BandProof, seconds: float) -> str:
    """How far the proof of a band came, and whether more time would help."""
    state = f"band {level} is not proven, {100.0 * proof.open_share:.2g} % of the space is undecided"
    if proof.boxes >= CertificationConfig.boxes:
        return f"{state} after {proof.boxes:,} boxes, the most that are tried"
    return f"{state} after {seconds:g} s in all: raise the Time Limit"


CLASSES = (NEURAL_IMPLICIT_OT_certify_bands,)
