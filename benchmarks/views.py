# SPDX-License-Identifier: GPL-3.0-or-later
"""The cameras that the benchmarks look through, all of them at the origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.cameras import Camera

# Of `camera`: in front, a little to the right and above, in network space.
CAMERA_POSITION = (1.6, -3.4, 1.2)
FIELD_OF_VIEW = 0.62  # radians; the cube [-1, 1]^3 fills most of the picture


def camera(eye: Sequence[float] = CAMERA_POSITION) -> Camera:
    """The perspective camera of the square pictures that the tracers are measured on, at `eye`."""
    return Camera(perspective(1.0 / np.tan(FIELD_OF_VIEW / 2.0)), looking_from(eye))


def looking_from(eye: Sequence[float]) -> np.ndarray:
    """(4, 4) camera space to world space of a camera at `eye` that looks at the origin, z up."""
    backward = np.asarray(eye) / np.linalg.norm(eye)
    right = np.cross((0.0, 0.0, 1.0), backward)
    right /= np.linalg.norm(right)
    to_world = np.eye(4)
    to_world[:3, :4] = np.column_stack([right, np.cross(backward, right), backward, eye])
    return to_world


def perspective(zoom: float, aspect: float = 1.0) -> np.ndarray:
    """(4, 4) projection that sees 1 / `zoom` of the distance to each side, and 1 / `aspect` of that up and down."""
    projection = np.diag([zoom, zoom * aspect, -1.0, 0.0])
    projection[3, 2] = -1.0
    return projection
