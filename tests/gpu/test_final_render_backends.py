# SPDX-License-Identifier: GPL-3.0-or-later
"""F12 on the GPU: chosen by the preference, the same picture as on the CPU, and the CPU where the GPU fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering
import shapes

from kernels.networks import Network
from kernels.scenes import BACKGROUND_DEPTH
from kernels.sequence import NestedSequence


@pytest.fixture
def backends(
    device: Any, blender: ModuleType, addon: ModuleType, addon_module: Callable[[str], ModuleType]
) -> Iterator[ModuleType]:
    """The module, with the preference set back and no failure remembered afterwards."""
    module = addon_module("neural_implicit_addon.backends")
    yield module
    preferences(blender, addon).backend = "AUTO"
    module.forget_failure()


def preferences(bpy: Any, addon: ModuleType) -> Any:
    return bpy.context.preferences.addons[addon.__name__].preferences


@pytest.fixture
def scene(blender: ModuleType, backends: ModuleType) -> Any:
    """A neural object, a mesh and a mesh with neural normals, small, with all passes."""
    neural = rendering.add_neural_object(blender, shapes.torus_sequence())
    neural.pass_index = 1
    blender.ops.mesh.primitive_cube_add(size=0.7, rotation=(0.3, 0.5, 0.7))
    blender.context.object.pass_index = 2
    blender.ops.mesh.primitive_plane_add(size=3.0, location=(0.0, 0.0, -0.5))
    blender.context.object.neural_implicit.normals_source = neural
    rendering.add_camera(blender, (1.2, -2.6, 1.6))
    rendering.set_size(blender, 48, 32)
    scene = blender.context.scene
    scene.neural_implicit.samples = 2
    scene.render.film_transparent = True
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
    return scene


@pytest.mark.parametrize("border", [None, (0.2, 0.3, 0.8, 0.9)])
def test_backends_agree(
    blender: ModuleType,
    addon: ModuleType,
    addon_module: Callable[[str], ModuleType],
    scene: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    border: tuple[float, ...] | None,
) -> None:
    if border:
        render = scene.render
        render.use_border = render.use_crop_to_border = True
        render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y = border
    preferences(blender, addon).backend = "CPU"
    cpu = rendering.render(blender, tmp_path / "cpu.exr")
    preferences(blender, addon).backend = "GPU"
    rendered = []
    renderer = addon_module("kernels.gpu.rendering").GpuRenderer
    whole = renderer.render_tiles

    def counted(*arguments: Any) -> Iterator[Any]:
        for tile in whole(*arguments):
            rendered.append(tile)
            yield tile

    monkeypatch.setattr(renderer, "render_tiles", counted)
    gpu = rendering.render(blender, tmp_path / "gpu.exr")
    assert rendered, "on the GPU indeed"
    assert set(gpu) == set(cpu) == {"Combined", "Depth", "Normal", "Object Index"}
    assert (gpu["Object Index"] == cpu["Object Index"]).mean() > 0.99
    same = (gpu["Object Index"] == cpu["Object Index"]) & (cpu["Depth"] < BACKGROUND_DEPTH)
    assert same.any()
    assert (np.abs(gpu["Depth"] - cpu["Depth"])[same] < 2e-3).mean() > 0.99
    assert ((gpu["Normal"] * cpu["Normal"])[same].sum(-1) > np.cos(np.radians(1.0))).mean() > 0.98
    assert np.abs(gpu["Combined"] - cpu["Combined"]).mean() < 0.01


def test_backends_agree_far_from_the_origin(blender: ModuleType, addon: ModuleType, scene: Any, tmp_path: Path) -> None:
    """A hundred kilometres away float32 counts in centimetres."""
    sun = blender.data.objects.new("sun", blender.data.lights.new("sun", "SUN"))
    sun.rotation_euler = (0.6, 0.3, 0.2)
    scene.collection.objects.link(sun)
    for obj in scene.objects:
        obj.location.x += 1e5
        obj.location.y -= 1e5
    preferences(blender, addon).backend = "CPU"
    cpu = rendering.render(blender, tmp_path / "cpu.exr")
    preferences(blender, addon).backend = "GPU"
    gpu = rendering.render(blender, tmp_path / "gpu.exr")
    assert np.abs(gpu["Combined"] - cpu["Combined"]).mean() < 0.002
    assert (gpu["Object Index"] == cpu["Object Index"]).mean() > 0.99


def test_a_software_gpu_is_none_to_the_automatic_choice(backends: ModuleType, device: Any) -> None:
    chosen = backends.device_for("AUTO")
    assert (chosen is None) == device.is_software
    assert backends.device_for("CPU") is None
    assert backends.device_for("GPU").name == device.name
    assert backends.device_for("GPU", "final") is not backends.device_for("GPU"), "they work in two threads"
    assert device.name in backends.describe("GPU")
    assert ("on the CPU" in backends.describe("AUTO")) == device.is_software
    assert backends.describe("CPU") == "Rendering on the CPU"


def test_a_gpu_that_fails_in_the_middle_is_given_up_and_said_once(
    blender: ModuleType,
    addon: ModuleType,
    addon_module: Callable[[str], ModuleType],
    backends: ModuleType,
    scene: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    preferences(blender, addon).backend = "CPU"
    expected = rendering.render(blender, tmp_path / "cpu.exr")["Combined"]
    preferences(blender, addon).backend = "GPU"
    gpu_error = addon_module("kernels.gpu.device").GpuError
    renderer = addon_module("kernels.gpu.rendering").GpuRenderer
    whole = renderer.render_tiles

    def failing(*arguments: Any) -> Iterator[Any]:
        yield next(whole(*arguments))
        # A new one: an error that the test keeps would keep its traceback, and so the device given up. The garbage
        # collector would free its shaders at any time, which Blender does not survive.
        raise gpu_error("the driver has had enough")

    monkeypatch.setattr(renderer, "render_tiles", failing)
    capfd.readouterr()
    picture = rendering.render(blender, tmp_path / "a.exr")["Combined"]
    np.testing.assert_array_equal(picture, expected)
    assert "the driver has had enough" in "".join(capfd.readouterr())
    assert "the driver has had enough" in backends.describe("GPU")
    rendering.render(blender, tmp_path / "b.exr")
    assert "enough" not in "".join(capfd.readouterr())
    monkeypatch.undo()
    preferences(blender, addon).backend = "AUTO"
    preferences(blender, addon).backend = "GPU"
    assert backends.failure() == "", "another chance"
    assert backends.device_for("GPU") is not None


def test_a_network_too_wide_for_the_gpu_is_rendered_by_the_cpu_while_it_is_there(
    blender: ModuleType,
    addon: ModuleType,
    addon_module: Callable[[str], ModuleType],
    backends: ModuleType,
    scene: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    network = Network(
        (rng.normal(size=(516, 3)).astype(np.float32), np.full((1, 516), 1e-3, np.float32)),
        (np.zeros(516, np.float32), np.zeros(1, np.float32)),
    )
    wide = rendering.add_neural_object(blender, NestedSequence((network,), ()))
    scene.neural_implicit.samples = 1
    preferences(blender, addon).backend = "CPU"
    expected = rendering.render(blender, tmp_path / "cpu.exr")["Combined"]
    preferences(blender, addon).backend = "GPU"
    capfd.readouterr()
    picture = rendering.render(blender, tmp_path / "wide.exr")["Combined"]
    np.testing.assert_array_equal(picture, expected)
    said = "".join(capfd.readouterr())
    assert "Rendering on the CPU: a network 516 wide" in said
    assert backends.failure() == ""
    blender.data.objects.remove(wide)
    rendered = []
    on_cpu = addon_module("kernels.rendering")
    monkeypatch.setattr(on_cpu, "render_tiles", lambda *arguments: rendered.append(arguments) or ())
    rendering.render(blender, tmp_path / "without.exr")
    assert not rendered, "on the GPU again"
    assert "Rendering on the CPU" not in "".join(capfd.readouterr())


def test_blender_ends_well_after_a_picture_on_the_gpu(device: Any, run_blender: Callable[..., dict[str, Any]]) -> None:
    # A render farm looks at the exit status, which `run_blender` checks.
    assert run_blender(Path(__file__).parent / "scripts" / "render_and_end.py")["rendered"]


def test_another_file_gives_the_gpu_another_chance(blender: ModuleType, backends: ModuleType) -> None:
    assert "too wide" in backends.give_up_gpu(ValueError("too wide"))
    assert backends.device_for("GPU") is None
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert backends.failure() == ""
    assert backends.device_for("GPU") is not None
