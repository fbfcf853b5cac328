# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in a Blender with a real window: installing, training, baking, and how trainings end."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from window.results import Run, trainable


def test_install_and_look(run_scenario: Run, tmp_path: Path) -> None:
    enabled, sidebar, left = run_scenario("install_and_look")
    assert enabled["enabled"]
    assert sidebar["sidebar"] == "Neural Implicit"
    assert left["left"] == []
    with Image.open(tmp_path / "sidebar.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100, "the window is empty"


def test_missing_torch_is_said_before_the_training(run_scenario: Run) -> None:
    (refused,) = run_scenario("missing_torch")
    assert "/nonsense/python does not run" in refused["message"]


def test_from_mesh_to_bake(run_scenario: Run) -> None:
    trained, undo, bake, opened = trainable(run_scenario("from_mesh_to_bake"))
    # How many there are depends on the machine; where each comes from is tested with the training session.
    assert trained["networks"] >= 1
    assert trained["drawn"], "the trained object is not seen"
    assert trained["selected"] == "Suzanne Neural"
    assert set(trained["evidence"]) == {"certified"}
    assert not trained["torch"]
    assert trained["children"] == []
    assert "Suzanne Neural" not in undo["undone"]
    assert "Suzanne" in undo["undone"]
    assert undo["same"]
    assert bake == {"baked": ["FINISHED"], "normals": True}
    assert opened["same"]


def test_training_that_is_ended_early(run_scenario: Run) -> None:
    results = trainable(run_scenario("end_training_early"))
    assert [result["how"] for result in results] == ["Esc", "Disabled", "Opened"]
