# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding again what was there before, by session identifiers, because references do not survive undo."""

from __future__ import annotations

import bpy


def object_by_uid(uid: int) -> bpy.types.Object | None:
    """The object with a session identifier, wherever undo has put it in the meantime; None where it was deleted."""
    return next((obj for obj in bpy.data.objects if obj.session_uid == uid), None)


def view_layer_of(scene_uid: int, name: str) -> bpy.types.ViewLayer | None:
    """The view layer of a name in the scene with a session identifier; None where either is gone."""
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == scene_uid), None)
    return scene.view_layers.get(name) if scene is not None else None
