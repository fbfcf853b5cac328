# SPDX-License-Identifier: GPL-3.0-or-later
"""How scenarios are run in a Blender with a real window, drawing with OpenGL or Vulkan. Skipped where there is none.

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

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SESSION = Path(__file__).parent / "session.py"
TOOL_BESIDE_THE_REPOSITORY = REPOSITORY.parent / "shared" / "tools" / "real-blender"
TIME_LIMIT = 600

Run = Callable[..., list[dict[str, Any]]]


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
    """A function that runs a scenario to its end and returns the results it recorded.

    `run_scenario(name, backend="opengl")`: the backend is the one that Blender draws with. Pictures are in tmp_path,
    and what the scenario needs may be put there before. The test fails when the scenario raised, or when anything in
    Blender printed a traceback; it is skipped where Blender cannot draw with the backend.
    """

    def run(name: str, backend: str = "opengl") -> list[dict[str, Any]]:
        command = [*window_blender, "--gpu-backend", backend, "--factory-startup", "--python", str(SESSION), "--"]
        command += [name, str(extension_zip), str(tmp_path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIME_LIMIT)
        output = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        results = tmp_path / "results.jsonl"
        if not results.is_file() and backend == "vulkan":
            pytest.skip(f"Blender does not start with Vulkan here: {output[-300:]}")
        assert results.is_file(), f"the scenario did not start:\n{output}"
        started, *lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        if started["backend"] != backend:
            pytest.skip(f"Blender draws with {started['backend']} here, not with {backend}")
        assert lines[-1].get("finished"), f"{lines[-1].get('error', 'Blender ended early')}\n{output}"
        assert "Traceback" not in output, output
        return lines[:-1]

    return run
