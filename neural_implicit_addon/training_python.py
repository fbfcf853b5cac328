# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that trains: which one it is, and whether it has what training needs.

The answer takes a process of a tenth of a second or more. Train waits for it; panels, which are drawn all the time,
are told the last answer and set off the question in the background.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import bpy

from .redrawing import redraw_viewports
from .worker_process import WorkerError, environment, without_console


@dataclass(frozen=True)
class Requirement:
    """Something the worker needs.

    Attributes:
        name: of the package, as pip knows it; or Python.
        minimum: the oldest version that will do; empty where any does.
        module: what is imported.
    """

    name: str
    minimum: str
    module: str = ""

    @property
    def text(self) -> str:
        """In words for the artist."""
        return f"{self.name} {self.minimum} or newer" if self.minimum else self.name

    @property
    def specifier(self) -> str:
        """As an argument of pip on a command line."""
        return f'"{self.name}>={self.minimum}"' if self.minimum else self.name

    def is_met_by(self, version: str) -> bool:
        """Whether a version is new enough; one that says nothing, as that of a development build, is taken to be."""
        found = _major_minor(version)
        return not self.minimum or found is None or found >= _major_minor(self.minimum)


PYTHON = Requirement("Python", "3.10")
# 2.9 is the first torch with the optimiser Muon.
REQUIREMENTS = (
    Requirement("torch", "2.9", "torch"),
    Requirement("libigl", "2.6", "igl"),
    Requirement("numpy", "", "numpy"),
)
# Prints the version of Python, and those of the packages that are there: empty for one whose version is not known, as
# distributions may install packages without metadata. Arguments: package and module in turn. Folders in the current
# directory, and folders anywhere that are no packages, do not count. Old Pythons must understand it too.
_QUESTION = """
import importlib.util, json, sys
sys.path[:] = [folder for folder in sys.path if folder]
def version(package):
    try:
        import importlib.metadata
        return importlib.metadata.version(package) or ""
    except ImportError:
        return ""
def is_there(module):
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None
pairs = zip(sys.argv[1::2], sys.argv[2::2])
packages = {package: version(package) for package, module in pairs if is_there(module)}
print(json.dumps({"python": sys.version.split()[0], "packages": packages}))
"""
# Seconds after which a Python that does not answer counts as one that does not run.
_PATIENCE = 20.0
# Seconds between two looks at a question, and after which a Python that lacked something is asked again.
_INTERVAL = 0.1
_ASK_AGAIN = 5.0


def _major_minor(version: str) -> tuple[int, int] | None:
    """The two numbers that a version begins with, or None."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def training_python(preferred: str) -> str:
    """The Python that trains: the artist's choice, or NEURAL_IMPLICIT_PYTHON, or the one that Blender runs on."""
    return preferred or os.environ.get("NEURAL_IMPLICIT_PYTHON") or sys.executable


@dataclass(frozen=True)
class Answer:
    """What is known about a Python, in words for the artist; both empty when it can train.

    Attributes:
        problem: what is wrong.
        command: what installs what is missing; empty where no command helps.
    """

    problem: str = ""
    command: str = ""

    @property
    def message(self) -> str:
        """What is wrong and what to do."""
        install = f"Install with {self.command}, or choose another" if self.command else "Choose one"
        return f"{self.problem}. {install} in Preferences > Add-ons > Neural Implicit"


class _Question:
    """A Python being asked, in a process of its own, which version it is and which packages it has."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.asked = time.monotonic()
        self._process: subprocess.Popen[str] | None = None
        # A Python that cannot be started is one that gives no answer.
        try:
            self._process = subprocess.Popen(
                [python, "-c", _QUESTION, *(word for r in REQUIREMENTS for word in (r.name, r.module))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment(),
                **without_console(),
            )
        except (OSError, ValueError):
            return

    @property
    def is_open(self) -> bool:
        """Whether the answer may still come."""
        if self._process is None or self._process.poll() is not None:
            return False
        return time.monotonic() - self.asked < _PATIENCE

    def answer(self) -> Answer:
        """Wait for the answer."""
        found = self._found()
        if found is None:
            return Answer(f"Training needs a Python with torch and libigl, and {self.python} does not run")
        version, packages = found
        if not PYTHON.is_met_by(version):
            return Answer(f"Training needs {PYTHON.text}, and {self.python} is Python {version}")
        missing = [r for r in REQUIREMENTS if r.name not in packages]
        too_old = [r for r in REQUIREMENTS if r.name in packages and not r.is_met_by(packages[r.name])]
        if not missing and not too_old:
            return Answer()
        problems = []
        if missing:
            problems.append(f"{' and '.join(r.text for r in missing)}, missing in {self.python}")
        if too_old:
            has = " and ".join(f"{r.name} {packages[r.name]}" for r in too_old)
            problems.append(f"{' and '.join(r.text for r in too_old)}, and {self.python} has {has}")
        return Answer(
            f"Training needs {'; '.join(problems)}",
            f'"{self.python}" -m pip install {" ".join(r.specifier for r in missing + too_old)}',
        )

    def drop(self) -> None:
        """End the process; nobody wants the answer any more."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _found(self) -> tuple[str, dict[str, str]] | None:
        """Its version and those of its packages, or None when this is no Python that runs."""
        if self._process is None:
            return None
        try:
            output, _ = self._process.communicate(timeout=max(0.0, self.asked + _PATIENCE - time.monotonic()))
            found = json.loads(output.splitlines()[-1])
        except subprocess.TimeoutExpired:
            self.drop()
            return None
        except (ValueError, IndexError):
            return None
        return _checked(found) if self._process.returncode == 0 else None


def _checked(found: Any) -> tuple[str, dict[str, str]] | None:
    """What a question's process printed, or None when it is no answer."""
    if not isinstance(found, dict) or not isinstance(found.get("packages"), dict):
        return None
    version, packages = found.get("python"), found["packages"]
    return (version, packages) if all(isinstance(v, str) for v in (version, *packages.values())) else None


def find_python(preferred: str) -> str:
    """The Python that trains, after making sure that it has all that the worker needs.

    Args:
        preferred: path the artist chose in the preferences, or an empty string.

    Raises:
        WorkerError: it has not; the message says what is missing and how to get it.
    """
    python = training_python(preferred)
    answer = _answers[python] = _Question(python).answer()
    if answer.problem:
        raise WorkerError(answer.message)
    return python


# The last answer by Python, and the question that is being asked for a panel.
_answers: dict[str, Answer] = {}
_question: _Question | None = None
_last_asked = 0.0


def known_answer(preferred: str) -> Answer | None:
    """What panels say: the last answer of the Python that trains, None when there is none yet.

    Returns at once. A Python that was never asked, or that lacked something a while ago, is asked in the background,
    and the viewports are drawn again when it has answered.
    """
    global _question, _last_asked
    python = training_python(preferred)
    answer = _answers.get(python)
    is_due = answer is None or (answer.problem and time.monotonic() - _last_asked > _ASK_AGAIN)
    if is_due and _question is None:
        _question = _Question(python)
        _last_asked = _question.asked
        # Persistent: opening a file would remove the timer, and the question would stay open for ever.
        bpy.app.timers.register(_take_in_answer, first_interval=_INTERVAL, persistent=True)
    return answer


def _take_in_answer() -> float | None:
    """Look at the question from time to time; the timer ends with the answer."""
    global _question
    if _question.is_open:
        return _INTERVAL
    _answers[_question.python] = _question.answer()
    _question = None
    redraw_viewports()
    return None


CLASSES = ()


def unregister() -> None:
    """Leave no question open when the add-on is disabled."""
    global _question
    if _question is not None:
        _question.drop()
        _question = None
    if bpy.app.timers.is_registered(_take_in_answer):
        bpy.app.timers.unregister(_take_in_answer)
    _answers.clear()
