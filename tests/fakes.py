# SPDX-License-Identifier: GPL-3.0-or-later
"""Pythons that only look like one that can train, for tests of everything around the training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import shapes

from kernels import nsdf
from kernels.extraction import extract
from kernels.jobs import JobFolder

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


def executable(path: Path, script: str) -> str:
    """A shell script at `path` that can be run; returns the path."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def answering_python(path: Path, python: str = "3.11.0", **packages: str) -> str:
    """A Python of version `python` that, when asked, says that it has `packages` of these versions."""
    return executable(path, f"echo '{json.dumps({'python': python, 'packages': packages})}'")


def training_python(folder: Path, **behaviours: str) -> str:
    """A Python that plays trainings with a sphere as the result (see fake_worker.py).

    Args:
        folder: where it is made; exists.
        behaviours: what happens, by the name of the source; "done" for those that are not named.
    """
    sequence = shapes.sphere_sequence()
    nsdf.save(sequence, folder / "sequence.nsdf")
    JobFolder(folder).write_proxy(extract(sequence, target_faces=300))
    (folder / "behaviour.json").write_text(json.dumps(behaviours))
    return executable(folder / "python", f'exec "{sys.executable}" "{FAKE_WORKER}" "{folder}" "$@"')
