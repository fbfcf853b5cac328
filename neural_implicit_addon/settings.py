# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are saved with the scene."""

from __future__ import annotations

import bpy


class NeuralImplicitSceneSettings(bpy.types.PropertyGroup):
    """How the engine renders a scene: `scene.neural_implicit`."""

    samples: bpy.props.IntProperty(
        name="Samples",
        description="Rays for each pixel of the final picture, against staircases at edges",
        default=4,
        min=1,
        soft_max=64,
        max=4096,
    )
    trace_finest: bpy.props.BoolProperty(
        name="Trace Finest Level",
        description="Follow rays down to the finest network, for exact outlines and depth. "
        "Otherwise it gives the normals alone, which is faster but may lose thin parts",
        default=True,
    )


CLASSES = (NeuralImplicitSceneSettings,)


def register() -> None:
    """Add `Scene.neural_implicit`."""
    bpy.types.Scene.neural_implicit = bpy.props.PointerProperty(
        type=NeuralImplicitSceneSettings, name="Neural Implicit", description="Settings of the Neural Implicit engine"
    )


def unregister() -> None:
    """Remove `Scene.neural_implicit`; files keep its values."""
    del bpy.types.Scene.neural_implicit
