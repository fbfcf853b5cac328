# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape and the sequence that quick runs measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shapes import gradient, projected

from benchmarks import fitted, subjects
from kernels.meshes import clean


def test_sequence_is_nested_and_of_the_measured_sizes() -> None:
    sequence = fitted.fitted_sequence()
    assert sequence.notation == "64x1 > 128x2 > 256x3"
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (4000, 3)).astype(np.float32)
    finest = sequence.distance(2, points)
    shape = fitted.bumpy_torus(points)
    assert np.abs(finest - shape)[np.abs(shape) < 0.1].max() < 0.03
    assert (sequence.place_in_bands(points[np.abs(finest) < 0.01]) <= 1.0).all()


def test_mesh_lies_on_the_shape_and_looks_outside() -> None:
    mesh = fitted.bumpy_torus_mesh(60, 30)
    assert np.abs(fitted.bumpy_torus(mesh.vertices)).max() < 1e-12
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = gradient(fitted.bumpy_torus, projected(fitted.bumpy_torus, corners.mean(axis=1)))
    assert ((normals * outward).sum(axis=1) > 0.0).all()
    # Closed: each edge is in two triangles, and a torus has as many edges as vertices and faces together.
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    assert set(uses) == {2}
    assert len(mesh.vertices) - len(unique) + len(mesh.faces) == 0


def test_mesh_survives_its_file(tmp_path: Path) -> None:
    pytest.importorskip("igl")
    mesh = fitted.bumpy_torus_mesh(20, 10)
    subjects.write_obj(mesh, tmp_path / "made" / "torus.obj")
    read = subjects.read_mesh(tmp_path / "made" / "torus.obj")
    np.testing.assert_array_equal(read.faces, mesh.faces)
    np.testing.assert_allclose(read.vertices, mesh.vertices, atol=1e-8)
    assert len(clean(read).faces) == len(mesh.faces)
