# SPDX-License-Identifier: GPL-3.0-or-later
"""make.py: the zip's contents, finding a Python, and what is said where something is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import make
from kernels.presets import PRESETS

MAKE = Path(make.__file__)


def test_zip_holds_the_extension_and_nothing_else(extension_zip: Path) -> None:
    with zipfile.ZipFile(extension_zip) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    rooms = ("kernels", "neural_implicit_addon", "operators", "panels")
    sources = {
        path.relative_to(make.REPOSITORY).as_posix()
        for room in rooms
        for path in (make.REPOSITORY / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert sources <= names
    # Shaders are no Python, and must come along all the same.
    assert {name for name in names if name.endswith(".glsl")} >= {"kernels/glsl/mesh_vertex.glsl"}
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))]
    assert "kernels/__main__.py" in names
    assert names - sources <= {"__init__.py", "blender_manifest.toml", "README.md", "LICENSE"}


def test_what_the_tool_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("bpy")
    (tmp_path / "blender_manifest.toml").write_text('schema_version = "1.0.0"\nid = "broken"\nversion = "0.1.0"\n')
    monkeypatch.setattr(make, "REPOSITORY", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        make.build_zip(Path(sys.prefix), tmp_path / "build")
    assert "maintainer" in capsys.readouterr().err


def test_commands_run_from_a_folder_with_packages_of_the_same_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("benchmarks", "kernels"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert make.call([sys.executable, "-m", "benchmarks.report"]) == 0
    assert make.call([sys.executable, "-c", "import kernels.nsdf"]) == 0


def test_versions_agree() -> None:
    manifest = tomllib.loads((make.REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))
    project = tomllib.loads((make.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == project["project"]["version"]


def test_makefile_names_the_presets() -> None:
    assert f"PRESET={'|'.join(PRESETS)}" in (make.REPOSITORY / "Makefile").read_text(encoding="utf-8")


def test_requirements_are_pinned_and_torch_can_be_left_out() -> None:
    full, small = make.requirements(torch=True), make.requirements(torch=False)
    assert all("==" in requirement for requirement in full)
    assert any(requirement.startswith("torch==") for requirement in full)
    assert set(full) - set(small) == {name for name in full if name.startswith(("torch==", "libigl=="))}


def test_every_supported_python_has_its_blender() -> None:
    blenders = [requirement for requirement in make.requirements(torch=False) if requirement.startswith("bpy")]
    for major, minor in make.PYTHON_VERSIONS:
        assert sum(f"'{major}.{minor}'" in requirement for requirement in blenders) == 1


def test_unsupported_python_is_refused_with_advice() -> None:
    with pytest.raises(SystemExit, match="install"):
        make.find_python("no-such-python")
    with pytest.raises(SystemExit, match=r"3\.11 or 3\.13"):
        make.find_python("3.2")


def test_running_python_is_found_by_its_path() -> None:
    assert make.find_python(sys.executable) == sys.executable


@pytest.mark.skipif(sys.platform != "linux", reason="system libraries are looked for on Linux only")
def test_missing_system_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "SYSTEM_LIBRARIES", {"libabsent.so.9": ("libabsent9", "absent-libs")})
    with pytest.raises(SystemExit, match=r"libabsent\.so\.9") as raised:
        make.check_platform()
    assert "apt-get install libabsent9" in str(raised.value)
    assert "dnf install absent-libs" in str(raised.value)


def test_missing_venv_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"-venv"):
        make.check_platform()


def test_complete_environment_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(make, "create", lambda environment: made.append(environment))
    monkeypatch.setattr(make, "install", lambda environment, wanted, quiet=False: True)
    environment = tmp_path / "with space" / "env"
    python = make.python_of(environment)
    python.parent.mkdir(parents=True)
    python.touch()
    make.prepare(environment, ["a==1"])
    make.prepare(environment, ["a==1"])
    assert len(made) == 1
    make.prepare(environment, ["a==2"])
    assert len(made) == 2
    (environment / "complete.stamp").unlink()
    make.prepare(environment, ["a==2"])
    assert len(made) == 3


def test_half_made_environment_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    errors = iter(["No module named 'bpy'", ""])
    monkeypatch.setattr(make, "create", lambda environment: made.append(environment))
    monkeypatch.setattr(make, "install", lambda environment, wanted, quiet=False: True)
    monkeypatch.setattr(make, "import_error", lambda environment, wanted: next(errors))
    # It has a Python of the right version, and pip holds all for installed; only the import shows what is missing.
    monkeypatch.setattr(make, "_version_of", lambda python: sys.version_info[:2])
    make.prepare(tmp_path, ["bpy==1"])
    assert made == [tmp_path]
    assert (tmp_path / "complete.stamp").is_file()


def test_unknown_command_and_arguments_are_refused() -> None:
    unknown = subprocess.run([sys.executable, str(MAKE), "fly"], capture_output=True, text=True)
    assert unknown.returncode == 2
    assert "demo" in unknown.stderr
    with pytest.raises(SystemExit, match="--fast"):
        make.refuse(["--fast"])
