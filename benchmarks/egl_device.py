# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenGL without a window or Blender: the GPU renderer's compute shaders on whatever GPU EGL finds first.

For measuring on machines that have a GPU and no screen. Set `__EGL_VENDOR_LIBRARY_FILENAMES` to choose a driver.
"""

from __future__ import annotations

from collections.abc import Mapping

import moderngl
import numpy as np

from kernels.gpu.device import PARAMETERS_NAME, ComputeShader, GpuError

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swiftshader", "swrast")


class EglTexture:
    """An RGBA32F texture, see `kernels.gpu.device.Texture`."""

    def __init__(self, handle: moderngl.Texture) -> None:
        self.handle = handle
        self.width, self.height = handle.size


class EglDevice:
    """A `kernels.gpu.device.ComputeDevice` over OpenGL 4.3.

    Raises:
        GpuError: there is no driver, or none of OpenGL 4.3.
    """

    def __init__(self) -> None:
        try:
            self._context = moderngl.create_standalone_context(backend="egl", require=430)
        except Exception as error:
            raise GpuError(f"no OpenGL 4.3 through EGL here: {error}") from error
        self.name = str(self._context.info["GL_RENDERER"])
        self.is_software = any(word in self.name.lower() for word in SOFTWARE_RENDERERS)
        self.max_texture_size = int(self._context.info["GL_MAX_TEXTURE_SIZE"])
        self._shaders: dict[ComputeShader, moderngl.ComputeShader] = {}
        self._blocks: dict[ComputeShader, moderngl.Buffer] = {}

    def texture(self, pixels: np.ndarray) -> EglTexture:
        """See `ComputeDevice.texture`."""
        height, width = pixels.shape[:2]
        return self._new_texture(width, height, np.ascontiguousarray(pixels, dtype=np.float32))

    def empty_texture(self, width: int, height: int) -> EglTexture:
        """See `ComputeDevice.empty_texture`."""
        return self._new_texture(width, height, None)

    def _new_texture(self, width: int, height: int, data: np.ndarray | None) -> EglTexture:
        if max(width, height) > self.max_texture_size:
            raise GpuError(f"a texture of {width} x {height} is larger than this GPU's {self.max_texture_size}")
        return EglTexture(self._context.texture((width, height), 4, data, dtype="f4"))

    def free(self, texture: EglTexture) -> None:
        """See `ComputeDevice.free`."""
        texture.handle.release()

    def read(self, texture: EglTexture) -> np.ndarray:
        """See `ComputeDevice.read`."""
        self._context.memory_barrier()
        return np.frombuffer(texture.handle.read(), dtype=np.float32).reshape(texture.height, texture.width, 4)

    def finish(self) -> None:
        """See `ComputeDevice.finish`."""
        self._context.finish()

    def dispatch(
        self,
        shader: ComputeShader,
        groups: tuple[int, int],
        textures: Mapping[str, EglTexture],
        images: Mapping[str, EglTexture],
        parameters: np.ndarray | None = None,
    ) -> None:
        """See `ComputeDevice.dispatch`."""
        compiled = self._compiled(shader)
        for slot, name in enumerate(shader.textures):
            textures[name].handle.use(slot)
        for slot, name in enumerate(shader.images):
            images[name].handle.bind_to_image(slot, read=name in shader.read_images, write=True)
        if shader.parameters:
            values = np.zeros((shader.parameters, 4), dtype=np.float32)
            values[: len(parameters)] = parameters
            self._blocks[shader].write(values)
            self._blocks[shader].bind_to_uniform_block(0)
        compiled.run(*groups)
        self._context.memory_barrier()

    def _compiled(self, shader: ComputeShader) -> moderngl.ComputeShader:
        if shader not in self._shaders:
            try:
                self._shaders[shader] = self._context.compute_shader(_source(shader))
            except Exception as error:
                raise GpuError(f"the graphics driver refused the shader {shader.name!r} ({error})") from error
            if shader.parameters:
                self._blocks[shader] = self._context.buffer(reserve=16 * shader.parameters)
        return self._shaders[shader]


def _source(shader: ComputeShader) -> str:
    """The whole GLSL of a shader, with the declarations that the host makes."""
    x, y = shader.local_size
    lines = ["#version 430", "#define SHARED shared", f"layout(local_size_x = {x}, local_size_y = {y}) in;"]
    for slot, name in enumerate(shader.textures):
        lines.append(f"layout(binding = {slot}) uniform sampler2D {name};")
    for slot, name in enumerate(shader.images):
        access = "" if name in shader.read_images else "writeonly "
        lines.append(f"layout(binding = {slot}, rgba32f) uniform {access}image2D {name};")
    if shader.parameters:
        block = f"{{ vec4 values[{shader.parameters}]; }} {PARAMETERS_NAME};"
        lines.append(f"layout(std140, binding = 0) uniform Parameters {block}")
    return "\n".join([*lines, shader.source])
