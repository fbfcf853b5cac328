# SPDX-License-Identifier: GPL-3.0-or-later
"""What meshes of all kinds enclose, against solids known in closed form, and what the artist is told of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import shapes

from kernels.meshes import TriangleMesh, clean, doubled_areas, in_network_space
from kernels.solids import Solid
from kernels.training_config import SamplingConfig

CONFIG = SamplingConfig()
HALF_SHEET = CONFIG.sheet_thickness / 2
SPHERE = shapes.sphere_mesh(4, radius=0.8)
# The largest gap between a sphere of radius 0.8 and its mesh.
CHORD = 4e-3
POINTS = np.random.default_rng(7).uniform(-1.0, 1.0, (1500, 3))


def solid(mesh: TriangleMesh) -> Solid:
    return Solid(mesh, CONFIG, np.random.default_rng(0))


def field(columns: int, height: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> TriangleMesh:
    """A terrain over the square [-0.9, 0.9]^2."""
    ticks = np.linspace(-0.9, 0.9, columns + 1)
    x, y = np.meshgrid(ticks, ticks, indexing="ij")
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    return TriangleMesh(np.column_stack([x.ravel(), y.ravel(), height(x, y).ravel()]), faces)


def cap(lowest: float) -> TriangleMesh:
    """What of a sphere lies above a height, in radii."""
    sphere = shapes.sphere_mesh(4)
    return clean(TriangleMesh(sphere.vertices, sphere.faces[sphere.vertices[sphere.faces].mean(1)[:, 2] > lowest]))


def test_a_plain_solid_says_nothing() -> None:
    for mesh in (SPHERE, shapes.box_mesh((0.5, 0.5, 0.5)), shapes.torus_mesh()):
        plain = solid(mesh)
        assert plain.is_plain
        assert plain.assumptions() == ()
    np.testing.assert_allclose(solid(SPHERE).distance(POINTS), shapes.sphere(0.8)(POINTS), atol=CHORD)


def test_single_flipped_faces_do_not_matter() -> None:
    flipped = np.random.default_rng(0).random(len(SPHERE.faces)) < 0.1
    mesh = TriangleMesh(SPHERE.vertices, np.where(flipped[:, None], SPHERE.faces[:, ::-1], SPHERE.faces))
    mended = solid(mesh)
    np.testing.assert_array_equal(mended.distance(POINTS), solid(SPHERE).distance(POINTS))
    (assumption,) = mended.assumptions()
    assert "turned around" in assumption


def test_inside_out_as_a_whole() -> None:
    turned = solid(shapes.inside_out(SPHERE))
    np.testing.assert_array_equal(turned.distance(POINTS), solid(SPHERE).distance(POINTS))
    assert turned.assumptions() == ("All faces pointed inwards: they were turned around",)
    points, normals, _ = turned.surface(500, np.random.default_rng(0))
    assert ((points * normals).sum(axis=1) > 0.0).all()


@pytest.mark.parametrize("turn", [lambda mesh: mesh, shapes.inside_out], ids=["outward", "inside out"])
def test_a_shell_turned_the_other_way_is_a_cavity(turn: Callable[[TriangleMesh], TriangleMesh]) -> None:
    inner = TriangleMesh(SPHERE.vertices * 0.5, SPHERE.faces)
    hollow = solid(turn(shapes.joined(SPHERE, shapes.inside_out(inner))))
    outer, hole = shapes.sphere(0.8)(POINTS), -shapes.sphere(0.4)(POINTS)
    np.testing.assert_allclose(hollow.distance(POINTS), np.maximum(outer, hole), atol=CHORD)
    points, normals, _ = hollow.surface(500, np.random.default_rng(0))
    outward = np.where(np.linalg.norm(points, axis=1) > 0.6, 1.0, -1.0)
    assert ((points * normals).sum(axis=1) * outward > 0.0).all()


def test_nested_shells_turned_the_same_way_are_one_solid() -> None:
    inner = TriangleMesh(SPHERE.vertices * 0.5, SPHERE.faces)
    nested = solid(shapes.joined(SPHERE, inner))
    np.testing.assert_allclose(nested.distance(POINTS), shapes.sphere(0.8)(POINTS), atol=CHORD)
    points, _, sheets = nested.surface(1000, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.8, atol=CHORD)
    assert sheets == 0.0
    # The inner sphere has a fifth of the area.
    assert len(points) == pytest.approx(800, abs=30)
    (assumption,) = nested.assumptions()
    assert "20 % of the surface lies inside other parts" in assumption


def test_two_objects_far_apart_one_of_them_inside_out() -> None:
    mesh = in_network_space(shapes.joined(SPHERE, shapes.inside_out(shapes.moved(SPHERE, (16.0, 0.0, 0.0)))))
    both = solid(mesh)
    radius = 0.8 * 0.9 / 8.8
    offset = 8.0 * 0.9 / 8.8
    distance = shapes.union(shapes.sphere(radius, (-offset, 0.0, 0.0)), shapes.sphere(radius, (offset, 0.0, 0.0)))
    np.testing.assert_allclose(both.distance(POINTS), distance(POINTS), atol=CHORD)
    turned, apart = both.assumptions()
    assert "50 % of the surface was turned around" in turned
    assert "far apart" in apart


def test_an_open_ball_inside_out_beside_a_closed_one_is_solid() -> None:
    # No part needs its faces looked at one by one, and yet not all of them point outwards.
    closed = shapes.moved(shapes.sphere_mesh(4, radius=0.5), (-0.3, 0.0, 0.0))
    # The hole is no deeper than a chord.
    ball = shapes.moved(shapes.inside_out(shapes.sphere_mesh(5, radius=0.25)), (0.6, 0.0, 0.0))
    both = solid(shapes.joined(closed, TriangleMesh(ball.vertices, ball.faces[1:])))
    distance = shapes.union(shapes.sphere(0.5, (-0.3, 0.0, 0.0)), shapes.sphere(0.25, (0.6, 0.0, 0.0)))
    np.testing.assert_allclose(both.distance(POINTS), distance(POINTS), atol=CHORD)


def test_overlapping_parts_one_of_them_inside_out_are_joined() -> None:
    ball = shapes.sphere_mesh(4, radius=0.5)
    left, right = (shapes.moved(ball, (x, 0.0, 0.0)) for x in (-0.3, 0.3))
    both = solid(shapes.joined(left, shapes.inside_out(right)))
    distance = shapes.union(shapes.sphere(0.5, (-0.3, 0.0, 0.0)), shapes.sphere(0.5, (0.3, 0.0, 0.0)))(POINTS)
    clear = np.abs(distance) > CHORD
    np.testing.assert_array_equal(both.distance(POINTS)[clear] < 0.0, distance[clear] < 0.0)


@pytest.mark.parametrize(
    "mesh",
    [
        field(1, lambda x, y: 0.0 * x),
        field(40, lambda x, y: 0.3 * np.sin(4.0 * x) * np.cos(5.0 * y)),
        field(40, lambda x, y: np.exp(-8.0 * (x**2 + y**2))),
        in_network_space(cap(0.7)),
        in_network_space(cap(0.5)),
    ],
    ids=["plane", "terrain", "mountain", "shallow bowl", "bowl"],
)
def test_open_surfaces_become_sheets(mesh: TriangleMesh) -> None:
    sheet = solid(mesh)
    points, _, share = sheet.surface(1000, np.random.default_rng(0))
    assert share == 1.0
    np.testing.assert_allclose(sheet.distance(points), 0.0, atol=0.21 * HALF_SHEET)
    # Nothing is deeper inside than the middle of a sheet.
    assert sheet.distance(POINTS).min() >= -HALF_SHEET - 1e-9
    (assumption,) = sheet.assumptions()
    assert "100 % of the surface encloses nothing" in assumption


@pytest.mark.parametrize(
    ("mesh", "half_extents", "layers"),
    [
        (field(7, lambda x, y: 0.0 * x), (0.9, 0.9, 0.0), 1),
        # Each of its sides is a sheet, in the same place as the other.
        (shapes.box_mesh((0.9, 0.6, 1e-4)), (0.9, 0.6, 1e-4), 2),
    ],
    ids=["plane", "hair-thin plate"],
)
def test_sheets_end_in_a_round_rim(mesh: TriangleMesh, half_extents: tuple[float, float, float], layers: int) -> None:
    points, normals, _ = solid(mesh).surface(200_000, np.random.default_rng(0))
    # A ball rolled over the sheet leaves a box with round edges.
    core = np.clip(points, -np.array(half_extents), half_extents)
    np.testing.assert_allclose(np.linalg.norm(points - core, axis=1), HALF_SHEET, atol=3e-4)
    x, y = 2.0 * np.array(half_extents[:2])
    beyond = (np.abs(points[:, :2]) > np.array(half_extents[:2]) + 1e-9).any(axis=1)
    rim = np.pi * HALF_SHEET * 2.0 * (x + y)
    assert beyond.mean() == pytest.approx(rim / (rim + 2.0 * layers * x * y), rel=0.15)
    np.testing.assert_allclose(normals[beyond], (points - core)[beyond] / HALF_SHEET, atol=0.05)
    # All along it and all around it.
    for side in (1.0, -1.0):
        for axis in (0, 1):
            at = side * points[:, axis] > half_extents[axis] + 1e-9
            along = points[at, 1 - axis] / half_extents[1 - axis]
            assert np.abs(np.histogram(along, 10, (-1.0, 1.0))[0] / at.sum() - 0.1).max() < 0.03
            height = np.degrees(np.arcsin((points[at, 2] / HALF_SHEET).clip(-1.0, 1.0)))
            assert np.histogram(height, 6, (-90.0, 90.0))[0].min() > 0.1 * at.sum()


def test_cards_that_are_mostly_rim_cost_no_more_points() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(-0.85, 0.85, (4000, 1, 3)) + rng.uniform(-0.02, 0.02, (4000, 3, 3))
    mesh = TriangleMesh(corners.reshape(-1, 3), np.arange(12_000).reshape(-1, 3))
    for either in (mesh, shapes.inside_out(mesh)):
        cards = solid(either)
        points, _, share = cards.surface(20_000, np.random.default_rng(0))
        assert share > 0.9
        assert 20_000 < len(points) < 3.1 * 20_000
        # Sheets point nowhere.
        assert not any("pointed inwards" in assumption for assumption in cards.assumptions())


def test_a_sheet_has_no_rim_where_it_ends_inside_a_solid() -> None:
    # Its border lies inside the ball on one side, outside of it on the other.
    flap = shapes.moved(field(1, lambda x, y: 0.0 * x), (0.9, 0.0, 0.0))
    flap = TriangleMesh(flap.vertices * [0.5, 0.2, 1.0], flap.faces)
    ball = shapes.sphere_mesh(4, radius=0.5)
    points, _, share = solid(shapes.joined(ball, flap)).surface(50_000, np.random.default_rng(0))
    assert share > 0.02
    assert shapes.sphere(0.5)(points).min() > -CHORD
    assert (points[:, 0] > 0.9).any()
    inner = np.abs(points[:, 0]) < 0.3
    assert np.abs(shapes.sphere(0.5)(points[inner])).max() < CHORD


def test_deep_bowls_and_boxes_of_loose_panels_are_solid() -> None:
    for lowest in (0.0, -0.5):
        bowl = solid(in_network_space(cap(lowest)))
        assert bowl.surface(1000, np.random.default_rng(0))[2] == 0.0
        (assumption,) = bowl.assumptions()
        assert "a hole" in assumption
    # No vertex of one side is one of another side's.
    box = shapes.box_mesh((0.5, 0.6, 0.7))
    loose = [TriangleMesh(box.vertices, box.faces[[side, side + 6]]) for side in range(6)]
    panels = solid(clean_apart(shapes.joined(*loose)))
    assert len(panels.parts.areas) == 6
    np.testing.assert_allclose(panels.distance(POINTS), shapes.box((0.5, 0.6, 0.7))(POINTS), atol=1e-3)


def clean_apart(mesh: TriangleMesh) -> TriangleMesh:
    """The mesh without the vertices that no face uses, and those that are equal left apart."""
    used, faces = np.unique(mesh.faces, return_inverse=True)
    return TriangleMesh(mesh.vertices[used], faces.reshape(-1, 3))


def test_a_solid_on_a_plane_stays_solid() -> None:
    plane = shapes.moved(field(1, lambda x, y: 0.0 * x), (0.0, 0.0, -0.85))
    both = solid(shapes.joined(SPHERE, plane))
    ball = shapes.sphere(0.8)(POINTS)
    sheet = shapes.box((0.9, 0.9, 0.0))(POINTS + [0.0, 0.0, 0.85]) - HALF_SHEET
    np.testing.assert_allclose(both.distance(POINTS), np.minimum(ball, sheet), atol=CHORD)
    (assumption,) = both.assumptions()
    assert "encloses nothing" in assumption


def test_a_wall_inside_a_solid_is_left_out() -> None:
    box = shapes.box_mesh((0.5, 0.5, 0.5))
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.499
    wall = TriangleMesh(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    walled = solid(shapes.joined(box, wall))
    np.testing.assert_allclose(walled.distance(POINTS), shapes.box((0.5, 0.5, 0.5))(POINTS), atol=1e-6)
    (assumption,) = walled.assumptions()
    assert "inside other parts" in assumption


def test_a_hair_thin_plate_becomes_a_sheet() -> None:
    plate = solid(shapes.box_mesh((0.9, 0.6, 1e-4)))
    points, _, share = plate.surface(1000, np.random.default_rng(0))
    assert share > 0.99
    core = np.clip(points, (-0.9, -0.6, 0.0), (0.9, 0.6, 0.0))
    np.testing.assert_allclose(np.linalg.norm(points - core, axis=1), HALF_SHEET, atol=1.3e-3)
    assert any("encloses nothing" in assumption for assumption in plate.assumptions())


def test_distances_are_measured_to_each_face_once() -> None:
    terrain = solid(field(40, lambda x, y: 0.3 * np.sin(4.0 * x) * np.cos(5.0 * y)))
    assert terrain.boundary is None
    assert len(terrain.sheets.faces) == len(terrain.parts.mesh.faces)
    # Two bars in a cross, some of their faces whole and some in pieces: what is left of both is their union's surface.
    bars = (0.8, 0.2, 0.2), (0.2, 0.8, 0.3)
    cross = solid(shapes.joined(*map(shapes.box_mesh, bars)))
    area = sum(8.0 * (x * y + y * z + z * x) for x, y, z in bars) - 3.0 * 2.0 * 0.4**2
    assert doubled_areas(cross.boundary.vertices, cross.boundary.faces).sum() / 2.0 == pytest.approx(area, rel=0.02)
    assert cross.sheets is None


def test_a_tangle_is_sampled() -> None:
    corners = np.random.default_rng(0).uniform(-0.9, 0.9, (30, 3, 3))
    tangle = solid(TriangleMesh(corners.reshape(-1, 3), np.arange(90).reshape(-1, 3)))
    points, normals, _ = tangle.surface(1000, np.random.default_rng(0))
    assert len(points) > 0
    assert np.isfinite(tangle.distance(POINTS)).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-9)
