# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the repository, the same on every system.

python make.py demo [MESH] [--preset NAME]   train, render and bake a sculpt or MESH; writes build/demo
python make.py test [PYTEST ARGUMENTS]       run the tests
python make.py bench [NAME...] [--quick]     measure; writes build/bench
python make.py zip                           build and validate the extension; writes build
python make.py lint                          check style and formatting

Each command first sets up what it needs in .venv, beside this file: Blender as a Python module, torch, libigl.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python before 3.11: `main` hands over to a newer one before it is needed.
    tomllib = None

REPOSITORY = Path(__file__).resolve().parent
BUILD = REPOSITORY / "build"
BLENDER_EXT = "bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
# The Python versions for which Blender is published as a module (pyproject.toml has the matching bpy).
PYTHON_VERSIONS = ((3, 11), (3, 13))

# Packages that may be installed and still not load -> their modules.
NATIVE_MODULES = {"bpy": "bpy", "torch": "torch", "libigl": "igl"}

# What bpy loads from a Linux system: library -> (Debian's package, Fedora's package).
SYSTEM_LIBRARIES = {
    "libX11.so.6": ("libx11-6", "libX11"),
    "libXrender.so.1": ("libxrender1", "libXrender"),
    "libXfixes.so.3": ("libxfixes3", "libXfixes"),
    "libXi.so.6": ("libxi6", "libXi"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon"),
    "libSM.so.6": ("libsm6", "libSM"),
    "libICE.so.6": ("libice6", "libICE"),
    "libGL.so.1": ("libgl1", "libglvnd-glx"),
    "libEGL.so.1": ("libegl1", "libglvnd-egl"),
}


def main() -> int:
    """Run the command given on the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="make.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--python", help="the Python to set up the environment with: 3.11, 3.13 or a path")
    parser.add_argument(
        "--no-torch", action="store_true", help="an environment without torch: the tests that train are skipped"
    )
    options, arguments = parser.parse_known_args()
    if options.python or sys.version_info[:2] not in PYTHON_VERSIONS:
        python = find_python(options.python)
        forwarded = ["--no-torch"] * options.no_torch + arguments
        return call([python, str(Path(__file__).resolve()), options.command, *forwarded])
    environment = REPOSITORY / (".venv-no-torch" if options.no_torch else ".venv")
    prepare(environment, requirements(torch=not options.no_torch))
    return COMMANDS[options.command](environment, arguments)


def demo(environment: Path, arguments: list[str]) -> int:
    """Train, render and bake; `arguments` go to benchmarks/demo."""
    return call([str(python_of(environment)), "-m", "benchmarks.demo", *arguments])


def test(environment: Path, arguments: list[str]) -> int:
    """Run the tests, or those that `arguments` (pytest's) name.

    The tests of the kernels, which import torch, run in a process of their own: in Blender's process there
    is no torch, in tests as in use.
    """
    pytest = [str(python_of(environment)), "-m", "pytest", "--durations=10", "--durations-min=1"]
    if arguments:
        return call([*pytest, *arguments], REPOSITORY)
    statuses = [call([*pytest, "tests/kernels"], REPOSITORY)]
    statuses.append(call([*pytest, "--ignore=tests/kernels"], REPOSITORY))
    return next((status for status in statuses if status), 0)


def bench(environment: Path, arguments: list[str]) -> int:
    """Run the benchmarks that `arguments` name, or all; `--quick` and `--document` are explained by `--help`."""
    return call([str(python_of(environment)), "-m", "benchmarks", *arguments])


def zip_extension(environment: Path, arguments: list[str]) -> int:
    """Build and validate the extension."""
    refuse(arguments)
    path = build_zip(environment)
    print(f"{path} ({path.stat().st_size / 1024:.0f} KiB)")
    return 0


def lint(environment: Path, arguments: list[str]) -> int:
    """Check style and formatting."""
    refuse(arguments)
    ruff = [str(python_of(environment)), "-m", "ruff"]
    checked = call([*ruff, "check", "."], REPOSITORY)
    formatted = call([*ruff, "format", "--check", "."], REPOSITORY)
    return checked or formatted


COMMANDS = {"demo": demo, "test": test, "bench": bench, "zip": zip_extension, "lint": lint}


def refuse(arguments: list[str]) -> None:
    """End with a message when a command that takes no arguments got some."""
    if arguments:
        raise SystemExit(f"make.py: unknown arguments: {' '.join(arguments)}")


def build_zip(environment: Path, folder: Path = BUILD) -> Path:
    """Build and validate the extension with Blender's own `blender_ext.py`.

    Args:
        environment: a Python environment (a virtual environment, or `sys.prefix`) in which bpy is installed.
        folder: where the zip goes; made when it is absent.

    Returns:
        The zip's path, named after the manifest's id and version.

    Raises:
        FileNotFoundError: there is no bpy in `environment`.
        subprocess.CalledProcessError: Blender's tool refuses the extension; it has printed why.
    """
    packages = "Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"
    tool = next(environment.glob(f"{packages}/{BLENDER_EXT}"), None)
    if tool is None:
        raise FileNotFoundError(f"no bpy in {environment}")
    manifest = tomllib.loads((REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest['id']}-{manifest['version']}.zip"
    for arguments in (
        ["build", "--source-dir", str(REPOSITORY), "--output-filepath", str(path)],
        ["validate", str(path)],
    ):
        done = subprocess.run(
            [sys.executable, str(tool), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            # The tool writes its errors among its messages.
            print(done.stdout, end="", file=sys.stderr)
            done.check_returncode()
    return path


def call(command: list[str], folder: Path | None = None) -> int:
    """Run a command in `folder` (or where we are) with the repository's packages in reach; returns its status.

    A `benchmarks` or `kernels` of the folder where we are is not taken for the repository's.
    """
    # The user's own PYTHONPATH and packages would shadow the pinned ones, and so would the current folder for `-m`.
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}
    environ.pop("PYTHONHOME", None)
    sys.stdout.flush()
    return subprocess.run(command, cwd=folder, env=environ).returncode


# Finding a Python


def find_python(wanted: str | None) -> str:
    """The Python `wanted` (a version or a path), or any installed one that Blender is published for.

    Raises:
        SystemExit: there is none; says what to install.
    """
    version = re.fullmatch(r"(?:python)?(\d+)\.(\d+)", wanted or "")
    if version:
        candidates = _candidates(int(version[1]), int(version[2]))
    elif wanted:
        candidates = [wanted]
    else:
        candidates = [python for version in PYTHON_VERSIONS for python in _candidates(*version)]
    for candidate in candidates:
        if _version_of(candidate) in PYTHON_VERSIONS:
            return candidate
    versions = " or ".join(f"{major}.{minor}" for major, minor in PYTHON_VERSIONS)
    found = f"not {wanted}" if wanted else f"this is {sys.version_info.major}.{sys.version_info.minor}"
    raise SystemExit(
        f"Python {versions} is needed, because Blender's Python module exists for these only; {found}.\n"
        "  Debian, Ubuntu:  sudo apt-get install python3.11 python3.11-venv   (or uv, pyenv: any Python 3.11)\n"
        "  Fedora:          sudo dnf install python3.11\n"
        "  macOS:           brew install python@3.11\n"
        "  Windows:         winget install Python.Python.3.11\n"
        "Then run the same command again."
    )


def _candidates(major: int, minor: int) -> list[str]:
    """Commands and paths that may be a Python of this version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [
        f"python{major}.{minor}",
        *sorted(str(path) for path in pyenv.glob(f"versions/{major}.{minor}.*/bin/python")),
    ]
    return found + (_from_windows_launcher(f"-{major}.{minor}") if os.name == "nt" else [])


def _from_windows_launcher(version: str) -> list[str]:
    launcher = shutil.which("py")
    return [] if launcher is None else _printed([launcher, version, "-c", "import sys; print(sys.executable)"])


def _version_of(python: str) -> tuple[int, ...]:
    """(major, minor) of a Python, or () where the command is absent or does not work."""
    printed = _printed([python, "-c", "import sys; print(*sys.version_info[:2])"])
    return tuple(int(number) for number in printed[0].split()) if printed else ()


def _printed(command: list[str]) -> list[str]:
    """The lines a command prints; none when it is absent or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


# Setting up the environment


def requirements(torch: bool) -> list[str]:
    """The pinned requirements of pyproject.toml; without those of training when `torch` is False."""
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return groups["blender"] + groups["test"] + (groups["train"] if torch else [])


def _names(wanted: list[str]) -> list[str]:
    """The packages' names, each once."""
    return list(dict.fromkeys(requirement.split("==")[0] for requirement in wanted))


def python_of(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(environment: Path, wanted: list[str]) -> None:
    """Make `environment` hold the requirements `wanted`; at once when it does already.

    A stamp written last says that an environment is whole, so that a half-made one is taken up again, and made
    anew where that does not help.

    Raises:
        SystemExit: it cannot be set up; says what to do.
    """
    # The path belongs to the stamp: a virtual environment does not work after its folder was moved.
    described = "\n".join([sys.version, str(environment), *wanted])
    digest = hashlib.sha256(described.encode()).hexdigest()
    stamp = environment / "complete.stamp"
    if stamp.is_file() and stamp.read_text() == digest and python_of(environment).exists():
        return
    check_platform()
    print(f"Setting up {environment} with {', '.join(_names(wanted))} (once: some minutes, some gigabytes)", flush=True)
    stamp.unlink(missing_ok=True)
    taken_up = _version_of(str(python_of(environment))) == sys.version_info[:2]
    if not (taken_up and install(environment, wanted, quiet=True) and not import_error(environment, wanted)):
        create(environment)
        if not install(environment, wanted):
            raise SystemExit(
                "The requirements could not be installed; pip says why above. bpy is published for 64 bit Linux "
                "(glibc 2.28 or newer), Windows and macOS on Apple silicon."
            )
        check_import(environment, wanted)
    stamp.write_text(digest)


def check_platform() -> None:
    """End with a message where something is missing that pip cannot install."""
    if importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"This Python has no venv module.\n  Debian, Ubuntu:  sudo apt-get install python{version}-venv\n"
            "Then run the same command again."
        )
    missing = missing_libraries()
    if missing:
        debian, fedora = zip(*(SYSTEM_LIBRARIES[library] for library in missing), strict=True)
        raise SystemExit(
            f"Blender's Python module needs system libraries that are missing: {', '.join(missing)}\n"
            f"  Debian, Ubuntu:  sudo apt-get install {' '.join(debian)}\n"
            f"  Fedora:          sudo dnf install {' '.join(fedora)}\n"
            "Then run the same command again."
        )


def missing_libraries() -> list[str]:
    """Those of SYSTEM_LIBRARIES that a Linux system lacks; none elsewhere."""
    return [library for library in SYSTEM_LIBRARIES if not _loads(library)] if sys.platform == "linux" else []


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def create(environment: Path) -> None:
    """A new, empty virtual environment in place of whatever is there."""
    # When this runs by the environment's own Python, that one is about to be removed.
    python = getattr(sys, "_base_executable", None) or sys.executable
    if call([python, "-m", "venv", "--clear", str(environment)]):
        raise SystemExit(f"{environment} could not be made; Python says why above.")


def install(environment: Path, wanted: list[str], quiet: bool = False) -> bool:
    """Whether pip could install `wanted` into `environment` and the packages fit together."""
    pip = [str(python_of(environment)), "-m", "pip"]
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    output = subprocess.DEVNULL if quiet else None
    for arguments in (["install", *options, *wanted], ["check", *options]):
        if subprocess.run([*pip, *arguments], stdout=output, stderr=output).returncode:
            return False
    return True


def import_error(environment: Path, wanted: list[str]) -> str:
    """What Python says when it imports the native packages among `wanted`; nothing when all is well."""
    for package in _names(wanted):
        if package in NATIVE_MODULES:
            # Each in a process of its own: Blender and torch are never loaded together.
            command = [str(python_of(environment)), "-c", f"import {NATIVE_MODULES[package]}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                return done.stderr.strip() or f"importing {package} ended with status {done.returncode}"
    return ""


def check_import(environment: Path, wanted: list[str]) -> None:
    """End with a message when what was installed cannot be loaded."""
    error = import_error(environment, wanted)
    if error:
        hints = {
            "linux": "A system library is missing: install the package that has it.",
            "win32": "Install Microsoft's Visual C++ Redistributable (x64).",
            "darwin": "Blender needs Apple silicon and macOS 12.3 or newer.",
        }
        raise SystemExit(f"What was installed does not load:\n{error}\n{hints.get(sys.platform, '')}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
