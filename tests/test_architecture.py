# SPDX-License-Identifier: GPL-3.0-or-later
"""The import rules of the house: operators, panels -> neural_implicit_addon -> kernels, and who may need torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("kernels", "neural_implicit_addon", "operators", "panels")
# The room -> the rooms of ours that it may import.
MAY_IMPORT = {
    "kernels": {"kernels"},
    "neural_implicit_addon": {"neural_implicit_addon", "kernels"},
    "operators": {"operators", "neural_implicit_addon", "kernels"},
    "panels": {"panels", "neural_implicit_addon", "kernels"},
}
BLENDER = {"bpy", "bpy_extras", "mathutils", "gpu", "gpu_extras", "bmesh", "blf", "bl_ui", "addon_utils", "bpy_types"}
# Registration gathers the classes of every room.
GATHERS_ALL_ROOMS = REPOSITORY / "neural_implicit_addon" / "registration.py"
# What the worker process has and Blender has not, and the modules that run there. The command line imports it late.
WORKER_ONLY = {"torch", "igl", "scipy", "safetensors"}
WORKER_MODULES = {
    "__main__",
    "denoising",
    "losses",
    "mesh_parts",
    "sampling",
    "shape_traits",
    "snapshots",
    "sheets",
    "solids",
    "surface_sampling",
    "training",
    "training_set",
    "weight_gradients",
    "worker",
}
FORBIDDEN_CALLS = {"eval", "exec", "__import__"}

SOURCES = sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))
IDS = [str(path.relative_to(REPOSITORY)) for path in SOURCES]


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """What a module imports: dotted names from the repository's root or of other packages, and whether relatively.

    Imports for type checkers only (`if TYPE_CHECKING:`) never run and are left out.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(REPOSITORY).parts[:-1]
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(id(inner) for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, False
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                yield ".".join([*base, *([node.module] if node.module else []), alias.name]), True


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(REPOSITORY).parts[0]
    for name, relative in imported(path):
        top = name.split(".")[0]
        if relative:
            assert path == GATHERS_ALL_ROOMS or top in MAY_IMPORT[room], f"{room} must not import {name}"
        else:
            assert top not in ROOMS, f"{name} must be imported relatively, as the extension's package has another name"
        if room == "kernels":
            assert top not in BLENDER, f"kernels must not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_the_worker_imports_torch_and_igl(path: Path) -> None:
    if path.parent.name == "kernels" and path.stem in WORKER_MODULES:
        return
    wanted = {name.split(".")[0] for name, _ in imported(path)} & WORKER_ONLY
    assert not wanted, f"{path.name} imports {', '.join(wanted)}, which Blender's process has not"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_nothing_is_executed_or_unpickled(path: Path) -> None:
    assert not {name.split(".")[0] for name, _ in imported(path)} & {"pickle", "shelve", "marshal", "dill"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_every_source_has_licence_and_docstring(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n")
    assert ast.get_docstring(ast.parse(text))


def test_kernels_need_nothing_but_numpy() -> None:
    # Every module of kernels but those of the worker, in a Python where everything else is out of reach.
    paths = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "kernels").rglob("*.py"))
    names = [".".join(path.with_suffix("").parts) for path in paths if path.stem not in WORKER_MODULES | {"__init__"}]
    blocked = sorted(WORKER_ONLY | BLENDER)
    script = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"for name in ['kernels', *{names!r}]: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_command_line_starts_without_torch() -> None:
    # `python -m kernels info` must work where there is only numpy.
    script = (
        f"import runpy, sys\nsys.modules.update(dict.fromkeys({sorted(WORKER_ONLY)!r}))\n"
        "sys.argv = ['kernels', '--help']\nrunpy.run_module('kernels', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_path_of_a_machine_is_in_the_sources() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = REPOSITORY / name
        if path.suffix in {".py", ".md", ".toml", ".glsl", ""} and path.is_file():
            found = re.search(r"/(home|root|work|Users)/", path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{name} names a path of one machine: {found[0]}"
