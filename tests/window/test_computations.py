# SPDX-License-Identifier: GPL-3.0-or-later
"""Computations beside a Blender with a real window: extracting, joining, certifying, and meshes that are doubtful."""

from __future__ import annotations

from pathlib import Path

import shapes
from window.results import Run, trainable

from kernels import nsdf


def test_extraction_that_is_ended_early(run_scenario: Run, tmp_path: Path) -> None:
    nsdf.save(shapes.sphere_sequence(), tmp_path / "ball.nsdf")
    begun, second, *ends = run_scenario("end_extraction_early")
    assert begun == {"status": "Extracting ball, 512 cells: 50%", "undone": 0.0}
    assert "Extracting ball, 512 cells: 50%: wait for it, or press Esc" in second["second"]
    undone = ends.pop(2)
    assert [end["how"] for end in ends] == ["Esc", "Done", "Deleted", "Opened", "Disabled"]
    without, done, deleted, opened, disabled = (end["objects"] for end in ends)
    assert "ball" in without
    assert done == sorted([*without, "ball Mesh"])
    assert undone == {"undone": without}
    assert deleted == [name for name in without if name != "ball"]
    assert "ball Mesh" not in opened
    assert "ball Mesh" not in disabled
    assert [end["cancelled"] for end in ends] == [1, 1, 1, 2, 3]


def test_networks_are_joined_and_certified(run_scenario: Run, tmp_path: Path) -> None:
    for name, width in (("coarse", 128), ("fine", 512)):
        nsdf.save(shapes.fitted_sequence(shapes.sphere(), widths=(width,)), tmp_path / f"{name}.nsdf")
    joined, certified, undone = run_scenario("join_and_certify")
    assert joined == {"joined": "128x0 > 512x0", "evidence": ["sampled"]}
    assert certified == {"evidence": ["certified"]}
    assert undone == {"undone": ["sampled"]}


def test_what_is_assumed_about_doubtful_meshes_is_said(run_scenario: Run) -> None:
    results = trainable(run_scenario("doubtful_meshes"))
    assert [(result["mesh"], result["time"]) for result in results] == [
        (name, time) for name in ("Plane", "Inside Out") for time in ("first", "again")
    ]
    for result in results:
        assert result["problems"] == []
        assert result["said"], "nothing is said about the mesh"
    (plane, plane_again, ball, ball_again) = (result["said"] for result in results)
    assert plane == plane_again
    assert ball == ball_again
    assert plane != ball
