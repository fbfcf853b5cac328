# SPDX-License-Identifier: GPL-3.0-or-later
"""What the presets reach: the demo on the shared meshes, from pressing Train to the baked low-poly mesh.

Each run is a process of its own and leaves its pictures, its .blend and its report in build/bench/presets.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import report


@dataclass(frozen=True)
class Run:
    """One demo and what it has to reach on two cores without a GPU.

    Attributes:
        mesh: file among the shared meshes.
        preset: of the Train operator.
        seconds: from pressing Train until the operator returns.
        degrees: mean angle between the finest level's normals and the source's smooth normals.
        distance_percent: mean distance to the surface, in percent of the extent.
    """

    mesh: str
    preset: str
    seconds: float
    degrees: float
    distance_percent: float = 0.1

    @property
    def folder(self) -> Path:
        """Where the demo writes."""
        return report.BENCH_FOLDER / "presets" / f"{Path(self.mesh).stem}-{self.preset.lower()}"


BUNNY_PREVIEW = Run("stanford-bunny.obj", "PREVIEW", 60.0, 3.5)
BUNNY_BALANCED = Run("stanford-bunny.obj", "BALANCED", 180.0, 2.0)
IGEA_BALANCED = Run("igea.ply", "BALANCED", 180.0, 2.5)
RUNS = (BUNNY_PREVIEW, BUNNY_BALANCED, IGEA_BALANCED)
# Intersection over union of the F12 render's silhouette and that of Cycles.
SILHOUETTE = 0.985


def demo(run: Run, again: bool = False) -> dict[str, Any] | None:
    """The demo's report of a run, from an earlier run unless `again`; None where the mesh is absent.

    Raises:
        subprocess.CalledProcessError: the demo failed before it wrote a report.
    """
    mesh = report.shared_mesh(run.mesh)
    if mesh is None:
        return None
    path = run.folder / "report.json"
    if again or not path.is_file():
        path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks.demo", str(mesh), "--preset", run.preset]
        done = subprocess.run([*command, "--output", str(run.folder)], cwd=report.REPOSITORY)
        # A demo whose bake is worse than the mesh's own normals fails, but has a report that says so.
        if not path.is_file():
            done.check_returncode()
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(run: Run, measured: dict[str, Any]) -> list[report.Row]:
    """A demo's report as rows."""
    what = f"{Path(run.mesh).stem} {run.preset}"
    network = measured["network"]
    distance = network["distance_percent_of_extent"]
    size = measured["render"]["size"]
    overlap = measured["silhouette_intersection_over_union"]
    rows = [
        report.at_most(f"{what}: Train returns after", measured["training_seconds"], "s", run.seconds),
        report.at_most(f"{what}: normal error", network["normal_error_degrees"], "degrees", run.degrees),
        report.at_most(f"{what}: distance to the surface", distance, "% of extent", run.distance_percent),
        report.at_least(f"{what}: silhouette against Cycles", overlap, "IoU", SILHOUETTE),
        report.Row(f"{what}: parameters", network["parameters"]),
        report.Row(f"{what}: F12, {size} x {size}", measured["render"]["seconds"], "s"),
    ]
    for level, violations in enumerate(network["training"]["nesting_violations"]):
        if violations is not None:
            rows.append(report.Row(f"{what}: nesting of level {level} violated by", 100.0 * violations, "% of samples"))
    return rows


def run() -> list[report.Row]:
    """Run the demos anew; no row for a mesh that is absent."""
    measured = [(each, demo(each, again=True)) for each in RUNS]
    return [row for each, found in measured if found is not None for row in rows_of(each, found)]
