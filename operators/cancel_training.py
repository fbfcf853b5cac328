# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancel Training: what Esc does, as a button."""

from __future__ import annotations

import bpy

from ..neural_implicit_addon import training_session
from ..neural_implicit_addon.reporting import cancel


class NEURAL_IMPLICIT_OT_cancel_training(bpy.types.Operator):
    """End the training that is running. What it has reached stays, and training the same mesh again goes on from it"""

    bl_idname = "neural_implicit.cancel_training"
    bl_label = "Cancel Training"
    bl_options = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask the worker to end; the training session does the rest."""
        session = training_session.current()
        if session is None:
            return cancel(self, "No training is running")
        session.cancel()
        return {"FINISHED"}


CLASSES = (NEURAL_IMPLICIT_OT_cancel_training,)
