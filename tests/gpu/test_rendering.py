# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of the GPU renderer against those of the CPU renderer, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import shapes
from views import flat_geometry, looking_at, placed, round_geometry

from benchmarks.agreement import agreement, cameras, whole_picture
from kernels.cameras import pixel_rays
from kernels.scenes import BACKGROUND_DEPTH, Tile

SIDE = 64
RADIUS = 0.6
GROUND = flat_geometry(
    shapes.TriangleMesh(np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]])),
    "ground",
)
BALL = round_geometry(shapes.sphere_mesh(4), "ball")
BOX = flat_geometry(shapes.box_mesh(), "box")
SUN = (0.48, -0.24, 0.844)


class CountingDevice:
    """A device that knows which textures were made and not freed."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.alive: set[int] = set()
        self._made: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def _counted(self, texture: Any) -> Any:
        # Kept, so that no other texture gets its id.
        self._made.append(texture)
        self.alive.add(id(texture))
        return texture

    def texture(self, pixels: np.ndarray) -> Any:
        return self._counted(self._device.texture(pixels))

    def empty_texture(self, width: int, height: int) -> Any:
        return self._counted(self._device.empty_texture(width, height))

    def depth_texture(self, width: int, height: int) -> Any:
        return self._counted(self._device.depth_texture(width, height))

    def free(self, texture: Any) -> None:
        self.alive.remove(id(texture))
        self._device.free(texture)


class Renderers:
    """Both renderers of the installed extension, and its classes."""

    def __init__(self, device: Any, module: Callable[[str], ModuleType]) -> None:
        self.scenes, self.lighting = module("kernels.scenes"), module("kernels.lighting")
        self.shading, self.cpu = module("kernels.shading"), module("kernels.rendering")
        self.gpu_module, self.error = module("kernels.gpu.rendering"), module("kernels.gpu.device").GpuError
        self.device = CountingDevice(device)
        self.gpu = self.gpu_module.GpuRenderer(self.device)

    def material(self, *color: float, **fields: float) -> Any:
        return self.shading.Material(color, **fields)

    def mesh(self, geometry: Any, matrix: np.ndarray, index: int = 0, **fields: Any) -> Any:
        return self.scenes.MeshInstance(geometry.key, geometry, matrix, object_index=index, **fields)

    def neural(self, sequence: Any, matrix: np.ndarray, index: int = 0, **fields: Any) -> Any:
        return self.scenes.NeuralInstance("neural", sequence, matrix, object_index=index, **fields)

    def sun(self, direction: tuple[float, float, float] = SUN, strength: float = 3.0) -> Any:
        unit = np.array(direction) / np.linalg.norm(direction)
        return self.lighting.SunLight(tuple(unit), (strength, 0.95 * strength, 0.9 * strength))

    def config(self, side: int = SIDE, **fields: Any) -> Any:
        return self.scenes.RenderConfig(side, side, **{"samples": 1, "threads": 2, **fields})

    def still_life(self, **fields: Any) -> Any:
        """A ball, a box and a ground under a sun, seen from above."""
        meshes = (
            self.mesh(GROUND, placed(2.0, (0.0, 0.0, -0.5)), 1, materials=(self.material(0.5, 0.5, 0.5),)),
            self.mesh(BALL, placed(-0.5, (0.6, 0.0, 0.0)), 2, materials=(self.material(0.7, 0.1, 0.1, roughness=0.3),)),
            self.mesh(BOX, placed(0.3, (-0.7, 0.1, -0.2)), 3, materials=(self.material(0.8, 0.7, 0.2, metallic=1.0),)),
        )
        camera = looking_at((0.0, 0.0, -0.1), (0.5, -4.0, 1.8))
        world = self.lighting.World((0.2, 0.25, 0.3))
        return self.scenes.Scene(camera, (), meshes, (self.sun(),), world, **fields)

    def both(self, scene: Any, config: Any) -> tuple[Tile, Tile]:
        """The picture of the GPU and that of the CPU."""
        return whole_picture(list(self.gpu.render_tiles(scene, config))), self.cpu.render(scene, config)


@pytest.fixture
def renderers(device: Any, addon_module: Callable[[str], ModuleType]) -> Iterator[Renderers]:
    renderers = Renderers(device, addon_module)
    yield renderers
    renderers.gpu.free()
    assert not renderers.device.alive, "textures were not freed"


def smooth(tile: Tile) -> np.ndarray:
    """Pixels (rows, columns) away from edges: their neighbours show the same object at about the same depth."""
    inner = np.ones(tile.depth.shape, dtype=bool)
    for axis in (0, 1):
        for step in (-1, 1):
            depth, index = np.roll(tile.depth, step, axis), np.roll(tile.object_index, step, axis)
            inner &= (index == tile.object_index) & (np.abs(depth - tile.depth) < 0.2)
            inner &= (np.roll(tile.normal, step, axis) * tile.normal).sum(axis=2) > np.where(index > 0.0, 0.7, -1.0)
    return inner


def assert_same_colors(gpu: Tile, cpu: Tile, share: float = 0.99) -> None:
    """Combined of both is the same wherever there is no edge, up to what nobody sees."""
    away = smooth(cpu)
    assert away.mean() > 0.4
    difference = np.abs(gpu.combined - cpu.combined)[away].max(axis=1)
    scale = 0.01 + 0.01 * np.abs(cpu.combined)[away].max(axis=1)
    assert np.mean(difference < scale) > share
    assert difference.mean() < 0.005


# Meshes, and what lights them


def lit_by(renderers: Renderers, name: str) -> tuple[Any, Any]:
    """A scene and a configuration for each thing that a picture of meshes may have."""
    lighting, scene, config = renderers.lighting, renderers.still_life(), renderers.config()
    if name == "suns":
        return replace(scene, lights=(renderers.sun(), renderers.sun((-0.5, -0.5, 0.7), 1.0))), config
    if name == "lamps":
        lamps = (
            lighting.PointLight((0.5, -1.0, 1.5), (80.0, 70.0, 60.0)),
            lighting.PointLight((-1.0, -1.0, 1.0), (30.0, 30.0, 40.0), (0.4, 0.6, -0.7)),
        )
        return replace(scene, lights=lamps), config
    if name == "panorama":
        pixels = np.random.default_rng(0).random((8, 16, 3)).astype(np.float32).repeat(4, axis=0).repeat(4, axis=1)
        panorama = lighting.EnvironmentMap(pixels, np.eye(3), "noise")
        return replace(scene, world=lighting.World((0.7, 0.7, 0.7), panorama)), config
    if name == "studio":
        light = lighting.StudioLight((0.0, -0.6, 0.8), (0.8, 0.7, 0.6), (0.3, 0.3, 0.3), 0.2)
        return replace(scene, lighting=lighting.StudioLighting((light,), (0.1, 0.1, 0.1))), config
    if name == "capture":
        ramp = np.linspace(0.1, 0.9, 32, dtype=np.float32)
        sphere = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 0.4), axis=2).astype(np.float32)
        return replace(scene, lighting=lighting.Matcap(sphere, 0.2 * sphere, "ramp")), config
    if name == "shadows":
        return scene, replace(config, sun_shadows=True)
    if name == "transparent film":
        return replace(scene, film_transparent=True), config
    if name == "parallel":
        return replace(scene, camera=looking_at((0, 0, -0.1), (0.5, -4.0, 1.8), 0.6, perspective=False)), config
    return scene, replace(config, samples=4)


@pytest.mark.parametrize(
    "name",
    ["suns", "lamps", "panorama", "studio", "capture", "shadows", "transparent film", "parallel", "several samples"],
)
def test_meshes_are_lit_as_on_the_cpu(renderers: Renderers, name: str) -> None:
    scene, config = lit_by(renderers, name)
    gpu, cpu = renderers.both(scene, config)
    assert_same_colors(gpu, cpu)
    agreed = agreement(gpu, cpu, 2.0)
    assert agreed.masks > 0.995
    assert agreed.depths > 0.995
    assert agreed.normals > 0.99
    assert np.mean(gpu.object_index == cpu.object_index) > 0.995


def test_sun_shadow_of_a_ball(renderers: Renderers) -> None:
    scene = renderers.still_life()
    ground, ball, _ = scene.meshes
    scene = replace(scene, meshes=(ground, ball), world=renderers.lighting.World((0.0, 0.0, 0.0)))
    gpu = whole_picture(list(renderers.gpu.render_tiles(scene, renderers.config(sun_shadows=True))))
    rays = pixel_rays(scene.camera, (SIDE, SIDE), (0, 0, SIDE, SIDE))
    on_ground = (gpu.object_index == 1.0).reshape(-1)
    t = (gpu.depth.reshape(-1) - rays.start_depth) / rays.cosines
    points = (rays.origins + t[:, None] * rays.directions)[on_ground]
    toward = np.array(scene.lights[0].direction)
    to_center = ball.local_to_world[:3, 3] - points
    to_axis = np.linalg.norm(to_center - (to_center @ toward)[:, None] * toward, axis=1)
    bright = gpu.combined.reshape(-1, 4)[on_ground, 1] > 0.05
    clear = np.abs(to_axis - 0.5) > 0.02
    assert 0.02 < np.mean(~bright) < 0.5
    assert np.mean((bright == (to_axis > 0.5))[clear]) > 0.999


def test_border_and_tiles_change_nothing(renderers: Renderers, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, config = renderers.still_life(), renderers.config(samples=2)
    whole = whole_picture(list(renderers.gpu.render_tiles(scene, config)))
    monkeypatch.setattr(renderers.gpu_module, "TILE_SIDE", 20)
    x, y, width, height = region = (9, 7, 50, 41)
    tiles = list(renderers.gpu.render_tiles(scene, replace(config, region=region)))
    assert len(tiles) == 9
    part = whole_picture(tiles)
    assert part.region == region
    where = np.s_[y : y + height, x : x + width]
    assert np.mean(np.abs(part.combined - whole.combined[where]).max(axis=2) < 1e-3) > 0.995
    assert np.mean(np.abs(part.depth - whole.depth[where]) < 1e-3) > 0.995


def test_empty_scene_shows_the_world(renderers: Renderers) -> None:
    scene = replace(renderers.still_life(), meshes=())
    gpu, cpu = renderers.both(scene, renderers.config(16))
    np.testing.assert_allclose(gpu.combined, cpu.combined, atol=1e-5)
    np.testing.assert_array_equal(gpu.depth, np.float32(BACKGROUND_DEPTH))
    assert not gpu.normal.any()


# Pictures worked on little by little


def test_picture_becomes_the_one_of_the_tiles(renderers: Renderers, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, config = renderers.still_life(), renderers.config(samples=3)
    whole = whole_picture(list(renderers.gpu.render_tiles(scene, config)))
    monkeypatch.setattr(renderers.gpu_module, "TILE_SIDE", 24)
    picture = renderers.gpu.begin(scene, config)
    assert (picture.texture.width, picture.texture.height) == (SIDE, SIDE)
    assert picture.samples == 0
    counts = []
    while not picture.finished:
        picture.advance(0.0)
        counts.append(picture.samples)
    # Each call without time does one piece of work, far less than a sample.
    assert len(counts) > 3 * 9
    assert sorted(set(counts)) == [0, 1, 2, 3]
    # Other tiles are other numbers to a rasteriser: a pixel on an outline may change.
    difference = np.abs(renderers.device.read(picture.texture) - whole.combined)
    assert np.mean(difference.max(axis=2) < 2e-3) > 0.998
    picture.free()
    assert picture.finished


def test_pictures_worked_on_in_turns_do_not_disturb_each_other(renderers: Renderers) -> None:
    scene, config = renderers.still_life(), renderers.config(48)
    other = replace(scene, camera=looking_at((0, 0, 0), (-3.0, 1.0, 1.5)), lights=(), meshes=scene.meshes[1:])
    expected = [whole_picture(list(renderers.gpu.render_tiles(each, config))) for each in (scene, other)]
    pictures = [renderers.gpu.begin(each, config) for each in (scene, other)]
    while not all(picture.finished for picture in pictures):
        for picture in pictures:
            picture.advance(0.0)
    for picture, tile in zip(pictures, expected, strict=True):
        np.testing.assert_allclose(renderers.device.read(picture.texture), tile.combined, atol=1e-5)
        picture.free()


def test_first_sample_continues_a_picture(renderers: Renderers) -> None:
    scene = renderers.still_life()
    singles = [
        whole_picture(list(renderers.gpu.render_tiles(scene, renderers.config(32, first_sample=number)))).combined
        for number in range(3)
    ]
    together = whole_picture(list(renderers.gpu.render_tiles(scene, renderers.config(32, samples=3)))).combined
    np.testing.assert_allclose(np.mean(singles, axis=0), together, atol=1e-5)


def test_cancelled_between_pieces(renderers: Renderers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderers.gpu_module, "TILE_SIDE", 20)
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    tiles = list(renderers.gpu.render_tiles(renderers.still_life(), renderers.config(), cancelled))
    assert 0 < len(tiles) < 16
    assert len(asked) == 6


def test_closing_the_tiles_frees_them(renderers: Renderers) -> None:
    tiles = renderers.gpu.render_tiles(renderers.still_life(), renderers.config(32))
    next(tiles)
    tiles.close()
    renderers.gpu.free()
    assert not renderers.device.alive


def test_hundred_pictures_leave_nothing_behind(renderers: Renderers) -> None:
    scene, config = renderers.still_life(), renderers.config(16)
    alive = []
    for _ in range(100):
        picture = renderers.gpu.begin(scene, config)
        picture.advance(0.0)
        picture.free()
        alive.append(len(renderers.device.alive))
    assert max(alive) == alive[0]


def test_dropped_pictures_keep_no_triangles(renderers: Renderers) -> None:
    scene, config = renderers.still_life(), renderers.config(16)
    ball, rest = scene.meshes[1], replace(scene, meshes=scene.meshes[::2])
    first = renderers.gpu.begin(scene, config)
    first.advance(1.0)
    batch = renderers.gpu._drawer.batch(ball.geometry)
    second = renderers.gpu.begin(rest, config)
    # The first picture may still be worked on.
    assert renderers.gpu._drawer.batch(ball.geometry) is batch
    first.free()
    second.free()
    renderers.gpu.begin(rest, config).free()
    assert renderers.gpu._drawer.batch(ball.geometry) is not batch


def test_too_large_a_picture_is_a_gpu_error(renderers: Renderers) -> None:
    config = renderers.scenes.RenderConfig(renderers.device.max_texture_size + 1, 1)
    with pytest.raises(renderers.error, match="larger"):
        renderers.gpu.begin(renderers.still_life(), config)


def test_failure_in_the_middle_leaves_nothing_behind(renderers: Renderers, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, config = renderers.still_life(), renderers.config(16)
    monkeypatch.setattr(renderers.gpu_module, "TILE_SIDE", 16)
    made = renderers.device.empty_texture
    for possible in range(6):
        left = iter(range(possible))

        def no_memory(width: int, height: int, left: Iterator[int] = left) -> Any:
            if next(left, None) is None:
                raise renderers.error("no memory")
            return made(width, height)

        monkeypatch.setattr(renderers.device, "empty_texture", no_memory, raising=False)
        try:
            for _ in renderers.gpu.render_tiles(scene, config):
                pass
        except renderers.error:
            assert possible < 4
        renderers.gpu.free()
        assert not renderers.device.alive


def test_failure_to_draw_a_shadow_map_leaves_nothing_behind(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, config = renderers.still_life(), renderers.config(16, sun_shadows=True)
    draw = renderers.device.draw

    def refuse_map(shader: Any, *arguments: Any) -> None:
        if "sun_depth" in shader.outputs:
            raise renderers.error("refused")
        draw(shader, *arguments)

    monkeypatch.setattr(renderers.device, "draw", refuse_map, raising=False)
    with pytest.raises(renderers.error, match="refused"):
        list(renderers.gpu.render_tiles(scene, config))
    renderers.gpu.free()
    assert not renderers.device.alive


def test_objects_without_size_are_left_out(renderers: Renderers) -> None:
    scene = renderers.still_life()
    broken = (
        renderers.mesh(BALL, placed(np.full((3, 3), np.nan))),
        renderers.mesh(replace(BALL, triangles=BALL.triangles[:0], normals=BALL.normals[:0], key="none"), np.eye(4)),
        renderers.neural(shapes.sphere_sequence(), placed(np.diag([1.0, 1.0, 0.0]))),
    )
    config = renderers.config(32)
    expected = whole_picture(list(renderers.gpu.render_tiles(scene, config)))
    with_broken = replace(scene, meshes=(*scene.meshes, *broken[:2]), instances=broken[2:])
    found = whole_picture(list(renderers.gpu.render_tiles(with_broken, config)))
    np.testing.assert_allclose(found.combined, expected.combined, atol=1e-5)


# Neural objects

SEQUENCES = {
    "sphere": shapes.sphere_sequence,
    "torus": shapes.torus_sequence,
    "bumpy": lambda: shapes.fitted_sequence(shapes.bumpy(shapes.sphere(0.6), 0.06, 5.0), (64, 256)),
}
EXTENT = 1.2


@pytest.mark.parametrize("view", ["front", "above", "near", "parallel"])
@pytest.mark.parametrize("shape", SEQUENCES)
def test_neural_object_is_where_the_cpu_sees_it(renderers: Renderers, shape: str, view: str) -> None:
    instance = renderers.neural(SEQUENCES[shape](), np.eye(4), 4)
    scene = renderers.scenes.Scene(cameras(EXTENT)[view], (instance,), (), (renderers.sun(),))
    gpu, cpu = renderers.both(scene, renderers.config(48))
    agreed = agreement(gpu, cpu, EXTENT)
    assert agreed.seen > 0.1
    assert agreed.masks >= 0.995
    # The outline, where rays graze and depths are ill-defined, is a larger share of so small a picture.
    assert agreed.depths >= 0.99
    assert agreed.normals >= 0.99
    assert_same_colors(gpu, cpu)
    np.testing.assert_array_equal(np.unique(gpu.object_index), np.unique(cpu.object_index))


TRANSFORMS = {
    "mirrored": np.diag([-1.0, 0.7, 1.2]),
    "sheared": np.array([[1.0, 0.5, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 1.1]]),
    "huge": 1e3 * np.eye(3),
    "tiny": 1e-3 * np.eye(3),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_neural_object_under_any_transform(renderers: Renderers, transform: str) -> None:
    linear = TRANSFORMS[transform]
    scale = float(np.cbrt(abs(np.linalg.det(linear))))
    camera = looking_at((0, 0, 0), (1.2 * scale, -3.0 * scale, scale), clip_start=0.01 * scale, clip_end=1e3 * scale)
    instance = renderers.neural(shapes.torus_sequence(), placed(linear, (0.1 * scale, 0.0, 0.0)))
    scene = renderers.scenes.Scene(camera, (instance,), (), (renderers.sun(),))
    agreed = agreement(*renderers.both(scene, renderers.config(48)), 1.5 * scale)
    assert agreed.seen > 0.05
    assert min(agreed.masks, agreed.depths) >= 0.995
    assert agreed.normals >= 0.99


@pytest.mark.parametrize("perspective", [True, False])
def test_nearer_of_neural_object_and_its_source_mesh_wins(renderers: Renderers, perspective: bool) -> None:
    # The mesh of the very sphere, stretched along x and pressed along z: half of it stands out, half of it is within.
    stretched = np.diag([1.06 * RADIUS, RADIUS, 0.94 * RADIUS])
    mesh = renderers.mesh(round_geometry(shapes.sphere_mesh(6), "fine ball"), placed(stretched), 1)
    instance = renderers.neural(shapes.sphere_sequence(), np.eye(4), 2)
    camera = looking_at((0, 0, 0), (1.0, -3.0, 0.8), 2.4 if perspective else 0.8, perspective)
    scene = renderers.scenes.Scene(camera, (instance,), (mesh,), (renderers.sun(),))
    gpu = whole_picture(list(renderers.gpu.render_tiles(scene, renderers.config())))
    rays = pixel_rays(camera, (SIDE, SIDE), (0, 0, SIDE, SIDE))
    t = np.stack([_ellipsoid_hits(rays, linear) for linear in (stretched, RADIUS * np.eye(3))])
    hit = np.isfinite(t).any(axis=0)
    winner = np.where(hit, 1.0 + t.argmin(axis=0), 0.0)
    assert min(np.mean(winner == 1.0), np.mean(winner == 2.0)) > 0.05
    assert np.mean(gpu.object_index.reshape(-1) == winner) >= 0.98
    # Along the curve where they cross, both are equally near: what is seen is right either way.
    gap = np.abs(np.subtract(*np.nan_to_num(t, posinf=10.0)))
    clear = hit & (gap > 4e-3)
    assert np.mean((gpu.object_index.reshape(-1) == winner)[clear]) >= 0.995
    assert np.mean(np.abs(gpu.depth.reshape(-1) - rays.depth(t.min(axis=0)))[clear] < 8e-3) >= 0.99


def test_nearer_wins_where_the_tracer_could_end_on_either(renderers: Renderers) -> None:
    # Nearly the same sphere as both: they cross, and are nowhere apart by more than the tracer's tolerance.
    almost_round = placed(np.diag([1.001, 1.0, 0.999]) * RADIUS)
    mesh = renderers.mesh(round_geometry(shapes.sphere_mesh(6), "fine ball"), almost_round, 1)
    instance = renderers.neural(shapes.sphere_sequence(), np.eye(4), 2)
    scene = renderers.scenes.Scene(looking_at((0, 0, 0), (1.0, -3.0, 0.8)), (instance,), (mesh,))
    shown, meshes, neural = (
        whole_picture(list(renderers.gpu.render_tiles(each, renderers.config(48))))
        for each in (scene, replace(scene, instances=()), replace(scene, meshes=()))
    )
    gap = neural.depth - meshes.depth
    hit = (np.maximum(neural.depth, meshes.depth) < 100.0) & (np.abs(gap) > 1e-5)
    winner = np.where(gap > 0.0, 1.0, 2.0)[hit]
    assert min(np.mean(winner == 1.0), np.mean(winner == 2.0)) > 0.2
    assert np.median(np.abs(gap[hit])) < 2e-3
    assert np.mean(shown.object_index[hit] == winner) >= 0.995


def _ellipsoid_hits(rays: Any, linear: np.ndarray) -> np.ndarray:
    """(N,) t where rays meet the unit sphere under a linear map; infinite for a miss."""
    inverse = np.linalg.inv(linear)
    origins, directions = rays.origins @ inverse.T, rays.directions @ inverse.T
    a, b = (directions**2).sum(axis=1), (origins * directions).sum(axis=1)
    inside = b * b - a * ((origins**2).sum(axis=1) - 1.0)
    with np.errstate(invalid="ignore"):
        return np.where(inside > 0.0, (-b - np.sqrt(inside)) / a, np.inf)


def among_meshes(renderers: Renderers, **fields: Any) -> Any:
    """The still life with a neural torus in the middle of it."""
    scene = renderers.still_life(**fields)
    matrix = placed(shapes_rotation() * 0.8, (0.0, -0.3, 0.1))
    material = renderers.material(0.2, 0.5, 0.3, roughness=0.4)
    return replace(scene, instances=(renderers.neural(shapes.torus_sequence(), matrix, 4, material=material),))


def shapes_rotation() -> np.ndarray:
    """A turn about x by a third of a right angle."""
    cosine, sine = np.cos(0.5), np.sin(0.5)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


@pytest.mark.parametrize("shadows", [False, True])
def test_neural_object_among_meshes(renderers: Renderers, shadows: bool) -> None:
    gpu, cpu = renderers.both(among_meshes(renderers), renderers.config(sun_shadows=shadows))
    assert_same_colors(gpu, cpu, 0.985)
    assert np.mean(gpu.object_index == cpu.object_index) > 0.995
    assert min((gpu.object_index == index).mean() for index in (1, 2, 3, 4)) > 0.01


@pytest.mark.parametrize("display", ["LEVEL", "ITERATIONS", "BAND"])
def test_false_colors_are_those_of_the_cpu(renderers: Renderers, display: str) -> None:
    config = renderers.config(48, display=renderers.scenes.Display(display))
    gpu, cpu = renderers.both(among_meshes(renderers), config)
    difference = np.abs(gpu.combined - cpu.combined).max(axis=2)
    # The two tracers may take a step more or less.
    assert np.mean(difference < (0.1 if display == "ITERATIONS" else 0.03)) > 0.97
    assert len(np.unique(gpu.combined.reshape(-1, 4).round(3), axis=0)) > 2


def test_locked_levels_are_traced(renderers: Renderers) -> None:
    colors = [
        whole_picture(
            list(
                renderers.gpu.render_tiles(
                    among_meshes(renderers),
                    renderers.config(48, display=renderers.scenes.Display.LEVEL, traced_level=level),
                )
            )
        )
        for level in (0, 1)
    ]
    on_torus = (colors[0].object_index == 4.0) & (colors[1].object_index == 4.0)
    assert on_torus.any()
    assert (np.abs(colors[0].combined - colors[1].combined).max(axis=2)[on_torus] > 0.1).mean() > 0.9


def test_neural_normals_on_a_mesh(renderers: Renderers) -> None:
    # A coarse ball a little outside of the sphere wears the sphere's normals.
    ball = shapes.sphere_mesh(3, 0.61)
    wearing = renderers.scenes.NeuralNormals(shapes.sphere_sequence(), np.eye(4))
    worn = renderers.mesh(flat_geometry(ball, "coarse ball"), np.eye(4), 1, neural_normals=wearing)
    camera = looking_at((0, 0, 0), (1.0, -3.0, 0.8))
    scene = renderers.scenes.Scene(camera, (), (worn,), (renderers.sun(),))
    gpu, cpu = renderers.both(scene, renderers.config())
    assert_same_colors(gpu, cpu)
    agreed = agreement(gpu, cpu, EXTENT)
    assert agreed.normals >= 0.99
    rays = pixel_rays(camera, (SIDE, SIDE), (0, 0, SIDE, SIDE))
    seen = gpu.object_index.reshape(-1) == 1.0
    t = (gpu.depth.reshape(-1) - rays.start_depth) / rays.cosines
    outward = (rays.origins + t[:, None] * rays.directions)[seen]
    outward /= np.linalg.norm(outward, axis=1)[:, None]
    cosines = (gpu.normal.reshape(-1, 3)[seen] * outward).sum(axis=1)
    # Facets alone are off by up to eight degrees.
    assert np.mean(cosines > np.cos(np.radians(2.0))) > 0.97


def test_networks_stay_while_pictures_need_them(renderers: Renderers) -> None:
    scene, config = among_meshes(renderers), renderers.config(16)
    picture = renderers.gpu.begin(scene, config)
    picture.advance(10.0)
    picture.free()
    uploaded = len(renderers.device.alive)
    again = renderers.gpu.begin(scene, config)
    again.advance(10.0)
    assert again.finished
    again.free()
    assert len(renderers.device.alive) == uploaded
    renderers.gpu.begin(replace(scene, instances=()), config).free()
    assert len(renderers.device.alive) < uploaded
