# SPDX-License-Identifier: GPL-3.0-or-later
"""How scenarios are run in a Blender with a real window, drawing with OpenGL or Vulkan. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from window.results import Results, Run

from benchmarks import window_blender as blender_with_window


@pytest.fixture(scope="session")
def window_blender() -> list[str]:
    """The command that starts a Blender with a window."""
    try:
        return blender_with_window.find()
    except blender_with_window.NoWindowError as error:
        pytest.skip(str(error))


@pytest.fixture
def run_scenario(window_blender: list[str], extension_zip: Path, tmp_path: Path) -> Run:
    """A function that runs a scenario to its end and returns the results it recorded.

    `run_scenario(name, backend="opengl")`: the backend is the one that Blender draws with. Pictures are in tmp_path,
    and what the scenario needs may be put there before. The test fails when the scenario raised, or when anything in
    Blender printed a traceback; it is skipped where Blender cannot draw with the backend.
    """

    def run(name: str, backend: str = "opengl") -> Results:
        try:
            return blender_with_window.run(window_blender, name, extension_zip, tmp_path, backend)
        except blender_with_window.NoWindowError as error:
            pytest.skip(str(error))

    return run
