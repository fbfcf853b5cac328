# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of trained sequences, on one that was fitted; and how trainings are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("igl")
pytest.importorskip("scipy")

from benchmarks import fitted, noise, presets, report, subjects
from kernels import nsdf
from kernels.jobs import Request
from kernels.meshes import TriangleMesh
from kernels.presets import PRESETS


def test_every_goal_is_a_preset_of_the_product() -> None:
    assert {goal.training.preset for goal in presets.GOALS} == set(PRESETS) == set(presets.SECONDS)
    names = [goal.training.name for goal in presets.GOALS]
    assert len(names) == len(set(names))


def test_rows_of_a_sequence_whose_errors_are_known() -> None:
    subject = subjects.fitted_subject()
    rows = {row.what.rpartition(": ")[2]: row for row in presets.rows_of(subject, "FINE", 1.0)}
    assert rows["parameters"].value == fitted.fitted_sequence().parameter_count == 236_803
    assert rows["parameters"].reached is True
    # Measured at points of the mesh's facets with the fitted shape's own gradient, by other means.
    points = fitted.bumpy_torus_mesh().vertices
    normals = subject.normals_at(points).astype(np.float64)
    step = 1e-5 * np.eye(3)
    slope = np.stack([fitted.bumpy_torus(points + e) - fitted.bumpy_torus(points - e) for e in step], axis=1)
    cosines = (normals * slope).sum(1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(slope, axis=1)
    expected = np.degrees(np.arccos(cosines.clip(-1.0, 1.0))).mean()
    assert rows["normal error, mean"].value == pytest.approx(expected, rel=0.1)
    assert rows["normal error, mean"].reached is False
    assert rows["median"].value < rows["95th percentile"].value
    values = np.abs(fitted.fitted_sequence().distance(2, points.astype(np.float32)))
    extent = np.ptp(points, axis=0).max()
    assert rows["distance to the surface, mean"].value == pytest.approx(100.0 * values.mean() / extent, rel=0.1)


def test_training_is_done_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(mesh: TriangleMesh, request: Request, folder: Path) -> float:
        trained.append(request.preset)
        folder.mkdir(parents=True)
        nsdf.save(fitted.fitted_sequence(), folder / "sequence.nsdf")
        return 12.5

    mesh = tmp_path / "torus.obj"
    subjects.write_obj(fitted.bumpy_torus_mesh(20, 10), mesh)
    monkeypatch.setattr(report, "BENCH_FOLDER", tmp_path / "bench")
    monkeypatch.setattr(report, "shared_mesh", lambda name: mesh if name == "torus.obj" else None)
    monkeypatch.setattr(subjects, "train", train)
    trainings = [subjects.Training("torus.obj", "PREVIEW"), subjects.Training("absent.obj", "FINE")]
    for _ in range(2):
        (subject,) = subjects.subjects(trainings)
        assert (subject.name, subject.seconds, subject.mesh) == ("torus PREVIEW", 12.5, mesh)
        assert subject.sequence.notation == "64x1 > 128x2 > 256x3"
    assert trained == ["PREVIEW"]
    assert json.loads((trainings[0].folder / "record.json").read_text())["machine"] == report.machine()


def test_noise_is_along_the_normals_and_as_large_as_told() -> None:
    mesh = fitted.bumpy_torus_mesh(80, 40)
    moved = noise.noisy(mesh, 0.01).vertices - mesh.vertices
    diagonal = np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    lengths = np.linalg.norm(moved, axis=1)
    assert lengths.max() <= 0.01 * diagonal
    # Uniform in both directions: of absolute values the mean is half of the largest.
    assert lengths.mean() == pytest.approx(0.005 * diagonal, rel=0.05)
    along = (moved * noise.smooth_surface(mesh).vertex_normals).sum(axis=1)
    np.testing.assert_allclose(np.abs(along), lengths, rtol=1e-4, atol=1e-9)
    assert abs(along.mean()) < 0.05 * lengths.mean()


def test_network_surface_has_the_networks_normals() -> None:
    surface = noise.network_surface(fitted.fitted_sequence(), 32)
    gradients = subjects.fitted_subject().normals_at(surface.vertices)
    cosines = (surface.vertex_normals * gradients).sum(1) / np.linalg.norm(gradients, axis=1)
    assert cosines.min() > 0.99
