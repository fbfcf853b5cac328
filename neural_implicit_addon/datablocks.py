# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding again what was there before: objects by their session identifier, because references do not survive undo."""

from __future__ import annotations

import bpy


def object_by_uid(uid: int) -> bpy.types.Object | None:
    """The object with a session identifier, wherever undo has put it in the meantime; None where it was deleted."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == uid), None)
