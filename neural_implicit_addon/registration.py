# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers all that the add-on adds to Blender, and takes all of it away again.

A module that adds something has a tuple `CLASSES`, and `register()` and `unregister()` where it adds more
than classes (properties on Blender's types, handlers, timers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import bpy

from .. import operators, panels
from . import engine, preferences, settings, training_session

MODULES = (settings, preferences, training_session, *operators.MODULES, engine, *panels.MODULES)


def register() -> None:
    """Register every module in order; what others refer to comes first.

    When a step fails, the steps before it are undone and its exception goes on to Blender, which shows it.
    """
    with ExitStack() as registered:
        for add, remove in _steps():
            add()
            registered.callback(remove)
        # All went well: forget the undoing.
        registered.pop_all()


def unregister() -> None:
    """The mirror image of `register`, last first. A step that fails does not keep the others from being undone."""
    with ExitStack() as registered:
        for _, remove in _steps():
            registered.callback(remove)


def _steps() -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """What is added, in order: how to add it and how to remove it."""
    for module in MODULES:
        for cls in module.CLASSES:
            yield partial(bpy.utils.register_class, cls), partial(bpy.utils.unregister_class, cls)
        if hasattr(module, "register"):
            yield module.register, module.unregister
