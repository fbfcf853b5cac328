# SPDX-License-Identifier: GPL-3.0-or-later
"""Time to quality: when a curve gets there, how two are compared, and what a training shows to whoever watches it.

They are here because they need torch, which is not loaded beside Blender.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from shapes import sphere_mesh, sphere_sequence

from benchmarks import subjects, time_to_quality
from benchmarks.time_to_quality import Moment
from kernels import nsdf
from kernels.jobs import Request

CURVE = [Moment(1.0, 9.0), Moment(4.0, 3.2), Moment(6.0, 3.5), Moment(8.0, 2.0)]

# A worker that shows one sequence while it runs and another one when it is done. It waits for nobody.
WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
from kernels import nsdf
from kernels.jobs import JobFolder
job, shown = JobFolder(sys.argv[1]), Path(sys.argv[2])
job.log("started")
job.log("sampled")
job.sequence_path.write_bytes(shown.read_bytes())
job.log("snapshot", level=0)
job.log("done")
sys.exit(int(sys.argv[3]))
"""


def test_first_moment_counts() -> None:
    assert time_to_quality.reached(CURVE, 3.3) == 4.0
    assert time_to_quality.reached(CURVE, 2.5) == 8.0
    assert time_to_quality.reached(CURVE, 1.0) is None
    assert time_to_quality.reached([], 3.3) is None


def values(rows: list) -> dict[str, float | None]:
    return {row.what.rpartition(": ")[2]: row.value for row in rows}


def test_factor_of_two_curves() -> None:
    siren = [Moment(50.0, 8.0), Moment(99.0, 3.3)]
    *_, factor = time_to_quality.rows_of("bunny", CURVE, 1.5, siren, 1.0)
    assert factor.value == pytest.approx(100.0 / 4.0)
    assert factor.reached is True


def test_reference_that_was_ended_would_have_taken_longer() -> None:
    *_, factor = time_to_quality.rows_of("bunny", CURVE, 1.5, [Moment(60.0, 8.0)], 1.0)
    assert "at least" in factor.what
    assert factor.value == pytest.approx(60.0 / 4.0)
    assert factor.reached is False


def test_training_that_never_gets_there_has_no_factor() -> None:
    *_, factor = time_to_quality.rows_of("bunny", CURVE[:1], 1.5, [Moment(60.0, 3.0)], 1.0)
    assert factor.value is None
    assert factor.reached is None


def test_degrees_of_a_sequence_of_its_own_shape_wherever_it_stands() -> None:
    judge = time_to_quality.Judge(sphere_mesh(5, 0.6))
    assert judge.degrees(sphere_sequence()) < 1.5
    moved = replace(sphere_sequence(), center=(3.0, 2.0, 1.0), radius=7.0)
    assert judge.degrees(moved) == judge.degrees(sphere_sequence())


@pytest.mark.parametrize("status", [0, 1])
def test_what_a_training_shows_is_kept(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shown.nsdf"
    nsdf.save(sphere_sequence(), file)
    job = subjects.new_job(sphere_mesh(2), Request("PREVIEW"), tmp_path)
    command = [sys.executable, "-c", WORKER, str(job.path), str(file), str(status)]
    monkeypatch.setattr(subjects, "worker_command", lambda job: command)
    if status:
        with pytest.raises(time_to_quality.subprocess.CalledProcessError):
            time_to_quality.watch(job, threads=1)
        return
    shown, sampling = time_to_quality.watch(job, threads=1)
    assert shown
    # The log rounds to milliseconds.
    assert all(data == file.read_bytes() and seconds >= -1e-3 for seconds, data in shown)
    assert sampling >= 0.0
