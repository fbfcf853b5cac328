# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that trains: found, or what is missing and how to get it, in words for the artist."""

from __future__ import annotations

import os
import subprocess
import sys

import fakes
import pytest
from processes import children, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for Python are shell scripts")


@pytest.fixture
def module(addon_module):
    module = addon_module("neural_implicit_addon.training_python")
    module.unregister()
    yield module
    module.unregister()


@pytest.fixture
def bare_python(tmp_path) -> str:
    """A Python without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


def test_missing_packages_are_named_with_the_command_that_installs_them(module, bare_python) -> None:
    with pytest.raises(module.WorkerError) as caught:
        module.find_python(bare_python)
    message = str(caught.value)
    assert "torch" in message
    assert "libigl" in message
    assert f'"{bare_python}" -m pip install torch libigl' in message
    assert "Preferences" in message


def test_installing_what_is_missing_is_noticed_at_once(module, bare_python, tmp_path) -> None:
    with pytest.raises(module.WorkerError):
        module.find_python(bare_python)
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for name in module.REQUIREMENTS:
        (packages / f"{name}.py").touch()
    assert module.find_python(bare_python) == bare_python


@pytest.mark.parametrize("script", [None, "exit 3", "echo nonsense", "echo '{\"a\": 1}'", "echo '[\"other\"]'"])
def test_what_is_no_python_does_not_run(module, tmp_path, script) -> None:
    path = str(tmp_path / "python") if script is None else fakes.executable(tmp_path / "python", script)
    with pytest.raises(module.WorkerError, match="does not run.*Choose one in Preferences"):
        module.find_python(path)


def test_a_folder_or_a_path_with_a_zero_is_no_python(module, tmp_path) -> None:
    for path in (str(tmp_path), "/nonsense\0"):
        with pytest.raises(module.WorkerError, match="does not run"):
            module.find_python(path)


def test_a_python_that_never_answers_is_given_up(module, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with pytest.raises(module.WorkerError, match="does not run"):
        module.find_python(fakes.executable(tmp_path / "python", "exec sleep 60"))
    assert not children()


def test_the_choice_goes_before_the_environment_and_that_before_blenders_own(module, monkeypatch) -> None:
    monkeypatch.delenv("NEURAL_IMPLICIT_PYTHON", raising=False)
    assert module.training_python("") == sys.executable
    monkeypatch.setenv("NEURAL_IMPLICIT_PYTHON", "/environment")
    assert module.training_python("") == "/environment"
    assert module.training_python("/choice") == "/choice"


def test_panels_are_told_in_the_background(module, bare_python) -> None:
    assert module.known_answer(bare_python) is None, "a panel must not wait"
    wait_until(lambda: module._take_in_answer() is None)
    answer = module.known_answer(bare_python)
    assert "torch" in answer.problem
    assert "pip install" in answer.message


def test_panels_are_told_what_train_has_found(module, tmp_path) -> None:
    python = fakes.executable(tmp_path / "python", "echo '[]'")
    module.find_python(python)
    assert module.known_answer(python) == module.Answer()
    assert not children()


def test_disabling_leaves_no_question_open(module, tmp_path) -> None:
    module.known_answer(fakes.executable(tmp_path / "python", "exec sleep 60"))
    assert children()
    module.unregister()
    assert not children()
