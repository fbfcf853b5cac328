# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the repository: `python make.py demo|test|bench|zip|lint`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent
BUILD = REPOSITORY / "build"
BLENDER_EXT = "bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"


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
    tools = [path for lib in ("lib", "Lib") for path in environment.glob(f"{lib}/**/site-packages/{BLENDER_EXT}")]
    if not tools:
        raise FileNotFoundError(f"no bpy in {environment}")
    manifest = tomllib.loads((REPOSITORY / "blender_manifest.toml").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{manifest['id']}-{manifest['version']}.zip"
    blender_ext = [sys.executable, str(tools[0])]
    for arguments in (
        ["build", "--source-dir", str(REPOSITORY), "--output-filepath", str(path)],
        ["validate", str(path)],
    ):
        subprocess.run([*blender_ext, *arguments], check=True, stdout=subprocess.DEVNULL)
    return path
