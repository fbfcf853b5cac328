# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in a Blender with a real window: installing, training, baking, and how trainings end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., list[dict[str, Any]]]


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
    first, trained, undo, bake, opened = trainable(run_scenario("from_mesh_to_bake"))
    assert first == {"running": True, "selected": "Suzanne", "level": 0}
    assert trained["refreshed"], "later snapshots never reached the neural object"
    # The middle of the first level, its end, and the end: more of them where the machine has nothing else to do.
    assert trained["networks"] >= 3
    # All of them are seen, but for those that are followed by another before they are drawn.
    assert trained["pictures"] >= (trained["networks"] + 1) // 2
    assert trained["selected"] == "Suzanne Neural"
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
    for result in results:
        assert result["seconds"] < 5.0, "a second, and some for a machine that is busy"
        assert result["modal"] == 0


def trainable(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of a scenario that trains. The test is skipped where this Blender's Python cannot."""
    if "skipped" in results[0]:
        pytest.skip(results[0]["skipped"])
    return results
