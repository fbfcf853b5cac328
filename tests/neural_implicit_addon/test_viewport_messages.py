# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages broken into lines, and the space that Blender's panels leave them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def messages_module(addon_module: Callable[[str], ModuleType]) -> ModuleType:
    return addon_module("neural_implicit_addon.viewport_messages")


@given(
    messages=st.lists(st.text(alphabet="ab ", min_size=1).filter(str.strip), min_size=1, max_size=8),
    width=st.integers(5, 40),
    rows=st.integers(1, 6),
)
def test_lines_fit_and_keep_the_words(messages_module: ModuleType, messages: list[str], width: int, rows: int) -> None:
    lines = messages_module.fit(messages, width, rows, len)
    assert 1 <= len(lines) <= rows
    words = " ".join(messages).split()
    said = " ".join(lines).split()
    if "more" in said:
        said, count = said[:-4], int(said[-2])
        assert 0 < count < len(messages)
    assert said == words[: len(said)]
    assert all(len(line) <= width for line in lines if " " in line and "more" not in line)


def test_all_messages_are_said_where_there_is_space(messages_module: ModuleType) -> None:
    lines = messages_module.fit(["one two three", "four"], 8, 3, len)
    assert lines == ["one two", "three", "four"]
    assert messages_module.fit(["one two three", "four", "five"], 8, 3, len) == ["one two", "three", "... and 2 more"]


def region(kind: str, x: int, y: int, width: int, height: int, alignment: str = "NONE") -> Any:
    return SimpleNamespace(type=kind, x=x, y=y, width=width, height=height, alignment=alignment)


def test_free_rectangle_is_clear_of_panels(messages_module: ModuleType) -> None:
    # As Blender lays them out over a viewport that begins at (2, 80) of the window.
    window = region("WINDOW", 2, 80, 1048, 693)
    tools = region("TOOLS", 2, 80, 58, 639, "LEFT")
    sidebar = region("UI", 758, 80, 292, 639, "RIGHT")
    header = region("HEADER", 2, 746, 1048, 27, "TOP")
    last_operator = region("HUD", 60, 80, 280, 200, "FLOAT")
    hidden = region("ASSET_SHELF", 2, 80, 1, 1, "BOTTOM")

    def free(*regions: Any) -> tuple[int, int, int, int]:
        return messages_module.free_rectangle(SimpleNamespace(regions=[*regions, window]), window)

    assert free() == (0, 0, 1048, 693)
    assert free(tools, sidebar, header, hidden) == (58, 0, 756, 666)
    assert free(tools, last_operator) == (58, 200, 1048, 693)
    # The sidebar on the other side, as artists may have it.
    assert free(region("UI", 2, 80, 292, 639, "LEFT")) == (292, 0, 1048, 693)


def test_without_free_space_panels_are_written_over(messages_module: ModuleType) -> None:
    window = region("WINDOW", 0, 0, 100, 50)
    covering = [region("TOOLS", 0, 0, 60, 50, "LEFT"), region("UI", 50, 0, 50, 50, "RIGHT")]
    free = messages_module.free_rectangle(SimpleNamespace(regions=[*covering, window]), window)
    assert free == (0, 0, 100, 50)
