# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own panels that suit the engine: they show up when their set of engines names it."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

# Panels that name the engines they know, whose settings mean something to this one.
WANTED = {
    "DATA_PT_EEVEE_light",
    "EEVEE_MATERIAL_PT_context_material",
    "EEVEE_MATERIAL_PT_surface",
    "EEVEE_WORLD_PT_surface",
    "VIEWLAYER_PT_layer_passes",
}
# Panels for engines in general, whose settings this one does not follow.
UNWANTED = {
    "DATA_PT_light",
    "NODE_DATA_PT_light",
    "RENDER_PT_freestyle",
    "RENDER_PT_gpencil",
    "RENDER_PT_grease_pencil_render",
    "RENDER_PT_simplify",
    "RENDER_PT_stereoscopy",
    "VIEWLAYER_PT_freestyle",
}


def _panels() -> Iterator[type[bpy.types.Panel]]:
    for panel in bpy.types.Panel.__subclasses__():
        engines = getattr(panel, "COMPAT_ENGINES", ())
        name = panel.__name__
        if name in WANTED or ("BLENDER_RENDER" in engines and name not in UNWANTED):
            yield panel


def show_for(engine: str) -> None:
    """Show the suitable panels while `engine` is the scene's."""
    for panel in _panels():
        panel.COMPAT_ENGINES.add(engine)


def hide_for(engine: str) -> None:
    """The reverse of `show_for`. The engine's own panels keep naming it: they are registered again as they are."""
    for panel in _panels():
        panel.COMPAT_ENGINES.discard(engine)
