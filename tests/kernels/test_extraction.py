# SPDX-License-Identifier: GPL-3.0-or-later
"""Quad proxies against shapes known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st
from sharp_boxes import sharp_box, turn_about

from kernels import extraction, vertex_placing
from kernels.cancelling import Cancelled
from kernels.extraction import QuadMesh, box_proxy, extract
from kernels.mesh_components import component_labels
from kernels.networks import Network, random_network
from kernels.sequence import Band, NestedSequence

TWO_SPHERES = shapes.union(shapes.sphere(0.3, (-0.45, 0.0, 0.0)), shapes.sphere(0.2, (0.5, 0.1, 0.0)))


def edges(mesh: QuadMesh) -> np.ndarray:
    """Directed edges of all quads: (4 Q, 2)."""
    return np.concatenate([mesh.quads[:, [i, (i + 1) % 4]] for i in range(4)])


def assert_closed_oriented_manifold(mesh: QuadMesh) -> None:
    """Every edge has two faces that run along it in opposite directions, and every vertex one fan of faces."""
    assert mesh.quads.shape[1] == 4
    assert all(len(set(quad)) == 4 for quad in mesh.quads.tolist())
    directed = edges(mesh)
    unique, counts = np.unique(directed, axis=0, return_counts=True)
    assert (counts == 1).all(), "two faces run along an edge in the same direction"
    np.testing.assert_array_equal(unique, np.unique(directed[:, ::-1], axis=0), "an edge has one face only")
    # Walking from face to face around a vertex has to meet all of its faces: as many corners as steps.
    following = {(b, a): (b, c) for quad in mesh.quads.tolist() for c, b, a in _corner_triples(quad)}
    faces_at = np.bincount(mesh.quads.reshape(-1), minlength=len(mesh.vertices))
    assert faces_at.min() >= 3
    seen = set()
    for start in following:
        if start[0] in seen:
            continue
        seen.add(start[0])
        steps, edge = 1, following[start]
        while edge != start:
            edge = following[edge]
            steps += 1
        assert steps == faces_at[start[0]], "a vertex where two sheets touch"


def _corner_triples(quad: list[int]) -> list[tuple[int, int, int]]:
    """(before, corner, after) for each corner of a quad."""
    return [(quad[i - 1], quad[i], quad[(i + 1) % 4]) for i in range(4)]


def euler_characteristic(mesh: QuadMesh) -> int:
    return len(mesh.vertices) - len(edges(mesh)) // 2 + len(mesh.quads)


def face_vectors(mesh: QuadMesh) -> np.ndarray:
    """Area-weighted face normals times two: (Q, 3)."""
    a, b, c, d = (mesh.vertices[mesh.quads[:, i]] for i in range(4))
    return np.cross(c - a, d - b)


def volume(mesh: QuadMesh) -> float:
    """Signed volume, positive when the faces are oriented outwards."""
    return float((face_vectors(mesh) * mesh.vertices[mesh.quads].mean(axis=1)).sum() / 6.0)


@pytest.mark.parametrize(
    ("sequence", "shape", "characteristic", "expected_volume"),
    [
        (shapes.sphere_sequence, shapes.sphere(), 2, 4.0 / 3.0 * np.pi * 0.6**3),
        (shapes.torus_sequence, shapes.torus(), 0, 2.0 * np.pi**2 * 0.55 * 0.22**2),
    ],
    ids=["sphere", "torus"],
)
@pytest.mark.parametrize("resolution", [20, 33, 64])
def test_proxy_is_the_closed_form_surface(sequence, shape, characteristic, expected_volume, resolution) -> None:
    mesh = extract(sequence(), resolution)
    assert_closed_oriented_manifold(mesh)
    assert euler_characteristic(mesh) == characteristic
    # The fitted networks themselves are off by up to 0.004.
    assert np.abs(shape(mesh.vertices.astype(np.float64))).max() < 0.006
    assert volume(mesh) == pytest.approx(expected_volume, rel=0.05)
    assert ((face_vectors(mesh) * mesh.normals[mesh.quads].mean(axis=1)).sum(axis=1) > 0.0).all(), "a folded quad"


def test_vertices_lie_on_the_finest_zero_set_with_its_normals() -> None:
    sequence = shapes.torus_sequence()
    mesh = extract(sequence, 48)
    cell = 2.0 / 48
    assert np.abs(sequence.distance(1, mesh.vertices)).max() < 2.0 * vertex_placing.NEWTON_TOLERANCE * cell
    # The gradient is taken where the last step began.
    np.testing.assert_allclose(mesh.normals, sequence.normals(mesh.vertices), atol=1e-3)
    exact = shapes.gradient(shapes.torus(), mesh.vertices.astype(np.float64))
    assert np.degrees(np.linalg.norm(mesh.normals - exact, axis=1)).mean() < 0.5


def test_mesh_is_in_local_space() -> None:
    network = shapes.sphere_sequence().networks[1]
    sequence = NestedSequence((network,), (), center=(10.0, -20.0, 5.0), radius=3.0)
    mesh = extract(sequence, 24)
    offset = mesh.vertices - np.array([10.0, -20.0, 5.0])
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), 1.8, atol=0.01)


@pytest.mark.parametrize("target", [300, 2_000, 15_000])
@pytest.mark.parametrize("sequence", [shapes.sphere_sequence, shapes.torus_sequence], ids=["sphere", "torus"])
def test_target_face_count(sequence, target) -> None:
    mesh = extract(sequence(), target_faces=target)
    assert len(mesh.quads) == pytest.approx(target, rel=0.12)
    assert_closed_oriented_manifold(mesh)


def test_both_components_of_the_source_are_kept() -> None:
    mesh = extract(shapes.fitted_sequence(TWO_SPHERES), 48)
    assert len(np.unique(component_labels(len(mesh.vertices), mesh.quads))) == 2
    assert euler_characteristic(mesh) == 4
    assert np.abs(TWO_SPHERES(mesh.vertices.astype(np.float64))).max() < 0.01


def test_large_component_is_kept_beyond_the_component_count_of_the_source() -> None:
    sequence = shapes.fitted_sequence(TWO_SPHERES, training={"components": 1})
    mesh = extract(sequence, 48, max_resolution=48)
    assert euler_characteristic(mesh) == 4
    assert np.abs(TWO_SPHERES(mesh.vertices.astype(np.float64))).max() < 0.01


@pytest.mark.parametrize("damaged", ["two", -3, 1.5, None, True])
def test_nonsense_in_the_training_record_is_ignored(damaged) -> None:
    assert (
        extraction._recorded_components(NestedSequence((random_network((8,)),), (), training={"components": damaged}))
        is None
    )


def octahedra(at: tuple[float, float, float], size: float, main_size: float = 0.9) -> tuple[Network, Network]:
    """Two exact ReLU networks: a, an octahedron |p|_1 <= main_size; and r, so that a + r is its union with another.

    r = -max(0, a - b) with b the second octahedron |p - at|_1 <= size, which turns a into min(a, b).
    """
    signs = np.concatenate([np.eye(3), -np.eye(3)])
    first, first_bias = np.concatenate([signs, signs]), np.concatenate([np.zeros(6), -signs @ at])
    second = np.array([[1.0] * 6 + [0.0] * 6, [1.0] * 6 + [-1.0] * 6]) / np.sqrt(3.0)
    second_bias = np.array([0.0, size - main_size]) / np.sqrt(3.0)

    def network(last: list[float], last_bias: float) -> Network:
        weights = (first, second, np.array([last]))
        biases = (first_bias, second_bias, np.array([last_bias]))
        return Network(tuple(np.float32(w) for w in weights), tuple(np.float32(b) for b in biases), "relu")

    return network([1.0, 0.0], -main_size / np.sqrt(3.0)), network([0.0, -1.0], 0.0)


def union_of(a: Network, r: Network) -> NestedSequence:
    """a + r of `octahedra` as one independent level: only their last layers differ."""
    return NestedSequence(
        (
            Network(
                (*a.weights[:-1], a.weights[-1] + r.weights[-1]), (*a.biases[:-1], a.biases[-1] + r.biases[-1]), "relu"
            ),
        ),
        (),
    )


def test_small_stray_is_dropped() -> None:
    at = (0.7, 0.7, 0.0)
    sequence = union_of(*octahedra(at, 0.04))
    everything = extract(sequence, 96, components=100)
    assert euler_characteristic(everything) == 4
    assert np.linalg.norm(everything.vertices - at, axis=1).min() < 0.05
    mesh = extract(sequence, 96)
    assert euler_characteristic(mesh) == 2
    assert np.linalg.norm(mesh.vertices - at, axis=1).min() > 0.2


def test_component_cut_off_by_the_cube_is_dropped() -> None:
    mesh = extract(union_of(*octahedra((1.0, 1.0, 0.0), 0.6)), 48)
    assert euler_characteristic(mesh) == 2
    assert np.abs(np.abs(mesh.vertices).sum(axis=1) - 0.9).max() < 0.01


@pytest.mark.parametrize("resolution", [10, 16, 40])
def test_hollow_inside_is_a_stray_however_coarse_the_grid(resolution: int) -> None:
    # A source fills nine tenths of the cube: in a coarse grid it lies in the outermost cells without being cut off.
    hollow = shapes.fitted_network(lambda p: np.maximum(shapes.sphere(0.9)(p), -shapes.sphere(0.4)(p)), 512)
    # The coarse level is solid.
    networks = shapes.fitted_network(shapes.sphere(0.9), 128), hollow
    mesh = extract(NestedSequence(networks, (Band(0.05),), training={"components": 1}), resolution)
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(0.9, abs=0.05)


def test_shape_that_reaches_the_cubes_border_is_kept() -> None:
    """An octahedron with its tips cut off by the cube, and a small whole one beside it."""
    mesh = extract(union_of(*octahedra((0.75, 0.75, 0.75), 0.2, main_size=1.4)), 48)
    assert_closed_oriented_manifold(mesh)
    assert np.abs(mesh.vertices).max() > 0.95


def test_residual_level_is_asked_only_inside_its_band() -> None:
    # The residual is zero near the first octahedron, and makes a second one far outside the band.
    at = (0.75, 0.75, 0.75)
    coarse, residual = octahedra(at, 0.3)
    sequence = NestedSequence((coarse, residual), (Band(0.05),), kind="residual")
    assert sequence.distance(1, np.array([at], np.float32))[0] < 0.0
    mesh = extract(sequence, 32, components=100)
    assert euler_characteristic(mesh) == 2
    assert np.abs(np.abs(mesh.vertices).sum(axis=1) - 0.9).max() < 0.01


@pytest.mark.parametrize("resolution", [19, 48, 131])
def test_edges_and_corners_stay_sharp(resolution: int) -> None:
    half = np.array([0.61, 0.43, 0.52])
    mesh = extract(sharp_box(tuple(half)), resolution)
    assert_closed_oriented_manifold(mesh)
    assert euler_characteristic(mesh) == 2
    cell = 2.0 / resolution
    assert np.abs(np.abs(mesh.vertices) - half).min(axis=1).max() < 2.0 * vertex_placing.NEWTON_TOLERANCE * cell
    # Without vertices on the edges, a strip of half a cell would be missing all along them.
    assert volume(mesh) == pytest.approx(8.0 * half.prod(), rel=1e-3)
    for corner in np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T * half:
        assert np.linalg.norm(mesh.vertices - corner, axis=1).min() < 0.02 * cell


def test_thin_sheet_has_no_holes() -> None:
    mesh = extract(sharp_box((0.6, 0.5, 0.012)), 96)
    assert_closed_oriented_manifold(mesh)
    assert euler_characteristic(mesh) == 2
    # It is little thicker than a cell, and so are the edges that no vertex can be on both sides of.
    assert volume(mesh) == pytest.approx(8.0 * 0.6 * 0.5 * 0.012, rel=0.05)


PLATES = {
    "flat": (np.eye(3), (0.0, 0.0, 0.0)),
    # Between two layers of corners at 64 and 128 cells, and at the first trial for a number of faces.
    "between": (np.eye(3), (0.0, 0.0, 0.008)),
    "tilted": (turn_about((0.0, 1.0, 0.0), 0.15), (0.0, 0.0, 0.0)),
    "oblique": (turn_about((1.0, 2.0, 0.3), 0.5), (0.01, 0.02, 0.03)),
}


@pytest.mark.parametrize("plate", PLATES)
@pytest.mark.parametrize(
    "density", [{}, {"resolution": 64}, {"target_faces": 20_000}, {"target_faces": 3_000}], ids=str
)
def test_plate_thinner_than_a_cell_is_whole(plate: str, density: dict[str, int]) -> None:
    turn, at = PLATES[plate]
    half = np.array([0.9, 0.6, 0.005])
    mesh = extract(sharp_box(tuple(half), turn, at, components=1), **density)
    assert len(np.unique(component_labels(len(mesh.vertices), mesh.quads))) == 1
    vertices = (mesh.vertices - at) @ turn
    # Less than a cell of the coarsest of these grids is missing at each end, and no vertices anywhere.
    assert (np.abs(np.ptp(vertices, axis=0) - 2.0 * half) < 2.0 / 36.0).all()
    squares, _, _ = np.histogram2d(vertices[:, 0], vertices[:, 1], (31, 21), ((-0.9, 0.9), (-0.6, 0.6)))
    assert (squares > 0).all()


def test_resolution_is_not_raised_where_the_caller_forbids_it() -> None:
    with pytest.raises(ValueError, match="zero set is empty"):
        extract(sharp_box((0.9, 0.6, 0.005), *PLATES["between"], components=1), 64, max_resolution=128)


def bow_tie(thickness: float, at: tuple[float, float, float]) -> NestedSequence:
    """An exact ReLU network of two pyramids, their tips joined by a square thread of some half `thickness`.

    The largest of |x| - 0.8, |y| - r and |z| - r where r = thickness + 0.9 max(|x| - 0.3, 0).
    """
    signs = np.array([s * axis for axis in np.eye(3) for s in (1.0, -1.0)])
    # |y| - |z| where positive, |z|, |x|, |x| - 0.3 where positive.
    second = np.array([[0, 0, 1, 1, -1, -1], [0, 0, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]])
    # What the sides say, where positive and where negative, and what the ends say beyond that.
    sides, ends = np.array([1.0, 1.0, 0.0, -0.9]), np.array([0.0, 0.0, 1.0, 0.0])
    weights = (signs, second, np.stack([sides, -sides, ends - sides]), np.array([[1.0, -1.0, 1.0]]))
    biases = (-signs @ at, [0.0, 0.0, 0.0, -0.3], [-thickness, thickness, thickness - 0.8], [0.0])
    network = Network(tuple(np.float32(w) for w in weights), tuple(np.float32(b) for b in biases), "relu")
    return NestedSequence((network,), (), training={"components": 1})


def test_parts_that_a_thin_thread_joins_are_kept() -> None:
    # The thread lies between the corners of 128 cells.
    at = np.array([0.0, 0.008, 0.008])
    for thickness, max_resolution, parts in ((0.006, 512, 1), (0.006, 128, 2), (1e-5, 512, 2)):
        mesh = extract(bow_tie(thickness, at), max_resolution=max_resolution)
        assert len(np.unique(component_labels(len(mesh.vertices), mesh.quads))) == parts
        lowest, highest = mesh.vertices.min(axis=0) - at, mesh.vertices.max(axis=0) - at
        np.testing.assert_allclose([-lowest[0], highest[0]], 0.8, atol=0.01)
        np.testing.assert_allclose(highest[1:], 0.45 + thickness, atol=0.02)
        # Where no resolution joins them, it is the one that was asked for.
        assert len(mesh.quads) < 40_000 or parts == 1


def test_box_stands_for_a_shape_without_surface() -> None:
    sequence = NestedSequence(shapes.sphere_sequence().networks[:1], (), center=(10.0, -20.0, 5.0), radius=2.0)
    mesh = box_proxy(sequence)
    assert_closed_oriented_manifold(mesh)
    assert volume(mesh) == pytest.approx(3.6**3)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), sequence.center, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-6)
    assert ((face_vectors(mesh) * mesh.normals[mesh.quads].mean(axis=1)).sum(axis=1) > 0.0).all()


def test_both_sides_of_a_shell_are_there() -> None:
    network = shapes.fitted_network(lambda p: np.maximum(shapes.sphere(0.7)(p), -shapes.sphere(0.4)(p)), 512, 5.0)
    mesh = extract(NestedSequence((network,), (), training={"components": 2}), 48)
    assert_closed_oriented_manifold(mesh)
    assert euler_characteristic(mesh) == 4
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(np.abs(radii - 0.55) - 0.15).max() < 0.02
    assert (((mesh.normals * mesh.vertices).sum(axis=1) > 0.0) == (radii > 0.55)).all()


def test_progress_runs_from_nothing_to_everything() -> None:
    for target in (None, 2_000):
        shares = []
        extract(shapes.sphere_sequence(), 32, target, progress=shares.append)
        assert shares == sorted(shares)
        assert shares[0] == 0.0
        assert shares[-1] == 1.0
        assert len(shares) > 10


@pytest.mark.parametrize("calls", [1, 4, 12])
def test_cancelled_wherever_it_is(calls: int) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) == calls

    with pytest.raises(Cancelled):
        extract(shapes.sphere_sequence(), 64, cancelled=cancelled)
    assert len(asked) == calls


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), omega=st.floats(5.0, 25.0), resolution=st.integers(8, 24))
def test_any_network_gives_a_closed_manifold(seed, omega, resolution) -> None:
    """Random networks are full of tunnels and ambiguous cells, and reach the cube's border everywhere."""
    sequence = NestedSequence((random_network((32, 32), omega=omega, seed=seed),), ())
    try:
        mesh = extract(sequence, resolution, components=10_000)
    except ValueError:
        return  # no surface at all
    assert_closed_oriented_manifold(mesh)
    assert np.abs(mesh.vertices).max() <= 1.0 + 2.0 * vertex_placing.CELL_SLACK / resolution + 1e-6


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_empty_zero_set_is_a_clear_error(value) -> None:
    weights = (np.zeros((4, 3), np.float32), np.zeros((1, 4), np.float32))
    constant = Network(weights, (np.zeros(4, np.float32), np.array([value], np.float32)))
    with pytest.raises(ValueError, match="zero set is empty"):
        extract(NestedSequence((constant,), ()), 16)


@pytest.mark.parametrize("resolution", [7, 513])
def test_resolution_out_of_range_is_a_clear_error(resolution) -> None:
    with pytest.raises(ValueError, match="resolution"):
        extract(shapes.sphere_sequence(), resolution)


def test_moving_sequence_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="time"):
        extract(NestedSequence((random_network((8,), inputs=4),), (), time=(0.0, 1.0)), 16)
