# SPDX-License-Identifier: GPL-3.0-or-later
"""What benchmarks measured, as a table for people and JSON for programs."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernels.cores import available_cores

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_MESHES = REPOSITORY.parent / "shared" / "meshes"
BENCH_FOLDER = REPOSITORY / "build" / "bench"


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        what: what was measured, on what, in a few words.
        value: the figure; None where it could not be measured.
        unit: its unit, for example `s`, `degrees`, `dB`, `x` for a ratio.
        target: what it has to be in words, for example `at least 10`; empty where nothing is asked.
        reached: whether the target is reached; None where nothing is asked.
    """

    what: str
    value: float | None
    unit: str = ""
    target: str = ""
    reached: bool | None = None


def at_least(what: str, value: float, unit: str, least: float | None) -> Row:
    """A row whose value must not be below `least`; None where nothing is asked."""
    if least is None:
        return Row(what, value, unit)
    return Row(what, value, unit, f"at least {least:g}", value >= least)


def at_most(what: str, value: float, unit: str, most: float | None) -> Row:
    """A row whose value must not be above `most`; None where nothing is asked."""
    if most is None:
        return Row(what, value, unit)
    return Row(what, value, unit, f"at most {most:g}", value <= most)


def not_measured(what: str, why: str) -> Row:
    """A row without a figure, which says why in words for whoever runs the benchmark."""
    return Row(f"{what}: not measured, {' '.join(why.split())}", None)


def shared_mesh(name: str) -> Path | None:
    """The mesh file `name` of the folder beside the repository, or None where it is absent."""
    path = SHARED_MESHES / name
    return path if path.is_file() else None


def machine() -> dict[str, str | int]:
    """What the figures were measured on: processor, number of cores, system, Python."""
    return {
        "processor": _processor_name(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    # platform.processor() is empty on most Linux systems.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def described(measured_on: dict[str, str | int]) -> str:
    """What `machine` returns, in one line."""
    name, cores, system, python = (measured_on[key] for key in ("processor", "cores", "system", "python"))
    return f"{name}, {cores} {'core' if cores == 1 else 'cores'}, {system}, Python {python}"


def machine_name() -> str:
    """The machine in one line, for the head of a table."""
    return described(machine())


def number(value: float | None) -> str:
    """A figure in four digits; `-` for one that could not be measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


MARKS = {True: "reached", False: "NOT reached", None: ""}


def line(row: Row) -> str:
    """One row as text, for whoever watches the benchmark run."""
    return "  ".join(cell for cell in (row.what, number(row.value), row.unit, row.target, MARKS[row.reached]) if cell)


def table(rows: list[Row]) -> str:
    """The rows as an aligned table of text."""
    cells = [(row.what, number(row.value), row.unit, row.target, MARKS[row.reached]) for row in rows]
    widths = [max((len(line[column]) for line in cells), default=0) for column in range(5)]
    lines = []
    for what, value, *rest in cells:
        columns = [what.ljust(widths[0]), value.rjust(widths[1])]
        columns += [cell.ljust(width) for cell, width in zip(rest, widths[2:], strict=True)]
        lines.append("  ".join(columns).rstrip())
    return "\n".join(lines)


def write(name: str, rows: list[Row], folder: Path = BENCH_FOLDER, complete: bool = True) -> Path:
    """Write the rows and the machine to `folder`/NAME.json; returns its path.

    Args:
        complete: False while the benchmark is still running.
    """
    report = {"benchmark": name, "machine": machine(), "complete": complete, "rows": [asdict(row) for row in rows]}
    return write_json(folder / f"{name}.json", report)


def write_json(path: Path, content: Any) -> Path:
    """Write `content` for programs to read, the folder made where it is absent; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # numpy's numbers become Python's.
    path.write_text(json.dumps(content, indent=2, default=lambda number: number.item()) + "\n", encoding="utf-8")
    return path
