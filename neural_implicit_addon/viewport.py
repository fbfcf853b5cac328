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
# Where the middle of the text is, from the bottom of the region.
HEIGHT_SHARE = 0.15
TEXT_COLOR = (0.85, 0.85, 0.85, 1.0)
BACKDROP_COLOR = (0.02, 0.02, 0.02, 1.0)


def draw(context: bpy.types.Context) -> None:
    """Draw the message low in the region, below most outlines. Blender has set the matrices to the region's pixels."""
    framebuffer = gpu.state.active_framebuffer_get()
    blend = gpu.state.blend_get()
    framebuffer.clear(color=BACKDROP_COLOR)
    gpu.state.blend_set("ALPHA_PREMULT")
    draw_lines(MESSAGE, *_free_span(context), HEIGHT_SHARE * context.region.height, context.preferences.system.ui_scale)
    gpu.state.blend_set(blend)


def _free_span(context: bpy.types.Context) -> tuple[int, int]:
    """Left and right border, in the region's pixels, of what toolbar and sidebar leave free."""
    region = context.region
    left, right = 0, region.width
    for other in context.area.regions:
        # A hidden region is one pixel wide.
        if other.type in {"TOOLS", "UI"} and other.width > 1:
            start = other.x - region.x
            if other.alignment == "LEFT":
                left = max(left, start + other.width)
            else:
                right = min(right, start)
    return (left, right) if left < right else (0, region.width)


def draw_lines(lines: tuple[str, ...], left: int, right: int, middle: float, ui_scale: float) -> None:
    """Lines of text around the height `middle`, centred between `left` and `right`, smaller where they do not fit."""
    font = 0
    size = FONT_POINTS * ui_scale
    blf.size(font, size)
    widest = max(blf.dimensions(font, line)[0] for line in lines)
    size *= min(1.0, 0.9 * (right - left) / max(widest, 1.0))
    blf.size(font, size)
    blf.color(font, *TEXT_COLOR)
    spacing = 1.8 * size
    top = middle + 0.5 * spacing * (len(lines) - 2)
    for number, line in enumerate(lines):
        line_width, _ = blf.dimensions(font, line)
        blf.position(font, 0.5 * (left + right - line_width), top - number * spacing, 0.0)
        blf.draw(font, line)


def redraw_viewports() -> None:
    """Have every viewport and its sidebar drawn again, in all windows."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
