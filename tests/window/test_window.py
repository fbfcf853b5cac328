# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in a Blender with a real window. Skipped where there is none.

The environment variable WINDOW_BLENDER is the command that starts one, for example `xvfb-run -a blender`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SESSION = Path(__file__).parent / "session.py"
TOOL_BESIDE_THE_REPOSITORY = REPOSITORY.parent / "shared" / "tools" / "real-blender"
TIME_LIMIT = 600

Run = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def window_blender() -> list[str]:
    """The command that starts a Blender with a window."""
    command = shlex.split(os.environ.get("WINDOW_BLENDER", ""))
    if not command and TOOL_BESIDE_THE_REPOSITORY.is_file():
        command = [str(TOOL_BESIDE_THE_REPOSITORY), "run"]
    if not command:
        pytest.skip("no Blender with a window here: set WINDOW_BLENDER to the command that starts one")
    version = subprocess.run([*command, "--version"], cwd=REPOSITORY, capture_output=True, text=True)
    if version.returncode:
        pytest.skip(f"Blender with a window does not start: {version.stderr.strip()}")
    return command


@pytest.fixture
def run_scenario(window_blender: list[str], extension_zip: Path, tmp_path: Path) -> Run:
    """A function that runs a scenario of scenarios.py to its end and returns the results it recorded.

    Its pictures are in tmp_path. The test fails when the scenario raised.
    """

    def run(name: str) -> list[dict[str, Any]]:
        command = [*window_blender, "--factory-startup", "--python", str(SESSION), "--"]
        command += [name, str(extension_zip), str(tmp_path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIME_LIMIT)
        output = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        results = tmp_path / "results.jsonl"
        assert results.is_file(), f"the scenario did not start:\n{output}"
        lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        assert lines[-1].get("finished"), f"{lines[-1].get('error', 'Blender ended early')}\n{output}"
        return lines[:-1]

    return run


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
    assert first == {"running": True, "selected": "Suzanne"}
    assert trained["refreshed"], "the later levels never reached the neural object"
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
