# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a new Blender process: a class that does not register must leave nothing of the others.

Prints a JSON object: how many registrations were attempted, and the classes left behind after each failure.
"""

from __future__ import annotations

import importlib
import json
import os
import types

import bpy

import addon_utils  # isort: skip  (found once bpy is imported)

ADDON = "bl_ext.user_default.neural_implicit"


class NotRegistrable:
    """Not a subclass of one of Blender's types, so that Blender refuses it."""


def main() -> None:
    """Put a class that Blender refuses behind each module in turn, and try to register."""
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=True
    )
    registration = importlib.import_module(f"{ADDON}.neural_implicit_addon.registration")
    modules = registration.MODULES
    addon_utils.disable(ADDON, default_set=True)
    before = set(dir(bpy.types))
    attempts = []
    for position in range(len(modules) + 1):
        broken = types.SimpleNamespace(CLASSES=(NotRegistrable,))
        registration.MODULES = (*modules[:position], broken, *modules[position:])
        try:
            registration.register()
        except (ValueError, TypeError, RuntimeError) as error:
            attempts.append({"error": str(error), "left": sorted(set(dir(bpy.types)) - before)})
    registration.MODULES = modules
    registration.register()
    print()
    print(json.dumps({"modules": len(modules), "attempts": attempts}))


main()
