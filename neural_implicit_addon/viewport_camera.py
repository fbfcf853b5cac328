# SPDX-License-Identifier: GPL-3.0-or-later
"""What a 3D viewport looks through: the camera of its matrices, and the part of it that is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..kernels.cameras import Camera, project
from ..kernels.scenes import Region

Matrix = Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class View:
    """A look at the scene, the size of a viewport.

    Attributes:
        camera: of the whole viewport, in camera view too.
        size: width and height of the viewport in pixels.
        region: the part of it that is rendered: all, or the render border's.
    """

    camera: Camera
    size: tuple[int, int]
    region: Region

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel to render, as in a region of no size."""
        return min(self.region[2:]) <= 0


def view_from_matrices(
    view_matrix: Matrix,
    window_matrix: Matrix,
    size: tuple[int, int],
    clip: tuple[float, float],
    border: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> View:
    """A viewport's look at the scene.

    Args:
        view_matrix: (4, 4) world -> camera space, rigid.
        window_matrix: (4, 4) camera -> clip space. Lens, shift, zoom and offset are all in it.
        size: of the viewport in pixels.
        clip: view depths between which surfaces are seen.
        border: left, bottom, right, top of the rendered part, in shares of the size.
    """
    width, height = size
    # Blender cuts borders off to whole pixels too.
    left, right = (int(np.clip(share, 0.0, 1.0) * width) for share in (border[0], border[2]))
    bottom, top = (int(np.clip(share, 0.0, 1.0) * height) for share in (border[1], border[3]))
    camera = Camera(
        np.array(window_matrix, dtype=np.float64),
        np.linalg.inv(np.array(view_matrix, dtype=np.float64)),
        float(clip[0]),
        float(clip[1]),
    )
    return View(camera, (width, height), (left, bottom, max(right - left, 0), max(top - bottom, 0)))


def view_of(context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> View:
    """The view of the 3D viewport that is being drawn."""
    region, space, region_data = context.region, context.space_data, context.region_data
    camera = viewed_camera(space, region_data, depsgraph)
    clip = (space.clip_start, space.clip_end)
    if camera is not None:
        clip = (camera.data.clip_start, camera.data.clip_end)
    elif not region_data.is_perspective:
        # An orthographic view reaches as far behind its origin as in front of it.
        clip = (-0.5 * space.clip_end, 0.5 * space.clip_end)
    size = (region.width, region.height)
    whole = view_from_matrices(region_data.view_matrix, region_data.window_matrix, size, clip)
    border = _border(space, region_data, depsgraph.scene, camera, whole)
    return view_from_matrices(region_data.view_matrix, region_data.window_matrix, size, clip, border)


def viewed_camera(
    space: bpy.types.SpaceView3D, region_data: bpy.types.RegionView3D, depsgraph: bpy.types.Depsgraph
) -> bpy.types.Object | None:
    """The evaluated camera object that a viewport looks through; None outside of camera view.

    Blender can look through any object; one that is no camera has no lens of its own, so None too.
    """
    seen_through = space.camera if space.use_local_camera else depsgraph.scene.camera
    if region_data.view_perspective != "CAMERA" or seen_through is None or seen_through.type != "CAMERA":
        return None
    return seen_through.evaluated_get(depsgraph)


def _border(
    space: bpy.types.SpaceView3D,
    region_data: bpy.types.RegionView3D,
    scene: bpy.types.Scene,
    camera: bpy.types.Object | None,
    whole: View,
) -> tuple[float, float, float, float]:
    """The rendered part in shares of the viewport: in camera view the scene's border, else the viewport's own."""
    if region_data.view_perspective != "CAMERA":
        if not space.use_render_border:
            return (0.0, 0.0, 1.0, 1.0)
        return (
            space.render_border_min_x,
            space.render_border_min_y,
            space.render_border_max_x,
            space.render_border_max_y,
        )
    render = scene.render
    if camera is None or not render.use_border or whole.is_empty:
        return (0.0, 0.0, 1.0, 1.0)
    left, bottom, right, top = camera_frame(camera, scene, whole)
    return (
        left + render.border_min_x * (right - left),
        bottom + render.border_min_y * (top - bottom),
        left + render.border_max_x * (right - left),
        bottom + render.border_max_y * (top - bottom),
    )


def camera_frame(camera: bpy.types.Object, scene: bpy.types.Scene, view: View) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of what F12 would show, in shares of a viewport in camera view; may reach beyond it."""
    # The frame is in camera space, where the viewport's matrices start from, too.
    corners = np.array(camera.data.view_frame(scene=scene), dtype=np.float64)
    in_camera_space = Camera(view.camera.projection, np.eye(4))
    pixels, _ = project(in_camera_space, corners, view.size)
    shares = pixels / np.array(view.size, dtype=np.float64)
    return (*shares.min(axis=0), *shares.max(axis=0))
