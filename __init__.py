# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural Implicit: nested neural SDFs for Blender. The door; everything is behind it."""

import sys

if "registration" in locals():
    # "Reload Scripts", or an update of the extension, runs this file again in the same module. Python would give
    # back the old modules behind it; once forgotten, they are read anew from disk.
    for name in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[name]

from .neural_implicit_addon import registration


def register() -> None:
    """Called by Blender when the extension is enabled."""
    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled; leaves nothing behind."""
    registration.unregister()
