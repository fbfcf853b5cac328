# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs scenarios (tests/window/session.py says what they are) in a Blender with a real window.

The environment variable WINDOW_BLENDER is the command that starts one, for example `xvfb-run -a blender`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from .report import REPOSITORY

SESSION = REPOSITORY / "tests" / "window" / "session.py"
TOOL_BESIDE_THE_REPOSITORY = REPOSITORY.parent / "shared" / "tools" / "real-blender"
TIME_LIMIT = 1800


class NoWindowError(Exception):
    """There is no Blender with a window here, or none that draws with the backend; the message says which."""


class ScenarioError(Exception):
    """A scenario failed, or Blender did in its course; the message is what was printed."""


def find() -> list[str]:
    """The command that starts a Blender with a window.

    Raises:
        NoWindowError: there is none, or it does not start.
    """
    command = shlex.split(os.environ.get("WINDOW_BLENDER", ""))
    if not command and TOOL_BESIDE_THE_REPOSITORY.is_file():
        command = [str(TOOL_BESIDE_THE_REPOSITORY), "run"]
    if not command:
        raise NoWindowError("no Blender with a window here: set WINDOW_BLENDER to the command that starts one")
    try:
        version = subprocess.run([*command, "--version"], cwd=REPOSITORY, capture_output=True, text=True)
    except OSError as error:
        raise NoWindowError(f"Blender with a window does not start: {error}") from error
    if version.returncode:
        raise NoWindowError(f"Blender with a window does not start: {version.stderr.strip()}")
    return command


def run(
    command: list[str], scenario: str, extension_zip: Path, folder: Path, backend: str = "opengl"
) -> list[dict[str, Any]]:
    """Run a scenario to its end and return the results it recorded.

    Args:
        command: as `find` returns it.
        scenario: name of a function in tests/window.
        extension_zip: the extension, for the scenario to install.
        folder: where pictures go, and where what the scenario needs is looked for.
        backend: opengl or vulkan: what Blender is to draw with.

    Raises:
        NoWindowError: Blender does not draw with the backend here.
        ScenarioError: the scenario raised, or anything in Blender printed a traceback.
    """
    start = [*command, "--gpu-backend", backend, "--factory-startup", "--python", str(SESSION), "--"]
    start += [scenario, str(extension_zip), str(folder)]
    done = subprocess.run(start, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIME_LIMIT)
    output = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    results = folder / "results.jsonl"
    if not results.is_file():
        if backend == "vulkan":
            raise NoWindowError(f"Blender does not start with Vulkan here: {output[-300:]}")
        raise ScenarioError(f"the scenario did not start:\n{output}")
    started, *lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    if started["backend"] != backend:
        raise NoWindowError(f"Blender draws with {started['backend']} here, not with {backend}")
    if not lines or not lines[-1].get("finished"):
        raise ScenarioError(f"{lines[-1].get('error') if lines else 'Blender ended early'}\n{output}")
    if "Traceback" in output:
        raise ScenarioError(output)
    return lines[:-1]
