# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a new Blender process: what the extension adds to Blender and leaves behind, cycle by cycle.

Prints a JSON object with snapshots of Blender's state and what was found about modules.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy

import addon_utils  # isort: skip  (found once bpy is imported)

ADDON = "bl_ext.user_default.neural_implicit"
CYCLES = 3


def blender_types() -> list[type]:
    """All classes that Blender's interface is made of."""
    return [getattr(bpy.types, name) for name in dir(bpy.types) if isinstance(getattr(bpy.types, name), type)]


def addon_timers() -> list[str]:
    """The extension's functions that run as timers. Blender has no list of timers, only a question for each."""
    found = []
    for module_name, module in sys.modules.items():
        if module_name.startswith(ADDON):
            functions = [value for value in vars(module).values() if callable(value) and not isinstance(value, type)]
            found += [f"{module_name}.{f}" for f in functions if bpy.app.timers.is_registered(f)]
    return sorted(found)


def ours(functions: list[Callable[..., object]]) -> list[str]:
    """The extension's functions among these. Blender's own come twice after a reload, or in another order."""
    return sorted(f"{f.__module__}.{f.__qualname__}" for f in functions if f.__module__.startswith(ADDON))


def snapshot() -> dict[str, object]:
    """Everything that an extension can add to Blender, by name."""
    classes = blender_types()
    keyconfig = bpy.context.window_manager.keyconfigs.addon
    return {
        "types": sorted(cls.__name__ for cls in classes),
        "operators": sorted(f"{module}.{name}" for module in dir(bpy.ops) for name in dir(getattr(bpy.ops, module))),
        "handlers": {
            name: ours(getattr(bpy.app.handlers, name))
            for name in dir(bpy.app.handlers)
            if isinstance(getattr(bpy.app.handlers, name), list)
        },
        "timers": addon_timers(),
        "compatible engines": {
            cls.__name__: sorted(cls.COMPAT_ENGINES) for cls in classes if hasattr(cls, "COMPAT_ENGINES")
        },
        "drawn in menus": {
            cls.__name__: ours(cls.draw._draw_funcs)
            for cls in classes
            if hasattr(getattr(cls, "draw", None), "_draw_funcs")
        },
        "properties": {cls.__name__: sorted(cls.bl_rna.properties.keys()) for cls in classes if hasattr(cls, "bl_rna")},
        "keys": {} if keyconfig is None else {keymap.name: len(keymap.keymap_items) for keymap in keyconfig.keymaps},
    }


def submodules() -> dict[str, ModuleType]:
    """The extension's modules that are loaded, but for the package itself, which Blender reloads in place."""
    return {name: module for name, module in sys.modules.items() if name.startswith(f"{ADDON}.")}


def reload_scripts() -> None:
    """Blender's "Reload Scripts". Its operator does nothing where Blender is a module; this is what it calls."""
    bpy.utils.load_scripts(reload_scripts=True)


def enabled() -> bool:
    """Whether Blender holds the extension for enabled."""
    return addon_utils.check(ADDON) == (True, True)


def main() -> None:
    """Install, disable, enable, reload; print what was found."""
    found: dict[str, object] = {"before": snapshot(), "enabled": [], "disabled": [], "kept": []}
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=True
    )
    assert enabled()
    found["torch imported"] = "torch" in sys.modules
    found["enabled"].append(snapshot())
    for _ in range(CYCLES):
        addon_utils.disable(ADDON, default_set=True)
        found["disabled"].append(snapshot())
        addon_utils.enable(ADDON, default_set=True)
        assert enabled()
        found["enabled"].append(snapshot())
    for _ in range(CYCLES):
        importlib.import_module(f"{ADDON}.kernels.nsdf")
        old = submodules()
        reload_scripts()
        assert enabled()
        found["enabled"].append(snapshot())
        found["kept"].append([name for name, module in submodules().items() if module is old.get(name)])
    # An update: the files change on disk while the extension is installed.
    source = Path(importlib.import_module(f"{ADDON}.kernels.nsdf").__file__)
    source.write_text(source.read_text(encoding="utf-8") + "\nCHANGED_ON_DISK = True\n", encoding="utf-8")
    reload_scripts()
    found["change read"] = hasattr(importlib.import_module(f"{ADDON}.kernels.nsdf"), "CHANGED_ON_DISK")
    addon_utils.disable(ADDON, default_set=True)
    found["disabled"].append(snapshot())
    print()
    print(json.dumps(found))


main()
