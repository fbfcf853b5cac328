# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers all that the add-on adds to Blender, and takes all of it away again.

A module that adds something has a tuple `CLASSES`, and `register()` and `unregister()` where it adds more
than classes (properties on Blender's types, handlers, timers).
"""

from __future__ import annotations

import bpy

from .. import operators, panels
from . import engine, settings

MODULES = (settings, *operators.MODULES, engine, *panels.MODULES)


def register() -> None:
    """Register every module in order; what others refer to comes first."""
    for module in MODULES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
        if hasattr(module, "register"):
            module.register()


def unregister() -> None:
    """The mirror image of `register`, last first."""
    for module in reversed(MODULES):
        if hasattr(module, "unregister"):
            module.unregister()
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
