# SPDX-License-Identifier: GPL-3.0-or-later
"""Panoramas as light: looked up as a background, and blurred in advance for dull and glossy surfaces.

Lighting by a panorama means integrals over all directions. They depend on the direction alone: the irradiance on a
surface of a given normal, and the radiance around a mirror direction, blurred as a given roughness blurs it (the
split-sum approximation, Karis, "Real shading in Unreal Engine 4", 2013). So they are computed once for each panorama,
into small panoramas of their own stacked in one picture, the *atlas*; numpy and GLSL read the same one.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .lighting import EnvironmentMap

# Blurred panoramas in the atlas, the sharpest first: the roughness whose blur each has, and its rows, as many as its
# blur leaves detail for. It has twice as many columns. GLSL has the same numbers (environment.glsl).
SPECULAR_ROUGHNESS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
SPECULAR_ROWS = (256, 128, 64, 64, 32, 32)
DIFFUSE_ROWS = 32
ATLAS_ROWS = sum(SPECULAR_ROWS) + DIFFUSE_ROWS
ATLAS_COLUMNS = 2 * SPECULAR_ROWS[0]

# Rows of the panorama seen behind the scene, at most: finer ones cost too much memory on GPUs.
BACKGROUND_ROWS = 2048

# Panoramas kept prepared: switching between a few worlds, or between viewports, prepares none twice.
KEPT = 4


@dataclass(frozen=True, eq=False)
class PreparedEnvironment:
    """A panorama ready for lookups.

    Attributes:
        background: (H, W, 3) float32 as `EnvironmentMap.pixels`, seen directly and by mirrors.
        atlas: (ATLAS_ROWS, ATLAS_COLUMNS, 3) float32: from the bottom row up the panoramas blurred for
            SPECULAR_ROUGHNESS, each at the left, then the irradiance divided by pi.
    """

    background: np.ndarray
    atlas: np.ndarray


def equirectangular(directions: np.ndarray) -> np.ndarray:
    """Where unit directions are found in a panorama: (N, 3) -> (N, 2), u and v from 0 to 1, v from the bottom.

    The mapping of Blender's Environment Texture.
    """
    x, y, z = directions[:, 0], directions[:, 1], directions[:, 2]
    u = 0.5 - np.arctan2(y, x) / (2.0 * math.pi)
    v = 0.5 + np.arctan2(z, np.hypot(x, y)) / math.pi
    return np.stack([u, v], axis=1)


def panorama_directions(rows: int, columns: int) -> np.ndarray:
    """Unit directions of a panorama's pixel centres: (rows, columns, 3), the inverse of `equirectangular`."""
    azimuth = (0.5 - (np.arange(columns) + 0.5) / columns) * 2.0 * math.pi
    elevation = ((np.arange(rows) + 0.5) / rows - 0.5) * math.pi
    directions = np.empty((rows, columns, 3))
    directions[..., 0] = np.cos(elevation)[:, None] * np.cos(azimuth)
    directions[..., 1] = np.cos(elevation)[:, None] * np.sin(azimuth)
    directions[..., 2] = np.sin(elevation)[:, None]
    return directions


def sample(pixels: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Bilinear lookup in a panorama, which wraps around and ends at the poles.

    Args:
        pixels: (H, W, C).
        coordinates: (N, 2) as `equirectangular` gives them.

    Returns:
        (N, C).
    """
    height, width = pixels.shape[:2]
    x, y = coordinates[:, 0] * width - 0.5, coordinates[:, 1] * height - 0.5
    left, bottom = np.floor(x), np.floor(y)
    fraction_x, fraction_y = (x - left)[:, None], (y - bottom)[:, None]
    left, bottom = left.astype(np.int64), bottom.astype(np.int64)
    columns = left % width, (left + 1) % width
    rows = bottom.clip(0, height - 1), (bottom + 1).clip(0, height - 1)
    lower = pixels[rows[0], columns[0]] * (1.0 - fraction_x) + pixels[rows[0], columns[1]] * fraction_x
    upper = pixels[rows[1], columns[0]] * (1.0 - fraction_x) + pixels[rows[1], columns[1]] * fraction_x
    return lower * (1.0 - fraction_y) + upper * fraction_y


def radiance(environment: EnvironmentMap, directions: np.ndarray) -> np.ndarray:
    """What is seen in unit directions of the world: (N, 3) -> (N, 3)."""
    return sample(prepared(environment).background, equirectangular(_in_map(environment, directions)))


def irradiance(environment: EnvironmentMap, normals: np.ndarray) -> np.ndarray:
    """Irradiance divided by pi on surfaces with unit normals of the world: (N, 3) -> (N, 3).

    Divided by pi it is the radiance of the uniform world that lights a dull surface as much.
    """
    start = ATLAS_ROWS - DIFFUSE_ROWS
    atlas = prepared(environment).atlas[start:, : 2 * DIFFUSE_ROWS]
    return sample(atlas, equirectangular(_in_map(environment, normals)))


def reflected_radiance(environment: EnvironmentMap, directions: np.ndarray, roughness: np.ndarray) -> np.ndarray:
    """Radiance around unit directions of the world, blurred by roughness: (N, 3), (N,) -> (N, 3).

    Between the blurs of SPECULAR_ROUGHNESS it is interpolated; roughness 0 is the panorama itself.
    """
    ready = prepared(environment)
    coordinates = equirectangular(_in_map(environment, directions))
    steps = (0.0, *SPECULAR_ROUGHNESS)
    place = np.interp(roughness, steps, np.arange(len(steps)))
    result = np.zeros(directions.shape, dtype=np.result_type(directions, np.float32))
    start = 0
    for number in range(len(steps)):
        share = (1.0 - np.abs(place - number)).clip(0.0)
        if number == 0:
            level = ready.background
        else:
            rows = SPECULAR_ROWS[number - 1]
            level = ready.atlas[start : start + rows, : 2 * rows]
            start += rows
        here = np.nonzero(share)[0]
        if len(here):
            result[here] += share[here, None] * sample(level, coordinates[here])
    return result


def _in_map(environment: EnvironmentMap, directions: np.ndarray) -> np.ndarray:
    return directions @ np.asarray(environment.world_to_map, dtype=directions.dtype).T


_cache: OrderedDict[str, PreparedEnvironment] = OrderedDict()
_cache_lock = threading.Lock()


def prepared(environment: EnvironmentMap) -> PreparedEnvironment:
    """The panorama prepared for lookups; the KEPT ones used last are kept by their keys. Safe in several threads."""
    with _cache_lock:
        if environment.key not in _cache:
            _cache[environment.key] = prepare(environment.pixels)
        _cache.move_to_end(environment.key)
        while len(_cache) > KEPT:
            _cache.popitem(last=False)
        return _cache[environment.key]


def forget_prepared() -> None:
    """Give back the memory of all that `prepared` keeps."""
    with _cache_lock:
        _cache.clear()


def prepare(pixels: np.ndarray) -> PreparedEnvironment:
    """Blur a panorama, (H, W, 3), for all that `PreparedEnvironment` holds. Pixels that are not numbers count as dark.

    Raises:
        ValueError: it has no pixels.
    """
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(f"a panorama needs (H, W, 3) pixels, got shape {pixels.shape}")
    pixels = np.asarray(pixels[..., :3], dtype=np.float32)
    if not np.isfinite(pixels).all():
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
    background = pixels
    if pixels.shape[0] > BACKGROUND_ROWS or pixels.shape[1] > 2 * BACKGROUND_ROWS:
        rows, columns = min(pixels.shape[0], BACKGROUND_ROWS), min(pixels.shape[1], 2 * BACKGROUND_ROWS)
        background = _resized(pixels, rows, columns)
    atlas = np.zeros((ATLAS_ROWS, ATLAS_COLUMNS, 3), dtype=np.float32)
    start = 0
    # Each level is blurred from the panorama scaled to its own size; scaling keeps the light of every solid angle.
    level = background
    for roughness, rows in zip(SPECULAR_ROUGHNESS, SPECULAR_ROWS, strict=True):
        level = level if len(level) == rows and level.shape[1] == 2 * rows else _resized(level, rows, 2 * rows)
        # The blur of the sharpest level is about as wide as its pixels: scaling is all the blur it needs.
        blurred = level if start == 0 else _convolved(level, _specular_kernel(roughness))
        atlas[start : start + rows, : 2 * rows] = blurred
        start += rows
    small = level if len(level) == DIFFUSE_ROWS else _resized(level, DIFFUSE_ROWS, 2 * DIFFUSE_ROWS)
    atlas[start:, : 2 * DIFFUSE_ROWS] = _convolved(small, lambda cosines: cosines.clip(0.0))
    return PreparedEnvironment(background, atlas)


def _specular_kernel(roughness: float) -> Callable[[np.ndarray], np.ndarray]:
    """Weights of light by the cosine of its angle to the mirror direction, for a surface seen from straight above."""
    alpha2 = roughness**4

    def weights(cosines: np.ndarray) -> np.ndarray:
        # The GGX density of reflected directions, D(h) / 4 with cos^2 of the half angle, times n . l.
        half2 = 0.5 + 0.5 * cosines
        return cosines.clip(0.0) / (half2 * (alpha2 - 1.0) + 1.0) ** 2

    return weights


def _row_areas(rows: int) -> np.ndarray:
    """Share of the sphere that each row of a panorama covers: (rows,)."""
    return np.diff(np.sin((np.arange(rows + 1) / rows - 0.5) * math.pi)) / 2.0


def _resized(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A panorama at another size: means over each new pixel's solid angle, or interpolated where that is larger."""
    height, width = pixels.shape[:2]
    if height < rows or width < columns:
        coordinates = equirectangular(panorama_directions(rows, columns).reshape(-1, 3))
        return sample(pixels, coordinates).reshape(rows, columns, -1).astype(np.float32)
    weighted = pixels * _row_areas(height)[:, None, None].astype(np.float32)
    sums = _box_sums(_box_sums(weighted, rows).transpose(1, 0, 2), columns).transpose(1, 0, 2)
    return (sums / (_row_areas(rows) * (width / columns))[:, None, None]).astype(np.float32)


def _box_sums(values: np.ndarray, count: int) -> np.ndarray:
    """Sums over `count` equal stretches of the first axis; where a stretch ends within an element, by its share."""
    if len(values) % count == 0:
        # The usual sizes, several times faster.
        step = len(values) // count
        total = values[::step].copy()
        for offset in range(1, step):
            total += values[offset::step]
        return total
    total = np.concatenate([np.zeros_like(values[:1], dtype=np.float64), np.cumsum(values, axis=0, dtype=np.float64)])
    ends = np.arange(count + 1) * (len(values) / count)
    whole = np.minimum(ends.astype(np.int64), len(values) - 1)
    fractions = (ends - whole).reshape(-1, *(1,) * (values.ndim - 1))
    return np.diff(total[whole] + fractions * (total[whole + 1] - total[whole]), axis=0)


def _convolved(pixels: np.ndarray, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Means of a panorama around each of its pixels, weighted by `kernel` of the cosine of the angle.

    Turning the panorama about its axis turns the means with it, so that the sum over columns is a circular
    convolution, done by Fourier transforms: exact for the pixels, without sampling noise. Constant stays constant.
    """
    rows, columns = pixels.shape[:2]
    elevation = ((np.arange(rows) + 0.5) / rows - 0.5) * math.pi
    sine, cosine = np.sin(elevation).astype(np.float32), np.cos(elevation).astype(np.float32)
    turn = np.cos(np.arange(columns // 2 + 1) * (2.0 * math.pi / columns)).astype(np.float32)
    angles = np.outer(sine, sine)[:, :, None] + np.outer(cosine, cosine)[:, :, None] * turn
    half = kernel(angles) * _row_areas(rows)[:, None].astype(np.float32)
    # The kernel is even in the turn: its transform is real.
    weights = np.concatenate([half, half[:, :, -2:0:-1]], axis=2)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    kernel_spectrum = np.fft.rfft(weights, axis=2).real
    spectrum = np.fft.rfft(pixels, axis=1)
    # One small matrix product a frequency: (rows, rows) times (rows, channels).
    blurred = kernel_spectrum.transpose(2, 0, 1) @ spectrum.transpose(1, 0, 2)
    return np.fft.irfft(blurred.transpose(1, 0, 2), columns, axis=1).astype(np.float32)
