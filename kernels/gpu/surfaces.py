# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface buffers: what the ray of each pixel sees, written by meshes and neural objects and read by the shading.

Three RGBA32F textures of a tile's size, row 0 at the bottom:

- `surface`: xyz the unit normal in world space, facing the viewer, zero where nothing is seen; w the t of the surface
  along the pixel's unit ray, counted from the plane of view depth clip_start (`cameras.pixel_rays`), 1e30 for nothing.
- `owner`: x the row of the owner in the picture's table of materials plus 1, 0 for nothing; y the object index; z the
  level on which the ray ended, -1 for a mesh; w the evaluations that the ray took, whether it hit or not.
- `relief`: x openness, 0 to 1, 1 where unknown; y how much of the sun is seen, 0 to 1; z the place in the band,
  |f| / delta from 0 to 1, -1 for none; w the number of the mesh in the scene plus 1, 0 for none, and negative between
  the two passes of a neural object (tracing.glsl).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from . import sources
from .device import ComputeDevice, ComputeShader, GpuError, Texture

# Names by which shaders bind the buffers, in the order in which the mesh shader writes them.
NAMES = ("surface", "owner", "relief")

# The t where nothing is seen; the same number stands in rays.glsl.
NOTHING_SEEN = 1e30

# Threads of a work group along each axis, for passes that do little for each pixel.
GROUP_SIDE = 8


def groups(width: int, height: int) -> tuple[int, int]:
    """Work groups of GROUP_SIDE x GROUP_SIDE threads that cover `width` x `height` pixels."""
    return -(-width // GROUP_SIDE), -(-height // GROUP_SIDE)


@cache
def _clear_shader() -> ComputeShader:
    source = sources.join("clear", constants={"NOTHING_SEEN": NOTHING_SEEN})
    return ComputeShader("clear", source, (GROUP_SIDE, GROUP_SIDE), images=NAMES, read_images=("owner",), parameters=1)


class SurfaceBuffers:
    """The surface buffers of one tile. Their contents are undefined until `clear`.

    Attributes:
        width, height: in pixels.
        surface, owner, relief: the textures described above; None when freed.

    Raises:
        GpuError: the textures are too large, or there is no memory for them.
    """

    def __init__(self, device: ComputeDevice, width: int, height: int) -> None:
        self._device = device
        self.width, self.height = width, height
        self.surface: Texture | None = None
        self.owner: Texture | None = None
        self.relief: Texture | None = None
        try:
            for name in NAMES:
                setattr(self, name, device.empty_texture(width, height))
        except GpuError:
            # There may be memory for one and not for three.
            self.free()
            raise

    @property
    def textures(self) -> dict[str, Texture]:
        """The textures by the names that shaders bind them by."""
        return {"surface": self.surface, "owner": self.owner, "relief": self.relief}

    def clear(self, keep_owned: bool = False) -> None:
        """Write into the buffers that nothing is seen; with `keep_owned` only where no owner was written."""
        parameters = np.array([[float(keep_owned), 0.0, 0.0, 0.0]], dtype=np.float32)
        self._device.dispatch(_clear_shader(), groups(self.width, self.height), {}, self.textures, parameters)

    def free(self) -> None:
        """Give the textures back. The buffers cannot be used afterwards; freeing twice is fine."""
        for name in NAMES:
            texture = getattr(self, name)
            if texture is not None:
                self._device.free(texture)
                setattr(self, name, None)
