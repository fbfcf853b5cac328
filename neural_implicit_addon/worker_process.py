# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that trains: how it is started on a job folder, watched and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..kernels.jobs import JobFolder

# The folder that holds the package `kernels`.
EXTENSION_FOLDER = Path(__file__).resolve().parent.parent
# Variables that Blender sets for its own Python and that would mislead another one.
_FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")


class WorkerError(RuntimeError):
    """The worker could not be started. The message says what to do, in words for the artist."""


def environment() -> dict[str, str]:
    """The environment variables of a process that runs a Python other than Blender's own, with `kernels` in reach."""
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    environment["PYTHONPATH"] = str(EXTENSION_FOLDER)
    # Without it, files in the current directory would go before the packages of the same names (Python 3.11 and later).
    environment["PYTHONSAFEPATH"] = "1"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    return environment


def without_console() -> dict[str, Any]:
    """Arguments of Popen that keep Windows from opening a console window."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


def _behind_blender() -> dict[str, Any]:
    """The same, and Windows lets Blender go first. Elsewhere the worker sees to that (`kernels.cores.give_way`)."""
    if sys.platform != "win32":
        return {}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}


class WorkerProcess:
    """A running worker.

    Args:
        python: as `training_python.find_python` returned it.
        job: the folder it works on.

    Raises:
        WorkerError: the process cannot be started.
    """

    # Seconds that a worker gets to end on its own before it is killed.
    GRACE = 0.5

    def __init__(self, python: str, job: JobFolder) -> None:
        self.job = job
        self._output_path = job.path / "output.txt"
        try:
            # What the process prints is kept in a file: a pipe that nobody reads would stop it when it is full.
            with self._output_path.open("wb") as output:
                self._process = subprocess.Popen(
                    [python, "-m", "kernels", "train", str(job.path), "--end-with-parent"],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=job.path,
                    env=environment(),
                    **_behind_blender(),
                )
        except OSError as error:
            raise WorkerError(f"The training process could not be started: {error}") from error

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def why_it_ended(self) -> str:
        """What can be said of a process that died without a word in its log."""
        status = self._process.poll()
        if status is not None and status < 0:
            return f"it was killed (signal {-status}), perhaps because memory ran out"
        try:
            lines = self._output_path.read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        # The last line that it printed is the message of its exception.
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return last or f"it left no message (status {status}); is the disk full?"

    def stop(self) -> None:
        """End the process and wait until it is gone. The job folder stays and can be resumed."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(self.GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
