# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's pictures, made as an artist makes them, beside Cycles' pictures of the same shapes."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering
import shapes

from kernels.scenes import BACKGROUND_DEPTH


def add_mesh_torus(bpy: Any) -> Any:
    bpy.ops.mesh.primitive_torus_add(major_radius=0.55, minor_radius=0.22, major_segments=192, minor_segments=96)
    bpy.ops.object.shade_smooth()
    return bpy.context.object


def add_mesh_sphere(bpy: Any) -> Any:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.6, segments=128, ring_count=64)
    bpy.ops.object.shade_smooth()
    return bpy.context.object


def add_light(bpy: Any, kind: str, energy: float, location: tuple[float, float, float]) -> Any:
    """A small light at `location` that shines towards the origin."""
    from mathutils import Vector

    light = bpy.data.lights.new(kind, kind)
    light.energy = energy
    if kind == "SUN":
        light.angle = 0.0
    elif kind == "AREA":
        light.size = 0.1
    else:
        light.shadow_soft_size = 0.0
    obj = bpy.data.objects.new(kind, light)
    obj.location = location
    obj.rotation_euler = (-Vector(location)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(obj)
    return obj


@pytest.fixture
def scene(blender: ModuleType) -> Any:
    """A small picture of the scene's centre, with a transparent film and all passes."""
    rendering.add_camera(blender, (1.2, -2.6, 1.6))
    rendering.set_size(blender, 128, 96)
    scene = blender.context.scene
    scene.render.film_transparent = True
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = True
    return scene


def beside_cycles(
    bpy: Any, tmp_path: Path, neural: Any, mesh: Any, **cycles: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Passes of the neural object by our engine, and of the mesh by Cycles."""
    mesh.hide_render = True
    ours = rendering.render(bpy, tmp_path / "ours.exr")
    mesh.hide_render, neural.hide_render = False, True
    return ours, rendering.render(bpy, tmp_path / "cycles.exr", "CYCLES", **cycles)


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("shape", ["torus", "sphere"])
def test_silhouette_depth_and_normals_are_those_of_cycles(
    blender: ModuleType, scene: Any, tmp_path: Path, shape: str, kind: str
) -> None:
    camera = scene.camera.data
    camera.type, camera.ortho_scale, camera.shift_x, camera.shift_y = kind, 2.4, 0.08, -0.05
    rendering.set_size(blender, 256, 192)
    scene.neural_implicit.samples = 8
    scene.neural_implicit.trace_finest = True
    sequence, add_mesh = {
        "torus": (shapes.torus_sequence(), add_mesh_torus),
        "sphere": (shapes.sphere_sequence(), add_mesh_sphere),
    }[shape]
    neural, mesh = rendering.add_neural_object(blender, sequence), add_mesh(blender)
    for obj in (neural, mesh):
        obj.rotation_euler, obj.scale, obj.location = (0.4, 0.9, 0.2), (1.0, -0.7, 1.2), (0.1, 0.05, -0.1)
    ours, cycles = beside_cycles(blender, tmp_path, neural, mesh)
    assert rendering.iou(ours["Combined"][..., 3] > 0.5, cycles["Combined"][..., 3] > 0.5) >= 0.985
    # Cycles' first sample is not in the pixel's centre, and its normals are means of all samples.
    inner = (ours["Depth"] < BACKGROUND_DEPTH) & (cycles["Combined"][..., 3] == 1.0)
    assert np.median(np.abs(ours["Depth"] - cycles["Depth"])[inner]) < 0.01
    slope = (ours["Depth"] - cycles["Depth"])[inner]
    assert abs(np.median(slope)) < 2e-3
    cosines = (ours["Normal"] * cycles["Normal"])[inner].sum(-1)
    assert np.degrees(np.arccos(np.median(cosines).clip(-1, 1))) < 2.0
    assert (ours["Depth"][ours["Combined"][..., 3] == 0.0] == BACKGROUND_DEPTH).all()
    assert cycles["Depth"].max() == np.float32(BACKGROUND_DEPTH)


@pytest.mark.parametrize(("kind", "energy"), [("SUN", 3.0), ("POINT", 300.0), ("SPOT", 300.0), ("AREA", 100.0)])
def test_lights_are_as_bright_as_in_cycles(
    blender: ModuleType, scene: Any, tmp_path: Path, kind: str, energy: float
) -> None:
    light = add_light(blender, kind, energy, (1.5, -2.5, 3.0))
    light.data.color = (1.0, 0.8, 0.6)
    neural, mesh = rendering.add_neural_object(blender, shapes.sphere_sequence()), add_mesh_sphere(blender)
    material = blender.data.materials.new("paint")
    rendering.use_nodes(blender, material)
    principled = material.node_tree.nodes["Principled BSDF"]
    principled.inputs["Base Color"].default_value = (0.7, 0.4, 0.2, 1)
    principled.inputs["Roughness"].default_value = 0.6
    for obj in (neural, mesh):
        obj.data.materials.append(material)
    ours, cycles = beside_cycles(blender, tmp_path, neural, mesh, max_bounces=0)
    lit = (ours["Combined"][..., 3] == 1.0) & (cycles["Combined"][..., :3].min(-1) > 0.02)
    ratio = ours["Combined"][lit][:, :3] / cycles["Combined"][lit][:, :3]
    np.testing.assert_allclose(np.median(ratio, axis=0), 1.0, atol=0.08)
    assert np.quantile(ratio, 0.05) > 0.8
    assert np.quantile(ratio, 0.95) < 1.2


def test_world_light_is_as_bright_as_in_cycles(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    world = blender.data.worlds.new("sky")
    rendering.use_nodes(blender, world)
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.5, 0.6, 0.8, 1.0)
    scene.world = world
    scene.render.film_transparent = False
    # A light that is black, so that there is no default rig.
    add_light(blender, "SUN", 0.0, (0.0, 0.0, 3.0))
    neural, mesh = rendering.add_neural_object(blender, shapes.sphere_sequence()), add_mesh_sphere(blender)
    ours, cycles = beside_cycles(blender, tmp_path, neural, mesh, samples=64)
    np.testing.assert_allclose(ours["Combined"][0, 0], cycles["Combined"][0, 0], atol=1e-5)
    seen = ours["Depth"] < BACKGROUND_DEPTH
    ratio = ours["Combined"][seen][:, :3].mean(0) / cycles["Combined"][seen][:, :3].mean(0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.08)


def test_passes_follow_the_view_layer(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    rendering.add_neural_object(blender, shapes.sphere_sequence())
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_normal = False
    assert set(rendering.render(blender, tmp_path / "a.exr")) == {"Combined"}
    layer.use_pass_z = layer.use_pass_object_index = True
    assert set(rendering.render(blender, tmp_path / "b.exr")) == {"Combined", "Depth", "Object Index"}


@pytest.mark.parametrize("border", [(0.0, 0.0, 1.0, 1.0), (0.2, 0.3, 0.77, 0.913), (0.333, 0.0, 1.0, 0.501)])
@pytest.mark.parametrize("crop", [True, False])
def test_border(
    blender: ModuleType, scene: Any, tmp_path: Path, border: tuple[float, float, float, float], crop: bool
) -> None:
    rendering.add_neural_object(blender, shapes.torus_sequence())
    scene.neural_implicit.samples = 1
    rendering.set_size(blender, 101, 67)
    whole = rendering.render(blender, tmp_path / "whole.exr")["Combined"]
    render = scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_min_y, render.border_max_x, render.border_max_y = border
    part = rendering.render(blender, tmp_path / "part.exr")["Combined"]
    left, right = int(render.border_min_x * 101), int(render.border_max_x * 101)
    bottom, top = int(render.border_min_y * 67), int(render.border_max_y * 67)
    inside = np.s_[bottom:top, left:right]
    if not crop:
        assert part.shape == whole.shape
        outside = np.ones(whole.shape[:2], dtype=bool)
        outside[inside] = False
        assert (part[outside] == 0.0).all()
        part = part[inside]
    assert part.shape == whole[inside].shape
    assert np.isclose(part, whole[inside], atol=1e-3).all(-1).mean() > 0.995


def test_film_resolution_percentage_and_repeatability(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    rendering.add_neural_object(blender, shapes.torus_sequence())
    first = rendering.render(blender, tmp_path / "a.exr")["Combined"]
    second = rendering.render(blender, tmp_path / "b.exr")["Combined"]
    np.testing.assert_array_equal(first, second)
    assert first[0, 0].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert (first[..., 3] == 1.0).any()
    scene.render.film_transparent = False
    scene.render.resolution_percentage = 50
    opaque = rendering.render(blender, tmp_path / "c.exr")["Combined"]
    assert opaque.shape == (48, 64, 4)
    assert (opaque[..., 3] == 1.0).all()


def test_animated_camera_and_object(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    obj = rendering.add_neural_object(blender, shapes.sphere_sequence())
    for frame, x, lens in ((1, -0.4, 50.0), (3, 0.4, 35.0)):
        obj.location.x = x
        obj.keyframe_insert("location", frame=frame)
        scene.camera.data.lens = lens
        scene.camera.data.keyframe_insert("lens", frame=frame)
    alphas = []
    for frame in (1, 2, 3):
        scene.frame_set(frame)
        alphas.append(rendering.render(blender, tmp_path / f"{frame}.exr")["Combined"][..., 3])
    columns = np.arange(128)
    centers = [(alpha.sum(0) * columns).sum() / alpha.sum() for alpha in alphas]
    assert centers[0] < centers[1] < centers[2]
    assert alphas[0].sum() > alphas[1].sum() > alphas[2].sum()
    scene.frame_start, scene.frame_end, scene.render.filepath = 1, 3, str(tmp_path / "anim")
    blender.ops.render.render(animation=True)
    frames = [rendering.read_exr(path) for path in sorted(tmp_path.glob("anim*.exr"))]
    name = f"{scene.view_layers[0].name}.Combined.A"
    assert len(frames) == 3
    for frame, alpha in zip(frames, alphas, strict=True):
        np.testing.assert_array_equal(frame[name], alpha)


def test_view_layers_show_their_own_collections(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    rendering.add_neural_object(blender, shapes.sphere_sequence())
    other = blender.data.collections.new("other")
    scene.collection.children.link(other)
    torus = rendering.add_neural_object(blender, shapes.torus_sequence())
    scene.collection.objects.unlink(torus)
    other.objects.link(torus)
    second = scene.view_layers.new("second")
    second.layer_collection.children["other"].exclude = True
    rendering.render(blender, tmp_path / "a.exr")
    channels = rendering.read_exr(tmp_path / "a.exr")
    first, alone = (channels[f"{layer.name}.Combined.A"] for layer in scene.view_layers)
    assert (first > alone).any()
    assert alone.sum() > 0.0


def test_damaged_network_is_reported_and_the_rest_rendered(
    blender: ModuleType, scene: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rendering.add_neural_object(blender, b"garbage", "broken one")
    sound = rendering.add_neural_object(blender, shapes.sphere_sequence(), "sound")
    picture = rendering.render(blender, tmp_path / "a.exr")
    assert (picture["Combined"][..., 3] == 1.0).any()
    # Blender prints an engine's reports.
    assert "broken one" in "".join(capfd.readouterr())
    sound.hide_render = True
    assert (rendering.render(blender, tmp_path / "b.exr")["Combined"] == 0.0).all()


def test_zero_scale_and_nothing_to_render(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    assert (rendering.render(blender, tmp_path / "a.exr")["Combined"] == 0.0).all()
    obj = rendering.add_neural_object(blender, shapes.sphere_sequence())
    obj.scale = (1.0, 0.0, 1.0)
    assert (rendering.render(blender, tmp_path / "b.exr")["Combined"] == 0.0).all()


def test_no_camera(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    scene.camera = None
    with pytest.raises(RuntimeError, match="camera"):
        rendering.render(blender, tmp_path / "a.exr")


@pytest.mark.parametrize("kind", ["Empty", "Light", "Mesh"])
def test_camera_that_is_none(blender: ModuleType, scene: Any, tmp_path: Path, kind: str) -> None:
    """Blender lets any object be the scene's camera."""
    data = {"Empty": None, "Light": blender.data.lights.new("a", "SUN"), "Mesh": blender.data.meshes.new("a")}
    scene.camera = blender.data.objects.new(kind, data[kind])
    scene.collection.objects.link(scene.camera)
    with pytest.raises(RuntimeError, match=f"'{kind}' is not a camera: choose one"):
        rendering.render(blender, tmp_path / "a.exr")


def add_mesh_scene(bpy: Any) -> None:
    """A floor, a cube that is turned, and two instances of a group of smooth spheres, each with its pass index."""
    bpy.ops.mesh.primitive_plane_add(size=3.0, location=(0.0, 0.0, -0.6))
    bpy.context.object.pass_index = 1
    bpy.ops.mesh.primitive_cube_add(size=0.7, rotation=(0.3, 0.5, 0.7), location=(0.5, -0.3, 0.0))
    bpy.context.object.pass_index, bpy.context.object.scale = 2, (1.0, -0.6, 1.2)
    sphere = add_mesh_sphere(bpy)
    sphere.pass_index = 3
    group = bpy.data.collections.new("group")
    group.objects.link(sphere)
    bpy.context.scene.collection.objects.unlink(sphere)
    for x in (-0.6, 0.4):
        empty = bpy.data.objects.new("empty", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", group
        empty.location, empty.scale = (x, 0.6, 0.1), (0.6, 0.5, 0.9)
        bpy.context.scene.collection.objects.link(empty)


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
def test_passes_of_meshes_are_those_of_cycles(blender: ModuleType, scene: Any, tmp_path: Path, kind: str) -> None:
    scene.view_layers[0].use_pass_object_index = True
    scene.camera.data.type, scene.camera.data.ortho_scale = kind, 4.0
    add_mesh_scene(blender)
    ours = rendering.render(blender, tmp_path / "ours.exr")
    cycles = rendering.render(blender, tmp_path / "cycles.exr", "CYCLES")
    assert set(np.unique(cycles["Object Index"])) >= {0.0, 1.0, 2.0, 3.0}
    # Cycles' first sample is not in the pixel's centre: outlines differ.
    assert (ours["Object Index"] == cycles["Object Index"]).mean() > 0.96
    same = (ours["Object Index"] == cycles["Object Index"]) & (cycles["Object Index"] > 0)
    assert np.median(np.abs(ours["Depth"] - cycles["Depth"])[same]) < 0.01
    assert abs(np.median((ours["Depth"] - cycles["Depth"])[same])) < 2e-3
    cosines = (ours["Normal"] * cycles["Normal"]).sum(-1)[same]
    assert np.degrees(np.arccos(np.median(cosines).clip(-1.0, 1.0))) < 1.0
    # Where several samples of Cycles see several faces, its normals are means of theirs.
    assert (cosines > 0.98).mean() > 0.85
    assert (ours["Depth"][ours["Object Index"] == 0] == BACKGROUND_DEPTH).all()
    assert rendering.iou(ours["Combined"][..., 3] > 0.5, cycles["Combined"][..., 3] > 0.5) > 0.98


def test_the_nearer_of_neural_object_and_mesh_is_seen(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    scene.view_layers[0].use_pass_object_index = True
    neural, mesh = rendering.add_neural_object(blender, shapes.torus_sequence()), add_mesh_sphere(blender)
    neural.pass_index, mesh.pass_index = 1, 2
    mesh.scale = (1.1, 0.8, 0.6)
    both = rendering.render(blender, tmp_path / "both.exr")
    mesh.hide_render = True
    alone = rendering.render(blender, tmp_path / "neural.exr")["Depth"]
    mesh.hide_render, neural.hide_render = False, True
    other = rendering.render(blender, tmp_path / "mesh.exr")["Depth"]
    nearer = np.where(alone < other, 1.0, 2.0) * (np.minimum(alone, other) < BACKGROUND_DEPTH)
    np.testing.assert_allclose(both["Depth"], np.minimum(alone, other), rtol=1e-4)
    assert (both["Object Index"] == nearer).mean() > 0.995
    assert {1.0, 2.0} <= set(np.unique(nearer))


def test_neural_normals_on_a_mesh(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    """A coarse sphere wears a fine one's normals, whatever the transforms of the two."""
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    neural.location, neural.scale = (0.1, 0.2, 0.0), (1.2, 0.9, 1.0)
    blender.ops.mesh.primitive_ico_sphere_add(radius=0.6, subdivisions=3, location=(0.1, 0.2, 0.0))
    mesh = blender.context.object
    mesh.scale, mesh.rotation_euler = (1.2, 0.9, 1.0), (0.0, 0.0, 0.0)
    reference = rendering.render(blender, tmp_path / "neural.exr")["Normal"]
    neural.hide_render = True
    own = rendering.render(blender, tmp_path / "own.exr")
    mesh.neural_implicit.normals_source = neural
    mapped = rendering.render(blender, tmp_path / "mapped.exr")
    seen = (own["Depth"] < BACKGROUND_DEPTH) & (np.linalg.norm(reference, axis=-1) > 0.5)

    def degrees(normals: np.ndarray) -> float:
        return float(np.degrees(np.arccos((normals * reference)[seen].sum(-1).clip(-1.0, 1.0))).mean())

    assert degrees(own["Normal"]) > 4.0
    assert degrees(mapped["Normal"]) < 0.4 * degrees(own["Normal"])
    np.testing.assert_array_equal(own["Depth"], mapped["Depth"])


def test_a_panorama_is_seen_where_cycles_shows_it(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:32, 0:64]
    pixels = np.ones((32, 64, 4), np.float32)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = rows / 31.0, columns / 63.0, np.sin(columns / 5.0) ** 2
    image = blender.data.images.new("panorama", 64, 32, float_buffer=True)
    image.pixels.foreach_set(pixels.reshape(-1))
    world = blender.data.worlds.new("sky")
    rendering.use_nodes(blender, world)
    tree = world.node_tree
    texture, mapping, coordinates = (
        tree.nodes.new(f"ShaderNode{kind}") for kind in ("TexEnvironment", "Mapping", "TexCoord")
    )
    texture.image = image
    mapping.inputs["Rotation"].default_value = (0.0, 0.0, 0.7)
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    tree.links.new(texture.outputs["Color"], tree.nodes["Background"].inputs["Color"])
    scene.world, scene.render.film_transparent = world, False
    add_mesh_sphere(blender)
    scene.camera.data.lens = 18.0
    ours = rendering.render(blender, tmp_path / "ours.exr")["Combined"]
    cycles = rendering.render(blender, tmp_path / "cycles.exr", "CYCLES", samples=64)["Combined"]
    assert np.abs(ours - cycles)[..., :3].mean() < 0.02
    assert np.abs(cycles[..., :3] - cycles[..., :3].mean((0, 1))).mean() > 0.1


def test_what_is_left_out_is_said_and_the_rest_rendered(
    blender: ModuleType, scene: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rendering.add_neural_object(blender, shapes.sphere_sequence())
    scene.collection.objects.link(blender.data.objects.new("fur", blender.data.hair_curves.new("fur")))
    picture = rendering.render(blender, tmp_path / "a.exr")
    assert (picture["Combined"][..., 3] == 1.0).any()
    # Blender prints an engine's reports.
    assert "'fur' is not shown: hair curves" in "".join(capfd.readouterr())
    scene.camera.data.type = "PANO"
    rendering.render(blender, tmp_path / "b.exr")
    assert "panoramic" in "".join(capfd.readouterr())


def test_an_animation_does_not_grow_in_memory(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    blender.ops.mesh.primitive_grid_add(x_subdivisions=40, y_subdivisions=40)
    blender.context.object.modifiers.new("wave", "WAVE").height = 0.3
    for frame, x in ((1, -0.4), (12, 0.4)):
        neural.location.x = x
        neural.keyframe_insert("location", frame=frame)
    scene.frame_start, scene.frame_end = 1, 10
    rendering.set_size(blender, 8, 6)
    scene.neural_implicit.samples, scene.neural_implicit.sun_shadows = 1, False
    scene.render.engine = rendering.ENGINE
    scene.render.filepath = str(tmp_path / "frame")
    sizes = []

    def measure(*_arguments: object) -> None:
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])

    blender.app.handlers.render_post.append(measure)
    tracemalloc.start(1)
    try:
        blender.ops.render.render(animation=True)
    finally:
        tracemalloc.stop()
        blender.app.handlers.render_post.remove(measure)
    assert len(sizes) == 10
    # The triangles of one frame take more than this.
    assert sizes[-1] - sizes[4] < 100_000


def test_cancelling(blender: ModuleType, scene: Any, tmp_path: Path, addon_module: Callable[[str], ModuleType]) -> None:
    """As Esc does: what is finished stays in the picture, and the next picture is whole."""
    rendering.add_neural_object(blender, shapes.sphere_sequence())
    rendering.set_size(blender, 320, 240)
    scene.render.film_transparent = False
    final_render = addon_module("neural_implicit_addon.final_render")
    render, tiles = final_render.render, []

    class Cancelled:
        """The engine, whose user cancels after the first tile. Blender's own methods cannot be replaced."""

        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def __getattr__(self, name: str) -> Any:
            return getattr(self._engine, name)

        def end_result(self, result: Any) -> None:
            tiles.append(result)
            self._engine.end_result(result)

        def test_break(self) -> bool:
            return bool(tiles)

    def cancelled(engine: Any, depsgraph: Any) -> None:
        render(Cancelled(engine), depsgraph)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(final_render, "render", cancelled)
        partial = rendering.render(blender, tmp_path / "a.exr")["Combined"][..., 3]
    whole = rendering.render(blender, tmp_path / "b.exr")["Combined"][..., 3]
    assert len(tiles) >= 1
    assert 0.0 < partial.mean() < 1.0
    assert (whole == 1.0).all()


def test_color_management_applies(blender: ModuleType, scene: Any, tmp_path: Path) -> None:
    """The pass is scene-linear: an 8 bit file of it shows the view transform's values."""
    rendering.add_neural_object(blender, shapes.sphere_sequence())
    linear = rendering.render(blender, tmp_path / "a.exr")["Combined"]
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode = "PNG", "RGBA"
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(tmp_path / "a.png")
    blender.ops.render.render(write_still=True)
    image = blender.data.images.load(str(tmp_path / "a.png"))
    image.colorspace_settings.name = "Non-Color"
    values = np.empty(128 * 96 * 4, dtype=np.float32)
    image.pixels.foreach_get(values)
    row, column = 48, 64
    shown = values.reshape(96, 128, 4)[row, column, :3]
    expected = linear[row, column, :3].clip(0, 1)
    expected = np.where(expected < 0.0031308, 12.92 * expected, 1.055 * expected ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(shown, expected, atol=1.5 / 255)


def test_builtin_panels_come_and_go(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    panels = addon_module("neural_implicit_addon.builtin_panels")

    def shown() -> set[str]:
        return {
            panel.__name__
            for panel in blender.types.Panel.__subclasses__()
            if rendering.ENGINE in getattr(panel, "COMPAT_ENGINES", ()) and not panel.__name__.startswith("NEURAL")
        }

    assert panels.WANTED | {"RENDER_PT_format", "DATA_PT_lens", "RENDER_PT_color_management"} <= shown()
    assert not panels.UNWANTED & shown()
    panels.hide_for(rendering.ENGINE)
    assert shown() == set()
    panels.show_for(rendering.ENGINE)
    assert shown() >= panels.WANTED


def test_blender_without_any_graphics_driver_renders(run_blender: Callable[..., dict[str, Any]]) -> None:
    found = run_blender(Path(__file__).parent / "scripts" / "render_without_driver.py")
    assert found["wants context"] == (not sys.platform.startswith("linux"))
