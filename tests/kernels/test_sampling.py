# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples of meshes against distances and normals known in closed form, and against libigl's signed distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import igl
import numpy as np
import pytest
import shapes

from kernels.files import read_arrays, write_arrays
from kernels.meshes import TriangleMesh, clean, in_network_space
from kernels.sampling import Samples, sample
from kernels.solids import Solid, split_large_triangles
from kernels.surface_sampling import surface_samples
from kernels.training_config import SamplingConfig

FAST = SamplingConfig(surface_count=8000, near_count=4000, uniform_count=2000)
HALF_SHEET = FAST.sheet_thickness / 2
SPHERE = shapes.sphere_mesh(5, radius=0.8)
# The largest gap between a sphere of this radius and its mesh.
CHORD = 1e-3


def check_layout(samples: Samples) -> None:
    for array in (samples.surface_points, samples.surface_normals, samples.volume_points, samples.volume_distances):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert samples.surface_points.shape == samples.surface_normals.shape
    assert samples.volume_points.shape == (FAST.near_count + FAST.uniform_count, 3)
    assert samples.volume_distances.shape == (FAST.near_count + FAST.uniform_count,)
    assert samples.near_count == FAST.near_count
    assert np.abs(samples.volume_points).max() <= 1.0
    np.testing.assert_allclose(np.linalg.norm(samples.surface_normals, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("turn", [lambda mesh: mesh, shapes.inside_out], ids=["outward", "inside out"])
def test_sphere(turn: Callable[[TriangleMesh], TriangleMesh]) -> None:
    samples = sample(turn(SPHERE), FAST)
    check_layout(samples)
    assert len(samples.surface_points) == FAST.surface_count
    assert samples.components == 1
    assert samples.sheet_share == 0.0
    radii = np.linalg.norm(samples.surface_points, axis=1)
    np.testing.assert_allclose(radii, 0.8, atol=CHORD)
    # Smooth normals, and outward ones whichever way the faces are turned.
    outward = samples.surface_points / radii[:, None]
    assert (samples.surface_normals * outward).sum(1).min() > np.cos(np.radians(1.0))
    np.testing.assert_allclose(samples.volume_distances, shapes.sphere(0.8)(samples.volume_points), atol=CHORD)
    # Near points crowd around the surface, a share of them more widely; uniform ones fill the cube.
    near = np.abs(samples.volume_distances[: FAST.near_count])
    assert np.median(near) < 0.5 * FAST.near_deviation
    assert 0.1 < (near > 2.0 * FAST.near_deviation).mean() < FAST.wide_share
    assert np.std(samples.volume_points[FAST.near_count :], axis=0) == pytest.approx(1.0 / np.sqrt(3.0), rel=0.05)


def test_box() -> None:
    extents = (0.9, 0.5, 0.3)
    samples = sample(shapes.box_mesh(extents), FAST)
    check_layout(samples)
    np.testing.assert_allclose(samples.volume_distances, shapes.box(extents)(samples.volume_points), atol=1e-6)
    np.testing.assert_allclose(shapes.box(extents)(samples.surface_points.astype(float)), 0.0, atol=1e-6)
    # Edges at right angles are creases: every normal is an axis, the one of its side.
    axis = np.abs(samples.surface_normals).argmax(axis=1)
    rows = np.arange(len(axis))
    np.testing.assert_allclose(np.abs(samples.surface_normals[rows, axis]), 1.0, atol=1e-6)
    expected = np.sign(samples.surface_normals[rows, axis]) * np.array(extents)[axis]
    np.testing.assert_allclose(samples.surface_points[rows, axis], expected, atol=1e-6)


def test_signed_distances_are_those_of_libigl() -> None:
    mesh = in_network_space(shapes.joined(SPHERE, shapes.moved(shapes.box_mesh((0.2, 0.3, 0.4)), (1.5, 0.0, 0.0))))
    samples = sample(mesh, FAST)
    assert samples.components == 2
    points = samples.volume_points.astype(float)
    expected = igl.signed_distance(points, mesh.vertices, mesh.faces, sign_type=igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)[
        0
    ]
    np.testing.assert_allclose(samples.volume_distances, expected, atol=1e-6)


def test_points_are_uniform_by_area() -> None:
    # Two triangles, one a hundred times as large as the other.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.1, 0, 1], [0, 0.1, 1]], float)
    mesh = TriangleMesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    normals = np.tile([0.0, 0.0, 1.0], (2, 3, 1))
    points, interpolated, faces = surface_samples(mesh, normals, 20_200, np.random.default_rng(0))
    large = points[:, 2] == 0.0
    np.testing.assert_array_equal(faces, np.where(large, 0, 1))
    assert (~large).sum() == pytest.approx(200, abs=2)
    np.testing.assert_array_equal(interpolated, np.tile([0.0, 0.0, 1.0], (len(points), 1)))
    # Inside a triangle: the four triangles between its edges' midpoints get a quarter each.
    x, y = points[large, 0], points[large, 1]
    quarters = [(x > 0.5).mean(), (y > 0.5).mean(), (x + y < 0.5).mean()]
    assert quarters == pytest.approx([0.25] * 3, abs=0.015)
    # In random order: any part of the points is as uniform as all of them.
    assert (points[:2000, 2] != 0.0).sum() == pytest.approx(20, abs=15)


def test_interpenetrating_spheres_have_no_surface_inside_one_another() -> None:
    offset = 0.4
    ball = shapes.sphere_mesh(5, radius=0.5)
    left, right = (shapes.moved(ball, (x, 0.0, 0.0)) for x in (-offset, offset))
    samples = sample(shapes.joined(left, right), FAST)
    check_layout(samples)
    distance = shapes.union(shapes.sphere(0.5, (-offset, 0.0, 0.0)), shapes.sphere(0.5, (offset, 0.0, 0.0)))
    assert np.abs(distance(samples.surface_points.astype(float))).max() < 4e-3
    assert len(samples.surface_points) > 0.7 * FAST.surface_count
    # Outside, the union's distance is exact; inside, its sign is.
    expected = distance(samples.volume_points.astype(float))
    outside = expected > 0.0
    np.testing.assert_allclose(samples.volume_distances[outside], expected[outside], atol=4e-3)
    assert (samples.volume_distances[expected < -2 * CHORD] < 0.0).all()
    assert samples.sheet_share < 0.01


def test_large_faces_that_run_through_another_part_are_cut_there() -> None:
    # Two bars in a cross: half of each large face is outside, half of it is buried.
    bars = (0.8, 0.2, 0.2), (0.2, 0.8, 0.2)
    samples = sample(shapes.joined(*map(shapes.box_mesh, bars)), FAST)
    distance = shapes.union(*map(shapes.box, bars))
    assert np.abs(distance(samples.surface_points.astype(float))).max() < 2e-3
    outside = distance(samples.volume_points.astype(float)) > 0.0
    np.testing.assert_allclose(
        samples.volume_distances[outside], distance(samples.volume_points[outside].astype(float)), atol=0.01
    )
    # Deep inside the crossing, what is buried counts no longer: the surface is 0.2 away in z.
    core = (np.abs(samples.volume_points[:, :2]) < 0.1).all(1) & (np.abs(samples.volume_points[:, 2]) < 0.05)
    assert core.any()
    assert samples.volume_distances[core].max() < -0.14


def test_open_plane_becomes_a_sheet() -> None:
    vertices = np.array([[-0.9, -0.9, 0.0], [0.9, -0.9, 0.0], [0.9, 0.9, 0.0], [-0.9, 0.9, 0.0]])
    samples = sample(TriangleMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]])), FAST)
    check_layout(samples)
    assert samples.sheet_share == 1.0
    core = np.clip(samples.surface_points, (-0.9, -0.9, 0.0), (0.9, 0.9, 0.0))
    outward = samples.surface_points - core
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), HALF_SHEET, atol=1e-6)
    np.testing.assert_allclose(samples.surface_normals, outward / HALF_SHEET, atol=1e-4)
    is_side = np.abs(outward[:, :2]).max(axis=1) == 0.0
    np.testing.assert_allclose(np.abs(samples.surface_points[is_side, 2]), HALF_SHEET, atol=1e-6)
    sides = np.sign(samples.surface_points[is_side, 2])
    np.testing.assert_allclose(samples.surface_normals[is_side, 2], sides, atol=1e-6)
    # Both sides alike.
    assert (samples.surface_points[:, 2] > 0).mean() == pytest.approx(0.5, abs=0.02)
    expected = shapes.box((0.9, 0.9, 0.0))(samples.volume_points.astype(float)).clip(0.0) - HALF_SHEET
    np.testing.assert_allclose(samples.volume_distances, expected, atol=1e-6)


def test_half_sphere_is_solid_and_keeps_its_whole_surface() -> None:
    # From within, the shell covers more than half of the view: the winding number closes the opening.
    sphere = shapes.sphere_mesh(5)
    cap = clean(TriangleMesh(sphere.vertices, sphere.faces[sphere.vertices[sphere.faces].mean(1)[:, 2] > 0.0]))
    mesh = in_network_space(cap)
    samples = sample(mesh, FAST)
    check_layout(samples)
    assert len(samples.surface_points) > 0.98 * FAST.surface_count

    def unsigned(points: np.ndarray) -> np.ndarray:
        return np.sqrt(igl.point_mesh_squared_distance(points.astype(float), mesh.vertices, mesh.faces)[0])

    assert unsigned(samples.surface_points).max() < 1e-3
    np.testing.assert_allclose(np.abs(samples.volume_distances), unsigned(samples.volume_points), atol=1e-3)
    # The sphere's centre is at the opening, half of the height below the middle of the box.
    above = samples.volume_points + [0.0, 0.0, 0.45]
    inside = (np.linalg.norm(above, axis=1) < 0.88) & (above[:, 2] > 0.05)
    assert (samples.volume_distances[inside] < 0.0).all()
    assert (samples.volume_distances[(np.linalg.norm(above, axis=1) > 0.92) | (above[:, 2] < -0.3)] > 0.0).all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_extents_do_not_matter(scale: float) -> None:
    plain, scaled = (
        sample(in_network_space(clean(TriangleMesh(SPHERE.vertices * s, SPHERE.faces))), FAST) for s in (1.0, scale)
    )
    np.testing.assert_allclose(scaled.volume_distances, plain.volume_distances, atol=1e-5)
    np.testing.assert_allclose(scaled.surface_points, plain.surface_points, atol=1e-5)


@pytest.mark.parametrize(
    "vertices",
    [
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]],
        [[0, 0, 0], [1, 0, 0], [0.5, 1e-5, 0]],
    ],
    ids=["one triangle", "sliver"],
)
def test_one_triangle_is_a_sheet(vertices: list[list[float]]) -> None:
    samples = sample(in_network_space(clean(TriangleMesh(np.array(vertices, float), np.array([[0, 1, 2]])))), FAST)
    check_layout(samples)
    assert samples.sheet_share == 1.0


@pytest.mark.parametrize("merged", [True, False])
def test_a_closed_mesh_doubled_with_opposite_faces_is_solid(merged: bool) -> None:
    # What "solidify" with no thickness leaves: as it comes, its winding numbers cancel everywhere.
    doubled = shapes.joined(SPHERE, shapes.inside_out(SPHERE))
    samples = sample(clean(doubled) if merged else doubled, FAST)
    check_layout(samples)
    np.testing.assert_allclose(samples.volume_distances, shapes.sphere(0.8)(samples.volume_points), atol=CHORD)
    assert samples.assumptions
    assert "50 % of the surface" in samples.assumptions[0]


def test_samples_come_back_from_their_arrays(tmp_path: Path) -> None:
    samples = replace(sample(SPHERE, FAST), assumptions=("One: ä.", "Another."))
    write_arrays(tmp_path / "samples.npz", samples.arrays())
    restored = Samples.from_arrays(read_arrays(tmp_path / "samples.npz"))
    assert restored.traits == samples.traits
    assert restored.assumptions == samples.assumptions
    for name, value in samples.arrays().items():
        np.testing.assert_array_equal(restored.arrays()[name], value)
        with pytest.raises(ValueError, match="no samples"):
            Samples.from_arrays({other: array for other, array in samples.arrays().items() if other != name})
    assert Samples.from_arrays(replace(samples, assumptions=()).arrays()).assumptions == ()
    with pytest.raises(ValueError, match="surface_normals"):
        Samples.from_arrays(samples.arrays() | {"surface_normals": samples.surface_normals[:-1]})


def test_a_scan_with_noise_is_smoothed_and_says_so() -> None:
    rng = np.random.default_rng(0)
    offsets = rng.uniform(-0.02, 0.02, (len(SPHERE.vertices), 1))
    samples = sample(TriangleMesh(SPHERE.vertices * (1.0 + offsets / 0.8), SPHERE.faces), FAST)
    assert samples.traits.noise == pytest.approx(0.02 / np.sqrt(3.0), rel=0.15)
    (assumption,) = samples.assumptions
    assert "noise of about 0.6" in assumption
    outward = samples.surface_points / np.linalg.norm(samples.surface_points, axis=1, keepdims=True)
    angles = np.degrees(np.arccos((samples.surface_normals * outward).sum(1).clip(-1.0, 1.0)))
    assert angles.mean() < 4.0
    assert sample(SPHERE, FAST).assumptions == ()


def test_the_same_seed_gives_the_same_samples() -> None:
    first, second = sample(SPHERE, FAST), sample(SPHERE, FAST)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, vars(second)[name])


def test_splitting_large_triangles() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-1.0, 1.0, (20, 3, 3))
    pieces, origins = split_large_triangles(corners, 0.3)
    edges = np.linalg.norm(pieces - np.roll(pieces, 1, axis=1), axis=2)
    assert edges.max() <= 0.3

    def areas(triangles: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)

    np.testing.assert_allclose(np.bincount(origins, areas(pieces)), areas(corners))
    again, same = split_large_triangles(pieces, 0.3)
    np.testing.assert_array_equal(again, pieces)
    np.testing.assert_array_equal(same, np.arange(len(pieces)))
    nothing, of_nothing = split_large_triangles(corners[:0], 0.3)
    assert (nothing.shape, of_nothing.shape) == ((0, 3, 3), (0,))


# A sheet's surface may be off by a fifth of half its thickness.
@pytest.mark.parametrize(
    ("name", "sheets", "tolerance"), [("teapot.obj", 0.0, 1e-3), ("beetle.obj", 0.005, 0.2 * HALF_SHEET)]
)
def test_open_models(name: str, sheets: float, tolerance: float, shared_meshes: Path) -> None:
    mesh = in_network_space(clean(TriangleMesh(*igl.read_triangle_mesh(str(shared_meshes / name))[:2])))
    samples = sample(mesh, FAST)
    check_layout(samples)
    assert len(samples.surface_points) > 0.95 * FAST.surface_count
    assert samples.sheet_share == pytest.approx(sheets, abs=0.01)
    solid = Solid(mesh, FAST, np.random.default_rng(0))
    distance = np.abs(solid.distance(samples.surface_points.astype(float)))
    assert (distance < tolerance).mean() > 0.998
    assert distance.max() < 2 * HALF_SHEET
