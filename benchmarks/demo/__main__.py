# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks.demo [MESH] [--preset NAME] [--output FOLDER]`: run the demo, write its folder.

Without MESH a sculpt is made of Blender's monkey. Writes demo.blend, render.png, lowpoly_before.png,
lowpoly_after.png, lowpoly_side_by_side.png, sequence.nsdf and report.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from kernels.presets import PRESETS

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Read the command line, give Blender a user folder of the demo's own, run."""
    parser = argparse.ArgumentParser(prog="make.py demo", description="Train, render and bake a detailed mesh.")
    parser.add_argument("mesh", nargs="?", type=Path, help="a .obj, .ply, .stl or .glb file; else a sculpt is made")
    parser.add_argument("--preset", default="BALANCED", choices=tuple(PRESETS))
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "demo", help="where the files go")
    options = parser.parse_args()

    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    user_folder = output / "blender-user"
    shutil.rmtree(user_folder, ignore_errors=True)
    # Blender reads this once, when it is imported.
    os.environ["BLENDER_USER_RESOURCES"] = str(user_folder)
    from . import run

    return run.run(options.mesh, options.preset, output)


if __name__ == "__main__":
    sys.exit(main())
