# SPDX-License-Identifier: GPL-3.0-or-later
"""A z-buffer rasteriser: which triangle is seen through each pixel, by scan lines, without a loop over triangles.

In homogeneous coordinates (Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997): the
edge functions come from the vertices before the division by depth, so a triangle that reaches behind the camera needs
no clipping. With rows (X_i, Y_i, w_i) of pixel coordinates times w, the three functions are the adjugate's columns,
e_0 = (r_1 x r_2) . (x, y, 1) and so on; their quotients by the sum are perspective-correct barycentric coordinates.

Along a row of pixels each edge is one bound for x. Triangles that share an edge compute the very same bound, which is
the first pixel of the one and the end of the other: no pixel twice, none left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cameras import Camera

# Steps a pixel to which the place where an edge crosses a row of pixels is rounded.
ROUNDING = 2.0**20
# Pixels by which bounds are widened against rounding; edges alone decide what is covered.
BOUNDS_MARGIN = 1e-6
# Pixels of triangles, hidden ones included, that are compared at a time: few enough for the processor's cache, and for
# other threads, which wait for the interpreter while numpy repeats numbers and compares them in place.
PIXELS_PER_BLOCK = 1 << 17


@dataclass(frozen=True)
class ScreenTriangles:
    """Triangles projected to a picture, in pixels: those that may be seen, in the order in which they were given.

    Attributes:
        triangle: (K,) row in the triangles that were given.
        edges: (K, 3, 3) for each edge the coefficients (a, b, c) of its function a x + b y + c, positive within; edge i
            is opposite vertex i, and its function over the sum of the three is that vertex' barycentric coordinate.
        plane: (K, 3) coefficients of what is linear on screen: the inverse of view depth for a perspective, view depth
            itself for parallel rays.
        front: (K,) whether the vertices turn counterclockwise on screen.
        bounds: (4, K) left, bottom, right, top, in pixels.
        perspective: what `plane` means.
        clip_start, clip_end: view depths between which surfaces are seen.
    """

    triangle: np.ndarray
    edges: np.ndarray
    plane: np.ndarray
    front: np.ndarray
    bounds: np.ndarray
    perspective: bool
    clip_start: float
    clip_end: float

    def touching(self, region: tuple[int, int, int, int]) -> ScreenTriangles:
        """Those that may cover pixels of a region (x, y, width, height), at any sub-pixel offset below a pixel."""
        x, y, width, height = region
        left, bottom, right, top = self.bounds
        keep = np.flatnonzero((left < x + width + 1) & (right > x - 1) & (bottom < y + height + 1) & (top > y - 1))
        if len(keep) == len(self.triangle):
            return self
        return self._rows(keep)

    def _rows(self, keep: np.ndarray) -> ScreenTriangles:
        return ScreenTriangles(
            self.triangle[keep],
            self.edges[keep],
            self.plane[keep],
            self.front[keep],
            self.bounds[:, keep],
            self.perspective,
            self.clip_start,
            self.clip_end,
        )


@dataclass(frozen=True)
class Coverage:
    """What is seen through the pixels of a region, one row a pixel, rows from the bottom up.

    Attributes:
        depth: (N,) view depth; infinite where there is no triangle.
        triangle: (N,) row in the triangles that were given; -1 where there is none.
        barycentrics: (N, 3) of the point seen, perspective-correct; zero where there is none.
        front: (N,) whether the triangle's vertices turn counterclockwise on screen.
    """

    depth: np.ndarray
    triangle: np.ndarray
    barycentrics: np.ndarray
    front: np.ndarray


def project_triangles(
    camera: Camera, size: tuple[int, int], vertices: np.ndarray, triangles: np.ndarray
) -> ScreenTriangles:
    """Triangles made ready for `rasterize`.

    Args:
        size: width and height of the whole picture in pixels.
        vertices: (V, 3) in world space. A triangle with a vertex that is not finite is not seen.
        triangles: (T, 3) indices of vertices.
    """
    to_camera = np.linalg.inv(np.asarray(camera.camera_to_world, dtype=np.float64))
    to_clip = np.asarray(camera.projection, dtype=np.float64) @ to_camera
    half = np.asarray(size, dtype=np.float64) / 2.0
    # Rows that give pixel coordinates times w, and w.
    to_pixels = np.stack([half[0] * (to_clip[0] + to_clip[3]), half[1] * (to_clip[1] + to_clip[3]), to_clip[3]])
    points = np.asarray(vertices, dtype=np.float64)
    # Broken vertices are an expected input.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        homogeneous = to_pixels[:, :3] @ points.T + to_pixels[:, 3:]
        depths = -(to_camera[2, :3] @ points.T + to_camera[2, 3])
        depths[~np.isfinite(depths)] = np.nan
        pixels = homogeneous[:2] / homogeneous[2]
    corners = np.ascontiguousarray(np.asarray(triangles).T)
    bounds, met = _bounds(pixels, homogeneous, depths, corners, camera)
    left, bottom, right, top = bounds
    # Comparisons with NaN are false.
    seen = np.flatnonzero(met & (left < size[0] + 1) & (right > -1) & (bottom < size[1] + 1) & (top > -1))
    first, second, third = (np.take(homogeneous, corners[corner, seen], axis=1) for corner in range(3))

    edges = np.stack([_cross(second, third), _cross(third, first), _cross(first, second)])
    determinant = first[0] * edges[0, 0] + first[1] * edges[0, 1] + first[2] * edges[0, 2]
    front = determinant > 0.0
    edges *= np.where(front, 1.0, -1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if camera.is_perspective:
            # What is interpolated is 1; divided by w, it is the inverse of depth.
            plane = (edges[0] + edges[1] + edges[2]) / np.abs(determinant)
        else:
            weights = np.take(depths, corners[:, seen])
            plane = (edges[0] * weights[0] + edges[1] * weights[1] + edges[2] * weights[2]) / np.abs(determinant)
    # One row a triangle, because they are looked up by triangle.
    edges, plane = np.ascontiguousarray(edges.transpose(2, 0, 1)), np.ascontiguousarray(plane.T)
    screen = ScreenTriangles(
        seen, edges, plane, front, bounds[:, seen], camera.is_perspective, camera.clip_start, camera.clip_end
    )
    flat = ~np.isfinite(plane.sum(axis=1))
    return screen._rows(np.flatnonzero(~flat)) if flat.any() else screen


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(3, K) x (3, K) -> (3, K), exactly the negative when the arguments change places."""
    (a, b, c), (d, e, f) = first, second
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d])


def _bounds(
    pixels: np.ndarray, homogeneous: np.ndarray, depths: np.ndarray, corners: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel rectangles of the parts of triangles that lie in front of the near plane: (4, T), and whether any do: (T,).

    Args:
        pixels, homogeneous, depths: (2, V), (3, V) and (V,) of the vertices; depths are NaN for broken ones.
        corners: (3, T) the triangles' vertices.
    """

    def range_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second, third = (np.take(values, index, axis=-1) for index in corners)
        return np.minimum(np.minimum(first, second), third), np.maximum(np.maximum(first, second), third)

    nearest, farthest = range_of(depths)
    met = (farthest >= camera.clip_start) & (nearest <= camera.clip_end)
    low, high = range_of(pixels)
    if camera.is_perspective:
        # Without a clip plane, one so near that nothing is lost: depth 0 has no projection.
        near = camera.clip_start if camera.clip_start > 0.0 else 1e-9 * float(np.nanmax(np.abs(depths), initial=0.0))
        crossing = np.flatnonzero(met & (nearest < near))
        if len(crossing):
            crossed = corners[:, crossing]
            low[:, crossing], high[:, crossing] = _clipped_bounds(
                [homogeneous[:, index] for index in crossed], depths[crossed], near
            )
    return np.concatenate([low - BOUNDS_MARGIN, high + BOUNDS_MARGIN]), met


def _clipped_bounds(corners: list[np.ndarray], depths: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest pixel coordinates (2, K) of triangles beyond the near plane, which they cross."""
    low = np.full((2, depths.shape[1]), np.inf)
    high = -low
    for first, second in ((0, 1), (1, 2), (2, 0)):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (near - depths[first]) / (depths[second] - depths[first])
            between = corners[first] + share * (corners[second] - corners[first])
            candidates = (
                (corners[first][:2] / corners[first][2], depths[first] >= near),
                (between[:2] / between[2], (share > 0.0) & (share < 1.0)),
            )
        for pixels, valid in candidates:
            low = np.where(valid, np.minimum(low, pixels), low)
            high = np.where(valid, np.maximum(high, pixels), high)
    return low, high


def rasterize(
    screen: ScreenTriangles, region: tuple[int, int, int, int], offset: tuple[float, float] = (0.0, 0.0)
) -> Coverage:
    """The nearest triangle between the clip planes at each pixel of a region.

    Args:
        screen: from `project_triangles`; for many regions or samples, first `ScreenTriangles.touching`.
        region: x, y, width and height in pixels.
        offset: added to the pixels' centres, as in `cameras.pixel_rays`.
    """
    _, winner = _nearest(screen, region, offset)
    return _coverage(screen, region, offset, winner)


def rasterize_depth(screen: ScreenTriangles, region: tuple[int, int, int, int]) -> np.ndarray:
    """View depth of the nearest triangle at the centre of each pixel of a region: (N,), infinite for none."""
    nearness, _ = _nearest(screen, region, (0.0, 0.0))
    if not screen.perspective:
        return -nearness
    with np.errstate(divide="ignore"):
        return 1.0 / nearness.clip(0.0)


def _nearest(
    screen: ScreenTriangles, region: tuple[int, int, int, int], offset: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Nearness of the nearest triangle at each pixel, -inf for none, and its row in `screen`, -1: (N,), (N,).

    Nearness grows towards the viewer: the inverse of depth for a perspective, depth negated for parallel rays.
    """
    count = region[2] * region[3]
    nearest, winner = np.full(count, -np.inf), np.full(count, -1)
    rows, y, first, last = _spans(screen, region, offset)
    block = np.cumsum(last - first) // PIXELS_PER_BLOCK
    cuts = np.flatnonzero(np.diff(block)) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        spans = slice(start, stop)
        _resolve(screen, region, offset, (rows[spans], y[spans], first[spans], last[spans]), nearest, winner)
    return nearest, winner


def _spans(
    screen: ScreenTriangles, region: tuple[int, int, int, int], offset: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Runs of pixels covered by triangles: row in `screen`, y, first x and the x after the last, each (S,)."""
    x, y, width, height = region
    left, bottom, right, top = screen.bounds
    center_x, center_y = 0.5 + offset[0], 0.5 + offset[1]
    lowest = np.ceil((bottom - center_y).clip(y, y + height)).astype(np.int64)
    highest = np.floor((top - center_y).clip(y - 1, y + height - 1)).astype(np.int64)
    # Many triangles are smaller than a pixel, and meet no row or column of centres.
    some = np.flatnonzero((highest >= lowest) & (np.floor(right - center_x) >= np.ceil(left - center_x)))
    counts = (highest - lowest + 1)[some]
    place = np.repeat(np.arange(len(some)), counts)
    # Counting from each triangle's lowest row.
    line = np.arange(len(place)) + np.repeat(lowest[some] - (np.cumsum(counts) - counts), counts)
    center = line + center_y

    begin, end = np.full(len(place), float(x)), np.full(len(place), float(x + width))
    for edge in range(3):
        a, b, c = screen.edges[some, edge].T
        with np.errstate(divide="ignore", invalid="ignore"):
            slope, intercept = (-b / a)[place], (-c / a)[place]
            # Rounded, so that edges that meet in a pixel's centre agree about it.
            crossing = np.ceil(np.rint((slope * center + intercept - center_x) * ROUNDING) / ROUNDING)
        begin = np.where((a > 0.0)[place], np.maximum(begin, crossing), begin)
        end = np.where((a < 0.0)[place], np.minimum(end, crossing), end)
        level = np.flatnonzero((a == 0.0)[place])
        if len(level):
            # A horizontal edge has whole rows on its sides; a row on it belongs to the triangle above.
            height_above = b[place[level]] * center[level] + c[place[level]]
            outside = (height_above < 0.0) | ((height_above == 0.0) & (b[place[level]] <= 0.0))
            end[level[outside]] = float(x)
    covered = np.flatnonzero(begin < end)
    return some[place[covered]], line[covered], begin[covered].astype(np.int64), end[covered].astype(np.int64)


def _resolve(
    screen: ScreenTriangles,
    region: tuple[int, int, int, int],
    offset: tuple[float, float],
    spans: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    nearest: np.ndarray,
    winner: np.ndarray,
) -> None:
    """Expand spans into pixels and keep the nearest: (N,) nearness and (N,) rows in `screen` are updated."""
    x, y, width, _ = region
    rows, line, first, last = spans
    lengths = last - first
    starts = np.cumsum(lengths) - lengths
    column = np.arange(lengths.sum()) + np.repeat(first - starts, lengths)
    a, b, c = screen.plane[rows].T
    height = np.repeat(b * (line + 0.5 + offset[1]) + c + a * (0.5 + offset[0]), lengths)
    nearness = np.repeat(a, lengths) * column + height
    if screen.perspective:
        with np.errstate(divide="ignore"):
            low, high = np.divide(1.0, screen.clip_end), np.divide(1.0, screen.clip_start)
    else:
        nearness, low, high = -nearness, -screen.clip_end, -screen.clip_start
    pixel = column + np.repeat((line - y) * width - x, lengths)
    owner = np.repeat(rows, lengths)
    clipped = (nearness < low) | (nearness > high)
    if clipped.any():
        nearness, pixel, owner = nearness[~clipped], pixel[~clipped], owner[~clipped]
    np.maximum.at(nearest, pixel, nearness)
    front = nearest[pixel] == nearness
    winner[pixel[front]] = owner[front]


def _coverage(
    screen: ScreenTriangles, region: tuple[int, int, int, int], offset: tuple[float, float], winner: np.ndarray
) -> Coverage:
    """What the winners of the pixels look like: (N,) rows in `screen`, -1 for none."""
    x, y, width, height = region
    depth = np.full(len(winner), np.inf)
    triangle = np.full(len(winner), -1)
    barycentrics = np.zeros((len(winner), 3))
    front = np.zeros(len(winner), dtype=bool)
    seen = np.flatnonzero(winner >= 0)
    row = winner[seen]
    center_x, center_y = x + seen % width + (0.5 + offset[0]), y + seen // width + (0.5 + offset[1])
    edges = np.take(screen.edges.reshape(-1, 9), row, axis=0)
    # On an edge rounding may leave tiny negative values.
    values = (edges[:, 0::3] * center_x[:, None] + edges[:, 1::3] * center_y[:, None] + edges[:, 2::3]).clip(0.0)
    barycentrics[seen] = values / values.sum(axis=1, keepdims=True)
    plane = np.take(screen.plane, row, axis=0)
    heights = plane[:, 0] * center_x + plane[:, 1] * center_y + plane[:, 2]
    depth[seen] = 1.0 / heights if screen.perspective else heights
    triangle[seen], front[seen] = screen.triangle[row], screen.front[row]
    return Coverage(depth, triangle, barycentrics, front)
