# SPDX-License-Identifier: GPL-3.0-or-later
"""How long Blender's window keeps an artist waiting while something is trained or extracted beside it.

In a real window that is drawn anew all the time, a clock is looked at a hundred times a second; how late it is looked
at is the wait. Beside it Preview trains on a sculpt (twice its time), in Solid and in Rendered shading, then a mesh is
extracted at 512 cells a side. WINDOW_BLENDER in the environment is the command that starts a Blender with a window.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import make

from . import report, window_blender


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure in a window; a line that says why where there is none."""
    what = "the window beside work"
    if quick:
        yield report.not_measured(what, "a window takes its time")
        return
    try:
        command = window_blender.find()
        with tempfile.TemporaryDirectory() as temporary:
            extension_zip = make.build_zip(Path(sys.prefix), Path(temporary))
            results = window_blender.run(command, "window_beside_work", extension_zip, Path(temporary))
    except window_blender.NoWindowError as error:
        yield report.not_measured(what, str(error))
        return
    for result in results:
        if "skipped" in result:
            yield report.not_measured(what, result["skipped"])
            continue
        waits = 1000.0 * np.array(result["late"])
        yield report.Row(f"{result['beside']}: looks", len(waits))
        yield report.Row(f"{result['beside']}: wait, median", float(np.median(waits)), "ms")
        yield report.Row(f"{result['beside']}: 99th percentile", float(np.percentile(waits, 99)), "ms")
        yield report.Row(f"{result['beside']}: longest", float(waits.max()), "ms")
