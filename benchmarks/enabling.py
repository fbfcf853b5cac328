# SPDX-License-Identifier: GPL-3.0-or-later
"""What the extension costs an artist who has it enabled and does not use it: the time Blender's start takes longer."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import make

from .report import Row, at_most

RUNS = 5
# Run in a Blender process of its own: importing is slow only once. The zip is in the environment variable.
SCRIPT = """
import json, os, sys, time
import bpy
import addon_utils
addon = "bl_ext.user_default.neural_implicit"
bpy.ops.extensions.package_install_files(
    filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=False)
start = time.perf_counter()
addon_utils.enable(addon)
seconds = time.perf_counter() - start
print()
print(json.dumps({"seconds": seconds, "torch": "torch" in sys.modules, "enabled": addon_utils.check(addon)[1]}))
"""


def run(quick: bool = False) -> list[Row]:
    """Seconds from "enable" to enabled in new Blender processes, and whether torch was imported."""
    extension_zip = make.build_zip(Path(sys.prefix))
    found = []
    for _ in range(1 if quick else RUNS):
        with tempfile.TemporaryDirectory() as folder:
            environ = {**os.environ, "BLENDER_USER_RESOURCES": folder, "EXTENSION_ZIP": str(extension_zip)}
            command = [sys.executable, "-c", SCRIPT]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(result["enabled"] for result in found)
    seconds = statistics.median(result["seconds"] for result in found)
    imported = sum(result["torch"] for result in found)
    return [
        at_most("enabling the extension", seconds, "s", 0.2),
        at_most("enablings that imported torch", imported, "", 0),
    ]
