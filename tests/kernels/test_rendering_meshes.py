# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes in pictures: alone, around and inside neural objects, in the sun, wearing neural normals, in false colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes
from pictures import CONFIG, RADIUS, TRANSFORMS, camera, ellipsoid, placed

from kernels import false_colors, placing
from kernels.cameras import Camera, pixel_rays, project
from kernels.lighting import SunLight, World
from kernels.meshes import TriangleMesh
from kernels.rendering import render
from kernels.scenes import (
    BACKGROUND_DEPTH,
    Display,
    Geometry,
    MeshInstance,
    NeuralInstance,
    NeuralNormals,
    RenderConfig,
    Scene,
    Tile,
)
from kernels.shading import Material

DULL_WHITE = Material((1.0, 1.0, 1.0), 1.0)


def geometry_of(mesh: TriangleMesh, normals: np.ndarray | None = None, slots: np.ndarray | None = None) -> Geometry:
    """Flat shaded, or with (V, 3) normals at the vertices."""
    corners = mesh.vertices[mesh.faces]
    if normals is None:
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        at_corners = np.repeat((flat / np.linalg.norm(flat, axis=1)[:, None])[:, None], 3, axis=1)
    else:
        at_corners = normals[mesh.faces]
    slots = np.zeros(len(mesh.faces), np.int32) if slots is None else slots
    return Geometry(
        mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), at_corners.astype(np.float32), slots, "mesh"
    )


def smooth_sphere(radius: float, subdivisions: int = 5) -> Geometry:
    mesh = shapes.sphere_mesh(subdivisions, radius)
    return geometry_of(mesh, mesh.vertices / radius)


def square(half: float) -> Geometry:
    """The plane z = 0, seen from above."""
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half
    return geometry_of(TriangleMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]])))


def picture_of(
    *meshes: MeshInstance,
    view: Camera | None = None,
    instances: tuple = (),
    lights: tuple = (),
    config: RenderConfig = CONFIG,
    **more: object,
) -> Tile:
    world = World((1.0, 1.0, 1.0))
    return render(Scene(view or camera(), instances, meshes, lights, world, **more), config)


@pytest.mark.parametrize("perspective", [True, False])
@pytest.mark.parametrize("name", ["stretched", "mirrored", "sheared"])
def test_a_mesh_under_any_affine_transform(name: str, perspective: bool) -> None:
    view = camera(4.0, perspective)
    matrix = placed(TRANSFORMS[name], (0.1, -0.05, 0.0))
    picture = picture_of(MeshInstance("m", smooth_sphere(RADIUS), matrix, object_index=7), view=view)
    depth, normals = ellipsoid(view, matrix, CONFIG)
    seen, expected = picture.depth < BACKGROUND_DEPTH, np.isfinite(depth)
    assert (seen != expected).mean() < 0.01
    both = seen & expected
    assert np.median(np.abs(picture.depth - depth)[both]) < 2e-3
    cosines = (picture.normal * normals)[both].sum(-1)
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).mean() < 0.5
    np.testing.assert_array_equal(picture.object_index, np.where(seen, 7.0, 0.0))


def test_slots_choose_materials() -> None:
    slots = np.array([0, 5], np.int32)  # a slot beyond the materials takes the last
    geometry = replace(square(2.0), material_slots=slots)
    red, blue = Material((1.0, 0.0, 0.0), 1.0), Material((0.0, 0.0, 1.0), 1.0)
    picture = picture_of(MeshInstance("m", geometry, np.eye(4), (red, blue)), view=camera(1.0))
    # Below the diagonal from the lower left to the upper right corner lies the first triangle.
    height, width = picture.depth.shape
    reds = picture.combined[..., 0] > picture.combined[..., 2]
    assert reds[5, width - 5]
    assert not reds[height - 5, 5]
    assert reds.mean() == pytest.approx(0.5, abs=0.02)
    plain = picture_of(MeshInstance("m", geometry, np.eye(4)), view=camera(1.0))
    assert np.ptp(plain.combined[..., 0]) < 0.05


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_normals_face_the_viewer_on_both_sides(turn: float, mirror: float) -> None:
    """Looked at from behind, or through a mirrored transform, a plane's normal still comes towards the viewer."""
    picture = picture_of(MeshInstance("m", square(2.0), placed(np.diag([mirror, 1.0, turn]))), view=camera(1.0))
    np.testing.assert_allclose(picture.normal.reshape(-1, 3), [[0.0, 0.0, 1.0]] * picture.depth.size, atol=1e-6)


def test_flat_transforms_and_broken_ones() -> None:
    flat = picture_of(MeshInstance("flat", smooth_sphere(0.5), np.diag([1.0, 1.0, 0.0, 1.0])))
    assert flat.depth[flat.depth < BACKGROUND_DEPTH] == pytest.approx(4.0)
    assert np.isfinite(flat.combined).all()
    for matrix in (np.zeros((4, 4)), np.full((4, 4), np.nan)):
        assert (picture_of(MeshInstance("m", square(1.0), matrix)).depth == BACKGROUND_DEPTH).all()


def test_only_what_lies_between_the_clip_planes_is_seen() -> None:
    mesh = MeshInstance("m", smooth_sphere(0.6), np.eye(4))
    whole = picture_of(mesh).depth
    cut = picture_of(mesh, view=replace(camera(), clip_start=3.8)).depth
    assert 3.8 <= cut.min() < whole[whole < BACKGROUND_DEPTH].max() + 1.3
    behind = np.isclose(cut, whole)
    assert (cut[~behind] > 4.0).all(), "past the cut the inner side is seen"
    far = picture_of(mesh, view=replace(camera(), clip_end=3.7)).depth
    assert (far[whole > 3.7] == BACKGROUND_DEPTH).all()
    assert (far[whole < 3.69] < 3.7).all()


@pytest.mark.parametrize("growth", [-0.03, 0.03])
def test_a_neural_object_inside_and_around_its_source_mesh(growth: float) -> None:
    """The nearer of the two wins on 99.5 % of the pixels that show either."""
    config = RenderConfig(160, 120, samples=1)
    tilted = np.array([[1.0, 0, 0], [0, np.cos(0.9), -np.sin(0.9)], [0, np.sin(0.9), np.cos(0.9)]])
    mesh = shapes.torus_mesh(200, 80, 0.55, 0.22 + growth)
    instance = NeuralInstance("neural", shapes.torus_sequence(), placed(tilted), object_index=1)
    shell = MeshInstance("mesh", geometry_of(mesh), placed(tilted), object_index=2)
    picture = picture_of(shell, instances=(instance,), config=config, view=camera(2.6))
    owner = 2.0 if growth > 0 else 1.0
    seen = picture.object_index > 0
    assert seen.sum() > 1500
    assert (picture.object_index == owner)[seen].mean() > 0.995


def test_a_mesh_in_front_spares_the_rays_behind_it() -> None:
    instance = NeuralInstance("neural", shapes.sphere_sequence(), np.eye(4), object_index=1)
    wall = MeshInstance("wall", square(50.0), placed(np.eye(3), (0.0, 0.0, 2.0)), object_index=2)
    config = replace(CONFIG, display=Display.ITERATIONS)
    picture = picture_of(wall, instances=(instance,), config=config)
    assert (picture.object_index == 2).all()
    none = false_colors.false_colors(Display.ITERATIONS, np.zeros(1))
    np.testing.assert_allclose(picture.combined[..., :3].reshape(-1, 3), np.repeat(none, picture.depth.size, 0))


SUN = (0.48, -0.36, 0.8)


def shadow_of_the_ball(view: Camera, center: np.ndarray, config: RenderConfig) -> tuple[np.ndarray, np.ndarray]:
    """Whether each pixel's point of the plane z = -1 lies in the ball's shadow, and its distance from that border."""
    rays = pixel_rays(view, (config.width, config.height), config.rendered_region)
    t = (-1.0 - rays.origins[:, 2]) / rays.directions[:, 2]
    points = rays.origins + t[:, None] * rays.directions - center
    toward = np.array(SUN) / np.linalg.norm(SUN)
    across = np.linalg.norm(points - (points @ toward)[:, None] * toward, axis=1)
    shape = (config.height, config.width)
    return (across < RADIUS).reshape(shape), np.abs(across - RADIUS).reshape(shape)


@pytest.mark.parametrize("kind", ["neural", "mesh", "mesh on screen's edge"])
def test_the_shadow_of_a_ball_on_a_plane(kind: str) -> None:
    config = RenderConfig(96, 72, samples=1, sun_shadows=True, ambient_occlusion=False)
    center = np.array([2.2, 0.0, 0.2]) if kind.endswith("edge") else np.array([0.3, 0.1, 0.2])
    ball = placed(np.eye(3), tuple(center))
    plane = MeshInstance("plane", square(4.0), placed(np.eye(3), (0.0, 0.0, -1.0)), (DULL_WHITE,), 1)
    instances, meshes = (), (plane,)
    if kind == "neural":
        instances = (NeuralInstance("ball", shapes.sphere_sequence(), ball, DULL_WHITE, 2),)
    else:
        meshes = (plane, MeshInstance("ball", smooth_sphere(RADIUS), ball, (DULL_WHITE,), 2))
    sun = SunLight(tuple(np.array(SUN) / np.linalg.norm(SUN)), (3.0, 3.0, 3.0))
    fill = SunLight((0.0, 0.0, 1.0), (0.5, 0.5, 0.5))  # weaker: casts no shadow
    picture = picture_of(*meshes, instances=instances, lights=(fill, sun), config=config)
    lit = picture_of(plane, lights=(fill, sun), config=config).combined[..., 0]
    dark = picture_of(plane, lights=(fill,), config=config).combined[..., 0]
    expected, border = shadow_of_the_ball(camera(), center, config)
    clear = (picture.object_index == 1) & (border > 0.03)
    assert (clear & expected).sum() > 30
    np.testing.assert_allclose(picture.combined[..., 0][clear & expected], dark[clear & expected], atol=0.01)
    assert np.isclose(picture.combined[..., 0], lit, atol=0.01)[clear & ~expected].mean() > 0.999
    # Nothing is spotted by shadows of itself.
    ball_lit = picture_of(*meshes, instances=instances, lights=(fill, sun), config=replace(config, sun_shadows=False))
    on_ball = (picture.object_index == 2) & (picture.normal @ np.array(sun.direction) > 0.25)
    np.testing.assert_allclose(picture.combined[on_ball], ball_lit.combined[on_ball], atol=0.02)


def neural_normals_picture(radius: float, transition: float) -> tuple[Tile, np.ndarray]:
    """A flat-shaded ball of that radius wearing the normals of a bumpy one, and its points (H, W, 3) in the world."""
    matrix = placed(np.diag([0.8, 1.1, -1.0]), (0.1, 0.0, 0.2))
    geometry = geometry_of(shapes.sphere_mesh(3, radius))
    # The mesh's local space is the network's, turned over.
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    wearing = NeuralNormals(shapes.sphere_sequence(), turned, transition)
    picture = picture_of(MeshInstance("m", geometry, matrix, neural_normals=wearing))
    rays = pixel_rays(camera(), (CONFIG.width, CONFIG.height), CONFIG.rendered_region)
    t = (picture.depth.reshape(-1) - rays.start_depth) / rays.cosines
    local = (rays.origins + t[:, None] * rays.directions - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    return picture, local.reshape(*picture.depth.shape, 3)


def world_normals(local: np.ndarray) -> np.ndarray:
    normals = local @ np.linalg.inv(np.diag([0.8, 1.1, -1.0]))
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def test_neural_normals_are_those_of_the_sequence_in_the_band() -> None:
    picture, local = neural_normals_picture(RADIUS, 0.25)
    seen = picture.depth < BACKGROUND_DEPTH
    turned = local[seen] * [1.0, -1.0, -1.0]
    expected = world_normals(shapes.sphere_sequence().normals(turned.astype(np.float32)) * [1.0, -1.0, -1.0])
    cosines = (picture.normal[seen] * expected).sum(-1)
    # At the outline normals are bent towards the viewer.
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).max() < 12.0
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).mean() < 0.2
    assert len(np.unique(picture.normal[seen].round(4), axis=0)) > 0.9 * seen.sum(), "no longer flat"


def test_own_normals_outside_the_band_and_a_soft_way_between() -> None:
    delta = shapes.sphere_sequence().bands[0].delta
    outside, _ = neural_normals_picture(RADIUS + 1.5 * delta, 0.25)
    mesh = geometry_of(shapes.sphere_mesh(3, RADIUS + 1.5 * delta))
    own = picture_of(MeshInstance("m", mesh, placed(np.diag([0.8, 1.1, -1.0]), (0.1, 0.0, 0.2))))
    np.testing.assert_allclose(outside.normal, own.normal, atol=1e-6)
    # At half the transition the normals lie half way.
    between, local = neural_normals_picture(RADIUS + 0.75 * delta, 0.5)
    hard, _ = neural_normals_picture(RADIUS + 0.75 * delta, 0.0)
    plain = picture_of(
        MeshInstance(
            "m",
            geometry_of(shapes.sphere_mesh(3, RADIUS + 0.75 * delta)),
            placed(np.diag([0.8, 1.1, -1.0]), (0.1, 0.0, 0.2)),
        )
    )
    seen = between.depth < BACKGROUND_DEPTH
    radii = np.linalg.norm(local[seen], axis=1)
    share = ((1.0 - (radii - RADIUS) / delta) / 0.5).clip(0.0, 1.0)
    share = (share * share * (3.0 - 2.0 * share))[:, None]
    expected = plain.normal[seen] * (1.0 - share) + hard.normal[seen] * share
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(between.normal[seen] - expected).mean() < 3e-3
    assert np.abs(hard.normal - plain.normal)[seen].mean() > 0.03, "the two ends differ"


def test_false_colors_show_levels_and_bands() -> None:
    instance = NeuralInstance("o", shapes.sphere_sequence(), np.eye(4))
    wall = MeshInstance("wall", square(50.0), placed(np.eye(3), (0.0, 0.0, -2.0)))
    pictures = {
        display: picture_of(wall, instances=(instance,), config=replace(CONFIG, display=display, trace_finest=True))
        for display in (Display.LEVEL, Display.BAND)
    }
    depth, _ = ellipsoid(camera(), np.eye(4), CONFIG)
    on_ball = np.isfinite(depth) & (pictures[Display.LEVEL].depth < 5.0)
    levels = pictures[Display.LEVEL].combined[..., :3]
    finest = false_colors.false_colors(Display.LEVEL, np.array([1.0]))[0]
    np.testing.assert_allclose(levels[on_ball], np.broadcast_to(finest, levels[on_ball].shape), atol=1e-6)
    np.testing.assert_allclose(levels[-1, -1], false_colors.NO_NUMBER_COLOR, atol=1e-6)
    # Both levels of the ball are nearly the same, so its points lie in the middle of the band.
    middle = false_colors.false_colors(Display.BAND, np.array([0.0, 0.3]))
    bands = pictures[Display.BAND].combined[..., :3][on_ball]
    assert (bands >= middle.min(0) - 1e-6).all()
    assert (bands <= middle.max(0) + 1e-6).all()


def test_levels_are_those_asked_for() -> None:
    instance = NeuralInstance("o", shapes.torus_sequence(), np.eye(4))
    config = replace(CONFIG, display=Display.LEVEL)
    for level in (0, 1, 9):
        picture = picture_of(instances=(instance,), config=replace(config, traced_level=level))
        color = false_colors.false_colors(Display.LEVEL, np.array([float(min(level, 1))]))[0]
        seen = picture.depth < BACKGROUND_DEPTH
        assert np.isclose(picture.combined[..., :3], color, atol=1e-6).all(-1)[seen].all()
    coarse = picture_of(instances=(instance,), config=replace(CONFIG, normal_level=0, traced_level=0))
    points = np.nonzero(coarse.depth < BACKGROUND_DEPTH)
    rays = pixel_rays(camera(), (CONFIG.width, CONFIG.height), CONFIG.rendered_region)
    t = (coarse.depth.reshape(-1) - rays.start_depth) / rays.cosines
    hits = (rays.origins + t[:, None] * rays.directions).reshape(*coarse.depth.shape, 3)[points]
    expected = shapes.torus_sequence().normals(hits.astype(np.float32), 0)
    assert np.abs(coarse.normal[points] - expected).mean() < 1e-2


def test_ambient_occlusion_can_be_switched_off() -> None:
    instance = NeuralInstance("o", shapes.torus_sequence(), np.eye(4))
    with_it = picture_of(instances=(instance,))
    without = picture_of(instances=(instance,), config=replace(CONFIG, ambient_occlusion=False))
    seen = with_it.depth < BACKGROUND_DEPTH
    brighter = (without.combined - with_it.combined)[seen][:, 0]
    assert brighter.min() > -1e-6
    assert brighter.max() > 0.05


def test_film_and_tiles_with_meshes(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = MeshInstance("m", smooth_sphere(0.6, 3), np.eye(4), object_index=1)
    instance = NeuralInstance("o", shapes.torus_sequence(), np.eye(4), object_index=2)
    config = replace(CONFIG, samples=2)
    whole = picture_of(mesh, instances=(instance,), config=config, film_transparent=True)
    assert set(np.unique(whole.object_index)) == {0.0, 1.0, 2.0}
    assert (whole.combined[0, 0] == 0.0).all()
    monkeypatch.setattr("kernels.rendering.TILE_COST", 1.0)
    tiled = picture_of(mesh, instances=(instance,), config=config, film_transparent=True)
    np.testing.assert_allclose(tiled.combined, whole.combined, atol=1e-3)
    np.testing.assert_array_equal(tiled.object_index, whole.object_index)


def test_many_meshes_and_those_beside_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of instances, of which only those that may be seen are projected."""
    ball = smooth_sphere(0.05, 1)
    places = [(x, y, z) for x in np.linspace(-9.0, 9.0, 19) for y in np.linspace(-9.0, 9.0, 19) for z in (0.0, 6.0)]
    meshes = tuple(
        MeshInstance("m", ball, placed(np.eye(3), place), object_index=row + 1) for row, place in enumerate(places)
    )
    seen = placing.place_meshes(Scene(camera(), meshes=meshes), CONFIG)
    pixels, depths = project(camera(), np.array(places), (CONFIG.width, CONFIG.height))
    inside = (depths > 0.1) & (pixels > 0.0).all(1) & (pixels < (CONFIG.width, CONFIG.height)).all(1)
    expected = {row + 1 for row in np.flatnonzero(inside)}
    assert expected <= {mesh.object_index for mesh in seen.meshes}
    assert len(seen.meshes) < 2 * len(expected)
    picture = picture_of(*meshes)
    assert expected <= set(np.unique(picture.object_index).astype(int)) - {0}
