# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenGL without a window or Blender: the GPU renderer's shaders on whatever GPU EGL finds first.

For measuring on machines that have a GPU and no screen. Set `__EGL_VENDOR_LIBRARY_FILENAMES` to choose a driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import moderngl
import numpy as np

from kernels.gpu.device import PARAMETERS_NAME, ComputeShader, Draw, GpuError, MeshShader

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swiftshader", "swrast")
GLSL_TYPES = {1: "float", 2: "vec2", 3: "vec3", 4: "vec4"}


class EglTexture:
    """A texture of colours or depths, see `kernels.gpu.device.Texture`."""

    def __init__(self, handle: moderngl.Texture) -> None:
        self.handle = handle
        self.width, self.height = handle.size


class EglDevice:
    """A `kernels.gpu.device.Device` over OpenGL 4.3.

    Raises:
        GpuError: there is no driver, or none of OpenGL 4.3.
    """

    def __init__(self) -> None:
        try:
            self._context = moderngl.create_standalone_context(backend="egl", require=430)
        except Exception as error:
            raise GpuError(f"no OpenGL 4.3 through EGL here: {error}") from error
        # Vertex data and framebuffers go with their last reference; textures are freed by `free`.
        self._context.gc_mode = "auto"
        self.name = str(self._context.info["GL_RENDERER"])
        self.is_software = any(word in self.name.lower() for word in SOFTWARE_RENDERERS)
        self.max_texture_size = int(self._context.info["GL_MAX_TEXTURE_SIZE"])
        self._shaders: dict[ComputeShader | MeshShader, moderngl.ComputeShader | moderngl.Program] = {}
        self._blocks: dict[ComputeShader | MeshShader, moderngl.Buffer] = {}

    def texture(self, pixels: np.ndarray) -> EglTexture:
        """See `ComputeDevice.texture`."""
        height, width = pixels.shape[:2]
        return self._new_texture(width, height, np.ascontiguousarray(pixels, dtype=np.float32))

    def empty_texture(self, width: int, height: int) -> EglTexture:
        """See `ComputeDevice.empty_texture`."""
        return self._new_texture(width, height, None)

    def depth_texture(self, width: int, height: int) -> EglTexture:
        """See `Device.depth_texture`; of 24 bits, as moderngl makes them."""
        self._check_size(width, height)
        return EglTexture(self._context.depth_texture((width, height)))

    def _check_size(self, width: int, height: int) -> None:
        if max(width, height) > self.max_texture_size:
            raise GpuError(f"a texture of {width} x {height} is larger than this GPU's {self.max_texture_size}")

    def _new_texture(self, width: int, height: int, data: np.ndarray | None) -> EglTexture:
        self._check_size(width, height)
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
        compiled = self._bound(shader, textures, parameters)
        for slot, name in enumerate(shader.images):
            images[name].handle.bind_to_image(slot, read=name in shader.read_images, write=True)
        compiled.run(*groups)
        self._context.memory_barrier()

    def batch(
        self, shader: MeshShader, attributes: Mapping[str, np.ndarray], indices: np.ndarray
    ) -> moderngl.VertexArray:
        """See `Device.batch`."""
        content = [
            (self._context.buffer(np.ascontiguousarray(attributes[name], dtype=np.float32)), f"{floats}f", name)
            for name, floats in shader.attributes
        ]
        triangles = self._context.buffer(np.ascontiguousarray(indices, dtype=np.int32))
        return self._context.vertex_array(self._compiled(shader), content, triangles)

    def draw(self, shader: MeshShader, targets: Sequence[EglTexture], depth: EglTexture, draws: Sequence[Draw]) -> None:
        """See `Device.draw`."""
        framebuffer = self._context.framebuffer([target.handle for target in targets], depth.handle)
        framebuffer.use()
        framebuffer.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._context.enable_only(moderngl.DEPTH_TEST)
        for each in draws:
            self._bound(shader, each.textures, each.parameters)
            each.batch.render()

    def _bound(
        self, shader: ComputeShader | MeshShader, textures: Mapping[str, EglTexture], parameters: np.ndarray | None
    ) -> moderngl.ComputeShader | moderngl.Program:
        """The compiled shader, its textures and parameters in place."""
        compiled = self._compiled(shader)
        for slot, name in enumerate(shader.textures):
            textures[name].handle.use(slot)
        if shader.parameters:
            values = np.zeros((shader.parameters, 4), dtype=np.float32)
            values[: len(parameters)] = parameters
            self._blocks[shader].write(values)
            self._blocks[shader].bind_to_uniform_block(0)
        return compiled

    def _compiled(self, shader: ComputeShader | MeshShader) -> moderngl.ComputeShader | moderngl.Program:
        if shader not in self._shaders:
            try:
                if isinstance(shader, ComputeShader):
                    self._shaders[shader] = self._context.compute_shader(_compute_source(shader))
                else:
                    self._shaders[shader] = self._context.program(*_mesh_sources(shader))
            except Exception as error:
                raise GpuError(f"the graphics driver refused the shader {shader.name!r} ({error})") from error
            if shader.parameters:
                self._blocks[shader] = self._context.buffer(reserve=16 * shader.parameters)
        return self._shaders[shader]


def _compute_source(shader: ComputeShader) -> str:
    """The whole GLSL of a compute shader, with the declarations that the host makes."""
    x, y = shader.local_size
    lines = ["#version 430", "#define SHARED shared", f"layout(local_size_x = {x}, local_size_y = {y}) in;"]
    for slot, name in enumerate(shader.images):
        access = "" if name in shader.read_images else "writeonly "
        lines.append(f"layout(binding = {slot}, rgba32f) uniform {access}image2D {name};")
    return "\n".join([*lines, *_resources(shader), shader.source])


def _mesh_sources(shader: MeshShader) -> tuple[str, str]:
    """The whole GLSL of a mesh's vertex shader and of its fragment shader."""
    attributes = [f"in {GLSL_TYPES[floats]} {name};" for name, floats in shader.attributes]
    handed_on, received = (
        [f"{way} {GLSL_TYPES[floats]} {name};" for name, floats in shader.varyings] for way in ("out", "in")
    )
    outputs = [f"layout(location = {slot}) out vec4 {name};" for slot, name in enumerate(shader.outputs)]
    head = ["#version 430", *_resources(shader)]
    return (
        "\n".join([*head, *attributes, *handed_on, shader.vertex_source]),
        "\n".join([*head, *received, *outputs, shader.fragment_source]),
    )


def _resources(shader: ComputeShader | MeshShader) -> list[str]:
    """Declarations of the textures and parameters that a shader reads."""
    lines = [f"layout(binding = {slot}) uniform sampler2D {name};" for slot, name in enumerate(shader.textures)]
    if shader.parameters:
        block = f"{{ vec4 values[{shader.parameters}]; }} {PARAMETERS_NAME};"
        lines.append(f"layout(std140, binding = 0) uniform Parameters {block}")
    return lines
