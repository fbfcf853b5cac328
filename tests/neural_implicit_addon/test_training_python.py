# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that trains: found, or what is missing and how to get it, in words for the artist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from processes import children, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for Python are shell scripts")


NEW_ENOUGH = {"torch": "2.9.0", "libigl": "2.6.1", "numpy": "1.26.4"}


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
    assert f'"{bare_python}" -m pip install "torch>=2.9" "libigl>=2.6" numpy' in message
    assert "Preferences" in message


def test_installing_what_is_missing_is_noticed_at_once(module, bare_python, tmp_path) -> None:
    with pytest.raises(module.WorkerError):
        module.find_python(bare_python)
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for requirement in module.REQUIREMENTS:
        (packages / f"{requirement.module}.py").touch()
    assert module.find_python(bare_python) == bare_python


@pytest.mark.parametrize("script", [None, "exit 3", "echo nonsense", "echo '{\"a\": 1}'", "echo '[\"torch\"]'"])
def test_what_is_no_python_does_not_run(module, tmp_path, script) -> None:
    path = str(tmp_path / "python") if script is None else fakes.executable(tmp_path / "python", script)
    with pytest.raises(module.WorkerError, match="does not run.*Choose one in Preferences"):
        module.find_python(path)


@pytest.mark.parametrize(
    ("found", "problem", "packages"),
    [
        ({"torch": "2.8.1+cu126"}, "torch 2.9 or newer, and .* has torch 2.8.1", '"torch>=2.9"'),
        ({"libigl": "2.5.1"}, "libigl 2.6 or newer, and .* has libigl 2.5.1", '"libigl>=2.6"'),
        ({"torch": "1.13.0", "libigl": "2.5"}, "torch 1.13.0 and libigl 2.5", '"torch>=2.9" "libigl>=2.6"'),
    ],
)
def test_old_packages_are_named_with_the_command_that_renews_them(module, tmp_path, found, problem, packages) -> None:
    python = fakes.answering_python(tmp_path / "python", **{**NEW_ENOUGH, **found})
    with pytest.raises(module.WorkerError, match=problem) as caught:
        module.find_python(python)
    assert f'"{python}" -m pip install {packages}, or choose another' in str(caught.value)


def test_old_python_is_told_apart_from_one_that_does_not_run(module, tmp_path) -> None:
    python = fakes.answering_python(tmp_path / "python", "3.9.18", **NEW_ENOUGH)
    with pytest.raises(module.WorkerError, match=r"needs Python 3.10 or newer, and .* is Python 3.9.18. Choose one in"):
        module.find_python(python)


@pytest.mark.parametrize(
    "found", [{}, {"torch": ""}, {"libigl": "unknown"}, {"torch": "2.10.0"}, {"torch": "3.0a0+git1234"}]
)
def test_new_packages_and_those_of_unknown_version_are_taken(module, tmp_path, found) -> None:
    python = fakes.answering_python(tmp_path / "python", **{**NEW_ENOUGH, **found})
    assert module.find_python(python) == python


def test_versions_are_those_of_the_installed_packages(module, bare_python, tmp_path) -> None:
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    for requirement in module.REQUIREMENTS:
        (packages / f"{requirement.module}.py").touch()
    metadata = packages / "torch-2.7.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.7.0\n")
    with pytest.raises(module.WorkerError, match=r"torch 2.9 or newer, and .* has torch 2.7.0"):
        module.find_python(bare_python)


def test_folders_of_the_same_names_are_no_packages(module, bare_python, tmp_path, monkeypatch) -> None:
    """Neither those in the current directory, nor empty ones among the packages."""
    (packages,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    monkeypatch.chdir(tmp_path)
    for requirement in module.REQUIREMENTS:
        (packages / requirement.module).mkdir()
        Path(requirement.module).mkdir()
        Path(requirement.module, "__init__.py").touch()
    with pytest.raises(module.WorkerError, match="torch 2.9 or newer and libigl 2.6 or newer and numpy, missing in"):
        module.find_python(bare_python)


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


def test_opening_a_file_does_not_lose_the_answer(module, blender, tmp_path) -> None:
    python = fakes.answering_python(tmp_path / "python", **NEW_ENOUGH)
    module.known_answer(python)
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert blender.app.timers.is_registered(module._take_in_answer)
    wait_until(lambda: module._take_in_answer() is None)
    assert module.known_answer(python) == module.Answer()


def test_panels_are_told_what_train_has_found(module, tmp_path) -> None:
    python = fakes.answering_python(tmp_path / "python", **NEW_ENOUGH)
    module.find_python(python)
    assert module.known_answer(python) == module.Answer()
    assert not children()


def test_disabling_leaves_no_question_open(module, tmp_path) -> None:
    module.known_answer(fakes.executable(tmp_path / "python", "exec sleep 60"))
    assert children()
    module.unregister()
    assert not children()
