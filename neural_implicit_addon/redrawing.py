# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking Blender to draw again what has changed without Blender noticing."""

from __future__ import annotations

import bpy


def redraw_viewports() -> None:
    """Have every viewport and its sidebar drawn again, in all windows."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
