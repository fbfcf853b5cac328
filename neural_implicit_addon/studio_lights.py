# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's studio lights and MatCaps: Blender's list of them, and what the renderers need of the chosen one."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

EnumItem = tuple[str, str, str, int, int]

# Blender keeps no reference to the strings of dynamic items: they must live as long as they may be shown.
_items: dict[str, list[EnumItem]] = {}


def _lights(kind: str) -> Iterator[bpy.types.StudioLight]:
    """The studio lights of a kind, STUDIO or MATCAP, in Blender's order."""
    return (light for light in bpy.context.preferences.studio_lights if light.type == kind)


def _list_items(kind: str) -> list[EnumItem]:
    items = [
        (light.name, light.name.rpartition(".")[0] or light.name, "", 0, number)
        for number, light in enumerate(_lights(kind))
    ]
    if items != _items.get(kind):
        _items[kind] = items
    return _items[kind]


def studio_items(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context | None) -> list[EnumItem]:
    """The studio lights as items of an EnumProperty."""
    return _list_items("STUDIO")


def matcap_items(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context | None) -> list[EnumItem]:
    """The MatCaps as items of an EnumProperty."""
    return _list_items("MATCAP")


def position(kind: str, name: str) -> int:
    """Place of the light called `name` among those of a kind; 0, the first, where there is none of that name."""
    return next((number for number, light in enumerate(_lights(kind)) if light.name == name), 0)


def name_at(kind: str, place: int) -> str:
    """The reverse of `position`."""
    return next((light.name for number, light in enumerate(_lights(kind)) if number == place), "")
