# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes on screen and clip planes close to them, against points of the boxes one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from views import flat_geometry, looking_at, placed

from kernels.cameras import project
from kernels.framing import close_camera, covered_pixels, geometry_box, is_placed, overlap, pixel_bounds, screen_bounds
from kernels.meshes import TriangleMesh

SIZE = (80, 60)
CAMERAS = [looking_at((0, 0, 0), (1.0, -4.0, 2.0)), looking_at((0, 0, 0), (1.0, -4.0, 2.0), 0.5, perspective=False)]


def random_boxes(count: int, seed: int = 0) -> np.ndarray:
    """(count, 4, 4) affine maps, of boxes in front of and behind the cameras of this file."""
    rng = np.random.default_rng(seed)
    return np.array([placed(0.3 * rng.normal(size=(3, 3)), tuple(2.5 * rng.normal(size=3))) for _ in range(count)])


@pytest.mark.parametrize("camera", CAMERAS)
def test_boxes_reach_as_far_as_their_corners(camera) -> None:
    boxes = random_boxes(100)
    kinds = {"in front": 0, "around": 0, "behind": 0}
    for box, found in zip(boxes, screen_bounds(camera, boxes, SIZE), strict=True):
        corners = np.array([box[:3, :3] @ corner + box[:3, 3] for corner in product((-1.0, 1.0), repeat=3)])
        pixels, depths = project(camera, corners, SIZE)
        if (depths < camera.clip_start).all():
            kinds["behind"] += 1
            assert covered_pixels(found, (0, 0, *SIZE)) is None
        elif camera.is_perspective and (depths < 0.0).any():
            kinds["around"] += 1
            assert covered_pixels(found, (0, 0, *SIZE)) == (0, 0, *SIZE)
        else:
            kinds["in front"] += 1
            np.testing.assert_allclose(found, [*pixels.min(axis=0), *pixels.max(axis=0)])
    assert min(kinds["in front"], kinds["behind"]) > 0
    assert (kinds["around"] > 0) == camera.is_perspective


def test_box_in_the_middle_of_the_picture() -> None:
    camera = CAMERAS[0]
    left, bottom, right, top = screen_bounds(camera, placed(0.3 * np.eye(3), (0.0, 0.0, 0.0))[None], SIZE)[0]
    assert 0 < left < SIZE[0] / 2 < right < SIZE[0]
    assert 0 < bottom < SIZE[1] / 2 < top < SIZE[1]


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30))
def test_pixels_of_a_box_are_covered(seed: int, x: int, y: int, width: int, height: int) -> None:
    box = random_boxes(1, seed)[0]
    points = np.random.default_rng(seed).uniform(-1.0, 1.0, (200, 3)) @ box[:3, :3].T + box[:3, 3]
    pixels, depths = project(CAMERAS[0], points, SIZE)
    region = (x, y, width, height)
    within = (pixels >= (x, y)).all(axis=1) & (pixels < (x + width, y + height)).all(axis=1)
    seen = pixels[within & (depths > CAMERAS[0].clip_start)] - (x, y)
    covered = pixel_bounds(region, CAMERAS[0], box, SIZE)
    if not len(seen):
        return
    left, bottom, across, up = covered
    assert (left >= 0) & (bottom >= 0) & (left + across <= width) & (bottom + up <= height)
    assert (seen >= (left, bottom)).all()
    assert (seen <= (left + across, bottom + up)).all()


@pytest.mark.parametrize("camera", CAMERAS)
def test_overlap_says_where_pixels_are_covered(camera) -> None:
    bounds = screen_bounds(camera, random_boxes(200, 1), SIZE)
    region = (20, 10, 25, 30)
    found = [covered_pixels(each, region) is not None for each in bounds]
    # Rounding to whole pixels may take in a little more than the margin.
    assert not (overlap(bounds, region) & ~np.array(found)).any()
    assert 0 < sum(found) < 200


@pytest.mark.parametrize("camera", CAMERAS)
def test_clip_planes_hold_the_boxes_closely(camera) -> None:
    boxes = np.array([placed(0.5, (0.0, 0.0, 0.3)), placed(np.diag([0.2, 1.0, 0.0]), (0.4, 0.0, 0.0))])
    close = close_camera(camera, boxes)
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    points = np.concatenate([corners @ box[:3, :3].T + box[:3, 3] for box in boxes])
    _, depths = project(camera, points, SIZE)
    assert close.clip_start < depths.min() < close.clip_start + 0.01 * np.ptp(depths)
    assert close.clip_end > depths.max() > close.clip_end - 0.01 * np.ptp(depths)


def test_clip_planes_are_never_wider_than_the_cameras() -> None:
    camera = replace(CAMERAS[0], clip_start=4.4, clip_end=4.5)
    close = close_camera(camera, [placed(0.5)])
    assert (close.clip_start, close.clip_end) == (4.4, 4.5)
    assert close_camera(camera, []) is camera


def test_box_of_a_mesh_leaves_broken_vertices_out() -> None:
    vertices = np.array([[0.0, 1.0, 2.0], [4.0, 1.0, -2.0], [np.nan, 0.0, 0.0], [2.0, np.inf, 0.0]])
    mesh = TriangleMesh(vertices, np.array([[0, 1, 2]]))
    with np.errstate(invalid="ignore"):
        box = geometry_box(flat_geometry(mesh, "broken"))
    np.testing.assert_allclose(box, placed(np.diag([2.0, 0.0, 2.0]), (2.0, 1.0, 0.0)))
    nothing = geometry_box(flat_geometry(TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=int)), "empty"))
    assert not nothing[:3].any()


def test_what_has_volume() -> None:
    assert is_placed(placed(1e-6))
    assert not is_placed(placed(np.diag([1.0, 1.0, 0.0])))
    assert not is_placed(placed(np.full((3, 3), np.nan)))
