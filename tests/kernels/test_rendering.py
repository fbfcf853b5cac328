# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of placed objects against ellipsoids and spheres in closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapes
from pictures import CONFIG, RADIUS, TRANSFORMS, camera, ellipsoid, placed

from kernels import ambient_occlusion, nearest_hits, rendering
from kernels.cameras import Camera
from kernels.lighting import World, camera_rig
from kernels.rendering import render, render_tiles, sample_offsets
from kernels.scenes import BACKGROUND_DEPTH, NeuralInstance, RenderConfig, Scene
from kernels.shading import Material


def scene_of(*instances: NeuralInstance, view: Camera | None = None, **more: object) -> Scene:
    view = view or camera()
    return Scene(view, instances, lights=camera_rig(view.camera_to_world), **more)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("perspective", [True, False])
def test_any_affine_transform(name: str, perspective: bool) -> None:
    linear = TRANSFORMS[name]
    scale = abs(np.linalg.det(linear)) ** (1 / 3)
    view = camera(4.0 * scale, perspective)
    if not perspective:
        view.projection[:2] /= scale
    view = Camera(view.projection, view.camera_to_world, 0.01 * scale, 100.0 * scale)
    matrix = placed(linear, (0.1 * scale, -0.05 * scale, 0.0))
    picture = render(scene_of(NeuralInstance("o", shapes.sphere_sequence(), matrix), view=view), CONFIG)
    depth, normals = ellipsoid(view, matrix, CONFIG)
    seen, expected = picture.depth < BACKGROUND_DEPTH, np.isfinite(depth)
    assert (seen != expected).mean() < 0.01
    both = seen & expected
    assert np.median(np.abs(picture.depth - depth)[both]) < 2e-3 * scale
    cosines = (picture.normal * normals)[both].sum(-1)
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).mean() < 1.5
    np.testing.assert_allclose(np.linalg.norm(picture.normal[both], axis=-1), 1.0, atol=1e-5)
    assert (picture.normal[~seen] == 0.0).all()


def test_objects_occlude_one_another_whatever_their_order() -> None:
    red = NeuralInstance(
        "red", shapes.sphere_sequence(), placed(np.eye(3), (-0.3, 0.0, 0.4)), Material((1.0, 0.0, 0.0), 1.0)
    )
    blue = NeuralInstance(
        "blue", shapes.sphere_sequence(), placed(np.eye(3), (0.3, 0.0, -0.4)), Material((0.0, 0, 1), 1.0)
    )
    first, second = render(scene_of(red, blue), CONFIG), render(scene_of(blue, red), CONFIG)
    np.testing.assert_array_equal(first.combined, second.combined)
    depths = [ellipsoid(camera(), item.network_to_world, CONFIG)[0] for item in (red, blue)]
    is_red = first.combined[..., 0] > 2.0 * first.combined[..., 2]
    expected = depths[0] < depths[1]
    seen = np.isfinite(depths[0]) | np.isfinite(depths[1])
    assert (is_red == expected)[seen].mean() > 0.98
    assert (is_red & seen).any()
    assert (~is_red & seen).any()


def test_intersecting_objects_split_the_picture() -> None:
    one = NeuralInstance("one", shapes.sphere_sequence(), placed(np.eye(3), (-0.2, 0.0, 0.0)))
    two = NeuralInstance("two", shapes.sphere_sequence(), placed(np.eye(3), (0.2, 0.0, 0.0)))
    picture = render(scene_of(one, two), CONFIG)
    depth = np.minimum(*(ellipsoid(camera(), item.network_to_world, CONFIG)[0] for item in (one, two)))
    both = (picture.depth < BACKGROUND_DEPTH) & np.isfinite(depth)
    assert np.median(np.abs(picture.depth - depth)[both]) < 2e-3


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0]), np.full((4, 4), np.nan)])
def test_an_object_without_volume_shows_nothing(matrix: np.ndarray) -> None:
    picture = render(scene_of(NeuralInstance("flat", shapes.sphere_sequence(), matrix)), CONFIG)
    assert (picture.depth == BACKGROUND_DEPTH).all()


def test_film_and_world() -> None:
    sphere = NeuralInstance("o", shapes.sphere_sequence(), np.eye(4))
    world = (0.1, 0.2, 0.3)
    opaque = render(scene_of(sphere, world=World(world)), CONFIG).combined
    clear = render(scene_of(sphere, world=World(world), film_transparent=True), CONFIG).combined
    np.testing.assert_allclose(opaque[0, 0], (*world, 1.0), atol=1e-6)
    assert (opaque[..., 3] == 1.0).all()
    assert (clear[0, 0] == 0.0).all()
    np.testing.assert_array_equal(clear[24, 32], opaque[24, 32])


def test_antialiasing_is_premultiplied_and_leaves_depth_alone() -> None:
    scene = scene_of(NeuralInstance("o", shapes.sphere_sequence(), np.eye(4)), film_transparent=True)
    one, many = render(scene, CONFIG), render(scene, RenderConfig(64, 48, samples=16, trace_finest=True))
    np.testing.assert_array_equal(one.depth, many.depth)
    np.testing.assert_array_equal(one.normal, many.normal)
    alpha = many.combined[..., 3]
    edge = (alpha > 0.05) & (alpha < 0.95)
    assert edge.any()
    assert set(np.unique(one.combined[..., 3])) == {0.0, 1.0}
    # The picture's area is the disc's: pixels at the edge are covered as much as they should be.
    assert alpha.sum() == pytest.approx(np.isfinite(ellipsoid(camera(), np.eye(4), CONFIG)[0]).sum(), rel=0.03)
    assert (many.combined[..., :3].max(-1) <= alpha * 3.0 + 1e-6).all()


def test_a_region_is_a_part_of_the_whole() -> None:
    scene = scene_of(NeuralInstance("o", shapes.torus_sequence(), np.eye(4)))
    whole = render(scene, RenderConfig(64, 48, samples=2))
    part = render(scene, RenderConfig(64, 48, region=(20, 5, 31, 22), samples=2))
    same = np.isclose(part.combined, whole.combined[5:27, 20:51], atol=1e-3).all(-1)
    assert same.mean() > 0.995
    assert part.region == (20, 5, 31, 22)


def test_tiles_cover_the_region_once() -> None:
    scene = scene_of(NeuralInstance("o", shapes.sphere_sequence(), np.eye(4)))
    config = RenderConfig(1000, 700, region=(3, 11, 777, 555))
    covered = np.zeros((700, 1000), dtype=int)
    for x, y, width, height in rendering.tile_regions(scene, config):
        covered[y : y + height, x : x + width] += 1
    assert (covered[11:566, 3:780] == 1).all()
    assert covered.sum() == 777 * 555


def test_rendering_twice_gives_the_same() -> None:
    scene = scene_of(NeuralInstance("o", shapes.torus_sequence(), np.eye(4)))
    first, second = (render(scene, RenderConfig(64, 48, samples=3, threads=threads)) for threads in (1, 2))
    np.testing.assert_array_equal(first.combined, second.combined)


def test_cancelling_ends_the_work() -> None:
    scene = scene_of(NeuralInstance("o", shapes.torus_sequence(), np.eye(4)))
    config = RenderConfig(2000, 2000, samples=64)
    asked = itertools.count()
    tiles = list(render_tiles(scene, config, cancelled=lambda: next(asked) >= 3))
    assert next(asked) == 4, "it was asked again after it had been cancelled"
    assert len(tiles) < len(rendering.tile_regions(scene, config))


def test_no_tile_comes_after_the_work_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those that were done by then."""
    wait = rendering.wait
    monkeypatch.setattr(rendering, "wait", lambda futures, **_: wait(futures))
    scene = scene_of(NeuralInstance("o", shapes.sphere_sequence(), np.eye(4)))
    config = RenderConfig(600, 60, samples=1)
    assert len(rendering.tile_regions(scene, config)) > 1
    taken: list[int] = []
    for tile in render_tiles(scene, config, lambda: bool(taken)):
        taken.append(tile.region[0])
    assert len(taken) == 1


def test_objects_outside_the_picture_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_hits, "trace", lambda *_: pytest.fail("traced an object that cannot be seen"))
    away = NeuralInstance("away", shapes.sphere_sequence(), placed(np.eye(3), (30.0, 0.0, 0.0)))
    behind = NeuralInstance("behind", shapes.sphere_sequence(), placed(np.eye(3), (0.0, 0.0, 30.0)))
    picture = render(scene_of(away, behind), CONFIG)
    assert (picture.depth == BACKGROUND_DEPTH).all()


def test_camera_inside_an_object_sees_it_from_within() -> None:
    picture = render(scene_of(NeuralInstance("o", shapes.sphere_sequence(), np.eye(4)), view=camera(0.0)), CONFIG)
    assert (picture.depth < 1.0).all()
    # Looking along -z, every normal comes towards the viewer.
    assert (picture.normal[..., 2] > 0.0).all()


def test_openness_is_full_on_a_ball_and_less_in_a_fold() -> None:
    points = shapes.surface_points(shapes.sphere(), 300).astype(np.float32)
    open_ball = ambient_occlusion.openness(shapes.sphere_sequence(), points, points / RADIUS)
    assert open_ball.mean() > 0.96
    from_within = ambient_occlusion.openness(shapes.sphere_sequence(), points, -points / RADIUS)
    assert from_within.mean() == pytest.approx(1.0, abs=0.1), "the middle of a ball is as far as its radius"
    # On a torus the inner rim faces itself across the hole, the outer rim faces nothing.
    rim = np.array([[0.55 - 0.22, 0.0, 0.0], [0.55 + 0.22, 0.0, 0.0]], dtype=np.float32)
    inner, outer = ambient_occlusion.openness(
        shapes.torus_sequence(), rim, np.array([[-1, 0, 0], [1, 0, 0]], dtype=np.float32)
    )
    assert inner < 0.9 < outer


def test_sample_offsets() -> None:
    offsets = sample_offsets(64)
    np.testing.assert_array_equal(offsets[0], 0.0)
    assert np.abs(offsets).max() < 1.0
    np.testing.assert_allclose(offsets.mean(0), 0.0, atol=0.05)
    # A tent of radius 1 has the variance 1/6.
    np.testing.assert_allclose(offsets.var(0), 1.0 / 6.0, atol=0.02)
