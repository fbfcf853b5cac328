# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one scenario inside a Blender with a real window: `blender --python session.py -- SCENARIO ZIP FOLDER`.

A scenario (see the modules named after them) is a generator: what it yields is how many seconds Blender is left alone,
to draw and to handle events, before the scenario goes on. The results go to FOLDER/results.jsonl, one JSON object a
line; the first one names the backend that Blender draws with.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import traceback
from collections import ChainMap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import gpu

sys.path.insert(0, str(Path(__file__).parent))
import computation_scenarios
import responsiveness_scenarios
import scenarios
import viewport_scenarios

ADDON = "bl_ext.user_default.neural_implicit"
# Blender draws its first picture only after this script has ended.
FIRST_STEP_SECONDS = 1.0


class Session:
    """What a scenario can do besides using bpy.

    Attributes:
        addon: name of the extension once it is installed.
        zip: the extension.
        folder: where results and pictures go; anything else may be put there too.
    """

    addon = ADDON

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
        # No training goes on from where one of another session, with another version perhaps, was stopped.
        jobs = self.folder / "jobs"
        jobs.mkdir(exist_ok=True)
        self.module("neural_implicit_addon.training_session").jobs_folder = lambda: jobs

    def screenshot(self, name: str) -> Path:
        """A picture of the whole window: what an artist sees at this moment."""
        path = self.folder / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], check=True)
        return path

    def middle(self, side: int = 240) -> bytes:
        """The pixels that are on the screen in the middle of the first viewport."""
        region = self.region()
        left, top = self._on_screen((region.width - side) / 2, (region.height + side) / 2)
        command = ["import", "-window", "root", "-crop", f"{side}x{side}+{left}+{top}", "-depth", "8", "rgb:-"]
        return subprocess.run(command, check=True, capture_output=True).stdout

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
        return bpy.context.temp_override(window=window, area=area, region=self.region())

    def region(self) -> bpy.types.Region:
        """The part of the first viewport in which the scene is drawn."""
        return next(region for region in self.view()[1].regions if region.type == "WINDOW")

    def press(self, *keys: str) -> None:
        """Press keys one after another with the mouse over the middle of the window, as xdotool names them."""
        self._xdotool("mousemove", 500, 400, "key", *keys)

    def click(self, x: float, y: float) -> None:
        """Click on a place of the first viewport, in pixels from its lower left corner."""
        self._xdotool("mousemove", *self._on_screen(x, y), "click", 1)

    def drag(self, button: int, across: int, up: int, *keys: str) -> Iterator[float]:
        """Press a mouse button in the middle of the first viewport, with keys held down, and move the mouse."""
        region = self.region()
        x, y = self._on_screen(region.width / 2, region.height / 2)
        self._xdotool("mousemove", x, y)
        yield 0.1
        self._xdotool(*(word for key in keys for word in ("keydown", key)), "mousedown", button)
        for part in (0.3, 0.6, 1.0):
            yield 0.1
            self._xdotool("mousemove", round(x + part * across), round(y - part * up))
        yield 0.1
        self._xdotool("mouseup", button, *(word for key in keys for word in ("keyup", key)))
        yield 0.1

    def resize(self, width: int, height: int) -> None:
        """Make the window, which no window manager holds, another size."""
        # Under Xvfb there is one window; the one with a name is Blender's.
        self._xdotool("search", "--onlyvisible", "--name", "Blender", "windowsize", width, height)

    def _on_screen(self, x: float, y: float) -> tuple[int, int]:
        """Pixels from the lower left corner of the first viewport -> from the upper left corner of the screen."""
        region = self.region()
        return round(region.x + x), round(self.view()[0].height - region.y - y)

    def _xdotool(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], check=True)

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
    session.record(backend=gpu.platform.backend_type_get().lower())
    modules = (scenarios, viewport_scenarios, computation_scenarios, responsiveness_scenarios)
    steps = ChainMap(*(module.SCENARIOS for module in modules))[name](session)

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
