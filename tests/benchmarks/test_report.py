# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks' command, their rows, their files, and the page that is made of them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import document, report
from benchmarks.catalogue import BENCHMARKS

FOLDER = Path(report.__file__).parent
MACHINE = {"processor": "Abacus", "cores": 2, "system": "Clay 1", "python": "3.11"}


def test_every_module_that_can_run_is_listed_once() -> None:
    able = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        arguments = [argument.arg for argument in functions["run"].args.args] if "run" in functions else []
        if "quick" in arguments:
            able.add(path.stem)
    assert able == set(BENCHMARKS)
    assert len(BENCHMARKS) == len(set(BENCHMARKS))


def test_presets_are_trained_before_they_are_measured() -> None:
    for path in FOLDER.glob("*.py"):
        if path.stem in BENCHMARKS and path.stem != "presets" and "subjects.subjects(" in path.read_text():
            assert BENCHMARKS.index(path.stem) > BENCHMARKS.index("presets"), path.stem


def test_targets_decide_what_is_reached() -> None:
    assert report.at_most("x", 2.0, "s", 3.0).reached is True
    assert report.at_most("x", 3.5, "s", 3.0).reached is False
    assert report.at_least("x", 2.0, "x", 3.0).reached is False
    assert report.at_least("x", 3.0, "x", 3.0).target == "at least 3"
    assert report.at_most("x", 3.5, "s", None) == report.Row("x", 3.5, "s")
    assert report.at_least("x", 3.5, "s", None).reached is None


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "-"), (0.0, "0"), (1.23456, "1.235"), (236807, "236807"), (1.5e-5, "1.5e-05")]
)
def test_numbers_are_legible(value: float | None, expected: str) -> None:
    assert report.number(value) == expected


def test_numbers_of_numpy_are_written(tmp_path: Path) -> None:
    row = report.at_most("x", np.float32(0.25), "s", np.float64(0.5))
    assert json.loads(report.write("y", [row], tmp_path).read_text())["rows"] == [
        {"what": "x", "value": 0.25, "unit": "s", "target": "at most 0.5", "reached": True}
    ]


def fake(rows: list[report.Row], fails: bool = False) -> SimpleNamespace:
    """A benchmark that hands out rows and may fail after them."""

    def run(quick: bool = False) -> Iterator[report.Row]:
        assert quick
        yield from rows
        if fails:
            raise RuntimeError("the needle is stuck")

    return SimpleNamespace(run=run)


def test_rows_are_written_while_a_benchmark_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [report.Row("first", 1.0, "s"), report.at_most("second", 2.0, "s", 1.0)]
    monkeypatch.setattr(command.importlib, "import_module", lambda name: fake(rows, fails=True))
    with pytest.raises(RuntimeError, match="needle"):
        command.main(["tracing", "--quick", "--output", str(tmp_path)])
    written = json.loads((tmp_path / "tracing.json").read_text())
    assert written["complete"] is False
    assert [report.Row(**row) for row in written["rows"]] == rows
    monkeypatch.setattr(command.importlib, "import_module", lambda name: fake(rows))
    assert command.main(["tracing", "--quick", "--output", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "tracing.json").read_text())["complete"] is True


def test_one_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = []

    def run(arguments: list[str]) -> SimpleNamespace:
        ran.append(arguments)
        return SimpleNamespace(returncode=int("gpu" in arguments))

    monkeypatch.setattr(command.subprocess, "run", run)
    assert command.main(["--quick", "--output", str(tmp_path)]) == 1
    assert [arguments[3] for arguments in ran] == list(BENCHMARKS)
    assert all("--quick" in arguments for arguments in ran)
    ran.clear()
    assert command.main(["tracing", "bake", "--output", str(tmp_path)]) == 0
    assert ["--quick" in arguments for arguments in ran] == [False, False]


def test_unknown_name_is_refused_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["trasing"])
    assert "tracing" in capsys.readouterr().err


def test_page_has_targets_and_what_was_missed(tmp_path: Path) -> None:
    rows = [
        report.at_most("bunny FINE: Chamfer", 2.2e-5, "", 1.2e-5),
        report.Row("bunny FINE: median", 0.4, "degrees"),
        report.at_most("igea FINE: Chamfer", 1.1e-5, "", 1.2e-5),
        report.Row("igea FINE: median", 0.3, "degrees"),
        report.Row("bunny FINE: only here", 7.0, "s"),
        report.not_measured("Data Transfer", "no such | modifier"),
    ]
    report.write_json(
        tmp_path / "fidelity.json", {"machine": MACHINE, "complete": False, "rows": [vars(row) for row in rows]}
    )
    page = document.write(tmp_path, tmp_path / "docs" / "page.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    head = lines.index("|  | Chamfer | median, degrees |")
    assert lines[head + 2] == "| bunny FINE | 2.2e-05 **✗** (at most 1.2e-05) | 0.4 |"
    assert lines[head + 3] == "| igea FINE | 1.1e-05 ✓ (at most 1.2e-05) | 0.3 |"
    assert "| bunny FINE: only here | 7 | s |" in lines
    assert "| Data Transfer: not measured, no such \\| modifier | - |  |" in lines
    assert "*Abacus, 2 cores, Clay 1, Python 3.11. The run was ended before it was done.*" in lines
    assert page.count("*Not run.*") == len(BENCHMARKS) - 1
    # Every benchmark says what it measures.
    for name in BENCHMARKS:
        assert len(lines[lines.index(f"## {name}") + 2]) > 40


def test_page_keeps_what_was_not_measured_again(tmp_path: Path) -> None:
    def measured(value: float) -> dict[str, object]:
        return {"machine": MACHINE, "complete": True, "rows": [vars(report.Row("speed", value, "m/s"))]}

    folder, path = tmp_path / "build", tmp_path / "page.md"
    for name, value in (("gradients", 1.5), ("nesting", 2.5)):
        report.write_json(folder / f"{name}.json", measured(value))
    document.write(folder, path)
    (folder / "gradients.json").unlink()
    report.write_json(folder / "nesting.json", measured(3.5))
    page = document.write(folder, path).read_text(encoding="utf-8")
    assert "| speed | 1.5 | m/s |" in page
    assert "| speed | 3.5 | m/s |" in page
    assert "| speed | 2.5 | m/s |" not in page
    # The same figures make the same page.
    assert document.write(folder, path).read_text(encoding="utf-8") == page


# Without a GPU, a window, Blender or minutes of training.
CHEAP = ("tracing",)
NEED_WORKER_PACKAGES = {
    "gradients": "torch",
    "training_step": "torch",
    "nesting": "igl",
    "noise": "igl",
    "fidelity": "torch",
    "ablation": "torch",
}


@pytest.mark.parametrize("name", [*CHEAP, *NEED_WORKER_PACKAGES])
def test_quick_run_writes_figures(name: str, tmp_path: Path) -> None:
    # In a process of its own, as always: torch is never loaded beside Blender.
    needed = NEED_WORKER_PACKAGES.get(name)
    if needed and subprocess.run([sys.executable, "-c", f"import {needed}"], capture_output=True).returncode:
        pytest.skip(f"{needed} is not installed")
    arguments = [sys.executable, "-m", "benchmarks", name, "--quick", "--output", str(tmp_path)]
    done = subprocess.run(arguments, cwd=report.REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["complete"] is True
    assert sum(row["value"] is not None for row in written["rows"]) >= 2
    for row in written["rows"]:
        assert row["what"] in done.stdout
