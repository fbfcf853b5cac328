# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one scenario inside a Blender with a real window: `blender --python session.py -- SCENARIO ZIP FOLDER`.

A scenario (see scenarios.py) is a generator: what it yields is how many seconds Blender is left alone, to draw and to
handle events, before the scenario goes on. The results go to FOLDER/results.jsonl, one JSON object a line.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))
import scenarios

ADDON = "bl_ext.user_default.neural_implicit"
# Blender draws its first picture only after this script has ended.
FIRST_STEP_SECONDS = 1.0


class Session:
    """What a scenario can do besides using bpy.

    Attributes:
        zip: the extension.
        folder: where results and pictures go; anything else may be put there too.
    """

    def __init__(self, extension_zip: str, folder: str) -> None:
        self.zip = Path(extension_zip)
        self.folder = Path(folder)

    def record(self, **result: Any) -> None:
        """Add a line to the results."""
        with (self.folder / "results.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result) + "\n")

    def install(self) -> None:
        """Install and enable the extension, in a folder of this session's own."""
        repository = next(r for r in bpy.context.preferences.extensions.repos if r.module == "user_default")
        repository.use_custom_directory = True
        repository.custom_directory = str(self.folder / "extensions")
        bpy.ops.extensions.package_install_files(filepath=str(self.zip), repo="user_default", enable_on_install=True)

    def screenshot(self, name: str) -> Path:
        """A picture of the whole window: what an artist sees at this moment."""
        path = self.folder / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], check=True)
        return path

    def show_sidebar(self) -> Iterator[float]:
        """Open the sidebar of the first viewport, a little wider than it opens, on the extension's tab."""
        _, area, view = self.view()
        view.show_region_ui = True
        # The tabs exist once the sidebar was drawn.
        yield 0.5
        sidebar = next(region for region in area.regions if region.type == "UI")
        sidebar.active_panel_category = "Neural Implicit"
        area.tag_redraw()
        yield 0.5

    def in_view(self) -> Any:
        """A context manager in which operators run as if called in the first viewport."""
        window, area, _ = self.view()
        region = next(region for region in area.regions if region.type == "WINDOW")
        return bpy.context.temp_override(window=window, area=area, region=region)

    def press(self, key: str) -> None:
        """Press a key with the mouse over the middle of the window, as xdotool names it."""
        subprocess.run(["xdotool", "mousemove", "500", "400", "key", key], check=True)

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> Iterator[float]:
        """Leave Blender alone until something is so; fail the scenario when it is not so in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not in {seconds} s: {what}"
            yield 0.1

    def module(self, name: str) -> ModuleType:
        """A module of the extension, for example `kernels.nsdf`."""
        return importlib.import_module(f"{ADDON}.{name}")

    def view(self) -> tuple[bpy.types.Window, bpy.types.Area, bpy.types.SpaceView3D]:
        """The first 3D viewport, for `bpy.context.temp_override` and its settings."""
        window = bpy.context.window_manager.windows[0]
        area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
        return window, area, area.spaces.active


def main() -> None:
    """Start the scenario named on the command line; Blender quits when it ends, however it ends."""
    name, extension_zip, folder = sys.argv[sys.argv.index("--") + 1 :]
    bpy.context.preferences.view.show_splash = False
    session = Session(extension_zip, folder)
    steps = scenarios.SCENARIOS[name](session)

    def step() -> float | None:
        # The boundary of the test: whatever goes wrong in a scenario is its result.
        try:
            return next(steps)
        except StopIteration:
            session.record(finished=True)
        except BaseException:  # noqa: BLE001
            session.record(finished=False, error=traceback.format_exc())
        bpy.ops.wm.quit_blender()
        return None

    # Persistent, because scenarios open files.
    bpy.app.timers.register(step, first_interval=FIRST_STEP_SECONDS, persistent=True)


main()
