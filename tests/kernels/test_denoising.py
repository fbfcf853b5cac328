# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise put onto meshes is found, measured and smoothed; meshes without noise are left alone."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import igl
import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.denoising import without_noise
from kernels.meshes import TriangleMesh, clean, in_network_space

SPHERE = shapes.sphere_mesh(5, radius=0.8)
TORUS = shapes.torus_mesh(120, 48)


def noisy(mesh: TriangleMesh, deviation: float, seed: int = 0) -> TriangleMesh:
    """Every vertex moved along its normal, evenly up to deviation times the square root of three either way."""
    rng = np.random.default_rng(seed)
    normals = igl.per_vertex_normals(mesh.vertices, mesh.faces)
    offsets = rng.uniform(-1.0, 1.0, (len(normals), 1)) * deviation * np.sqrt(3.0)
    return TriangleMesh(mesh.vertices + offsets * normals, mesh.faces)


def found_noise(mesh: TriangleMesh) -> float:
    return without_noise(mesh)[1]


def normal_degrees(mesh: TriangleMesh, distance: shapes.Distance) -> float:
    """Mean angle between the faces' normals and those of a shape at their centres, weighted by area."""
    centers = mesh.vertices[mesh.faces].mean(axis=1)
    cosines = (igl.per_face_normals(mesh.vertices, mesh.faces) * shapes.unit_normals(distance, centers)).sum(axis=1)
    angles = np.degrees(np.arccos(cosines.clip(-1.0, 1.0)))
    return float(np.average(angles, weights=igl.doublearea(mesh.vertices, mesh.faces)))


def divided_box(half_extents: tuple[float, float, float], cuts: int) -> TriangleMesh:
    """A box whose sides are grids of `cuts` by `cuts` squares."""
    corners = shapes.box_mesh().vertices[shapes.box_mesh().faces]
    # Each triangle as a grid of its own, in barycentric steps; the sides' diagonals match.
    steps = [(i, j) for i, j in product(range(cuts), repeat=2) if i + j < cuts]
    upper = [((i, j), (i + 1, j), (i, j + 1)) for i, j in steps]
    lower = [((i + 1, j), (i + 1, j + 1), (i, j + 1)) for i, j in steps if i + j < cuts - 1]
    grid = np.array(upper + lower) / cuts
    weights = np.concatenate([1.0 - grid.sum(axis=2, keepdims=True), grid], axis=2)
    triangles = np.einsum("gkw,fwc->fgkc", weights, corners).reshape(-1, 3).round(12) * half_extents
    return clean(TriangleMesh(triangles, np.arange(len(triangles)).reshape(-1, 3)))


@pytest.mark.parametrize(
    ("mesh", "distance"), [(SPHERE, shapes.sphere(0.8)), (TORUS, shapes.torus())], ids=["sphere", "torus"]
)
@pytest.mark.parametrize("deviation", [0.004, 0.015])
def test_noise_is_measured_and_smoothed(mesh: TriangleMesh, distance: shapes.Distance, deviation: float) -> None:
    scan = noisy(mesh, deviation)
    smooth, noise = without_noise(scan)
    assert noise == pytest.approx(deviation, rel=0.15)
    np.testing.assert_array_equal(smooth.faces, scan.faces)
    # A quarter of the normals' error is left at most, and less than half of the distance.
    assert normal_degrees(smooth, distance) < 0.25 * normal_degrees(scan, distance) + 1.0
    before, after = (np.sqrt((distance(m.vertices) ** 2).mean()) for m in (scan, smooth))
    assert after < 0.5 * before


def test_creases_survive() -> None:
    # With one smoothing for all, the edges of the box would be round over several edges' lengths.
    box = divided_box((0.8, 0.6, 0.4), 40)
    smooth, noise = without_noise(noisy(box, 0.006))
    assert noise == pytest.approx(0.006, rel=0.3)
    near_edges = (np.sort(np.abs(np.abs(box.vertices) - [0.8, 0.6, 0.4]), axis=1)[:, 1]) < 1e-9
    offsets = np.abs(shapes.box((0.8, 0.6, 0.4))(smooth.vertices))
    assert offsets[near_edges].mean() < 0.006
    assert offsets[~near_edges].mean() < 0.003


@pytest.mark.parametrize(
    "mesh",
    [
        SPHERE,
        TORUS,
        divided_box((0.8, 0.8, 0.8), 30),
        divided_box((0.9, 0.6, 1e-4), 30),
        shapes.box_mesh(),
        shapes.joined(SPHERE, shapes.inside_out(SPHERE)),
        shapes.sphere_mesh(3),
    ],
    ids=["sphere", "torus", "cube", "hair-thin sheet", "twelve triangles", "both sides", "few triangles"],
)
def test_meshes_without_noise_are_left_alone(mesh: TriangleMesh) -> None:
    same, noise = without_noise(mesh)
    assert noise == 0.0
    assert same is mesh


def test_folds_and_bumps_are_no_noise() -> None:
    # Bumps of two edges' lengths, eight vertices around each: detail, however strong.
    torus = shapes.torus_mesh(160, 64)
    normals = igl.per_vertex_normals(torus.vertices, torus.faces)
    angle = np.arctan2(torus.vertices[:, 1], torus.vertices[:, 0])
    for frequency in (10, 20):
        bumps = 0.04 * np.sin(frequency * angle)[:, None]
        assert found_noise(TriangleMesh(torus.vertices + bumps * normals, torus.faces)) == 0.0


def test_voxels_are_no_noise() -> None:
    # Steps in and out alternate from vertex to vertex, yet every one is meant.
    ticks = (np.arange(30) + 0.5) / 15.0 - 1.0
    cells = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1)
    filled = np.pad((np.linalg.norm(cells, axis=-1) < 0.8).astype(int), 1)
    quads = []
    for axis, turn in product(range(3), (1, -1)):
        corners = np.argwhere(np.diff(filled, axis=axis) == turn).astype(float)
        corners[:, axis] += 1.0
        u, v = np.eye(3)[[(axis + 1) % 3, (axis + 2) % 3]]
        quads.append(np.stack([corners, corners + u, corners + u + v, corners + v], axis=1)[:, ::-turn])
    triangles = np.concatenate(quads)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    assert found_noise(clean(TriangleMesh(triangles, np.arange(len(triangles)).reshape(-1, 3)))) == 0.0


def test_loose_triangles_are_no_noise() -> None:
    corners = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, 3, 3))
    assert found_noise(TriangleMesh(corners.reshape(-1, 3), np.arange(3000).reshape(-1, 3))) == 0.0


def test_the_border_of_an_open_scan_stays() -> None:
    ticks = np.linspace(-0.9, 0.9, 61)
    x, y = np.meshgrid(ticks, ticks, indexing="ij")
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]))
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    height = np.random.default_rng(0).normal(0.0, 0.01, x.size)
    scan = TriangleMesh(np.column_stack([x.ravel(), y.ravel(), height]), faces)
    smooth, noise = without_noise(scan)
    assert noise == pytest.approx(0.01, rel=0.15)
    assert np.abs(smooth.vertices[:, 2]).mean() < 0.3 * np.abs(height).mean()
    # Only the corners are rounded a little.
    border = (np.abs(scan.vertices[:, :2]) > 0.899).any(axis=1)
    moved = np.linalg.norm((smooth.vertices - scan.vertices)[border, :2], axis=1)
    assert np.median(moved) < 5e-3
    assert np.ptp(smooth.vertices[:, :2], axis=0).min() > 1.77


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 2**31 - 1))
def test_noise_scales_with_the_mesh(scale: float, seed: int) -> None:
    scan = noisy(SPHERE, 0.01, seed)
    scaled = TriangleMesh(scan.vertices * scale, scan.faces)
    assert found_noise(scaled) == pytest.approx(scale * found_noise(scan), rel=1e-6)
    assert found_noise(scan) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize(
    "name", ["stanford-bunny.obj", "igea.ply", "nefertiti.obj", "fandisk.obj", "spot.obj", "teapot.obj", "beetle.obj"]
)
def test_shared_meshes_have_no_noise(name: str, shared_meshes: Path) -> None:
    mesh = in_network_space(clean(TriangleMesh(*igl.read_triangle_mesh(str(shared_meshes / name))[:2])))
    assert found_noise(mesh) == 0.0


def test_few_triangles_have_no_noise(shared_meshes: Path) -> None:
    mesh = clean(TriangleMesh(*igl.read_triangle_mesh(str(shared_meshes / "stanford-bunny.obj"))[:2]))
    vertices, faces = igl.decimate(mesh.vertices, mesh.faces, 3000)[:2]
    assert len(vertices) > 1000
    assert found_noise(TriangleMesh(vertices, faces)) == 0.0
