# SPDX-License-Identifier: GPL-3.0-or-later
"""Shading on the GPU against the CPU's, point by point; and Solid mode's lighting against Workbench."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.lighting import Matcap, StudioLight, StudioLighting
from kernels.shading import Material
from tests.spheres import Sphere, difference

# One work group shades all points, so that each example costs one dispatch.
POINTS = 64
MAIN = """
void main()
{
  int i = int(gl_GlobalInvocationID.x);
  vec3 normal = texelFetch(points, ivec2(i, 1), 0).xyz;
  vec4 relief = texelFetch(points, ivec2(i, 3), 0);
  vec3 color = shade(texelFetch(points, ivec2(i, 0), 0).xyz, normal, texelFetch(points, ivec2(i, 2), 0).xyz,
                     int(relief.x), relief.y, relief.z);
  imageStore(result, ivec2(i, 0), vec4(color, 1.0));
  imageStore(result, ivec2(i, 1), vec4(background(normal), 1.0));
}
"""


class Shader:
    """Shades random points of a scene on the GPU and on the CPU."""

    def __init__(self, device: Any, module: Callable[[str], ModuleType]) -> None:
        self.device = device
        self.lighting, self.shading = module("kernels.lighting"), module("kernels.shading")
        self.scenes, self.cameras = module("kernels.scenes"), module("kernels.cameras")
        self.gpu = module("kernels.gpu.shading")
        source = module("kernels.gpu.sources").join(*self.gpu.GLSL, constants=self.gpu.CONSTANTS) + MAIN
        self.shader = module("kernels.gpu.device").ComputeShader(
            "shading test", source, (POINTS, 1), textures=("points", *self.gpu.TEXTURES), images=("result",)
        )
        self.packed = self.gpu.SceneShading(device)

    def scene(self, rng: np.random.Generator, **fields: Any) -> Any:
        """A scene with a randomly turned camera."""
        to_world = np.eye(4)
        to_world[:3, :3] = rotation(rng)
        return self.scenes.Scene(self.cameras.Camera(np.diag([1.0, 1.0, -1.0, 0.0]), to_world), **fields)

    def materials(self, rng: np.random.Generator) -> list[Any]:
        """A few materials, with pure dielectrics and metals among them."""
        metallic = [0.0, 1.0, *rng.random(3)]
        return [self.shading.Material(tuple(rng.random(3)), float(rng.random()), float(m)) for m in metallic]

    def both(self, scene: Any, materials: list[Any], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(2, POINTS, 3): colours, and backgrounds in the normals' directions; of the GPU and of the CPU."""
        normals, views = unit(rng, POINTS), unit(rng, POINTS)
        # Whatever is seen lies in front of the camera.
        to_camera = scene.camera.camera_to_world[:3, 2]
        views *= np.where(views @ to_camera < 0.0, -1.0, 1.0)[:, None].astype(np.float32)
        normals = self.shading.facing_normals(normals, views).astype(np.float32)
        positions = rng.normal(size=(POINTS, 3)).astype(np.float32)
        owners, shares = rng.integers(0, max(len(materials), 1), POINTS), rng.random((2, POINTS)).astype(np.float32)
        rows = np.zeros((4, POINTS, 4), dtype=np.float32)
        rows[0, :, :3], rows[1, :, :3], rows[2, :, :3] = positions, normals, views
        rows[3, :, 0], rows[3, :, 1], rows[3, :, 2] = owners, *shares
        points, result = self.device.texture(rows), self.device.empty_texture(POINTS, 2)
        textures = self.packed.prepare(scene, materials)
        self.device.dispatch(self.shader, (1, 1), {"points": points, **textures}, {"result": result})
        surfaces = self.shading.PointMaterials.chosen(materials, owners)
        colors = self.shading.shade_scene(scene, positions, normals, views, surfaces, *shares)
        return self.device.read(result)[..., :3], np.stack([colors, self.shading.background(scene, normals)])


@pytest.fixture(scope="module")
def shader(device: Any, addon_module: Callable[[str], ModuleType]) -> Shader:
    return Shader(device, addon_module)


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32 random directions."""
    vectors = rng.normal(size=(count, 3)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random (3, 3) rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def random_lights(lighting: ModuleType, rng: np.random.Generator) -> tuple[Any, ...]:
    """One of each kind, in random order, and some more suns."""

    def direction() -> tuple[float, ...]:
        return tuple(float(x) for x in unit(rng, 1)[0])

    def position() -> tuple[float, ...]:
        return tuple(rng.normal(size=3) * 3.0)

    def color() -> tuple[float, ...]:
        return tuple(rng.random(3) * 100.0)

    lights = [
        *(lighting.SunLight(direction(), tuple(rng.random(3)), float(rng.random())) for _ in range(rng.integers(0, 3))),
        lighting.PointLight(position(), color()),
        lighting.PointLight(position(), color(), None, float(rng.random())),
        lighting.PointLight(position(), color(), direction(), float(rng.random())),
        lighting.SpotLight(position(), color(), direction(), *rng.uniform(0.1, 1.0, 3)),
        lighting.SpotLight(position(), color(), direction(), math.pi / 2.0, 0.0),
    ]
    return tuple(lights[i] for i in rng.permutation(len(lights)))


def assert_agree(pair: tuple[np.ndarray, np.ndarray], fraction: float = 1.0) -> None:
    """Equal to 1e-4 of each value, and for values near zero to 1e-4 of the mean.

    Args:
        fraction: of the values for which that must hold.
    """
    actual, expected = pair
    assert np.isfinite(actual).all()
    for got, wanted in zip(actual, expected, strict=True):
        close = np.isclose(got, wanted, rtol=1e-4, atol=1e-4 * float(np.abs(wanted).mean()) + 1e-9)
        assert close.mean() >= fraction, f"off by {np.abs(got - wanted)[~close].max()} at {wanted[~close].max()}"


seeds = given(seed=st.integers(0, 2**31))
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@seeds
def test_lights_and_a_uniform_world(shader: Shader, seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = shader.lighting.World(tuple(rng.random(3)))
    scene = shader.scene(rng, lights=random_lights(shader.lighting, rng), world=world)
    # The border of a spot without blend is a step: a point on it may fall on either side.
    assert_agree(shader.both(scene, shader.materials(rng), rng), fraction=0.99)


@few
@seeds
def test_panoramas(shader: Shader, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height = int(rng.integers(1, 60))
    pixels = rng.random((height, int(rng.integers(1, 90)), 3)).astype(np.float32)
    environment = shader.lighting.EnvironmentMap(pixels, rotation(rng), f"random {seed}")
    scene = shader.scene(rng, world=shader.lighting.World(tuple(rng.random(3)), environment))
    assert_agree(shader.both(scene, shader.materials(rng), rng))


@few
@seeds
def test_studio_lighting(shader: Shader, seed: int) -> None:
    rng = np.random.default_rng(seed)
    directions = unit(rng, 4)
    lights = tuple(
        shader.lighting.StudioLight(tuple(d), tuple(rng.random(3)), tuple(rng.random(3)), float(rng.random()))
        for d in directions[: rng.integers(0, 5)]
    )
    studio = shader.lighting.StudioLighting(lights, tuple(rng.random(3)), bool(rng.integers(2)))
    assert_agree(shader.both(shader.scene(rng, lighting=studio), shader.materials(rng), rng))


@few
@seeds
def test_material_captures(shader: Shader, seed: int) -> None:
    rng = np.random.default_rng(seed)
    diffuse, specular = (rng.random((*rng.integers(1, 40, 2), 3)).astype(np.float32) for _ in range(2))
    matcap = shader.lighting.Matcap(diffuse, specular if rng.integers(2) else None, f"random {seed}")
    assert_agree(shader.both(shader.scene(rng, lighting=matcap), shader.materials(rng), rng))


def test_more_materials_than_fit_in_a_row_of_the_table(shader: Shader) -> None:
    rng = np.random.default_rng(0)
    materials = [shader.shading.Material(tuple(rng.random(3))) for _ in range(3 * shader.gpu.TABLE_COLUMNS)]
    assert_agree(shader.both(shader.scene(rng), materials, rng))


def test_no_materials_mean_the_default_one(shader: Shader) -> None:
    rng = np.random.default_rng(0)
    assert_agree(shader.both(shader.scene(rng), [], rng))


def test_textures_are_given_back_and_made_anew(shader: Shader) -> None:
    rng = np.random.default_rng(0)
    scene = shader.scene(rng, lights=random_lights(shader.lighting, rng))
    shader.packed.free()
    shader.packed.free()
    assert_agree(shader.both(scene, shader.materials(rng), rng), fraction=0.99)


class ScarceDevice:
    """Keeps account of textures, and has no memory for another one where told so."""

    def __init__(self) -> None:
        self.alive: list[object] = []
        self.made = 0
        self.most: int | None = None

    def texture(self, pixels: np.ndarray) -> object:
        """A stand-in for a texture."""
        if len(self.alive) == self.most:
            raise MemoryError("no memory for another texture")
        self.alive.append(pixels)
        self.made += 1
        return pixels

    def free(self, texture: object) -> None:
        """Fails for what is not there any more."""
        self.alive.remove(next(t for t in self.alive if t is texture))


def test_panoramas_stay_on_the_gpu_and_nothing_leaks(shader: Shader) -> None:
    rng = np.random.default_rng(0)
    device = ScarceDevice()
    packed = shader.gpu.SceneShading(device)

    def scene(key: str) -> Any:
        environment = shader.lighting.EnvironmentMap(rng.random((4, 8, 3)).astype(np.float32), np.eye(3), key)
        return shader.scene(rng, world=shader.lighting.World((1.0, 1.0, 1.0), environment))

    first = packed.prepare(scene("leaks 1"), ())
    assert set(first) == set(shader.gpu.TEXTURES)
    made = device.made
    again = packed.prepare(scene("leaks 1"), ())
    assert again["shading_background"] is first["shading_background"]
    assert device.made == made + 1, "only the table is new"
    device.most = 2
    packed.free()
    assert not device.alive
    with pytest.raises(MemoryError):
        packed.prepare(scene("leaks 2"), ())
    # After a failure it starts anew, and frees only what there is.
    device.most = None
    assert packed.prepare(scene("leaks 2"), ())["shading_atlas"] is not first["shading_atlas"]
    assert len(device.alive) == len(shader.gpu.TEXTURES)
    packed.free()
    assert not device.alive


@pytest.fixture
def solid(device: Any, blender: ModuleType, tmp_path: Path) -> Sphere:
    """A sphere for Workbench, which needs a GPU."""
    sphere = Sphere(blender, tmp_path)
    shading = blender.context.scene.display.shading
    shading.color_type = "MATERIAL"
    shading.show_shadows = shading.show_cavity = shading.show_object_outline = False
    return sphere


def test_studio_lighting_looks_like_solid_mode(solid: Sphere) -> None:
    shading = solid.bpy.context.scene.display.shading
    shading.light = "STUDIO"
    studio = next(s for s in solid.bpy.context.preferences.studio_lights if s.name == shading.studio_light)
    solid.bpy.context.view_layer.update()
    to_world = np.array(solid.camera_object.matrix_world)[:3, :3]
    lights = tuple(
        StudioLight(tuple(to_world @ x.direction), tuple(x.diffuse_color), tuple(x.specular_color), x.smooth)
        for x in studio.solid_lights
        if x.use
    )
    for material, limit in ((Material((0.8, 0.3, 0.1), 0.3), 0.03), (Material((0.9, 0.6, 0.3), 0.25, 1.0), 0.1)):
        solid.set_material(material)
        for specular in (True, False):
            shading.show_specular_highlight = specular
            lighting = StudioLighting(lights, tuple(studio.light_ambient), specular)
            picture, within, _ = solid.ours(material, lighting=lighting)
            mean, _ = difference(picture, solid.render("BLENDER_WORKBENCH"), within)
            # Workbench keeps roughness in five bits, which moves the edges of metals' highlights.
            assert mean < limit, f"{material}, {specular}: {mean}"


def test_studio_lighting_fixed_to_the_world_looks_like_solid_mode(
    solid: Sphere, addon_module: Callable[[str], ModuleType]
) -> None:
    scene = solid.bpy.context.scene
    scene.neural_implicit.lighting = "STUDIO"
    shading = scene.display.shading
    shading.use_world_space_lighting, shading.studiolight_rotate_z = True, 0.8
    found, problem = addon_module("neural_implicit_addon.studio_lights").chosen(scene)
    assert problem == ""
    lights = tuple(StudioLight(x.direction, x.diffuse_color, x.specular_color, x.smooth) for x in found.lights)
    material = Material((0.8, 0.3, 0.1), 0.3)
    solid.set_material(material)
    picture, within, _ = solid.ours(material, lighting=StudioLighting(lights, found.ambient, found.specular))
    mean, _ = difference(picture, solid.render("BLENDER_WORKBENCH"), within)
    assert mean < 0.03
    shading.studiolight_rotate_z = -0.8
    mean, _ = difference(picture, solid.render("BLENDER_WORKBENCH"), within)
    assert mean > 0.06, "it can be told"


def test_material_captures_look_like_solid_mode(solid: Sphere) -> None:
    shading = solid.bpy.context.scene.display.shading
    shading.light, shading.studio_light = "MATCAP", "check_normal+y.exr"
    capture = next(s for s in solid.bpy.context.preferences.studio_lights if s.name == shading.studio_light)
    image = solid.bpy.data.images.load(capture.path)
    pixels = np.empty((image.size[1], image.size[0], 4), dtype=np.float32)
    image.pixels.foreach_get(pixels.ravel())
    material = Material((0.8, 0.6, 0.4))
    solid.set_material(material)
    picture, within, _ = solid.ours(material, lighting=Matcap(pixels[..., :3], None, "normals"))
    mean, _ = difference(picture, solid.render("BLENDER_WORKBENCH"), within)
    assert mean < 0.03
