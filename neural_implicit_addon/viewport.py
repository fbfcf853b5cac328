# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine draws in the viewport: for now a message, where the drawing on the GPU will come."""

from __future__ import annotations

import blf
import bpy
import gpu

MESSAGE = (
    "Neural Implicit does not draw in the viewport yet",
    "Press F12 to render, or use Solid shading to see the neural objects' proxies",
)
FONT_POINTS = 16.0
TEXT_COLOR = (0.85, 0.85, 0.85, 1.0)
BACKDROP_COLOR = (0.02, 0.02, 0.02, 1.0)


def draw(context: bpy.types.Context) -> None:
    """Draw the message in the middle of the region. Blender has set the matrices to the region's pixels."""
    region = context.region
    framebuffer = gpu.state.active_framebuffer_get()
    blend = gpu.state.blend_get()
    framebuffer.clear(color=BACKDROP_COLOR)
    gpu.state.blend_set("ALPHA_PREMULT")
    draw_lines(MESSAGE, region.width, region.height, context.preferences.system.ui_scale)
    gpu.state.blend_set(blend)


def draw_lines(lines: tuple[str, ...], width: int, height: int, ui_scale: float) -> None:
    """Lines of text centred in a rectangle of `width` times `height` pixels, made smaller where they do not fit."""
    font = 0
    size = FONT_POINTS * ui_scale
    blf.size(font, size)
    widest = max(blf.dimensions(font, line)[0] for line in lines)
    size *= min(1.0, 0.9 * width / max(widest, 1.0))
    blf.size(font, size)
    blf.color(font, *TEXT_COLOR)
    spacing = 1.8 * size
    top = 0.5 * (height + spacing * (len(lines) - 2))
    for number, line in enumerate(lines):
        line_width, _ = blf.dimensions(font, line)
        blf.position(font, 0.5 * (width - line_width), top - number * spacing, 0.0)
        blf.draw(font, line)


def redraw_viewports() -> None:
    """Have every viewport and its sidebar drawn again, in all windows."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
