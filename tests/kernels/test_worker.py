# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker, as a process of its own and inside the tests': progress, resuming, ending, and whatever goes wrong."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapes
import tiny_training
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import wait_until
from tiny_training import TINY

from kernels import __main__ as command_line
from kernels import jobs, nsdf, training, worker
from kernels.files import read_arrays, write_arrays
from kernels.jobs import JobFolder, Request
from kernels.meshes import TriangleMesh
from kernels.presets import PRESETS
from kernels.sampling import Samples
from kernels.sequence import NestedSequence
from kernels.training import LevelTrainer
from kernels.training_config import LevelConfig, SamplingConfig, TrainingConfig

REPOSITORY = Path(jobs.__file__).parent.parent
MESH = shapes.moved(shapes.sphere_mesh(4, radius=3.0), (10.0, 0.0, 0.0))
REQUEST = Request("PREVIEW", "Ball", threads=1, device="cpu", proxy_faces=500)


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """`python -m kernels train ...`, as a process of its own."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "kernels", "train", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **{**pipes, **options})


def start_tiny(*arguments: str | Path, hold_at: str = "") -> subprocess.Popen[str]:
    """The same with a tiny training, which waits at the steps of `hold_at` until it is told to go on."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, tiny_training.__file__, "train", *map(str, arguments)]
    environ = {**os.environ, "HOLD_AT": hold_at}
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, env=environ, **pipes)


def wait_until_held(job: JobFolder, process: subprocess.Popen[str], at: str) -> None:
    """Wait until a tiny training has come to a step at which it is held."""
    held = job.path / f"held.{at}"
    wait_until(lambda: held.exists() or process.poll() is not None, 300.0)
    assert process.poll() is None, process.communicate()
    held.unlink()


def end(process: subprocess.Popen[str]) -> None:
    """Make sure that a process is gone."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def error_of(process: subprocess.Popen[str]) -> str:
    """The one line that a failing process printed."""
    output, error = process.communicate(timeout=300)
    assert process.returncode == 1, (output, error)
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("Error: ")
    return lines[0]


def events_of(job: JobFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in job.events()[0] if event["event"] == kind]


def check_finished(job: JobFolder, levels: int = 2, evidence: str = "certified") -> NestedSequence:
    """The sequence of a finished job, which must be a sphere of radius 3 around (10, 0, 0)."""
    assert job.events()[0][-1]["event"] == "done"
    sequence = nsdf.load(job.sequence_path)
    assert len(sequence.networks) == levels
    assert [band.evidence for band in sequence.bands] == [evidence] * (levels - 1)
    assert sequence.center == pytest.approx((10.0, 0.0, 0.0), abs=1e-6)
    assert len(sequence.training["levels"]) == levels
    # As near as such a short training comes.
    outward = shapes.surface_points(shapes.sphere(1.0), 200)
    points = sequence.to_network(np.array([10.0, 0.0, 0.0]) + 3.0 * outward)
    values, normals = sequence.distance(sequence.finest, points), sequence.normals(points)
    assert np.abs(values).mean() < 0.05
    assert (normals * outward).sum(1).mean() > 0.9
    # The proxy is the surface of this very sequence, in local space.
    vertices = sequence.to_network(job.proxy().vertices)
    assert np.abs(sequence.distance(sequence.finest, vertices)).mean() < 0.01
    assert not list(job.path.glob("*.part"))
    return sequence


# A process of its own.


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny training by a process of its own, watched as Blender does, with a second worker that comes along."""
    job = JobFolder(tmp_path_factory.mktemp("watched") / "with a space")
    job.create(REQUEST, MESH)
    # In the middle of the first level, before the second one begins, and near its end.
    holds = ("0.80", "1.0", "1.90")
    process = start_tiny(job.path, "--end-with-parent", hold_at=" ".join(holds))
    rival, seen = None, []
    try:
        for hold in holds:
            wait_until_held(job, process, hold)
            seen.append(nsdf.load(job.sequence_path))
            if rival is None:
                rival = start(job.path)
                refusal = error_of(rival)
            (job.path / f"go.{hold}").touch()
        # From now on as it comes, while the file is replaced again and again.
        while process.poll() is None:
            seen.append(nsdf.load(job.sequence_path))
            time.sleep(0.02)
        seen.append(nsdf.load(job.sequence_path))
        # Standard input is still open, as Blender leaves it.
        output, error = process.communicate()
        return {"job": job, "output": (process.returncode, output, error), "seen": seen, "refusal": refusal}
    finally:
        end(process)
        if rival is not None:
            end(rival)


def test_process_trains_a_folder(watched: dict[str, Any]) -> None:
    assert watched["output"] == (0, "", "")
    sequence = check_finished(watched["job"])
    assert sequence.kind == "residual"
    assert sequence.training["source"] == "Ball"
    assert sequence.training["preset"] == "PREVIEW"
    # Certified by the weights: nothing was sampled.
    assert "nesting_violations" not in sequence.training
    kinds = [event["event"] for event in watched["job"].events()[0] if event["event"] != "snapshot"]
    assert [kind for kind, _ in itertools.groupby(kinds)] == [
        *("started", "sampled", "progress", "level", "progress", "level", "done")
    ]


def test_process_shows_its_first_level_from_the_beginning_and_as_often_as_its_progress(watched: dict[str, Any]) -> None:
    events = [event for event in watched["job"].events()[0] if event.get("level") == 0]
    kinds = [event["event"] for event in events]
    first, end = kinds.index("snapshot"), kinds.index("level")
    assert events[first]["proxy"]
    # As soon as there is a shape, and from then on before nearly every line of progress.
    assert kinds[:first].count("progress") < 80
    shown = kinds[first:end]
    assert 0.5 * shown.count("progress") < shown.count("snapshot") <= shown.count("progress")
    # The finished level follows, with its proxy.
    (finished,) = events[end + 1 :]
    assert (finished["event"], finished["finished"], finished["proxy"]) == ("snapshot", True, True)


def test_process_shows_a_later_level_only_when_it_is_better(watched: dict[str, Any]) -> None:
    first, _ = events_of(watched["job"], "level")
    later = [event for event in events_of(watched["job"], "snapshot") if event["level"] == 1]
    assert later, "the last level was never shown"
    for event in later:
        assert 10.0 * event["surface_distance"] + np.radians(event["normal_degrees"]) < 1.1 * (
            10.0 * first["surface_distance"] + np.radians(first["normal_degrees"])
        )


def test_process_reports_progress(watched: dict[str, Any]) -> None:
    progress = events_of(watched["job"], "progress")
    for event in progress:
        assert {"level", "levels", "step", "steps", "share", "loss", "seconds_left"} <= set(event)
        assert 0 <= event["level"] < event["levels"] == 2
        assert 0 < event["step"] <= event["steps"]
        assert 0.0 <= event["share"] <= 1.0
        assert event["loss"] > 0.0
        assert event["seconds_left"] >= 0.0
    steps = [(event["level"], event["step"]) for event in progress]
    assert steps == [(level, step + 1) for level in (0, 1) for step in range(TINY.levels[level].steps)]
    assert progress[-1]["seconds_left"] < progress[0]["seconds_left"]


def test_sequence_can_be_read_at_any_moment(watched: dict[str, Any]) -> None:
    # Every load succeeded, or the fixture would have failed; what was seen grew from one level to two.
    first, finished, later = watched["seen"][:3]
    assert (len(first.networks), len(finished.networks), len(later.networks)) == (1, 1, 2)
    # While a level was in training, too.
    assert not np.array_equal(first.networks[0].weights[0], finished.networks[0].weights[0])
    last = watched["seen"][-1]
    assert not np.array_equal(later.networks[1].weights[0], last.networks[1].weights[0])
    np.testing.assert_array_equal(finished.networks[0].weights[0], last.networks[0].weights[0])
    counts = [len(sequence.networks) for sequence in watched["seen"]]
    assert counts == sorted(counts)


def test_bands_hold_the_level_in_training(watched: dict[str, Any]) -> None:
    points = np.random.default_rng(5).uniform(-1.0, 1.0, (20_000, 3)).astype(np.float32)
    in_training = [sequence for sequence in watched["seen"] if len(sequence.networks) == 2]
    for sequence in in_training:
        (band,) = sequence.bands
        assert band.evidence == "certified"
        # Wherever the finer level may have its surface, and what lies around it.
        coarse, fine = (np.abs(sequence.distance(level, points)) for level in (0, 1))
        assert (coarse <= band.delta + fine + 1e-6).all()


def test_second_worker_is_refused(watched: dict[str, Any]) -> None:
    assert watched["refusal"].endswith("is being trained already")
    # And it leaves no error in the log of the first.
    assert not events_of(watched["job"], "error")


def test_info_of_what_was_trained(watched: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["info", str(watched["job"].sequence_path)]) == 0
    printed = capsys.readouterr().out
    sequence = nsdf.load(watched["job"].sequence_path)
    assert sequence.notation == "32x1 > 40x1"
    assert f"{sequence.notation}, residual" in printed
    assert f"band {sequence.bands[0].delta:.5f} (certified)" in printed
    assert "radius 3.33" in printed
    record = json.loads(printed[printed.index("training: ") + len("training: ") :])
    assert record == sequence.training


def test_preset_is_trained_by_a_process(tmp_path: Path) -> None:
    # The real command and the real preset, in little time; what is reached in it depends on the machine.
    job = JobFolder(tmp_path / "job")
    job.create(replace(REQUEST, budget=0.4), MESH)
    process = start(job.path)
    try:
        output, error = process.communicate(timeout=300)
    finally:
        end(process)
    assert (process.returncode, output, error) == (0, "", "")
    sequence = nsdf.load(job.sequence_path)
    assert len(sequence.networks) == len(PRESETS["PREVIEW"].levels)
    assert sequence.kind == "residual"
    assert {band.evidence for band in sequence.bands} == {"certified"}
    first, *_, last = sequence.training["levels"]
    # Never worse than the level before, but for rounding: on a busy machine there may be time for a few steps only.
    assert last["normal_degrees"] / 180.0 * np.pi + 10.0 * last["surface_distance"] <= 1e-4 + (
        first["normal_degrees"] / 180.0 * np.pi + 10.0 * first["surface_distance"]
    )
    assert job.events()[0][-1]["event"] == "done"


def test_ended_and_killed_process_goes_on(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(REQUEST, MESH)

    def held_at(at: str, *arguments: str) -> subprocess.Popen[str]:
        process = start_tiny(job.path, *arguments, hold_at=at)
        try:
            wait_until_held(job, process, at)
        except AssertionError:
            end(process)
            raise
        return process

    # Ends when the one that started it closes the pipe, or dies, although it is far from done.
    process = held_at("0.20", "--end-with-parent")
    process.stdin.close()
    assert process.wait(60.0) == 130
    end_quietly(process)
    # Ends when terminated.
    process = held_at("0.40")
    process.terminate()
    assert process.wait(60.0) != 0
    end_quietly(process)
    # Killed in the middle of the last level.
    process = held_at("1.70")
    process.kill()
    end_quietly(process)
    process = start_tiny(job.path)
    process.communicate(timeout=300)
    assert process.returncode == 0
    check_finished(job)

    # Each went on exactly where the one before it was ended.
    assert [(event["level"], event["step"]) for event in events_of(job, "resumed")] == [(0, 20), (0, 40), (1, 70)]
    after = [e for e in events_of(job, "progress") if e["time"] >= events_of(job, "resumed")[-1]["time"]]
    assert (after[-1]["level"], after[-1]["step"]) == (1, 100)
    assert (1, 71) in [(event["level"], event["step"]) for event in after]
    # The first level was finished once.
    assert [event["level"] for event in events_of(job, "level")] == [0, 1]


def end_quietly(process: subprocess.Popen[str]) -> None:
    """Close the pipes of a process that has ended."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    process.wait()


def test_disk_that_is_full(tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(REQUEST, MESH)
    # The system refuses to write a file of more than a megabyte, halfway through.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # noqa: E731
    process = start(job.path, preexec_fn=limit)
    assert "The job folder could not be written" in error_of(process)
    assert "could not be written" in job.events()[0][-1]["message"]
    assert not list(job.path.glob("*.part"))
    assert job.request() == REQUEST


@pytest.mark.parametrize("path", ["job", "ball.obj"])
def test_missing_torch(tmp_path: Path, path: str) -> None:
    for name in ("torch", "igl"):
        stub = tmp_path / "stubs" / name / "__init__.py"
        stub.parent.mkdir(parents=True)
        stub.write_text(f"raise ModuleNotFoundError(name={name!r})\n")
    JobFolder(tmp_path / "job").create(REQUEST, MESH)
    write_obj(tmp_path / "ball.obj", MESH)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "stubs"), str(REPOSITORY)))}
    message = error_of(start(tmp_path / path, env=environ))
    assert "is missing. Install with" in message
    assert f"{sys.executable} -m pip install 'torch>=2.9' 'libigl>=2.6'" in message


def write_obj(path: Path, mesh: TriangleMesh) -> None:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += ["f {} {} {}".format(*face) for face in (mesh.faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n")


def write_ply(path: Path, mesh: TriangleMesh) -> None:
    header = (
        f"ply\nformat ascii 1.0\nelement vertex {len(mesh.vertices)}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {len(mesh.faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = [" ".join(map(str, row)) for row in mesh.vertices.tolist()]
    rows += ["3 {} {} {}".format(*face) for face in mesh.faces.tolist()]
    path.write_text(header + "\n".join(rows) + "\n")


# Inside the tests' process, with a training that takes a second.


def train_as(monkeypatch: pytest.MonkeyPatch, config: TrainingConfig) -> None:
    """Replace the preset PREVIEW by the training of `config`."""
    for replacement in tiny_training.replacements(config):
        monkeypatch.setattr(*replacement)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The preset PREVIEW replaced by a tiny training; threads and priority of this process left as they are."""
    train_as(monkeypatch, TINY)
    monkeypatch.setattr(command_line, "_limit_native_threads", lambda threads: None)
    monkeypatch.setattr(command_line, "give_way", lambda: None)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(tiny: None, tmp_path: Path) -> JobFolder:
    """A job of a tiny training."""
    folder = JobFolder(tmp_path / "job")
    folder.create(REQUEST, MESH)
    return folder


def train(*arguments: str | Path) -> int:
    return command_line.main(["train", *map(str, arguments)])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error that was printed."""
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert error.count("\n") == 1, error
    return error


def test_same_seed_same_sequence(job: JobFolder, tmp_path: Path) -> None:
    other = JobFolder(tmp_path / "other")
    other.create(REQUEST, MESH)
    different = JobFolder(tmp_path / "different")
    different.create(replace(REQUEST, seed=1), MESH)
    for folder in (job, other, different):
        assert train(folder.path) == 0
    first, same, not_same = (check_finished(f).networks[1].weights[0].tobytes() for f in (job, other, different))
    assert first == same
    assert first != not_same


def test_finished_job_can_be_run_again(job: JobFolder) -> None:
    assert train(job.path) == 0
    weights = nsdf.load(job.sequence_path).networks[1].weights[0]
    job.sequence_path.unlink()
    job.proxy_path.unlink()
    assert train(job.path) == 0
    np.testing.assert_array_equal(check_finished(job).networks[1].weights[0], weights)
    assert len(events_of(job, "level")) == 2


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 999])
def test_damaged_leftovers_are_made_again(job: JobFolder, damage: Callable[[bytes], bytes]) -> None:
    assert train(job.path) == 0
    for path in (job.samples_path, job.state_path):
        path.write_bytes(damage(path.read_bytes()))
    assert train(job.path) == 0
    check_finished(job)
    assert [event["message"].split(" of ")[0] for event in events_of(job, "note")] == ["The samples", "The state"]
    assert all("damaged" in event["message"] for event in events_of(job, "note"))


# Three levels of an earlier version of the program, which trained whole SDFs.
WITH_RECORD = replace(
    shapes.fitted_sequence(shapes.sphere(), (24, 32, 48)), training={"levels": [{"name": "old", "seconds": 1.0}] * 3}
)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"step": np.asarray(3)},
        {"finished": np.frombuffer(b"no sequence", np.uint8)},
        {"finished": np.frombuffer(nsdf.dumps(shapes.sphere_sequence()), np.uint8)},
        {"finished": np.frombuffer(nsdf.dumps(WITH_RECORD), np.uint8)},
        {"finished": np.frombuffer(nsdf.dumps(replace(WITH_RECORD, kind="residual")), np.uint8)},
        {"restarts": np.asarray(0), "omega": np.asarray("high")},
    ],
    ids=["empty", "incomplete", "no sequence", "no record", "another kind", "too many levels", "no number"],
)
def test_state_of_something_else_starts_again(job: JobFolder, state: dict[str, np.ndarray]) -> None:
    write_arrays(job.state_path, state)
    assert train(job.path) == 0
    check_finished(job)


@pytest.mark.parametrize(("asked", "threads"), [((), 1), (("--threads", "2"), 2)])
def test_threads_of_the_command_line_go_before_those_of_the_request(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], threads: int
) -> None:
    monkeypatch.setattr(worker, "thread_count", lambda requested: requested)
    seen = []
    monkeypatch.setattr(worker.Worker, "_run", lambda self: seen.append((self.threads, torch.get_num_threads())))
    assert train(job.path, *asked) == 0
    # Pieces are spread over them by the training itself, so torch uses one for each.
    assert seen == [(threads, 1)]
    assert events_of(job, "started")[-1]["threads"] == threads


def test_proxy_is_made_once_for_the_last_level(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    extracted = []
    extract = worker.extract
    monkeypatch.setattr(worker, "PROGRESS_INTERVAL", 1e6)
    monkeypatch.setattr(worker, "extract", lambda s, **o: extracted.append(len(s.networks)) or extract(s, **o))
    assert train(job.path) == 0
    assert extracted == [1, 2]


def test_interrupted_level_goes_on(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STATE_INTERVAL", 0.0)
    save_state = worker.Worker._save_state

    def save_and_stop(self: worker.Worker, trainer: LevelTrainer | None) -> None:
        save_state(self, trainer)
        if trainer is not None and trainer.level == 1 and trainer.step == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(worker.Worker, "_save_state", save_and_stop)
    assert train(job.path) == 130
    # What is there by now can be looked at.
    assert nsdf.load(job.sequence_path).networks
    job.sequence_path.unlink()
    monkeypatch.setattr(worker.Worker, "_save_state", save_state)
    assert train(job.path) == 0
    interrupted = check_finished(job)
    # A training that goes on shows at once what was finished before.
    kinds = [event["event"] for event in job.events()[0]]
    assert kinds[kinds.index("resumed") + 1] == "snapshot"
    assert events_of(job, "resumed")[-1]["step"] == 30
    (job.path / "state.npz").unlink()
    assert train(job.path) == 0
    whole = check_finished(job)
    for a, b in zip(interrupted.networks[1].weights, whole.networks[1].weights, strict=True):
        np.testing.assert_array_equal(a, b)


TRIANGLE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), int)), "no faces"),
        (TriangleMesh(TRIANGLE * np.nan, np.array([[0, 1, 2]])), "not a finite number"),
        (TriangleMesh(TRIANGLE * 0.0, np.array([[0, 1, 2]])), "in one point"),
        (TriangleMesh(TRIANGLE.astype(str), np.array([[0, 1, 2]])), "damaged"),
    ],
)
def test_mesh_that_cannot_be_trained(
    job: JobFolder, mesh: TriangleMesh, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job.create(REQUEST, mesh)
    assert train(job.path) == 1
    assert message in error_line(capsys)
    assert message in job.events()[0][-1]["message"]
    assert job.events()[0][-1]["event"] == "error"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "SPLENDID"}, "choose one of PREVIEW, BALANCED, FINE"),
        ({"budget": 0.0}, "budget"),
        ({"budget": float("inf")}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({"seed": -1}, "seed"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
    ],
)
def test_request_that_cannot_be_met(
    job: JobFolder, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job.create(replace(REQUEST, **change), MESH)
    assert train(job.path) == 1
    assert message in error_line(capsys)
    assert message in job.events()[0][-1]["message"]


def test_damaged_job(job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
    job.mesh_path.write_bytes(b"half a me")
    assert train(job.path) == 1
    assert "mesh of the job cannot be read" in error_line(capsys)
    job.request_path.write_text("{")
    assert train(job.path) == 1
    assert "request of the job cannot be read" in error_line(capsys)


def test_folder_that_is_no_job_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path) == 1
    assert "is not a training job" in error_line(capsys)
    assert not list(tmp_path.iterdir())


def test_level_that_diverges(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_as(monkeypatch, replace(TINY, vector_rate=1e20, restarts=1))
    assert train(job.path) == 1
    assert "did not converge" in error_line(capsys)
    assert job.events()[0][-1]["event"] == "error"


@pytest.mark.parametrize("lost", ["always", "at the end"])
def test_training_without_a_surface_is_kept(job: JobFolder, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = worker.extract

    def extract_or_fail(sequence: NestedSequence, **options: Any) -> Any:
        if lost == "always" or "seconds" in sequence.training:
            raise ValueError("its zero set is empty at this resolution")
        return extract(sequence, **options)

    monkeypatch.setattr(worker, "extract", extract_or_fail)
    assert train(job.path) == 0
    assert job.events()[0][-1]["event"] == "done"
    sequence = nsdf.load(job.sequence_path)
    assert len(sequence.networks) == 2
    (note,) = events_of(job, "note")
    assert "No surface was found" in note["message"]
    assert sequence.training["assumptions"][-1] == note["message"]
    # Something stands for it: a box, or what was found before.
    snapshots, quads = events_of(job, "snapshot"), job.proxy().quads
    assert (len(snapshots) == 0) == (lost == "always") == (len(quads) == 6)


def test_too_little_memory(job: JobFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(worker, "sample", exhausted)
    assert train(job.path) == 1
    assert "not enough memory" in error_line(capsys)


@pytest.mark.parametrize("what", ["state.npz", "sequence.nsdf", "proxy.npz", "log.jsonl"])
def test_disk_that_fills_up(
    job: JobFolder, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real_open = Path.open

    def open_until_full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.name.startswith(what) and mode[0] in "wa":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real_open(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_until_full)
    assert train(job.path) == 1
    assert "No space left on device" in error_line(capsys)
    assert not list(job.path.glob("*.part"))
    monkeypatch.setattr(Path, "open", real_open)
    # With room again, it goes on and finishes.
    assert train(job.path) == 0
    check_finished(job)


def test_folder_that_cannot_be_written(job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
    # Permissions do not stop every user; a folder where the lock should be does.
    job.lock_path.mkdir()
    assert train(job.path) == 1
    assert "The job folder could not be written" in error_line(capsys)


def test_mesh_file_whose_output_cannot_be_written(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_obj(tmp_path / "ball.obj", MESH)
    output = tmp_path / "ball.obj" / "ball.nsdf"
    assert train(tmp_path / "ball.obj", "--preset", "PREVIEW", "--output", output) == 1
    assert "could not be written" in error_line(capsys)


@pytest.mark.parametrize("name", ["a ball.obj", "ball.ply"])
def test_mesh_file(tiny: None, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    (write_obj if path.suffix == ".obj" else write_ply)(path, MESH)
    assert train(path, "--preset", "PREVIEW", "--threads", "1") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "progress" not in printed.out or "loss=" in printed.out
    output = path.with_suffix(".nsdf")
    assert printed.out.endswith(f"Wrote {output}\n")
    assert nsdf.load(output).training["source"] == name
    # The job folder is gone.
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, output.name])


def test_output_of_a_mesh_file(tiny: None, tmp_path: Path) -> None:
    write_obj(tmp_path / "ball.obj", MESH)
    output = tmp_path / "elsewhere" / "result.nsdf"
    assert train(tmp_path / "ball.obj", "--preset", "PREVIEW", "--threads", "1", "--output", output) == 0
    assert [path.name for path in output.parent.iterdir()] == ["result.nsdf"]


def test_changed_mesh_file_does_not_resume_from_the_old_one(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ball.obj"
    write_obj(path, shapes.sphere_mesh(4))
    finish = worker.Worker._finished_sequence

    def stop(self: worker.Worker) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.Worker, "_finished_sequence", stop)
    assert train(path, "--preset", "PREVIEW", "--threads", "1") == 130
    monkeypatch.setattr(worker.Worker, "_finished_sequence", finish)
    write_obj(path, MESH)
    assert train(path, "--preset", "PREVIEW", "--threads", "1") == 0
    assert nsdf.load(path.with_suffix(".nsdf")).center == pytest.approx((10.0, 0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.obj", None, "neither a job folder nor a mesh file"),
        ("empty.obj", "", "no faces"),
        ("points.obj", "v 0 0 0\nv 1 0 0\n", "no faces"),
        ("text.ply", "This is no mesh.", "no faces"),
        ("shape.blend", "BLENDER", "could not be read"),
        ("broken.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "do not exist"),
    ],
)
def test_file_that_is_no_mesh(
    tiny: None, tmp_path: Path, name: str, content: str | None, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert train(path, "--preset", "PREVIEW") == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    assert message in error


@pytest.mark.parametrize("content", [None, b"", b"no sequence", nsdf.dumps(shapes.sphere_sequence())[:-1]])
def test_info_of_what_is_no_sequence(tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shape.nsdf"
    if content is not None:
        path.write_bytes(content)
    assert command_line.main(["info", str(path)]) == 1
    assert "shape.nsdf" in error_line(capsys)
    assert capsys.readouterr().out == ""


def test_info_shows_no_character_that_a_terminal_obeys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequence = replace(shapes.sphere_sequence(), training={"source": "\x1b[2J\ud800 evil"})
    nsdf.save(sequence, tmp_path / "shape.nsdf")
    assert command_line.main(["info", str(tmp_path / "shape.nsdf")]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_state_holds_no_objects(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STATE_INTERVAL", 0.0)
    assert train(job.path) == 0
    assert all(array.dtype != object for array in read_arrays(job.state_path).values())


def test_residual_levels_of_the_file_are_those_that_were_trained(job: JobFolder) -> None:
    assert train(job.path) == 0
    sequence = check_finished(job)
    assert sequence.kind == "residual"
    # The record's errors are those of the sum, at any points of the sphere.
    first, last = sequence.training["levels"]
    assert (first["name"], last["name"]) == ("32x1", "40x1")
    assert sequence.networks[1].bound is not None
    assert 10.0 * last["surface_distance"] + np.radians(last["normal_degrees"]) <= (
        10.0 * first["surface_distance"] + np.radians(first["normal_degrees"])
    )
    outward = shapes.surface_points(shapes.sphere(1.0), 4000, seed=2)
    points = sequence.to_network(np.array([10.0, 0.0, 0.0]) + 3.0 * outward).astype(np.float32)
    angles = np.degrees(np.arccos((sequence.normals(points) * outward).sum(1).clip(-1.0, 1.0)))
    # The mesh has facets where the sphere has none.
    assert angles.mean() == pytest.approx(last["normal_degrees"], abs=1.0)


def test_independent_levels_are_trained_too(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    train_as(monkeypatch, replace(TINY, kind="independent"))
    assert train(job.path) == 0
    sequence = check_finished(job, evidence="sampled")
    assert sequence.kind == "independent"
    assert sequence.training["nesting_violations"] == pytest.approx([0.0], abs=0.01)


def test_assumptions_are_said_and_kept(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "The faces were turned inside out", "One part was taken to be a sheet"
    made = []
    sample = worker.sample

    def sample_with_assumptions(mesh: TriangleMesh, config: SamplingConfig) -> Samples:
        made.append(config.seed)
        return replace(sample(mesh, config), assumptions=said)

    monkeypatch.setattr(worker, "sample", sample_with_assumptions)
    for _ in range(2):
        assert train(job.path) == 0
        assert check_finished(job).training["assumptions"] == list(said)
    # A job that goes on says them again, for who watches it now, though its samples were made once.
    assert made == [REQUEST.seed]
    assert [event["assumptions"] for event in events_of(job, "sampled")] == [list(said)] * 2
    assert [event["triangles"] for event in events_of(job, "sampled")] == [len(MESH.faces)] * 2


# How time is shared among the levels, by a clock of the test's own.


class Clock:
    """A clock that goes on by a little whenever somebody looks at it, as if every step took that long."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now


def timed_worker(job: JobFolder, clock: Clock, planned: list[float]) -> worker.Worker:
    """A worker that has sampled its mesh, with levels that are meant to take `planned` seconds."""
    timed = worker.Worker(job)
    timed.preset = replace(PRESETS["PREVIEW"], seconds=sum(planned))
    timed.config = replace(TINY, levels=tuple(LevelConfig((8,), 1.0, 10**9, seconds) for seconds in planned))
    timed.planned = timed.config.levels
    return timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(worker, "time", own)
    monkeypatch.setattr(training, "time", own)
    return own


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    planned=st.lists(st.floats(1.0, 200.0), min_size=1, max_size=4),
    sampling=st.floats(0.0, 300.0),
    late=st.lists(st.floats(0.0, 60.0), min_size=4, max_size=4),
    sheet_share=st.floats(0.0, 1.0),
)
def test_levels_share_what_is_left_of_the_time(
    job: JobFolder, clock: Clock, planned: list[float], sampling: float, late: list[float], sheet_share: float
) -> None:
    timed = timed_worker(job, clock, planned)
    timed.samples = SimpleNamespace(sheet_share=sheet_share)
    clock.now += sampling
    end = timed.started + sum(planned) - worker.RESERVED_SECONDS - worker.SHEET_SECONDS * sheet_share
    for level, seconds in enumerate(planned):
        before = clock.now
        timed._give_time(level)
        given = [later.seconds for later in timed.config.levels[level:]]
        # Never less than a third of what it was meant to take, however late it has become.
        assert given[0] >= seconds / 3.0 * (1.0 - 1e-9)
        # All that is left, where that is enough, shared as it was planned.
        if end - before >= sum(planned[level:]) / 3.0:
            assert sum(given) == pytest.approx(end - before)
        assert given == pytest.approx([later * given[0] / seconds for later in planned[level:]])
        clock.now += given[0] + late[level]


@pytest.mark.parametrize(("sampling", "late"), [(3.0, 0.0), (8.0, 0.5), (0.0, 1.0)])
def test_training_ends_about_on_time(
    job: JobFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch, sampling: float, late: float
) -> None:
    # Twenty seconds by the clock, a little for each look at it, as if steps took that long; more for what is slow here.
    config = replace(TINY, levels=tuple(replace(level, steps=10**9, seconds=10.0) for level in TINY.levels))
    train_as(monkeypatch, config)
    preview = replace(PRESETS["PREVIEW"], seconds=20.0 + worker.RESERVED_SECONDS)
    monkeypatch.setattr(worker, "PRESETS", {**PRESETS, "PREVIEW": preview})
    clock.tick = 0.04
    sample, extract = worker.sample, worker.extract

    def slowly(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def slow(*arguments: Any, **options: Any) -> Any:
            clock.now += seconds
            return function(*arguments, **options)

        return slow

    monkeypatch.setattr(worker, "sample", slowly(sample, sampling))
    monkeypatch.setattr(worker, "extract", slowly(extract, late))
    started = clock.now
    assert train(job.path) == 0
    assert job.events()[0][-1]["event"] == "done"
    # The first proxy of the last level, and the steps in which the time runs out, are late; the reserve is for them.
    assert clock.now - started == pytest.approx(20.0, abs=worker.RESERVED_SECONDS)
    first, last = (event["seconds"] for event in events_of(job, "level"))
    assert last >= 10.0 / 3.0
    assert first >= 10.0 / 3.0


def test_progress_is_reported_twice_a_second(job: JobFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.tick = 0.05
    log_progress, times = worker.Worker._log_progress, []

    def noted(self: worker.Worker, level: int, progress: training.Progress) -> None:
        times.append((level, clock.now))
        log_progress(self, level, progress)

    monkeypatch.setattr(worker.Worker, "_log_progress", noted)
    assert train(job.path) == 0
    for level in (0, 1):
        gaps = np.diff([when for at, when in times if at == level])
        assert len(gaps) > 5
        assert gaps.min() >= worker.PROGRESS_INTERVAL
        # A look or two later, never more.
        assert gaps.max() < worker.PROGRESS_INTERVAL + 10 * clock.tick
