# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of shapes on spheres, boxes and grids, whose figures are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import box_mesh, inside_out, joined, moved, sphere_mesh

from kernels.meshes import TriangleMesh

pytest.importorskip("igl")
pytest.importorskip("scipy")

from benchmarks import measures, metrics

FINE = 5


def on_sphere(radius: float, count: int, seed: int) -> np.ndarray:
    """Points uniform on a sphere around the origin."""
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_chamfer_of_concentric_spheres() -> None:
    # The nearest point of a dense set is about straight away: both means are the squared difference of the radii.
    found = metrics.chamfer(on_sphere(1.0, 20_000, 0), on_sphere(1.2, 20_000, 1))
    assert found.forward == pytest.approx(0.04, rel=0.02)
    assert found.backward == pytest.approx(0.04, rel=0.02)
    assert found.total == found.forward + found.backward


def test_chamfer_knows_its_directions() -> None:
    # One point at distance 2, another far away, which only the way back has to reach.
    found = metrics.chamfer(np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 10.0]]))
    assert (found.forward, found.backward) == (4.0, 52.0)


def test_chamfer_of_a_surface_with_itself_is_what_is_told() -> None:
    # Poisson points of density N / A have their nearest neighbour at pi r^2 N / A = 1 in the mean of squares.
    count = 50_000
    found = metrics.chamfer(on_sphere(1.0, count, 0), on_sphere(1.0, count, 1))
    assert found.total == pytest.approx(2.0 * 4.0 * np.pi / (np.pi * count), rel=0.05)


def test_hausdorff_of_spheres_and_of_a_spike() -> None:
    sphere = sphere_mesh(FINE, 1.0)
    assert metrics.hausdorff(sphere, sphere_mesh(FINE, 1.1), 2000) == pytest.approx(0.1, abs=2e-3)
    spiked = TriangleMesh(sphere.vertices.copy(), sphere.faces)
    spiked.vertices[0] *= 1.5
    assert metrics.hausdorff(sphere, spiked, 100) == pytest.approx(0.5, abs=2e-3)
    assert metrics.hausdorff(spiked, sphere, 100) == pytest.approx(0.5, abs=2e-3)


def test_unit_sphere_holds_the_mesh() -> None:
    mesh = moved(box_mesh((1.0, 2.0, 2.0)), (5.0, 6.0, 7.0))
    placed = metrics.unit_sphere(mesh)
    assert placed.radius == pytest.approx(3.0)
    np.testing.assert_allclose(placed.center, (5.0, 6.0, 7.0))
    assert np.linalg.norm(placed.mesh(mesh).vertices, axis=1).max() == pytest.approx(1.0)


def test_overlap_of_solids_on_the_grid() -> None:
    grid = metrics.grid_centers(40)
    assert len(grid) == 40**3
    assert np.abs(grid).max() == pytest.approx(1.0 - 1.0 / 40)
    inside = metrics.is_inside(sphere_mesh(FINE, 0.8), grid)
    assert inside.mean() == pytest.approx(4.0 / 3.0 * np.pi * 0.8**3 / 8.0, rel=0.02)
    np.testing.assert_array_equal(metrics.is_inside(inside_out(sphere_mesh(FINE, 0.8)), grid), inside)


def test_shell_overlap_counts_voxels_of_one_grid() -> None:
    first = np.array([[0.05, 0.05, 0.05], [0.06, 0.06, 0.06], [0.15, 0.05, 0.05]])
    second = np.array([[0.01, 0.01, 0.01], [-0.05, 0.05, 0.05]])
    # Voxels {000, 100} and {000, -100}: one shared of three.
    assert metrics.shell_overlap(first, second, 0.1) == pytest.approx(1.0 / 3.0)
    assert metrics.shell_overlap(first, first, 0.1) == 1.0
    assert metrics.shell_overlap(first, second + 5.0, 0.1) == 0.0


def test_what_lies_over_a_hole() -> None:
    # A box without its lid at z = 1.
    box = box_mesh()
    opened = TriangleMesh(box.vertices, box.faces[box.vertices[box.faces][:, :, 2].min(axis=1) < 0.5])
    points = np.array([[0.5, 0.2, 1.0], [0.5, 0.2, -1.0], [1.0, 0.3, 0.4], [0.9, 0.0, 1.3]])
    np.testing.assert_array_equal(metrics.over_holes(points, opened), [True, False, False, True])
    assert not metrics.over_holes(points, box).any()


def test_faces_inside_a_solid_and_sheets_bound_nothing() -> None:
    inner, sheet = box_mesh((0.2, 0.2, 0.2)), TriangleMesh(np.eye(3) * 0.1 + 5.0, np.array([[0, 1, 2]]))
    mesh = joined(box_mesh(), inner, sheet)
    points = np.array([[1.0, 0.1, 0.1], [0.2, 0.01, 0.02], [5.03, 5.03, 5.04], [0.1, -1.0, 0.1]])
    normals = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.577, 0.577, 0.577], [0.0, 1.0, 0.0]])
    bounds, outward = metrics.bounding(mesh, points, normals)
    np.testing.assert_array_equal(bounds, [True, False, False, True])
    # The last one was given the wrong way round.
    np.testing.assert_array_equal(outward[[0, 3]], [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def test_normal_angles_of_a_field_that_is_turned() -> None:
    surface = metrics.outward_normals(sphere_mesh(FINE), 20_000)
    exact = metrics.normal_angles(lambda points: 3.0 * points, *surface)
    assert exact.percentile_95 < 0.5
    # Turned about z by 10 degrees: by that much at the equator, by nothing at the poles.
    c, s = np.cos(np.radians(10.0)), np.sin(np.radians(10.0))
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    turned = metrics.normal_angles(lambda points: points @ turn.T, *surface)
    # The chord is sin(colatitude), whose mean over a sphere is pi / 4 and whose median is sqrt(3) / 2.
    assert turned.mean == pytest.approx(10.0 * np.pi / 4.0, rel=0.02)
    assert turned.median == pytest.approx(10.0 * 3.0**0.5 / 2.0, rel=0.02)
    assert turned.percentile_95 == pytest.approx(10.0, rel=0.02)
    assert metrics.normal_angles(lambda points: -points, *surface).mean == pytest.approx(180.0, abs=0.5)
    # Whichever way the faces look, normals are those out of the solid.
    points, normals = metrics.outward_normals(inside_out(sphere_mesh(FINE)), 500)
    assert measures.angles(points, normals).max() < 1.0


def test_creases_stay_sharp() -> None:
    surface = metrics.surface(box_mesh())
    corners = surface.corner_normals
    np.testing.assert_allclose(np.abs(corners).max(axis=2), 1.0, atol=1e-9)
    assert measures.angles(corners[:, 0], corners[:, 1]).max() < 1e-6
