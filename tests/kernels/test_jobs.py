# SPDX-License-Identifier: GPL-3.0-or-later
"""Job folders: there and back, damaged in every file, half written, shared by two processes."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import jobs
from kernels.extraction import QuadMesh
from kernels.files import read_arrays, write_arrays
from kernels.jobs import JobError, JobFolder, Request
from kernels.meshes import TriangleMesh

MESH = shapes.sphere_mesh(1)
REQUEST = Request("PREVIEW", "Suzanne", threads=1, device="cpu", budget=0.5, seed=3)


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    """A job as it is made."""
    folder = JobFolder(tmp_path / "a job")
    folder.create(REQUEST, MESH)
    return folder


def test_request_and_mesh_there_and_back(job: JobFolder) -> None:
    assert job.request() == REQUEST
    np.testing.assert_array_equal(job.mesh().vertices, MESH.vertices)
    np.testing.assert_array_equal(job.mesh().faces, MESH.faces)
    assert sorted(path.name for path in job.path.iterdir()) == ["mesh.npz", "request.json"]


def test_proxy_there_and_back(job: JobFolder) -> None:
    with pytest.raises(JobError, match="proxy"):
        job.proxy()
    proxy = QuadMesh(np.ones((4, 3), np.float32), np.array([[0, 1, 2, 3]]), np.zeros((4, 3), np.float32))
    job.write_proxy(proxy)
    for name, array in vars(proxy).items():
        np.testing.assert_array_equal(getattr(job.proxy(), name), array)
    job.proxy_path.write_bytes(job.mesh_path.read_bytes())
    with pytest.raises(JobError, match="proxy"):
        job.proxy()


def leave_results(job: JobFolder) -> tuple[Path, ...]:
    results = job.samples_path, job.state_path, job.sequence_path, job.proxy_path, job.log_path
    for path in results:
        path.write_bytes(b"left by an earlier run")
    return results


def test_the_same_training_again_keeps_what_can_be_resumed(job: JobFolder) -> None:
    results = leave_results(job)
    job.create(Request("PREVIEW", "Renamed", threads=2, budget=0.5, seed=3), MESH)
    assert all(path.exists() for path in results)
    assert job.request().source == "Renamed"


@pytest.mark.parametrize(
    ("request_", "mesh"),
    [
        (Request("FINE", budget=0.5, seed=3), MESH),
        (Request("PREVIEW", budget=0.6, seed=3), MESH),
        (Request("PREVIEW", budget=0.5, seed=4), MESH),
        (REQUEST, shapes.moved(MESH, (0.0, 0.0, 1e-9))),
        (REQUEST, shapes.inside_out(MESH)),
        (REQUEST, shapes.sphere_mesh(2)),
    ],
)
def test_another_training_does_not_resume_from_this_one(job: JobFolder, request_: Request, mesh: TriangleMesh) -> None:
    results = leave_results(job)
    job.create(request_, mesh)
    assert not any(path.exists() for path in results)
    assert job.request() == request_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "{}",
        "\x00\xff",
        "[" * 100_000,
        '{"preset": "PREVIEW", "surprise": 1}',
        '{"preset": 1}',
        '{"preset": "PREVIEW", "budget": "1"}',
        '{"preset": "PREVIEW", "budget": true}',
        '{"preset": "PREVIEW", "threads": 1.5}',
        '{"preset": "PREVIEW", "seed": null}',
        '{"preset": ["PREVIEW"]}',
    ],
)
def test_damaged_request(job: JobFolder, text: str) -> None:
    job.request_path.write_bytes(text.encode("latin-1"))
    with pytest.raises(JobError, match="request of the job cannot be read"):
        job.request()


def test_folder_that_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="not a training job"):
        JobFolder(tmp_path).request()
    with pytest.raises(JobError, match="mesh of the job"):
        JobFolder(tmp_path).mesh()


def compressed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def claiming(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        saved(np.zeros(3)),
        archive(),
        archive(vertices=saved(MESH.vertices)),
        archive(vertices=b"no array", faces=b""),
        archive(vertices=saved(np.array([{"an": "object"}])), faces=saved(MESH.faces)),
        archive(vertices=claiming("(3, 3)"), faces=saved(MESH.faces)),
        archive(vertices=claiming(f"({1 << 62}, 3)"), faces=saved(MESH.faces)),
        archive(vertices=claiming(f"({1 << 70},)"), faces=saved(MESH.faces)),
        archive(vertices=claiming("(-3, 3)"), faces=saved(MESH.faces)),
    ],
    ids=range(11),
)
def test_damaged_mesh(job: JobFolder, data: bytes) -> None:
    job.mesh_path.write_bytes(data)
    with pytest.raises(JobError, match="mesh of the job cannot be read"):
        job.mesh()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([True, False]), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), st.data())
def test_any_damage_to_an_archive_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, changes: list[tuple[float, int]], data: st.DataObject
) -> None:
    arrays = {"vertices": MESH.vertices, "step": np.asarray(3)}
    path = tmp_path_factory.getbasetemp() / "archive.npz"
    path.write_bytes(compressed(**arrays) if packed else archive(**{k: saved(v) for k, v in arrays.items()}))
    damaged = bytearray(path.read_bytes())
    for where, value in changes:
        damaged[int(where * (len(damaged) - 1))] = value
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        read = read_arrays(path)
    except (OSError, ValueError, EOFError):
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=2))
def test_damaged_header_of_a_large_array_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    # So large that the header is read before the archive's checksum is known.
    member = bytearray(saved(np.ones((4000, 3))))
    intact = archive(vertices=bytes(member))
    damaged = bytearray(intact)
    start = intact.index(bytes(member[:16]))
    for where, value in changes:
        damaged[start + where] = value
    path = tmp_path_factory.getbasetemp() / "archive.npz"
    path.write_bytes(damaged)
    try:
        read = read_arrays(path)
    except (OSError, ValueError, EOFError):
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


def test_absurdly_large_mesh_is_refused_unread(job: JobFolder) -> None:
    with job.mesh_path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(JobError, match="absurdly large"):
        job.mesh()


def test_full_disk_leaves_the_old_arrays(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = job.mesh_path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_arrays(job.mesh_path, {"vertices": np.zeros(3)})
    assert job.mesh_path.read_bytes() == before


def test_log_there_and_back(job: JobFolder) -> None:
    assert job.events() == ([], 0)
    job.log("started", preset="PREVIEW")
    events, offset = job.events()
    assert [event["event"] for event in events] == ["started"]
    assert events[0]["preset"] == "PREVIEW"
    assert abs(events[0]["time"] - job.log_path.stat().st_mtime) < 5.0
    job.log("note", message="größer\nzweite Zeile")
    events, offset = job.events(offset)
    assert [event["message"] for event in events] == ["größer\nzweite Zeile"]
    assert job.events(offset) == ([], offset)


def test_numbers_that_json_does_not_know_are_not_logged(job: JobFolder) -> None:
    with pytest.raises(ValueError, match="JSON"):
        job.log("progress", loss=float("nan"))
    assert job.events() == ([], 0)


def test_line_being_written_is_left_for_the_next_call(job: JobFolder) -> None:
    job.log("one")
    line = b'{"event": "two"}\n'
    for length in range(len(line)):
        complete = job.log_path.read_bytes()
        job.log_path.write_bytes(complete + line[:length])
        events, offset = job.events()
        assert [event["event"] for event in events] == ["one"]
        assert offset == len(complete)
        job.log_path.write_bytes(complete + line)
        assert [event["event"] for event in job.events(offset)[0]] == ["two"]
        job.log_path.write_bytes(complete)


def test_line_that_was_cut_off_does_not_swallow_the_next(job: JobFolder) -> None:
    job.log("one")
    with job.log_path.open("ab") as log:
        log.write(b'{"event": "prog')
    job.log("two")
    job.log("three")
    assert [event["event"] for event in job.events()[0]] == ["one", "two", "three"]


@pytest.mark.parametrize("line", [b"", b"\xff\xfe", b"null", b"[]", b'{"event": 3}', b'{"time": 3}', b"[" * 50_000])
def test_lines_that_are_no_events_are_passed_over(job: JobFolder, line: bytes) -> None:
    job.log("one")
    with job.log_path.open("ab") as log:
        log.write(line + b"\n")
    job.log("two")
    assert [event["event"] for event in job.events()[0]] == ["one", "two"]


def test_log_is_echoed(tmp_path: Path) -> None:
    echo = io.StringIO()
    job = JobFolder(tmp_path, echo)
    job.log("level", level=1, name="64x1")
    assert echo.getvalue() == "level level=1 name=64x1\n"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        JobFolder(tmp_path / "file" / "job").create(REQUEST, MESH)


def test_one_worker_at_a_time(job: JobFolder) -> None:
    with job.locked(), pytest.raises(JobError, match="is being trained already"), JobFolder(job.path).locked():
        pytest.fail("two at once")
    with job.locked():
        pass


def test_lock_goes_with_its_process(job: JobFolder) -> None:
    script = (
        "import sys, time\nfrom kernels.jobs import JobFolder\n"
        "with JobFolder(sys.argv[1]).locked():\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    repository = Path(jobs.__file__).parent.parent
    command = [sys.executable, "-c", script, str(job.path)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(JobError, match="is being trained already"), job.locked():
            pytest.fail("two at once")
        other.kill()
        other.wait()
    with job.locked():
        pass


def test_lock_clears_what_a_killed_worker_was_writing(job: JobFolder) -> None:
    unfinished = job.path / "state.npz.12345.part"
    unfinished.write_bytes(b"half")
    with job.locked():
        assert not unfinished.exists()
    assert job.request() == REQUEST


def test_request_is_readable_json(job: JobFolder) -> None:
    assert json.loads(job.request_path.read_text())["source"] == "Suzanne"


def test_arrays_that_claim_gigabytes_are_refused_before_they_are_allocated(tmp_path: Path) -> None:
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("vertices.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30, 3)})
    with pytest.raises(ValueError, match="absurdly large"):
        read_arrays(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"quads": np.array([[0, 1, 2, 99999999]], dtype=np.int32)},
        {"quads": np.array([[0, 1, 2, -1]], dtype=np.int32)},
        {"normals": np.zeros((2, 3), dtype=np.float32)},
        {"vertices": np.full((4, 3), np.nan, dtype=np.float32)},
        {"quads": np.zeros((1, 4), dtype=np.float32)},
    ],
)
def test_proxies_that_would_crash_blender_are_refused(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    job = JobFolder(tmp_path)
    sound = {
        "vertices": np.zeros((4, 3), dtype=np.float32),
        "quads": np.array([[0, 1, 2, 3]], dtype=np.int32),
        "normals": np.zeros((4, 3), dtype=np.float32),
    }
    write_arrays(job.proxy_path, sound)
    assert len(job.proxy().quads) == 1
    write_arrays(job.proxy_path, sound | changed)
    with pytest.raises(JobError, match="proxy"):
        job.proxy()
