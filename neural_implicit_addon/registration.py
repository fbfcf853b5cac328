# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers all that the add-on adds to Blender, and takes all of it away again.

A module that adds something has a tuple `CLASSES`. Where it adds more than classes (properties on Blender's types,
handlers, timers) it has `register()` and `unregister()`, or only the latter for what it adds while it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import bpy

from .. import operators, panels
from . import (
    backends,
    background_work,
    computation,
    engine,
    final_render,
    preferences,
    scene,
    settings,
    studio_lights,
    training_python,
    viewport,
)

MODULES = (
    settings,
    preferences,
    training_python,
    computation,
    background_work,
    *operators.MODULES,
    scene,
    studio_lights,
    backends,
    final_render,
    viewport,
    engine,
    *panels.MODULES,
)


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
        if hasattr(module, "unregister"):
            yield getattr(module, "register", _add_nothing), module.unregister


def _add_nothing() -> None:
    """Registers a module that adds what it adds only while it is used."""
