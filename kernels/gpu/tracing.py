# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural objects on the GPU: their nearest hits, normals and openness, their normals on meshes, their shadows."""

from __future__ import annotations

import numpy as np

from ..level_of_detail import LevelChoice
from ..scenes import NeuralInstance, NeuralNormals, Region, RenderConfig
from .device import ComputeDevice
from .sources import PixelRays
from .surfaces import SurfaceBuffers


class NeuralTracer:
    """Evaluates sequences on a GPU and keeps their networks there.

    Args:
        device: where to compute.
    """

    def __init__(self, device: ComputeDevice) -> None:
        self._device = device

    def trace(
        self,
        instance: NeuralInstance,
        levels: LevelChoice,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        owner_row: int,
        config: RenderConfig,
        rectangle: Region | None = None,
    ) -> None:
        """Merge an object's nearest hits into the surface buffers, with normals and openness.

        Args:
            levels: those to trace, and the one for the normals.
            rays: of the buffers' region.
            owner_row: row in the table of materials.
            config: `trace` and `ambient_occlusion` count.
            rectangle: the pixels of the buffers to work on: x, y, width, height. None for all.

        Raises:
            GpuError: the networks are wider than supported, or the driver refuses the shader.
        """
        raise NotImplementedError

    def map_normals(
        self,
        neural_normals: NeuralNormals,
        local_to_world: np.ndarray,
        mesh_number: int,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        rectangle: Region | None = None,
    ) -> None:
        """Turn the normals of the pixels that a mesh owns into neural ones, where they lie in the bands.

        Args:
            local_to_world: of the mesh.
            mesh_number: number of the mesh in the scene: its pixels have this plus 1 in `relief`.w.
        """
        raise NotImplementedError

    def shadow(
        self,
        instance: NeuralInstance,
        levels: LevelChoice,
        direction_to_sun: tuple[float, float, float],
        rays: PixelRays,
        buffers: SurfaceBuffers,
        config: RenderConfig,
        rectangle: Region | None = None,
    ) -> None:
        """Take the sun away, in `relief`.y, from the surface points whose way to it the object blocks."""
        raise NotImplementedError

    def keep(self, sequences: list) -> None:
        """Drop what is kept of all but these sequences."""
        raise NotImplementedError

    def free(self) -> None:
        """Drop all that is kept on the GPU."""
        raise NotImplementedError
