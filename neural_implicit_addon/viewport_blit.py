# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a rendered picture into the viewport: scene-linear and premultiplied, as Blender wants it from an engine.

Blender applies the scene's view transform to it afterwards, so nothing here knows of colour management.
"""

from __future__ import annotations

import gpu

from .gpu_state import drawing_state

VERTEX_SOURCE = """
void main()
{
    place = corner;
    gl_Position = vec4(mix(rectangle.xy, rectangle.zw, corner), 0.0, 1.0);
}
"""

# Every driver has texelFetch, but not every one filters 32-bit floats, so the filtering is done here. A picture of the
# viewport's own size is copied. A smaller one is put through the quadratic B-spline, which is smooth where bilinear
# interpolation shows the pixels' grid, and has no negative weights, so that highlights get no dark rings.
FRAGMENT_SOURCE = """
void main()
{
    ivec2 size = textureSize(picture, 0);
    ivec2 last = size - ivec2(1);
    vec2 position = place * vec2(size);
    ivec2 nearest = clamp(ivec2(floor(position)), ivec2(0), last);
    if (smooth_filter < 0.5) {
        color = texelFetch(picture, nearest, 0);
        return;
    }
    vec2 beside = position - (vec2(nearest) + vec2(0.5));
    vec2 before = 0.5 * (vec2(0.5) - beside) * (vec2(0.5) - beside);
    vec2 after = 0.5 * (vec2(0.5) + beside) * (vec2(0.5) + beside);
    vec2 middle = vec2(1.0) - before - after;
    ivec2 low = max(nearest - ivec2(1), ivec2(0));
    ivec2 high = min(nearest + ivec2(1), last);
    vec4 rows_low = before.x * texelFetch(picture, low, 0) + middle.x * texelFetch(picture, ivec2(nearest.x, low.y), 0)
        + after.x * texelFetch(picture, ivec2(high.x, low.y), 0);
    vec4 rows_middle = before.x * texelFetch(picture, ivec2(low.x, nearest.y), 0)
        + middle.x * texelFetch(picture, nearest, 0) + after.x * texelFetch(picture, ivec2(high.x, nearest.y), 0);
    vec4 rows_high = before.x * texelFetch(picture, ivec2(low.x, high.y), 0)
        + middle.x * texelFetch(picture, ivec2(nearest.x, high.y), 0) + after.x * texelFetch(picture, high, 0);
    color = before.y * rows_low + middle.y * rows_middle + after.y * rows_high;
}
"""

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
TRIANGLES = ((0, 1, 2), (0, 2, 3))


class PictureDrawer:
    """Draws textures into rectangles of the framebuffer that is bound. Made and used where a GPU context is."""

    def __init__(self) -> None:
        info = gpu.types.GPUShaderCreateInfo()
        interface = gpu.types.GPUStageInterfaceInfo("neural_implicit_picture")
        interface.smooth("VEC2", "place")
        info.push_constant("VEC4", "rectangle")
        info.push_constant("FLOAT", "smooth_filter")
        info.sampler(0, "FLOAT_2D", "picture")
        info.vertex_in(0, "VEC2", "corner")
        info.vertex_out(interface)
        info.fragment_out(0, "VEC4", "color")
        info.vertex_source(VERTEX_SOURCE)
        info.fragment_source(FRAGMENT_SOURCE)
        self._shader = gpu.shader.create_from_info(info)
        # Not the shader's format_calc(): Blender does not find the names in it.
        layout = gpu.types.GPUVertFormat()
        layout.attr_add(id="corner", comp_type="F32", len=2, fetch_mode="FLOAT")
        vertices = gpu.types.GPUVertBuf(layout, len(CORNERS))
        vertices.attr_fill("corner", CORNERS)
        self._batch = gpu.types.GPUBatch(
            type="TRIS", buf=vertices, elem=gpu.types.GPUIndexBuf(type="TRIS", seq=TRIANGLES)
        )

    def draw(
        self, picture: gpu.types.GPUTexture, rectangle: tuple[float, float, float, float], size: tuple[int, int]
    ) -> None:
        """Draw a picture, replacing what is there, and leave Blender's drawing state as it was.

        Args:
            picture: RGBA32F, premultiplied scene-linear, row 0 at the bottom.
            rectangle: left, bottom, width and height of where it goes, in the framebuffer's pixels.
            size: of the framebuffer in pixels.
        """
        left, bottom, width, height = rectangle
        corners = (
            2.0 * left / size[0] - 1.0,
            2.0 * bottom / size[1] - 1.0,
            2.0 * (left + width) / size[0] - 1.0,
            2.0 * (bottom + height) / size[1] - 1.0,
        )
        with drawing_state(depth_test=False):
            self._shader.bind()
            self._shader.uniform_float("rectangle", corners)
            same_size = (picture.width, picture.height) == (round(width), round(height))
            self._shader.uniform_float("smooth_filter", 0.0 if same_size else 1.0)
            self._shader.uniform_sampler("picture", picture)
            self._batch.draw(self._shader)
