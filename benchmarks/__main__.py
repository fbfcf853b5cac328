# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks [NAME...]`: run benchmarks, print their rows, write build/bench/NAME.json.

Without a name all of them run, each in a process of its own, so that none disturbs another and one that fails does not
stop the rest. `--document` writes docs/benchmarks.md from what is in build/bench.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from . import document, report
from .catalogue import BENCHMARKS


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names; the exit status is 1 when a benchmark failed, not when it missed a target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; all when left out")
    parser.add_argument("--quick", action="store_true", help="a few seconds each, to see that they work")
    parser.add_argument("--output", type=Path, help="where the JSON files go; build/bench, or quick in it, if left out")
    parser.add_argument("--document", action="store_true", help="run none, write docs/benchmarks.md from the files")
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}: choose of {', '.join(BENCHMARKS)}")
    folder = parsed.output or (report.BENCH_FOLDER / "quick" if parsed.quick else report.BENCH_FOLDER)
    if parsed.document:
        print(document.write(folder))
        return 0
    if len(parsed.names) == 1:
        run_here(parsed.names[0], parsed.quick, folder.resolve())
        return 0
    return run_each(parsed.names or list(BENCHMARKS), parsed.quick, folder.resolve())


def run_here(name: str, quick: bool, folder: Path) -> None:
    """Run one benchmark in this process. Its file is written after every row, so that a long run may be ended."""
    print(f"== {name} on {report.machine_name()}", flush=True)
    module = importlib.import_module(f"{__package__}.{name}")
    rows: list[report.Row] = []
    for row in module.run(quick=quick):
        rows.append(row)
        print(report.line(row), flush=True)
        report.write(name, rows, folder, complete=False)
    path = report.write(name, rows, folder)
    print(f"{'' if rows else 'nothing measured '}-> {path}\n", flush=True)


def run_each(names: list[str], quick: bool, folder: Path) -> int:
    """Run benchmarks one after the other, each in a process of its own; 1 when any of them failed."""
    options = [*["--quick"] * quick, "--output", str(folder)]
    failed = [name for name in names if subprocess.run([sys.executable, "-m", __package__, name, *options]).returncode]
    if failed:
        print(f"FAILED: {', '.join(failed)}; the messages above say why", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
