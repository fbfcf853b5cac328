# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's gpu module as a device, and the rays that every shader shares."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels.cameras import Camera, pixel_rays

Module = Callable[[str], ModuleType]


def perspective(lens: float = 2.0, shift: float = 0.1, **limits: float) -> Camera:
    """A perspective camera away from the origin, turned, with a lens shift."""
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1], projection[0, 2], projection[1, 2] = lens, 1.3 * lens, shift, -shift
    projection[2, 2:], projection[3, 2] = (-1.0, -0.2), -1.0
    return Camera(projection, _turned(), **limits)


def parallel(scale: float = 0.7, **limits: float) -> Camera:
    """An orthographic camera away from the origin, turned, with a lens shift."""
    projection = np.diag([scale, 1.2 * scale, -0.1, 1.0])
    projection[0, 3] = 0.2
    return Camera(projection, _turned(), **limits)


def _turned() -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    matrix[:3, 3] = (1.0, -2.0, 3.0)
    return matrix


def test_texture_comes_back(device: Any) -> None:
    pixels = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    texture = device.texture(pixels)
    assert (texture.width, texture.height) == (7, 5)
    np.testing.assert_array_equal(device.read(texture), pixels)
    device.free(texture)


def test_dispatch_reads_textures_and_parameters(device: Any, addon_module: Module) -> None:
    module = addon_module("kernels.gpu.device")
    source = """
SHARED float total[64];
void main()
{
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  int own = int(gl_LocalInvocationIndex);
  total[63 - own] = texelFetch(first, pixel, 0).x;
  barrier();
  imageStore(result, pixel, vec4(total[own], imageLoad(kept, pixel).y, parameters.values[1].zw));
}
"""
    shader = module.ComputeShader("test", source, (8, 8), ("first",), ("result", "kept"), ("kept",), 2)
    pixels = np.random.default_rng(1).normal(size=(8, 8, 4)).astype(np.float32)
    first, kept, result = device.texture(pixels), device.texture(pixels + 1.0), device.empty_texture(8, 8)
    for number in (3.0, 4.0):
        parameters = np.full((2, 4), number, dtype=np.float32)
        device.dispatch(shader, (1, 1), {"first": first}, {"result": result, "kept": kept}, parameters)
        found = device.read(result)
        np.testing.assert_array_equal(found[..., 0], pixels[::-1, ::-1, 0])
        np.testing.assert_array_equal(found[..., 1], pixels[..., 1] + 1.0)
        np.testing.assert_array_equal(found[..., 2:], number)


def test_refused_shader_is_a_gpu_error(device: Any, addon_module: Module) -> None:
    module = addon_module("kernels.gpu.device")
    shader = module.ComputeShader("nonsense", "void main() { nonsense; }", (8, 8), (), ("result",))
    with pytest.raises(module.GpuError, match="nonsense"):
        device.dispatch(shader, (1, 1), {}, {"result": device.empty_texture(8, 8)})


def test_failure_while_drawing_leaves_blenders_state_as_it_was(device: Any, addon_module: Module) -> None:
    import gpu

    module = addon_module("kernels.gpu.device")
    vertex = "void main() { shade = corner.x; gl_Position = vec4(corner, 0.0, 1.0); }"
    fragment = "void main() { color = shade * texelFetch(shown, ivec2(0), 0); }"
    attributes, varyings = (("corner", 2),), (("shade", 1),)
    shader = module.MeshShader("failing", vertex, fragment, attributes, varyings, ("color",), ("shown",))
    corners, triangle = np.zeros((3, 2), dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32)
    batch = device.batch(shader, {"corner": corners}, triangle)

    def state() -> tuple[str, str, bool]:
        return gpu.state.blend_get(), gpu.state.depth_test_get(), gpu.state.depth_mask_get()

    gpu.state.blend_set("ALPHA")
    before = state()
    draws = [module.Draw(batch, np.zeros((0, 4), dtype=np.float32), {})]
    try:
        with pytest.raises(KeyError):
            device.draw(shader, [device.empty_texture(8, 8)], device.depth_texture(8, 8), draws)
        assert state() == before
    finally:
        gpu.state.blend_set("NONE")


def test_too_large_a_texture_is_a_gpu_error(device: Any, addon_module: Module) -> None:
    module = addon_module("kernels.gpu.device")
    with pytest.raises(module.GpuError, match="larger"):
        device.empty_texture(device.max_texture_size + 1, 1)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux shows it")
def test_freed_textures_leave_no_memory_behind(device: Any) -> None:
    pixels = np.ones((512, 512, 4), dtype=np.float32)

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    def use_and_free() -> None:
        texture = device.texture(pixels)
        device.read(texture)
        device.free(texture)

    for _ in range(5):
        use_and_free()
    before = resident_bytes()
    for _ in range(40):
        use_and_free()
    # 40 of them take 160 MiB, and as many again for reading.
    assert resident_bytes() - before < 60e6


@pytest.mark.parametrize("camera", [perspective(clip_start=0.3, clip_end=9.0), parallel(clip_start=0.3, clip_end=9.0)])
def test_rays_are_those_of_the_cpu(device: Any, addon_module: Module, camera: Camera) -> None:
    module, sources = addon_module("kernels.gpu.device"), addon_module("kernels.gpu.sources")
    source = """
void main()
{
  ivec2 pixel = ivec2(gl_GlobalInvocationID.xy);
  vec3 origin, direction;
  pixel_ray(pixel, origin, direction);
  imageStore(origins, pixel, vec4(origin, ray_end(pixel)));
  imageStore(directions, pixel, vec4(direction, ray_cosine(pixel)));
}
"""
    count = sources.RAY_PARAMETERS
    shader = module.ComputeShader(
        "rays", sources.join("rays") + source, (8, 8), (), ("origins", "directions"), (), count
    )
    origins, directions = device.empty_texture(16, 8), device.empty_texture(16, 8)
    size, region, offset = (40, 30), (5, 9, 16, 8), (0.25, -0.4)
    parameters = sources.ray_parameters(camera, size, region, offset)
    device.dispatch(shader, (2, 1), {}, {"origins": origins, "directions": directions}, parameters)
    expected = pixel_rays(camera, size, region, offset)
    found = device.read(origins).reshape(-1, 4), device.read(directions).reshape(-1, 4)
    np.testing.assert_allclose(found[0][:, :3], expected.origins, atol=2e-6)
    np.testing.assert_allclose(found[1][:, :3], expected.directions, atol=2e-6)
    np.testing.assert_allclose(expected.depth(found[0][:, 3]), camera.clip_end, rtol=1e-5)
    np.testing.assert_allclose(found[1][:, 3], expected.cosines, rtol=1e-5)
