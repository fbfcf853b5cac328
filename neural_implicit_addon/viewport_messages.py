# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist should know, written small into the lower left of a viewport, as Blender writes its statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import blf
import bpy
import gpu
from gpu_extras.batch import batch_for_shader

FONT = 0
FONT_POINTS = 11.0
LINE_SPACING = 1.5
# Around the text: to the border of what is free, and to the border of its dark ground.
MARGIN_POINTS = 12.0
PADDING_POINTS = 6.0
# All goes through the scene's view transform like the picture: white on black stays readable in each of them.
TEXT_COLOR = (1.0, 1.0, 1.0, 1.0)
GROUND_COLOR = (0.0, 0.0, 0.0, 0.75)
MAX_LINES = 6
# Narrower, in the font's size, there would be a word a line.
LEAST_WIDTH = 12.0

Rectangle = tuple[int, int, int, int]  # left, bottom, right, top in the region's pixels


def draw(messages: Sequence[str], free: Rectangle, ui_scale: float) -> None:
    """Write messages on a dark ground into the lower left corner of `free`, long ones on several lines.

    Args:
        messages: one sentence each; what does not fit is counted in the last line.
        free: the part of the region that no panel covers.
        ui_scale: Blender's resolution scale.
    """
    if not messages:
        return
    size, margin = FONT_POINTS * ui_scale, MARGIN_POINTS * ui_scale
    left, bottom = free[0] + margin, free[1] + margin
    width, height = free[2] - margin - left, free[3] - margin - bottom
    rows = min(MAX_LINES, int(height / (LINE_SPACING * size)))
    if width < LEAST_WIDTH * size or rows < 1:
        return
    blf.size(FONT, size)

    def width_of(text: str) -> float:
        return blf.dimensions(FONT, text)[0]

    lines = fit(messages, width, rows, width_of)
    blend = gpu.state.blend_get()
    padding = PADDING_POINTS * ui_scale
    right, top = left + max(map(width_of, lines)), bottom + (LINE_SPACING * (len(lines) - 1) + 1.0) * size
    _draw_ground(left - padding, bottom - padding, right + padding, top + padding)
    gpu.state.blend_set("ALPHA")
    blf.color(FONT, *TEXT_COLOR)
    for row, line in enumerate(reversed(lines)):
        blf.position(FONT, left, bottom + row * LINE_SPACING * size, 0.0)
        blf.draw(FONT, line)
    gpu.state.blend_set(blend)


def _draw_ground(left: float, bottom: float, right: float, top: float) -> None:
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    corners = ((left, bottom), (right, bottom), (left, top), (right, top))
    batch = batch_for_shader(shader, "TRI_STRIP", {"pos": corners})
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    shader.uniform_float("color", GROUND_COLOR)
    batch.draw(shader)
    gpu.shader.unbind()


def fit(messages: Sequence[str], width: float, rows: int, width_of: Callable[[str], float]) -> list[str]:
    """The lines of messages, at most `rows`; where that is too few, the last line counts the messages that are missing.

    Args:
        width: of the lines, in the unit of `width_of`.
        width_of: how wide a text is.
    """
    broken = [_wrapped(message, width, width_of) for message in messages]
    lines: list[str] = []
    for number, message in enumerate(broken):
        rest = sum(map(len, broken[number:]))
        if len(lines) + rest > rows and len(lines) + len(message) > rows - 1:
            # One that does not fit even alone is shown as far as it goes.
            return [*lines, f"... and {len(broken) - number} more"] if number else message[:rows]
        lines.extend(message)
    return lines


def _wrapped(message: str, width: float, width_of: Callable[[str], float]) -> list[str]:
    """A message broken between words; a word wider than a line stays whole."""
    lines: list[str] = []
    for word in message.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
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
