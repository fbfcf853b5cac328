# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's gpu module as a device of the GPU renderer.

Made for OpenGL, Vulkan and Metal alike. Everything here must run in Blender's main thread, inside a draw call, a render
of an engine with `bl_use_gpu_context`, or after `gpu.init()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gpu
import numpy as np

from ..kernels.gpu.device import PARAMETERS_NAME, ComputeShader, Draw, GpuError, MeshShader
from .gpu_state import drawing_state

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swiftshader", "swrast")
GLSL_TYPES = {1: "FLOAT", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class BlenderDevice:
    """A `kernels.gpu.device.Device` over Blender's gpu module; it keeps compiled shaders and one uniform block each.

    Raises:
        GpuError: there is no GPU context here.
    """

    def __init__(self) -> None:
        try:
            renderer = gpu.platform.renderer_get()
            self.name = f"{renderer} ({gpu.platform.backend_type_get()})"
            self.max_texture_size = gpu.capabilities.max_texture_size_get()
        except (SystemError, RuntimeError) as error:
            raise GpuError("Blender has no GPU here") from error
        self.is_software = any(word in renderer.lower() for word in SOFTWARE_RENDERERS)
        self._shaders: dict[ComputeShader | MeshShader, gpu.types.GPUShader] = {}
        self._blocks: dict[ComputeShader | MeshShader, gpu.types.GPUUniformBuf] = {}
        self._formats: dict[MeshShader, gpu.types.GPUVertFormat] = {}

    def texture(self, pixels: np.ndarray) -> gpu.types.GPUTexture:
        """See `ComputeDevice.texture`."""
        height, width = pixels.shape[:2]
        flat = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
        return self._new_texture((width, height), "RGBA32F", gpu.types.Buffer("FLOAT", flat.size, flat))

    def empty_texture(self, width: int, height: int) -> gpu.types.GPUTexture:
        """See `ComputeDevice.empty_texture`."""
        return self._new_texture((width, height), "RGBA32F")

    def depth_texture(self, width: int, height: int) -> gpu.types.GPUTexture:
        """See `Device.depth_texture`."""
        return self._new_texture((width, height), "DEPTH_COMPONENT32F")

    def _new_texture(
        self, size: tuple[int, int], kind: str, data: gpu.types.Buffer | None = None
    ) -> gpu.types.GPUTexture:
        if max(size) > self.max_texture_size:
            raise GpuError(f"a texture of {size[0]} x {size[1]} is larger than this GPU's {self.max_texture_size}")
        try:
            # Blender 5.0 refuses None for no data.
            return gpu.types.GPUTexture(size, format=kind, **({} if data is None else {"data": data}))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise GpuError(f"a texture of {size[0]} x {size[1]} could not be made: {error}") from error

    def free(self, texture: gpu.types.GPUTexture) -> None:
        """See `ComputeDevice.free`. Blender frees a texture with its last reference, which the caller drops."""

    def read(self, texture: gpu.types.GPUTexture) -> np.ndarray:
        """See `ComputeDevice.read`."""
        buffer = texture.read()
        buffer.dimensions = texture.width * texture.height * 4
        return np.frombuffer(buffer, dtype=np.float32).reshape(texture.height, texture.width, 4)

    def finish(self) -> None:
        """See `ComputeDevice.finish`: reading anything waits for everything before it."""
        gpu.types.GPUTexture((1, 1), format="RGBA32F").read()

    def dispatch(
        self,
        shader: ComputeShader,
        groups: tuple[int, int],
        textures: Mapping[str, gpu.types.GPUTexture],
        images: Mapping[str, gpu.types.GPUTexture],
        parameters: np.ndarray | None = None,
    ) -> None:
        """See `ComputeDevice.dispatch`."""
        compiled = self._compiled(shader)
        try:
            self._bind(compiled, shader, textures, parameters)
            for name in shader.images:
                compiled.image(name, images[name])
            gpu.compute.dispatch(compiled, groups[0], groups[1], 1)
        finally:
            # A shader that stays bound when it is freed crashes Blender at the next bind.
            gpu.shader.unbind()

    def batch(self, shader: MeshShader, attributes: Mapping[str, np.ndarray], indices: np.ndarray) -> Any:
        """See `Device.batch`."""
        if shader not in self._formats:
            # Not the compiled shader's format_calc(): Blender does not find the names in it.
            self._formats[shader] = gpu.types.GPUVertFormat()
            for name, floats in shader.attributes:
                self._formats[shader].attr_add(id=name, comp_type="F32", len=floats, fetch_mode="FLOAT")
        count = len(next(iter(attributes.values())))
        vertices = gpu.types.GPUVertBuf(self._formats[shader], count)
        for name, values in attributes.items():
            vertices.attr_fill(name, np.ascontiguousarray(values, dtype=np.float32))
        triangles = gpu.types.GPUIndexBuf(type="TRIS", seq=np.ascontiguousarray(indices, dtype=np.int32))
        return gpu.types.GPUBatch(type="TRIS", buf=vertices, elem=triangles)

    def draw(
        self,
        shader: MeshShader,
        targets: Sequence[gpu.types.GPUTexture],
        depth: gpu.types.GPUTexture,
        draws: Sequence[Draw],
    ) -> None:
        """See `Device.draw`."""
        compiled = self._compiled(shader)
        framebuffer = gpu.types.GPUFrameBuffer(depth_slot=depth, color_slots=list(targets))
        with framebuffer.bind(), drawing_state(depth_test=True):
            framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0), depth=1.0)
            gpu.state.face_culling_set("NONE")
            for each in draws:
                self._bind(compiled, shader, each.textures, each.parameters)
                each.batch.draw(compiled)

    def _bind(
        self,
        compiled: gpu.types.GPUShader,
        shader: ComputeShader | MeshShader,
        textures: Mapping[str, gpu.types.GPUTexture],
        parameters: np.ndarray | None,
    ) -> None:
        compiled.bind()
        for name in shader.textures:
            compiled.uniform_sampler(name, textures[name])
        if shader.parameters:
            values = np.zeros((shader.parameters, 4), dtype=np.float32)
            values[: len(parameters)] = parameters
            data = gpu.types.Buffer("FLOAT", values.size, values.reshape(-1))
            if shader in self._blocks:
                self._blocks[shader].update(data)
            else:
                self._blocks[shader] = gpu.types.GPUUniformBuf(data)
            compiled.uniform_block(PARAMETERS_NAME, self._blocks[shader])

    def _compiled(self, shader: ComputeShader | MeshShader) -> gpu.types.GPUShader:
        if shader not in self._shaders:
            info = gpu.types.GPUShaderCreateInfo()
            for slot, name in enumerate(shader.textures):
                info.sampler(slot, "FLOAT_2D", name)
            if shader.parameters:
                info.typedef_source(f"struct Parameters {{ vec4 values[{shader.parameters}]; }};")
                info.uniform_buf(0, "Parameters", PARAMETERS_NAME)
            if isinstance(shader, ComputeShader):
                _describe_compute(info, shader)
            else:
                _describe_mesh(info, shader)
            try:
                self._shaders[shader] = gpu.shader.create_from_info(info)
            except Exception as error:
                raise GpuError(f"the graphics driver refused the shader {shader.name!r} ({error})") from error
        return self._shaders[shader]


def _describe_compute(info: gpu.types.GPUShaderCreateInfo, shader: ComputeShader) -> None:
    # From Blender 5.1 on, a preprocessor takes declarations away that it recognises as shared.
    info.define("SHARED", "shared")
    info.local_group_size(*shader.local_size, 1)
    for slot, name in enumerate(shader.images):
        qualifiers = {"READ", "WRITE"} if name in shader.read_images else {"WRITE"}
        info.image(slot, "RGBA32F", "FLOAT_2D", name, qualifiers=qualifiers)
    info.compute_source(shader.source)


def _describe_mesh(info: gpu.types.GPUShaderCreateInfo, shader: MeshShader) -> None:
    for slot, (name, floats) in enumerate(shader.attributes):
        info.vertex_in(slot, GLSL_TYPES[floats], name)
    if shader.varyings:
        interface = gpu.types.GPUStageInterfaceInfo(f"{shader.name}_varyings")
        for name, floats in shader.varyings:
            interface.smooth(GLSL_TYPES[floats], name)
        info.vertex_out(interface)
    for slot, name in enumerate(shader.outputs):
        info.fragment_out(slot, "VEC4", name)
    info.vertex_source(shader.vertex_source)
    info.fragment_source(shader.fragment_source)
