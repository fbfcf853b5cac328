# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL read from the files of kernels/glsl, joined and specialised, and the parameters that all shaders share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..cameras import Camera
from ..scenes import Region

GLSL_FOLDER = Path(__file__).resolve().parent.parent / "glsl"

# Number of vec4 at the start of every shader's parameters that describe the pixels' rays (rays.glsl).
RAY_PARAMETERS = 5

# Stands for an unlimited view depth: float32's infinity is not safe in shaders.
UNLIMITED_DEPTH = 1e30


@cache
def read(name: str) -> str:
    """The text of kernels/glsl/`name`.glsl."""
    return (GLSL_FOLDER / f"{name}.glsl").read_text(encoding="utf-8")


def join(*names: str, constants: Mapping[str, int | float] | None = None) -> str:
    """The GLSL files `names`, in that order, after a #define for each constant."""
    defines = [f"#define {name} {_literal(value)}" for name, value in (constants or {}).items()]
    return "\n".join([*defines, *(read(name) for name in names)])


def _literal(value: int | float) -> str:
    """A number as GLSL writes it: floats always show that they are floats."""
    return str(int(value)) if isinstance(value, int | np.integer) else f"({float(np.float32(value))!r})"


def ray_parameters(
    camera: Camera, size: tuple[int, int], region: Region, offset: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """What rays.glsl needs to know: (RAY_PARAMETERS, 4) float32, the same rays as `cameras.pixel_rays`.

    Args:
        size: width and height in pixels of the whole picture that the projection covers.
        region: the part of it that the buffers hold; pixel (0, 0) of a shader is its lower left one.
        offset: added to the pixels' centres, in pixels, for antialiasing.
    """
    projection = np.asarray(camera.projection, dtype=np.float64)
    # The projection's first two rows solved for camera space, as in `cameras.pixel_rays`.
    shift = projection[:2, 2] if camera.is_perspective else -projection[:2, 3]
    diagonal = projection[[0, 1], [0, 1]]
    scale = 2.0 / np.asarray(size, dtype=np.float64)
    corner = (np.asarray(region[:2]) + 0.5 + np.asarray(offset)) * scale - 1.0
    packed = np.zeros((RAY_PARAMETERS, 4))
    packed[0] = [*(scale / diagonal), *((corner + shift) / diagonal)]
    packed[1] = [float(camera.is_perspective), camera.clip_start, min(camera.clip_end, UNLIMITED_DEPTH), 0.0]
    packed[2:5] = np.asarray(camera.camera_to_world, dtype=np.float64)[:3]
    return packed.astype(np.float32)


@dataclass(frozen=True)
class PixelRays:
    """One ray through each pixel of a region, as `cameras.pixel_rays` makes them, for shaders.

    Attributes:
        camera, size, region, offset: see `ray_parameters`.
    """

    camera: Camera
    size: tuple[int, int]
    region: Region
    offset: tuple[float, float] = (0.0, 0.0)

    @property
    def parameters(self) -> np.ndarray:
        """`ray_parameters` of these rays."""
        return ray_parameters(self.camera, self.size, self.region, self.offset)
