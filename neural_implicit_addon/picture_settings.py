# SPDX-License-Identifier: GPL-3.0-or-later
"""Size, part, quality and camera of pictures, as a scene's settings ask for them, for the renderers."""

from __future__ import annotations

import bpy
import numpy as np

from ..kernels.cameras import Camera
from ..kernels.scenes import Display, Region, RenderConfig


def render_config(scene: bpy.types.Scene) -> RenderConfig:
    """Size, border and quality from a scene's settings.

    With a border, the region counts from the whole picture's lower left pixel.
    """
    render = scene.render
    width, height = (side * render.resolution_percentage // 100 for side in (render.resolution_x, render.resolution_y))
    region: Region | None = None
    if render.use_border:
        left, right = int(render.border_min_x * width), int(render.border_max_x * width)
        bottom, top = int(render.border_min_y * height), int(render.border_max_y * height)
        region = (left, bottom, right - left, top - bottom)
    return _config(scene, (width, height), region, scene.neural_implicit.samples, Display.SHADED)


def viewport_config(scene: bpy.types.Scene, width: int, height: int, region: Region | None = None) -> RenderConfig:
    """Quality of a viewport from a scene's settings.

    Args:
        width, height: of the picture in pixels.
        region: the part of it to render; None for all of it.
    """
    settings = scene.neural_implicit
    return _config(scene, (width, height), region, settings.viewport_samples, Display(settings.display))


def scene_camera(depsgraph: bpy.types.Depsgraph, camera: bpy.types.Object, config: RenderConfig) -> Camera:
    """The camera of a final picture from an evaluated camera object."""
    render = depsgraph.scene.render
    projection = camera.calc_matrix_camera(
        depsgraph,
        x=config.width,
        y=config.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    # A camera's scale only changes how large it is drawn, never what it sees.
    rigid = camera.matrix_world.normalized()
    return Camera(
        np.array(projection, dtype=np.float64),
        np.array(rigid, dtype=np.float64),
        camera.data.clip_start,
        camera.data.clip_end,
    )


def _config(
    scene: bpy.types.Scene, size: tuple[int, int], region: Region | None, samples: int, display: Display
) -> RenderConfig:
    """What the viewport and the final picture share."""
    settings, render = scene.neural_implicit, scene.render
    locked = settings.level_of_detail == "LOCKED"
    return RenderConfig(
        *size,
        region,
        samples=samples,
        trace_finest=settings.trace_finest,
        traced_level=settings.traced_level if locked else None,
        normal_level=settings.normal_level if locked else None,
        ambient_occlusion=settings.ambient_occlusion,
        sun_shadows=settings.sun_shadows,
        display=display,
        threads=render.threads if render.threads_mode == "FIXED" else None,
    )
