# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that trains: which one it is, and whether it has what training needs.

The answer takes a process of a tenth of a second or more. Train waits for it; panels, which are drawn all the time,
are told the last answer and set off the question in the background.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import bpy

from .viewport import redraw_viewports
from .worker_process import WorkerError, environment, without_console

# What the worker imports beyond Python itself, by module, and the name under which pip installs it.
REQUIREMENTS = {"torch": "torch", "igl": "libigl", "numpy": "numpy"}
_QUESTION = (
    "import importlib.util, json, sys;"
    "print(json.dumps([m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]))"
)
# Seconds after which a Python that does not answer counts as one that does not run.
_PATIENCE = 20.0
# Seconds between two looks at a question, and after which a Python that lacked something is asked again.
_INTERVAL = 0.1
_ASK_AGAIN = 5.0


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
    """A Python being asked, in a process of its own, which of the required modules it lacks."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.asked = time.monotonic()
        self._process: subprocess.Popen[str] | None = None
        # A Python that cannot be started is one that gives no answer.
        try:
            self._process = subprocess.Popen(
                [python, "-c", _QUESTION, *REQUIREMENTS],
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
        missing = self._missing()
        if missing is None:
            return Answer(f"Training needs a Python with torch and libigl, and {self.python} does not run")
        if not missing:
            return Answer()
        packages = [REQUIREMENTS[module] for module in missing]
        return Answer(
            f"Training needs {' and '.join(packages)}, missing in {self.python}",
            f'"{self.python}" -m pip install {" ".join(packages)}',
        )

    def drop(self) -> None:
        """End the process; nobody wants the answer any more."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _missing(self) -> list[str] | None:
        """The modules that are missing, or None when this is no Python that runs."""
        if self._process is None:
            return None
        try:
            output, _ = self._process.communicate(timeout=max(0.0, self.asked + _PATIENCE - time.monotonic()))
            missing = json.loads(output.splitlines()[-1])
        except subprocess.TimeoutExpired:
            self.drop()
            return None
        except (ValueError, IndexError):
            return None
        is_list = isinstance(missing, list) and all(module in REQUIREMENTS for module in missing)
        return missing if is_list and self._process.returncode == 0 else None


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
        bpy.app.timers.register(_take_in_answer, first_interval=_INTERVAL)
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
