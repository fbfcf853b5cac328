# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, disabling, enabling and reloading the extension leave nothing behind and nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
KINDS = (
    "types",
    "operators",
    "handlers",
    "timers",
    "compatible engines",
    "drawn in menus",
    "properties",
    "keys",
)


@pytest.fixture(scope="module")
def cycles(run_blender: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What Blender looked like through three cycles of disabling and enabling, and three of reloading."""
    return run_blender(SCRIPTS / "registration_cycles.py")


def test_installed_extension_is_enabled(blender: ModuleType, addon: ModuleType) -> None:
    assert addon.__name__ in blender.context.preferences.addons


@pytest.mark.parametrize("kind", KINDS)
def test_disabling_leaves_nothing_behind(cycles: dict[str, Any], kind: str) -> None:
    assert len(cycles["disabled"]) == 4
    for state in cycles["disabled"]:
        assert state[kind] == cycles["before"][kind]


@pytest.mark.parametrize("kind", KINDS)
def test_enabling_and_reloading_add_nothing_twice(cycles: dict[str, Any], kind: str) -> None:
    first, *later = cycles["enabled"]
    assert len(later) == 6
    for state in later:
        assert state[kind] == first[kind]


def test_what_the_extension_adds_is_noticed(cycles: dict[str, Any]) -> None:
    # Guards the two tests above: snapshots that saw nothing would always agree.
    assert cycles["enabled"][0]["types"] != cycles["before"]["types"]


def test_reloading_reads_the_modules_anew(cycles: dict[str, Any]) -> None:
    assert cycles["kept"] == [[], [], []]
    assert cycles["change read"]


def test_enabling_imports_no_torch(cycles: dict[str, Any]) -> None:
    assert not cycles["torch imported"]


def test_failing_class_undoes_the_others(run_blender: Callable[..., dict[str, Any]]) -> None:
    found = run_blender(SCRIPTS / "registration_failure.py")
    assert len(found["attempts"]) == found["modules"] + 1
    assert all(attempt["left"] == [] for attempt in found["attempts"])
