# SPDX-License-Identifier: GPL-3.0-or-later
"""The rasteriser against rays through every pixel intersected with every triangle, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import rasterizing
from kernels.cameras import Camera, pixel_rays
from kernels.rasterizing import Coverage, project_triangles, rasterize, rasterize_depth

SIZE = (40, 30)
WHOLE = (0, 0, *SIZE)


def camera(perspective: bool = True, clip_start: float = 0.1, clip_end: float = 100.0) -> Camera:
    """Looks along -z from (0, 0, 4), with a lens shift; turned a little, so that nothing is aligned with the axes."""
    if perspective:
        projection = np.array([[2.4, 0, 0.1, 0], [0, 3.2, -0.05, 0], [0, 0, -1, 0], [0, 0, -1.0, 0]])
    else:
        projection = np.array([[0.5, 0, 0, 0.1], [0, 0.66, 0, -0.05], [0, 0, -1, 0], [0, 0, 0, 1.0]])
    rotation, _ = np.linalg.qr(np.eye(3) + 0.05 * np.random.default_rng(5).normal(size=(3, 3)))
    to_world = np.eye(4)
    to_world[:3, :3] = rotation * np.sign(np.diag(rotation))
    to_world[2, 3] = 4.0
    return Camera(projection, to_world, clip_start, clip_end)


def triangle_soup(seed: int, count: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(seed).normal(size=(3 * count, 3)) * spread
    return points, np.arange(3 * count).reshape(-1, 3)


def nearest_by_intersection(
    view: Camera, vertices: np.ndarray, triangles: np.ndarray, offset: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth, triangle, and how far inside it (smallest barycentric coordinate), by Moller and Trumbore's test."""
    rays = pixel_rays(view, SIZE, WHOLE, offset)
    depth = np.full(len(rays.origins), np.inf)
    owner, margin = np.full(len(depth), -1), np.full(len(depth), np.inf)
    for row, corners in enumerate(vertices[triangles]):
        a, first, second = corners[0], corners[1] - corners[0], corners[2] - corners[0]
        cross = np.cross(rays.directions, second)
        determinant = cross @ first
        with np.errstate(divide="ignore", invalid="ignore"):
            from_a = rays.origins - a
            u = (from_a * cross).sum(1) / determinant
            across = np.cross(from_a, first)
            v = (rays.directions * across).sum(1) / determinant
            t = across @ second / determinant
        smallest = np.minimum(np.minimum(u, v), 1 - u - v)
        margin = np.minimum(margin, np.abs(np.where(np.isnan(smallest), 0.0, smallest)))
        here = rays.depth(t)
        hit = (smallest >= 0) & (here >= view.clip_start) & (here <= view.clip_end) & (here < depth)
        depth[hit], owner[hit] = here[hit], row
    return depth, owner, margin


def coverage(view: Camera, vertices: np.ndarray, triangles: np.ndarray, *where: object) -> Coverage:
    return rasterize(project_triangles(view, SIZE, vertices, triangles), *(where or (WHOLE,)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), perspective=st.booleans(), x=st.floats(-0.9, 0.9), y=st.floats(-0.9, 0.9))
def test_random_triangles_as_by_intersection(seed: int, perspective: bool, x: float, y: float) -> None:
    """The spread is large enough that many triangles cross the clip planes and reach behind the camera."""
    view = camera(perspective, 0.7, 6.0)
    vertices, triangles = triangle_soup(seed, 12, 3.0)
    depth, owner, margin = nearest_by_intersection(view, vertices, triangles, (x, y))
    seen = coverage(view, vertices, triangles, WHOLE, (x, y))
    clear = margin > 1e-9  # on an edge rounding decides
    np.testing.assert_array_equal(seen.triangle[clear], owner[clear])
    hit = clear & (owner >= 0)
    np.testing.assert_allclose(seen.depth[hit], depth[hit], rtol=1e-9)
    assert np.isinf(seen.depth[seen.triangle < 0]).all()
    # The barycentric coordinates name the point that the pixel's ray hits.
    rays = pixel_rays(view, SIZE, WHOLE, (x, y))
    t = (depth - view.clip_start) / rays.cosines
    points = (vertices[triangles[owner[hit]]] * seen.barycentrics[hit][:, :, None]).sum(1)
    np.testing.assert_allclose(points, (rays.origins + t[:, None] * rays.directions)[hit], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), on_pixels=st.booleans(), perspective=st.booleans())
def test_a_tiled_square_covers_every_pixel_exactly_once(seed: int, on_pixels: bool, perspective: bool) -> None:
    """Triangles of a plane that share edges and points, which lie exactly on pixels' centres when `on_pixels`."""
    rng = np.random.default_rng(seed)
    inner = rng.uniform(0, SIZE, (30, 2))
    if on_pixels:
        inner = np.floor(inner) + 0.5
    corners = np.array([[0.0, 0.0], [SIZE[0], 0.0], [0.0, SIZE[1]], SIZE])
    points = np.unique(np.concatenate([corners, inner]), axis=0)
    triangles = plane_triangulation(points)
    # A camera whose pixels are the plane's units; with a perspective the plane slants away.
    view = camera_of_pixels(perspective)
    depths = 2.0 + (0.03 * points[:, 0] + 0.05 * points[:, 1] if perspective else 0.0 * points[:, 0])
    scale = depths[:, None] if perspective else 1.0
    vertices = np.column_stack([points * scale, -depths])
    screen = project_triangles(view, SIZE, vertices, triangles)
    counts = sum(
        (rasterize(one, WHOLE).triangle >= 0).astype(int)
        for one in (screen._rows(np.array([row])) for row in range(len(screen.triangle)))
    )
    np.testing.assert_array_equal(counts, 1)


def camera_of_pixels(perspective: bool) -> Camera:
    """Maps (x, y) at depth 1, or at any depth for parallel rays, to the pixel position (x, y)."""
    width, height = SIZE
    projection = np.diag([2.0 / width, 2.0 / height, -1.0, 0.0 if perspective else 1.0])
    column = 2 if perspective else 3
    projection[:2, column] = 1.0 if perspective else -1.0
    if perspective:
        projection[3, 2] = -1.0
    return Camera(projection, np.eye(4), 0.1, 100.0)


def plane_triangulation(points: np.ndarray) -> np.ndarray:
    """Triangles over the rectangle of points: one after the other splits the triangle that it lies in."""

    def turn(a: int, b: int, c: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = points[a], points[b], points[c]
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    corners = [0, int(np.flatnonzero((points == [points[:, 0].max(), 0]).all(1))[0])]
    corners += [len(points) - 1, int(np.flatnonzero((points == [0, points[:, 1].max()]).all(1))[0])]
    triangles = [(corners[0], corners[1], corners[2]), (corners[0], corners[2], corners[3])]
    for new in set(range(len(points))) - set(corners):
        kept = []
        for a, b, c in triangles:
            sides = turn(a, b, new), turn(b, c, new), turn(c, a, new)
            if min(sides) < 0:
                kept.append((a, b, c))
            else:
                # On an edge the triangle beside it splits as well, and one of the three children is flat.
                kept += [t for t, side in zip([(a, b, new), (b, c, new), (c, a, new)], sides, strict=True) if side > 0]
        triangles = kept
    return np.array(triangles)


def test_tiles_are_cut_from_the_whole_picture() -> None:
    view = camera()
    vertices, triangles = triangle_soup(1, 40)
    screen = project_triangles(view, SIZE, vertices, triangles)
    whole = rasterize(screen, WHOLE)
    for region in ((0, 0, 7, 5), (11, 3, 20, 27), (39, 29, 1, 1)):
        x, y, width, height = region
        tile = rasterize(screen.touching(region), region)
        cut = whole.triangle.reshape(SIZE[::-1])[y : y + height, x : x + width]
        np.testing.assert_array_equal(tile.triangle.reshape(height, width), cut)


@pytest.mark.parametrize("perspective", [True, False])
def test_depth_alone(perspective: bool) -> None:
    screen = project_triangles(camera(perspective), SIZE, *triangle_soup(4, 6))
    seen = rasterize(screen, WHOLE)
    assert np.isinf(seen.depth).any()
    np.testing.assert_allclose(rasterize_depth(screen, WHOLE), seen.depth, rtol=1e-9)


def test_a_sphere_of_many_triangles() -> None:
    mesh = shapes.sphere_mesh(5, 0.9)
    view = camera()
    seen = coverage(view, mesh.vertices, mesh.faces)
    rays = pixel_rays(view, SIZE, WHOLE)
    b, c = (rays.origins * rays.directions).sum(1), (rays.origins**2).sum(1) - 0.81
    with np.errstate(invalid="ignore"):
        t = -b - np.sqrt(b * b - c)
    hit = np.isfinite(t)
    assert ((seen.triangle >= 0) != hit).mean() < 0.01
    both = hit & (seen.triangle >= 0)
    np.testing.assert_allclose(seen.depth[both], rays.depth(t)[both], atol=8e-3)
    assert seen.front[both].all(), "seen from outside"


def test_a_floor_that_reaches_behind_the_camera() -> None:
    """One triangle, far larger than the picture, under a camera that looks along -z."""
    view = Camera(camera_of_pixels(True).projection, np.eye(4), 0.1, 1e9)
    view.projection[:2, 2] = 0.0
    vertices = np.array([[-1e4, -3.0, 1e4], [1e4, -3.0, 1e4], [0.0, -3.0, -1e4]])
    seen = coverage(view, vertices, np.array([[0, 1, 2]]))
    rays = pixel_rays(view, SIZE, WHOLE)
    with np.errstate(divide="ignore"):
        t = (-3.0 - rays.origins[:, 1]) / rays.directions[:, 1]
    below = (rays.directions[:, 1] < 0) & (rays.depth(t) < 5e3)
    np.testing.assert_array_equal(seen.triangle >= 0, below)
    np.testing.assert_allclose(seen.depth[below], rays.depth(t)[below], rtol=1e-9)


def test_many_pixels_behind_one_another_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, triangles = triangle_soup(2, 30)
    whole = coverage(camera(), vertices, triangles)
    monkeypatch.setattr(rasterizing, "PIXELS_PER_BLOCK", 50)
    blocks = coverage(camera(), vertices, triangles)
    np.testing.assert_array_equal(blocks.triangle, whole.triangle)
    np.testing.assert_array_equal(blocks.depth, whole.depth)


def test_what_has_no_area_or_is_not_finite_is_not_seen() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 1, 0]])
    triangles = np.array([[0, 1, 2], [0, 0, 5], [0, 1, 3], [0, 4, 1]])
    assert (coverage(camera(), vertices, triangles).triangle == -1).all()
    assert (coverage(camera(), vertices[:0], triangles[:0]).triangle == -1).all()
