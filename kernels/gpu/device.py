# SPDX-License-Identifier: GPL-3.0-or-later
"""What the GPU renderer asks of its host: textures, compute shaders, and for meshes a rasteriser.

The common denominator of Blender's gpu module (OpenGL, Vulkan, Metal) and plain OpenGL: no storage buffers, no
indirect dispatch. Weights and lists are RGBA32F textures; small parameters are one uniform block of vec4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# The uniform block every shader may read as `parameters.values[i]`.
PARAMETERS_NAME = "parameters"


class GpuError(Exception):
    """Something that this GPU or its driver cannot do: the message says what. The CPU renderer can."""


class UnsupportedNetworkError(GpuError):
    """Networks that are too much for GPUs, as too wide ones: nothing is wrong with the GPU, which can render others."""


class Texture(Protocol):
    """A two-dimensional texture of four floats a texel (RGBA32F), or a depth texture."""

    width: int
    height: int


@dataclass(frozen=True)
class ComputeShader:
    """A compute shader as text, and what it is bound to.

    Attributes:
        name: for messages.
        source: GLSL from the functions to `main`, without version, layouts and resource declarations, which the host
            makes from the fields below. Shared variables are declared with the word SHARED, which the host defines:
            Blender 5.2 drops declarations that it recognises as `shared`.
        local_size: threads of a work group along x and y.
        textures: names of `sampler2D`, to be read with texelFetch or, filtered linearly, with texture().
        images: names of writable `image2D` of format RGBA32F.
        read_images: those of `images` that are also read.
        parameters: number of vec4 in `parameters.values`; 0 for none.
    """

    name: str
    source: str
    local_size: tuple[int, int]
    textures: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    read_images: tuple[str, ...] = ()
    parameters: int = 0


@dataclass(frozen=True)
class MeshShader:
    """A vertex and a fragment shader that draw triangles into several RGBA32F targets and a depth texture.

    Attributes:
        name: for messages.
        vertex_source, fragment_source: GLSL with `main`, without declarations.
        attributes: name and number of floats of each vertex attribute.
        varyings: name and number of floats of each interpolated value.
        outputs: names of the fragment shader's vec4 outputs, one a target.
        textures: names of `sampler2D`, readable in both stages.
        parameters: number of vec4 in `parameters.values`.
    """

    name: str
    vertex_source: str
    fragment_source: str
    attributes: tuple[tuple[str, int], ...]
    varyings: tuple[tuple[str, int], ...]
    outputs: tuple[str, ...]
    textures: tuple[str, ...] = ()
    parameters: int = 0


@dataclass(frozen=True)
class Draw:
    """One mesh of a `Device.draw`.

    Attributes:
        batch: as `Device.batch` made it.
        parameters: (N, 4) float32 for the shader's uniform block.
        textures: by the shader's names.
    """

    batch: Any
    parameters: np.ndarray
    textures: Mapping[str, Texture]


class ComputeDevice(Protocol):
    """A GPU that runs compute shaders. All calls happen in the thread that owns its context."""

    name: str
    """What it is, for messages and benchmark tables."""
    is_software: bool
    """Whether the driver computes on the CPU (llvmpipe, SwiftShader, softpipe)."""
    max_texture_size: int

    def texture(self, pixels: np.ndarray) -> Texture:
        """A new texture from (H, W, 4) float32, row 0 at the bottom.

        Raises:
            GpuError: it is too large, or there is no memory for it.
        """

    def empty_texture(self, width: int, height: int) -> Texture:
        """A new RGBA32F texture with undefined contents, to be written by shaders."""

    def free(self, texture: Texture) -> None:
        """Give a texture's memory back. It must not be used afterwards."""

    def dispatch(
        self,
        shader: ComputeShader,
        groups: tuple[int, int],
        textures: Mapping[str, Texture],
        images: Mapping[str, Texture],
        parameters: np.ndarray | None = None,
    ) -> None:
        """Run a compute shader, compiled at its first use and kept. What it wrote is there for the next dispatch.

        Args:
            parameters: (N, 4) float32 for `parameters.values`.

        Raises:
            GpuError: the driver refuses the shader.
        """

    def read(self, texture: Texture) -> np.ndarray:
        """The texture's contents, (H, W, 4) float32; waits for everything before."""

    def finish(self) -> None:
        """Wait until all that was asked for is done."""


class Device(ComputeDevice, Protocol):
    """A GPU that draws triangles as well."""

    def depth_texture(self, width: int, height: int) -> Texture:
        """A new 32-bit depth texture."""

    def batch(self, shader: MeshShader, attributes: Mapping[str, np.ndarray], indices: np.ndarray) -> Any:
        """Vertex data on the GPU: attributes are (N, floats) float32, indices (T, 3) int32."""

    def draw(self, shader: MeshShader, targets: Sequence[Texture], depth: Texture, draws: Sequence[Draw]) -> None:
        """Clear targets to zero and depth to 1, and draw with the depth test on, both sides of the triangles.

        Raises:
            GpuError: the driver refuses the shader.
        """
