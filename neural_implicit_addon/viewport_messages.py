# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist should know, written small into the lower left of a viewport, as Blender writes its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import blf
import bpy
import gpu

FONT = 0
FONT_POINTS = 11.0
LINE_SPACING = 1.5
MARGIN_POINTS = 12.0
# The viewport's text goes through the scene's view transform like the picture: white stays readable in all of them.
TEXT_COLOR = (1.0, 1.0, 1.0, 1.0)
SHADOW_COLOR = (0.0, 0.0, 0.0, 1.0)
# blf's blurred shadow of five pixels: readable on any picture.
SHADOW_BLUR = 5
MAX_LINES = 6
# A narrow strip would show a word a line.
MIN_COLUMNS = 20

Rectangle = tuple[int, int, int, int]  # left, bottom, right, top in the region's pixels


def draw(messages: Sequence[str], free: Rectangle, ui_scale: float) -> None:
    """Write messages upwards from the lower left corner of `free`, the first one on top, long ones on several lines.

    Args:
        messages: one sentence each; what does not fit is counted in the last line.
        free: the part of the region that no panel covers.
        ui_scale: Blender's resolution scale.
    """
    if not messages:
        return
    left, bottom, right, top = free
    size, margin = FONT_POINTS * ui_scale, MARGIN_POINTS * ui_scale
    blf.size(FONT, size)
    letter, _ = blf.dimensions(FONT, "n")
    columns = int((right - left - 2.0 * margin) / max(letter, 1.0))
    rows = int((top - bottom - 2.0 * margin) / (LINE_SPACING * size))
    if columns < MIN_COLUMNS or rows < 1:
        return
    lines = _fit(messages, columns, min(rows, MAX_LINES))
    blend = gpu.state.blend_get()
    gpu.state.blend_set("ALPHA")
    blf.color(FONT, *TEXT_COLOR)
    blf.enable(FONT, blf.SHADOW)
    blf.shadow(FONT, SHADOW_BLUR, *SHADOW_COLOR)
    blf.shadow_offset(FONT, 0, 0)
    for row, line in enumerate(reversed(lines)):
        blf.position(FONT, left + margin, bottom + margin + row * LINE_SPACING * size, 0.0)
        blf.draw(FONT, line)
    blf.disable(FONT, blf.SHADOW)
    gpu.state.blend_set(blend)


def _fit(messages: Sequence[str], columns: int, rows: int) -> list[str]:
    """The messages' lines, at most `rows`; the last one counts the messages that are missing."""
    broken = [wrap(message, columns) for message in messages]
    lines: list[str] = []
    for number, message in enumerate(broken):
        left = len(broken) - number
        # One row is kept for the count of what does not fit, unless all of the rest fits.
        if len(lines) + sum(map(len, broken[number:])) > rows and len(lines) + len(message) > rows - 1:
            if number == 0:
                return message[:rows]
            return [*lines, f"... and {left} more"]
        lines.extend(message)
    return lines


def free_rectangle(area: bpy.types.Area, region: bpy.types.Region) -> Rectangle:
    """What toolbars, sidebar, headers and the last operator's panel leave free of a viewport's region."""
    left, bottom, right, top = 0, 0, region.width, region.height
    for other in area.regions:
        # Hidden regions are one pixel wide or high. Others may lie over the viewport's.
        if other.type in {"WINDOW", "XR"} or min(other.width, other.height) <= 1:
            continue
        start, end = other.x - region.x, other.x - region.x + other.width
        floor, ceiling = other.y - region.y, other.y - region.y + other.height
        if end <= 0 or start >= region.width or ceiling <= 0 or floor >= region.height:
            continue
        if other.type in {"TOOLS", "UI"}:
            if other.alignment == "RIGHT":
                right = min(right, start)
            else:
                left = max(left, end)
        elif floor < region.height // 2:
            bottom = max(bottom, ceiling)
        else:
            top = min(top, floor)
    return (left, bottom, right, top) if left < right and bottom < top else (0, 0, region.width, region.height)
