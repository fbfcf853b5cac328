# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays and their projection are each other's inverse. The agreement with Blender is tested beside the engine."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.cameras import Camera, pixel_rays, project

SIZE = (64, 40)


def camera(perspective: bool, shift: tuple[float, float] = (0.0, 0.0)) -> Camera:
    projection = np.diag([2.1, 3.0, -1.0, 0.0 if perspective else 1.0])
    if perspective:
        projection[:2, 2], projection[3, 2], projection[2, 3] = shift, -1.0, -0.2
    else:
        projection[:2, 3] = shift
    angle = 0.4
    to_world = np.eye(4)
    to_world[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    to_world[:3, 3] = (0.5, -1.0, 4.0)
    return Camera(projection, to_world, 0.5, 100.0)


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2)])
def test_points_on_a_ray_project_to_its_pixel(perspective: bool, shift: tuple[float, float]) -> None:
    view = camera(perspective, shift)
    region, offset = (5, 7, 11, 13), (0.2, -0.4)
    rays = pixel_rays(view, SIZE, region, offset)
    t = np.linspace(0.0, 9.0, len(rays.origins))
    pixels, depths = project(view, rays.origins + t[:, None] * rays.directions, SIZE)
    rows, columns = np.mgrid[7:20, 5:16]
    np.testing.assert_allclose(pixels[:, 0], columns.ravel() + 0.5 + offset[0], atol=1e-9)
    np.testing.assert_allclose(pixels[:, 1], rows.ravel() + 0.5 + offset[1], atol=1e-9)
    np.testing.assert_allclose(rays.depth(t), depths, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=1), 1.0)
    assert np.allclose(rays.depth(0.0 * t), view.clip_start)
