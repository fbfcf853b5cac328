# SPDX-License-Identifier: GPL-3.0-or-later
"""What the renderers are told of Blender's worlds: colours and panoramas."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering


@pytest.fixture
def world(blender: ModuleType) -> Any:
    world = blender.data.worlds.new("sky")
    rendering.use_nodes(blender, world)
    world.color = (0.3, 0.2, 0.1)
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value, background.inputs["Strength"].default_value = (0.1, 0.2, 0.4, 1), 2.0
    blender.context.scene.world = world
    return world


@pytest.fixture
def gather(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> Callable[[], Any]:
    """What is gathered of the world, and the problems."""
    gathering = addon_module("neural_implicit_addon.scene")

    def gather_world() -> tuple[Any, tuple[str, ...]]:
        blender.context.view_layer.update()
        gathered = gathering.gather(blender.context.evaluated_depsgraph_get())
        return gathered.world, gathered.problems

    return gather_world


def write_image(bpy: Any, path: Path, pixels: np.ndarray) -> Path:
    """(H, W, 3) pixels as an image file, without leaving a datablock."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("writing", width, height, float_buffer=path.suffix == ".exr")
    image.pixels.foreach_set(np.dstack([pixels, np.ones((height, width))]).astype(np.float32).reshape(-1))
    image.file_format = "OPEN_EXR" if path.suffix == ".exr" else "PNG"
    image.filepath_raw = str(path)
    image.save()
    bpy.data.images.remove(image)
    return path


def add_panorama(bpy: Any, world: Any, image: Any) -> Any:
    """An Environment Texture that colours the world."""
    tree = world.node_tree
    node = tree.nodes.new("ShaderNodeTexEnvironment")
    node.image = image
    tree.links.new(node.outputs["Color"], tree.nodes["Background"].inputs["Color"])
    return node


GRADIENT = np.linspace(0.0, 7.5, 8 * 16 * 3).reshape(8, 16, 3)


def test_colors(blender: ModuleType, world: Any, gather: Callable[[], Any]) -> None:
    np.testing.assert_allclose(gather()[0].color, (0.2, 0.4, 0.8), rtol=1e-6)
    world.node_tree.nodes.clear()
    np.testing.assert_allclose(gather()[0].color, (0.3, 0.2, 0.1), rtol=1e-6)
    blender.context.scene.world = None
    described, problems = gather()
    assert described.color == (0.0, 0.0, 0.0)
    assert problems == ()


def test_panorama_of_a_float_image(blender: ModuleType, world: Any, gather: Callable[[], Any], tmp_path: Path) -> None:
    add_panorama(blender, world, blender.data.images.load(str(write_image(blender, tmp_path / "a.exr", GRADIENT))))
    described, problems = gather()
    assert problems == ()
    np.testing.assert_allclose(described.color, (2.0, 2.0, 2.0))
    np.testing.assert_allclose(described.environment.pixels, GRADIENT, rtol=2e-3)
    np.testing.assert_array_equal(described.environment.world_to_map, np.eye(3))


def test_pixels_of_8_bit_images_are_made_linear(
    blender: ModuleType, world: Any, gather: Callable[[], Any], tmp_path: Path
) -> None:
    stored = np.array([0.0, 0.02, 0.5, 1.0]).repeat(3).reshape(1, 4, 3)
    image = blender.data.images.load(str(write_image(blender, tmp_path / "a.png", stored)))
    add_panorama(blender, world, image)
    linear = np.array([0.0, 0.02 / 12.92, 0.21404, 1.0])
    np.testing.assert_allclose(gather()[0].environment.pixels[0, :, 0], linear, atol=2e-3)
    image.colorspace_settings.name = "Non-Color"
    np.testing.assert_allclose(gather()[0].environment.pixels[0, :, 0], stored[0, :, 0], atol=2e-3)


def test_large_panoramas_are_averaged(
    blender: ModuleType,
    world: Any,
    gather: Callable[[], Any],
    addon_module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(addon_module("neural_implicit_addon.world"), "LARGEST_WIDTH", 6)
    add_panorama(blender, world, blender.data.images.load(str(write_image(blender, tmp_path / "a.exr", GRADIENT))))
    pixels = gather()[0].environment.pixels
    assert pixels.shape == (2, 5, 3)
    np.testing.assert_allclose(pixels[0, 0], GRADIENT[:3, :3].mean((0, 1)), rtol=2e-3)


@pytest.mark.parametrize("kind", ["POINT", "TEXTURE"])
def test_mapping_turns_the_panorama(
    blender: ModuleType, world: Any, gather: Callable[[], Any], tmp_path: Path, kind: str
) -> None:
    node = add_panorama(
        blender, world, blender.data.images.load(str(write_image(blender, tmp_path / "a.exr", GRADIENT)))
    )
    tree = world.node_tree
    mapping, coordinates = tree.nodes.new("ShaderNodeMapping"), tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], node.inputs["Vector"])
    mapping.vector_type = kind
    mapping.inputs["Rotation"].default_value = (0.0, 0.0, math.radians(30.0))
    described, problems = gather()
    turn = math.radians(30.0 if kind == "POINT" else -30.0)
    expected = (math.cos(turn), math.sin(turn), 0.0)
    np.testing.assert_allclose(described.environment.world_to_map @ (1.0, 0.0, 0.0), expected, atol=1e-6)
    assert problems == ()
    mapping.inputs["Scale"].default_value = (2.0, 1.0, 1.0)
    assert "only turned" in gather()[1][0]


def test_panoramas_are_read_once_and_never_stale(
    blender: ModuleType,
    world: Any,
    gather: Callable[[], Any],
    addon_module: Callable[[str], ModuleType],
    tmp_path: Path,
) -> None:
    panoramas = addon_module("neural_implicit_addon.scene")._viewport_panoramas
    path = write_image(blender, tmp_path / "a.exr", GRADIENT)
    image = blender.data.images.load(str(path))
    node = add_panorama(blender, world, image)
    first, reads = gather()[0].environment, panoramas.reads
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.5
    node.inputs["Vector"].default_value = (0.0, 0.0, 0.0)
    blender.ops.mesh.primitive_cube_add()
    again = gather()[0]
    assert again.environment.key == first.key
    assert again.environment.pixels is first.pixels
    assert panoramas.reads == reads
    # Changed on disk and read again by Blender; painted on; another file; scaled.
    write_image(blender, path, GRADIENT + 1.0)
    os.utime(path, (1e9, 1e9))
    np.testing.assert_allclose(gather()[0].environment.pixels, GRADIENT, rtol=2e-3)
    image.reload()
    np.testing.assert_allclose(gather()[0].environment.pixels, GRADIENT + 1.0, rtol=2e-3)
    for value in (3.0, 4.0):
        image.pixels.foreach_set(np.full(8 * 16 * 4, value, np.float32))
        assert gather()[0].environment.pixels[0, 0, 0] == value
    image.filepath = str(write_image(blender, tmp_path / "b.exr", GRADIENT + 2.0))
    np.testing.assert_allclose(gather()[0].environment.pixels, GRADIENT + 2.0, rtol=2e-3)
    image.scale(4, 2)
    assert gather()[0].environment.pixels.shape == (2, 4, 3)


def test_final_pictures_read_panoramas_once_and_leave_those_of_viewports(
    blender: ModuleType,
    world: Any,
    gather: Callable[[], Any],
    addon_module: Callable[[str], ModuleType],
    tmp_path: Path,
) -> None:
    gathering = addon_module("neural_implicit_addon.scene")
    path = write_image(blender, tmp_path / "a.exr", np.full((8, 16, 3), 0.25))
    image = blender.data.images.load(str(path))
    add_panorama(blender, world, image)
    gather()
    shown, read = gathering._viewport_panoramas.reads, gathering._final_panoramas.reads
    scene = blender.context.scene
    rendering.add_camera(blender, (0.0, -4.0, 0.0))
    rendering.set_size(blender, 8, 6)
    scene.render.engine = "NEURAL_IMPLICIT"
    scene.frame_start, scene.frame_end = 1, 3
    scene.render.filepath = str(tmp_path / "frame")
    blender.ops.render.render(animation=True)
    assert gathering._final_panoramas.reads == read + 1
    gather()
    assert gathering._viewport_panoramas.reads == shown
    # Reloaded with nothing that tells of it.
    write_image(blender, path, np.full((8, 16, 3), 0.5))
    image.reload()
    picture = rendering.render(blender, tmp_path / "b.exr")["Combined"]
    np.testing.assert_allclose(picture[..., :3], 1.0, rtol=1e-2)


def test_missing_images_and_other_trees_are_problems(
    blender: ModuleType, world: Any, gather: Callable[[], Any], tmp_path: Path
) -> None:
    path = write_image(blender, tmp_path / "a.exr", GRADIENT)
    node = add_panorama(blender, world, blender.data.images.load(str(path)))
    path.unlink()
    node.image.filepath = str(path)
    described, problems = gather()
    assert described.environment is None
    np.testing.assert_allclose(described.color, (0.3, 0.2, 0.1), rtol=1e-6)
    assert "'a.exr', which cannot be read" in problems[0]
    node.image = None
    assert "no image" in gather()[1][0]
    node.projection = "MIRROR_BALL"
    assert "not supported" in gather()[1][0]
    tree = world.node_tree
    sky = tree.nodes.new("ShaderNodeTexSky")
    tree.links.new(sky.outputs[0], tree.nodes["Background"].inputs["Color"])
    assert "'Sky Texture'" in gather()[1][0]
    tree.links.new(tree.nodes.new("ShaderNodeMixShader").outputs[0], tree.nodes["World Output"].inputs["Surface"])
    assert "no plain Background" in gather()[1][0]


def test_broken_pixels_do_not_spread(
    blender: ModuleType, world: Any, gather: Callable[[], Any], tmp_path: Path
) -> None:
    image = blender.data.images.load(str(write_image(blender, tmp_path / "a.exr", GRADIENT)))
    pixels = np.ones(8 * 16 * 4, np.float32)
    pixels[:3] = np.nan, np.inf, -np.inf
    image.pixels.foreach_set(pixels)
    add_panorama(blender, world, image)
    assert np.isfinite(gather()[0].environment.pixels).all()
