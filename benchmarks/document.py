# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmarks.md, made from what the benchmarks wrote: every figure with its target, the missed ones as well.

Rows are called `subject: figure`. Where several subjects have the same figures they become a table with a line for
each subject; everything else is listed row by row.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .catalogue import BENCHMARKS
from .report import BENCH_FOLDER, REPOSITORY, Row, described, number

PATH = REPOSITORY / "docs" / "benchmarks.md"
HEAD = """# What was measured

Made by `python -m benchmarks --document` from what `make bench` wrote; nothing here is typed by hand. A figure that has
a target is marked ✓ or **✗**; those that were missed stay in. Each section names the machine that it was measured on.
"""


def write(folder: Path = BENCH_FOLDER, path: Path = PATH) -> Path:
    """Write the page from the JSON files in `folder`; what was not measured again stays as it is. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    path.write_text(page(folder, before), encoding="utf-8")
    return path


def page(folder: Path, before: str = "") -> str:
    """The page as Markdown. Benchmarks that were never run are named as such.

    Args:
        folder: where the JSON files are.
        before: the page as it was: it keeps its sections on benchmarks of which there is no file.
    """
    kept = {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in before.split("\n## ")[1:]}
    parts = [HEAD]
    for name in BENCHMARKS:
        file = folder / f"{name}.json"
        if file.is_file():
            parts.append(section(name, json.loads(file.read_text(encoding="utf-8"))))
        else:
            parts.append(kept.get(name) or section(name, None))
    return "\n".join(parts)


def section(name: str, measured: dict[str, Any] | None) -> str:
    """One benchmark: what it measures, on what machine, its tables."""
    lines = [f"## {name}\n", f"{_explanation(name)}\n"]
    if measured is None:
        return "\n".join([*lines, "*Not run.*\n"])
    rows = [Row(**row) for row in measured["rows"]]
    ended = "" if measured.get("complete", True) else " The run was ended before it was done."
    lines.append(f"*{described(measured['machine'])}.{ended}*\n")
    return "\n".join([*lines, tables(rows) if rows else "*Nothing could be measured here.*\n"])


def _explanation(name: str) -> str:
    """A benchmark's docstring but for its commands, read without importing what the benchmark needs."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    paragraphs = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")
    return "\n\n".join(paragraph for paragraph in paragraphs if not paragraph.startswith("`python"))


def tables(rows: Sequence[Row]) -> str:
    """Rows as Markdown: one table of subjects that share figures, then the rows that stand alone."""
    by_figure: dict[str, int] = {}
    for row in rows:
        figure = _split(row)[1]
        by_figure[figure] = by_figure.get(figure, 0) + 1
    shared = [row for row in rows if _split(row)[0] and row.value is not None and by_figure[_split(row)[1]] > 1]
    alone = [row for row in rows if row not in shared]
    return "\n".join([part for part in (_matrix(shared), _list(alone)) if part])


def _split(row: Row) -> tuple[str, str]:
    """The subject and the figure of a row; no subject where its name has none."""
    subject, separator, figure = row.what.rpartition(": ")
    return (subject, figure) if separator else ("", row.what)


def _matrix(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    subjects = list(dict.fromkeys(_split(row)[0] for row in rows))
    figures = list(dict.fromkeys(_split(row)[1] for row in rows))
    found = {_split(row): row for row in rows}
    units = {_split(row)[1]: row.unit for row in rows}
    heads = [f"{figure}, {units[figure]}" if units[figure] else figure for figure in figures]
    cells = [
        [subject, *(_cell(found[subject, figure]) if (subject, figure) in found else "" for figure in figures)]
        for subject in subjects
    ]
    return _markdown(["", *heads], cells)


def _list(rows: Sequence[Row]) -> str:
    cells = [[row.what, _cell(row), row.unit] for row in rows]
    return _markdown(["", "measured", "unit"], cells) if cells else ""


def _cell(row: Row) -> str:
    """A figure with its target and whether it is reached."""
    if row.reached is None:
        return number(row.value)
    return f"{number(row.value)} ✓ ({row.target})" if row.reached else f"{number(row.value)} **✗** ({row.target})"


def _markdown(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
