# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks NAME`: run one benchmark, print its table, write build/bench/NAME.json."""

from __future__ import annotations

import argparse
import importlib

from . import report


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", help="a module of this folder, for example tracing")
    name = parser.parse_args().name
    rows = importlib.import_module(f"{__package__}.{name}").run()
    print(f"{name} on {report.machine_name()}")
    print(report.table(rows) or "nothing measured")
    print(f"-> {report.write(name, rows)}\n")


if __name__ == "__main__":
    main()
