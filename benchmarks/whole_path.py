# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole path of an artist on the bunny, from pressing Train to the baked low-poly mesh: the demo, measured.

It leaves its pictures, its .blend and its report in build/bench/whole_path.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import report, subjects

# Seconds until Train returns, which include Blender's own reading and writing of the meshes.
MOST_SECONDS = 30.0
# Intersection over union of the F12 render's silhouette and that of Cycles.
LEAST_SILHOUETTE = 0.985


def demo(mesh: Path, preset: str, folder: Path) -> dict[str, Any]:
    """Run the demo in a process of its own and return its report.

    Raises:
        subprocess.CalledProcessError: the demo failed before it wrote a report.
    """
    path = folder / "report.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.demo", str(mesh), "--preset", preset, "--output", str(folder)]
    done = subprocess.run(command, cwd=report.REPOSITORY)
    # A demo whose bake is worse than the mesh's own normals fails, but has a report that says so.
    if not path.is_file():
        done.check_returncode()
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(name: str, measured: dict[str, Any]) -> list[report.Row]:
    """A demo's report as rows."""
    size = measured["render"]["size"]
    overlap = measured["silhouette_intersection_over_union"]
    rows = [
        report.at_most(f"{name}: Train returns after", measured["training_seconds"], "s", MOST_SECONDS),
        report.at_least(f"{name}: silhouette against Cycles", overlap, "IoU", LEAST_SILHOUETTE),
        report.Row(f"{name}: F12, {size} x {size}", measured["render"]["seconds"], "s"),
    ]
    for bake in measured["bakes"]:
        what = f"{name}: Bake Normals onto {bake['share']:.0%} of the triangles"
        rows.append(report.Row(f"{what}, seconds", bake["seconds"], "s"))
        rows.append(report.at_most(what, bake["baked_error"], "degrees", round(bake["own_error"], 2)))
    return rows


def run(quick: bool = False) -> list[report.Row]:
    """Run the demo; no row where the mesh is absent."""
    training = subjects.BUNNY_PREVIEW
    if quick:
        return [report.not_measured("the demo", "it trains for half a minute")]
    mesh = report.shared_mesh(training.mesh)
    if mesh is None:
        return []
    return rows_of(training.name, demo(mesh, training.preset, report.BENCH_FOLDER / "whole_path"))
