# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that trains: which Python runs it, how it is started on a job folder, watched and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ..kernels.jobs import JobFolder

# What the worker imports beyond numpy, by module, and the name under which pip installs it.
REQUIREMENTS = {"torch": "torch", "igl": "libigl", "numpy": "numpy"}
# The folder that holds the package `kernels`.
EXTENSION_FOLDER = Path(__file__).resolve().parent.parent
# Variables that Blender sets for its own Python and that would mislead another one.
_FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")


class WorkerError(RuntimeError):
    """The worker could not be started. The message says what to do, in words for the artist."""


def candidate_pythons(preferred: str) -> list[str]:
    """Pythons that may run the worker, best first: the artist's choice alone, or else the one Blender runs on."""
    if preferred:
        return [preferred]
    chosen = os.environ.get("NEURAL_IMPLICIT_PYTHON")
    return [chosen] if chosen else [sys.executable]


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    environment["PYTHONPATH"] = str(EXTENSION_FOLDER)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    return environment


def _without_console() -> dict[str, Any]:
    """Arguments of Popen that keep Windows from opening a console window."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


@cache
def _missing_packages(python: str) -> tuple[str, ...]:
    script = (
        "import importlib.util, json, sys;"
        "print(json.dumps([m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]))"
    )
    done = subprocess.run(
        [python, "-c", script, *REQUIREMENTS],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env=_environment(),
        **_without_console(),
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def find_python(preferred: str) -> str:
    """A Python that has all that the worker needs.

    Args:
        preferred: path the artist chose in the preferences, or an empty string.

    Raises:
        WorkerError: there is none; the message says what is missing and how to get it.
    """
    python = candidate_pythons(preferred)[0]
    try:
        missing = _missing_packages(python)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise WorkerError(
            f"Training needs a Python with torch and libigl, and {python!r} does not run. "
            "Choose one in Preferences > Add-ons > Neural Implicit"
        ) from error
    if missing:
        # Not remembered: the artist is about to install what is missing.
        _missing_packages.cache_clear()
        packages = " ".join(REQUIREMENTS[module] for module in missing)
        raise WorkerError(
            f'Training needs {packages}, missing in {python}. Install with "{python}" -m pip install {packages}, '
            "or choose another Python in Preferences > Add-ons > Neural Implicit"
        )
    return python


class WorkerProcess:
    """A running worker.

    Args:
        python: as `find_python` returned it.
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
                    env=_environment(),
                    **_without_console(),
                )
        except OSError as error:
            raise WorkerError(f"The training process could not be started: {error}") from error

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def last_words(self) -> str:
        """The last line that the process printed, for a worker that died without a word in its log."""
        try:
            lines = self._output_path.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

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
