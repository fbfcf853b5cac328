# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural Implicit: nested neural SDFs for Blender. The door; everything is behind it."""

from .neural_implicit_addon import registration


def register() -> None:
    """Called by Blender when the extension is enabled."""
    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled; leaves nothing behind."""
    registration.unregister()
