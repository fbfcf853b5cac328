# SPDX-License-Identifier: GPL-3.0-or-later
"""How pictures are compared, on pictures made up."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import agreement, cameras, whole_picture
from kernels.cameras import pixel_rays
from kernels.scenes import BACKGROUND_DEPTH, Tile


def picture(region: tuple[int, int, int, int] = (0, 0, 10, 10)) -> Tile:
    """Something at depth 3 that faces along z everywhere but in the lowest row, where nothing is."""
    _, bottom, width, height = region
    depth = np.full((height, width), 3.0, dtype=np.float32)
    depth[np.arange(bottom, bottom + height) == 0] = BACKGROUND_DEPTH
    normal = np.zeros((height, width, 3), dtype=np.float32)
    normal[depth < 10.0, 2] = 1.0
    return Tile(region, np.zeros((height, width, 4), dtype=np.float32), depth, normal, (depth < 10.0) * 1.0)


def test_same_picture_agrees() -> None:
    agreed = agreement(picture(), picture(), 1.0)
    assert (agreed.masks, agreed.depths, agreed.normals, agreed.seen) == (1.0, 1.0, 1.0, 0.9)


def test_differences_are_counted() -> None:
    other = picture()
    other.depth[1, :5] += 2e-3
    other.depth[2, :] += 5e-4
    other.depth[9, :4] = BACKGROUND_DEPTH
    angle = np.radians(2.0)
    other.normal[3] = (0.0, np.sin(angle), np.cos(angle))
    agreed = agreement(picture(), other, 1.0)
    assert agreed.masks == pytest.approx(0.96)
    assert agreed.depths == pytest.approx(1.0 - 5 / 86)
    assert agreed.normals == pytest.approx(1.0 - 10 / 86)
    # In a larger object the same differences are smaller shares.
    assert agreement(picture(), other, 10.0).depths == 1.0


def test_tiles_make_the_picture() -> None:
    parts = [picture((0, 0, 4, 10)), picture((4, 0, 6, 7)), picture((4, 7, 6, 3))]
    whole = whole_picture(parts)
    assert whole.region == (0, 0, 10, 10)
    np.testing.assert_array_equal(whole.depth, picture().depth)
    np.testing.assert_array_equal(whole.normal, picture().normal)


@pytest.mark.parametrize("name", ["front", "above", "near", "parallel"])
def test_cameras_see_the_object(name: str) -> None:
    extent = 1.8
    rays = pixel_rays(cameras(extent)[name], (40, 40), (0, 0, 40, 40))
    # Of a ball of that size around the origin.
    nearest = np.linalg.norm(np.cross(rays.origins, rays.directions), axis=1)
    assert 0.3 < np.mean(nearest < 0.5 * extent) <= 1.0
