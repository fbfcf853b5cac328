# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures shared by all tests: the installed extension, an empty Blender file, the shared meshes.

Tests of `kernels` import the repository's package and need no Blender. Everything else works on the extension
as an artist gets it: built into a zip, installed from it and enabled, in a user folder of the tests' own.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_MESHES = REPOSITORY.parent / "shared" / "meshes"
ADDON = "bl_ext.user_default.neural_implicit"


class RepositoryRoot:
    """Keeps pytest from importing the repository's root, which is the extension and needs Blender around it."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect the root as a folder, not as the Python package that it also is."""
        return pytest.Dir.from_parent(parent, path=path) if path == REPOSITORY else None


def pytest_configure(config: pytest.Config) -> None:
    """Make hypothesis steady; give Blender a user folder of the tests' own, before bpy reads the variable once."""
    config.pluginmanager.register(RepositoryRoot())
    # Whether a test passes depends neither on how busy the machine is nor on which examples a run happens to draw.
    settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("steady")
    if "bpy" not in sys.modules:
        os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp(prefix="neural-implicit-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the tests' user folder."""
    folder = Path(os.environ.get("BLENDER_USER_RESOURCES", ""))
    if folder.name.startswith("neural-implicit-tests-"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as it is given to artists, built and validated by Blender's own tool."""
    # Imported here, so that tests of the kernels do not need what make.py needs.
    import make

    return make.build_zip(Path(sys.prefix), tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="session")
def addon(extension_zip: Path) -> ModuleType:
    """The installed and enabled extension's package, `bl_ext.user_default.neural_implicit`."""
    bpy = pytest.importorskip("bpy")
    bpy.ops.extensions.package_install_files(
        filepath=str(extension_zip), repo="user_default", enable_on_install=True, overwrite=True
    )
    assert ADDON in bpy.context.preferences.addons, "the extension could not be enabled"
    return sys.modules[ADDON]


@pytest.fixture(scope="session")
def addon_module(addon: ModuleType) -> Callable[[str], ModuleType]:
    """A function from a dotted name inside the extension to the module: `addon_module("kernels.nsdf")`."""
    return lambda name: importlib.import_module(f"{ADDON}.{name}")


@pytest.fixture
def blender(addon: ModuleType) -> Iterator[ModuleType]:
    """bpy with an empty file and the extension enabled. Every test that uses Blender asks for it."""
    import bpy

    # Not read_factory_settings: that would disable the extension.
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    yield bpy
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture(scope="session")
def run_blender(extension_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """A function that runs a Python script in a new Blender process, for what cannot be undone in the tests' own.

    `run_blender(script, *arguments, expect=0)` runs the file `script` by the tests' Python, with an empty user
    folder and the extension's zip in the environment variable EXTENSION_ZIP. It returns the JSON object in the last
    line that the script printed, and fails the test when the exit status is not `expect`.
    """
    pytest.importorskip("bpy")

    def run(script: Path, *arguments: str, expect: int = 0) -> dict[str, Any]:
        environ = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(tmp_path_factory.mktemp("user")),
            "EXTENSION_ZIP": str(extension_zip),
        }
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=900)
        assert done.returncode == expect, f"{script.name}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def shared_meshes() -> Path:
    """The folder of meshes beside the repository. Tests that need it are skipped where it is absent."""
    if not SHARED_MESHES.is_dir():
        pytest.skip("the folder ../shared/meshes is absent")
    return SHARED_MESHES
