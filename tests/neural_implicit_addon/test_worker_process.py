# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's process is ended when it should be, and what is known about its end is said."""

from __future__ import annotations

import os
import signal

import fakes
import numpy as np
import pytest
from processes import is_running, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for Python are shell scripts")


@pytest.fixture
def module(addon_module):
    return addon_module("neural_implicit_addon.worker_process")


@pytest.fixture
def start(addon_module, module, tmp_path):
    """A function that starts a worker of a given behaviour and waits for its first level where there is one."""
    jobs, meshes = addon_module("kernels.jobs"), addon_module("kernels.meshes")
    started = []

    def run(behaviour: str):
        job = jobs.JobFolder(tmp_path / "job")
        job.create(jobs.Request("PREVIEW", source="it"), meshes.TriangleMesh(np.eye(3), np.array([[0, 1, 2]])))
        worker = module.WorkerProcess(fakes.training_python(tmp_path, it=behaviour), job)
        started.append(worker)
        wait_until(lambda: job.events()[0] or not worker.running)
        return worker

    yield run
    for worker in started:
        worker.stop()


@pytest.mark.parametrize("behaviour", ["wait", "deaf"])
def test_ends_when_it_is_told_to(start, behaviour) -> None:
    worker = start(behaviour)
    pid = worker._process.pid
    assert worker.GRACE < 1.0, "Blender would stand still for long"
    worker.stop()
    assert not worker.running
    assert not is_running(pid)
    worker.stop()


def test_ends_with_the_process_that_started_it(start) -> None:
    worker = start("deaf")
    # What the system does when Blender is gone.
    worker._process.stdin.close()
    wait_until(lambda: not worker.running)


def test_why_it_ended(start) -> None:
    worker = start("wait")
    os.kill(worker._process.pid, signal.SIGKILL)
    wait_until(lambda: not worker.running)
    assert "signal 9" in worker.why_it_ended()
    worker = start("die")
    wait_until(lambda: not worker.running)
    assert worker.why_it_ended() == "a last word"
    worker = start("silent")
    wait_until(lambda: not worker.running)
    assert "left no message" in worker.why_it_ended()


def test_variables_that_mislead_another_python_are_not_handed_on(module, monkeypatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/of/blender")
    environment = module.environment()
    assert "/of/blender" not in environment.values()
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_python_that_is_gone(module, addon_module, tmp_path) -> None:
    job = addon_module("kernels.jobs").JobFolder(tmp_path)
    with pytest.raises(module.WorkerError, match="could not be started"):
        module.WorkerProcess(str(tmp_path / "no python"), job)
