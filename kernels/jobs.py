# SPDX-License-Identifier: GPL-3.0-or-later
"""A training job is a folder: the request, the mesh, the log, the sequence so far, and what is needed to resume.

The folder is all that Blender and the worker share. It can be copied to another machine and run there. Every file
but the log is replaced atomically, so that whoever reads sees the old one or the new one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from .extraction import QuadMesh
from .files import read_arrays, replace_bytes, write_arrays
from .meshes import TriangleMesh


class JobError(RuntimeError):
    """The job folder is not usable. The message says why, in words for the artist."""


@dataclass(frozen=True)
class Request:
    """What is asked of the worker."""

    preset: str
    """A key of `presets.PRESETS`."""
    source: str = ""
    """Name of the mesh, for the record."""
    threads: int = 0
    """CPU threads to use; 0 for all cores: other programs, Blender first, come before them by their priority."""
    device: str = "auto"
    """`auto` for a CUDA device where there is one, or any device name of torch."""
    budget: float = 1.0
    """Factor on the time and the steps of the preset."""
    proxy_faces: int = 20_000
    """About how many quads the proxy gets that is extracted after every level."""
    seed: int = 0
    """Seed of sampling, initial weights and minibatches."""

    def __post_init__(self) -> None:
        types = {"str": str, "int": int, "float": int | float}
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, types[field.type]) or isinstance(value, bool):
                raise TypeError(f"{field.name} is {value!r}, which is no {field.type}")


class JobFolder:
    """The files of one training job.

    Args:
        path: the folder; `create` makes it.
        echo: where every line of the log is also printed, for whoever runs the worker in a terminal.
    """

    def __init__(self, path: str | Path, echo: TextIO | None = None) -> None:
        self.path = Path(path)
        self.echo = echo
        self.request_path = self.path / "request.json"
        self.mesh_path = self.path / "mesh.npz"
        self.log_path = self.path / "log.jsonl"
        self.sequence_path = self.path / "sequence.nsdf"
        self.proxy_path = self.path / "proxy.npz"
        self.samples_path = self.path / "samples.npz"
        self.state_path = self.path / "state.npz"
        self.lock_path = self.path / "lock"

    def create(self, request: Request, mesh: TriangleMesh) -> None:
        """Write the request and the mesh, making the folder where it does not exist.

        What an earlier run left in the folder stays, to be resumed, when it was asked for the same training.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._holds(request, mesh):
            for path in (self.samples_path, self.state_path, self.sequence_path, self.proxy_path, self.log_path):
                path.unlink(missing_ok=True)
        write_arrays(self.mesh_path, {"vertices": mesh.vertices, "faces": mesh.faces})
        replace_bytes(self.request_path, json.dumps(asdict(request), indent=2).encode())

    def _holds(self, request: Request, mesh: TriangleMesh) -> bool:
        """Whether the folder is a job that trains the same networks on the same mesh."""
        try:
            earlier, present = self.request(), self.mesh()
        except JobError:
            return False
        same_training = all(getattr(earlier, name) == getattr(request, name) for name in ("preset", "budget", "seed"))
        same_vertices = np.array_equal(present.vertices, mesh.vertices)
        return same_training and same_vertices and np.array_equal(present.faces, mesh.faces)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other workers out of the folder. The system opens the lock again, however this process ends.

        Raises:
            JobError: another worker is at work in the folder.
            OSError: the folder cannot be written.
        """
        with self.lock_path.open("ab") as file:
            if not _lock(file):
                raise JobError(f"{self.path} is being trained already")
            # Files that a worker before this one was writing when it was killed.
            for unfinished in self.path.glob("*.part"):
                unfinished.unlink(missing_ok=True)
            yield

    def request(self) -> Request:
        """The request.

        Raises:
            JobError: there is none, or it is damaged.
        """
        try:
            return Request(**json.loads(self.request_path.read_text()))
        except FileNotFoundError as error:
            raise JobError(f"{self.path} is not a training job: it has no request.json") from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise JobError(f"The request of the job cannot be read: {error}") from error

    def mesh(self) -> TriangleMesh:
        """The mesh, in its local space.

        Raises:
            JobError: there is none, or it is damaged.
        """
        try:
            arrays = read_arrays(self.mesh_path)
            return TriangleMesh(arrays["vertices"], arrays["faces"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise JobError(f"The mesh of the job cannot be read: {error}") from error

    def write_proxy(self, proxy: QuadMesh) -> None:
        """Replace the proxy of the sequence so far.

        Raises:
            OSError: the file cannot be written.
        """
        write_arrays(self.proxy_path, {"vertices": proxy.vertices, "quads": proxy.quads, "normals": proxy.normals})

    def proxy(self) -> QuadMesh:
        """The proxy of the sequence so far.

        Raises:
            JobError: there is none, or it is damaged.
        """
        try:
            proxy = QuadMesh(**read_arrays(self.proxy_path))
            _check_proxy(proxy)
            return proxy
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise JobError(f"The proxy of the job cannot be read: {error}") from error

    def log(self, event: str, **details: Any) -> None:
        """Append one line to the log.

        Raises:
            OSError: the log cannot be written.
        """
        line = json.dumps({"event": event, "time": round(time.time(), 3), **details}, allow_nan=False)
        with self.log_path.open("a+b") as log:
            # A line that a full disk cut off must not swallow this one.
            log.seek(max(0, log.tell() - 1))
            cut_off = log.read(1) not in (b"", b"\n")
            log.write(b"\n" * cut_off + line.encode() + b"\n")
        if self.echo is not None:
            print(event, *(f"{name}={value}" for name, value in details.items()), file=self.echo, flush=True)

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The events logged after `offset` bytes, and the offset to go on from.

        A line that is still being written is left for the next call; a line that is not JSON is passed over.
        """
        try:
            with self.log_path.open("rb") as log:
                log.seek(offset)
                data = log.read()
        except OSError:
            return [], offset
        complete = data.rfind(b"\n") + 1
        events = []
        for line in data[:complete].splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                events.append(event)
        return events, offset + complete


def _lock(file: BinaryIO) -> bool:
    """Take the exclusive lock of an open file, for as long as it is open; False when another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _check_proxy(proxy: QuadMesh) -> None:
    """Refuse what would crash Blender when a mesh is filled with it.

    Raises:
        ValueError: the arrays are no mesh.
    """
    vertices, quads, normals = proxy.vertices, proxy.quads, proxy.normals
    shapes_fit = vertices.ndim == 2 and vertices.shape[1] == 3 and quads.ndim == 2 and quads.shape[1] == 4
    kinds_fit = vertices.dtype.kind == "f" and normals.dtype.kind == "f" and quads.dtype.kind == "i"
    if not (shapes_fit and kinds_fit and normals.shape == vertices.shape):
        raise ValueError("its arrays do not fit together")
    if not (np.isfinite(vertices).all() and np.isfinite(normals).all()):
        raise ValueError("not all of its numbers are finite")
    if len(quads) and not (quads.min() >= 0 and quads.max() < len(vertices)):
        raise ValueError("its faces refer to vertices that do not exist")
