# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's studio lights and MatCaps: Blender's list of them, and what the renderers need of the chosen one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from ..kernels import lighting
from ..kernels.cameras import Camera
from . import matcap_images

EnumItem = tuple[str, str, str, int, int]


@dataclass(frozen=True)
class ViewLighting:
    """Studio lighting as Solid mode has it: fixed to the view.

    Attributes:
        lighting: with directions in camera space, where the view goes along -z.
    """

    lighting: lighting.StudioLighting

    def seen_by(self, camera: Camera) -> lighting.StudioLighting:
        """The lights around a camera, with directions in world space."""
        to_world = np.asarray(camera.camera_to_world)[:3, :3]
        lights = tuple(
            lighting.StudioLight(
                tuple(to_world @ light.direction), light.diffuse_color, light.specular_color, light.smooth
            )
            for light in self.lighting.lights
        )
        return lighting.StudioLighting(lights, self.lighting.ambient)


# Blender keeps no reference to the strings of dynamic items: they must live as long as they may be shown.
_items: dict[str, list[EnumItem]] = {}
# MatCaps by their files' paths; None for a file that cannot be read.
_matcaps: dict[str, lighting.Matcap | None] = {}


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


def chosen(settings: bpy.types.PropertyGroup) -> tuple[ViewLighting | lighting.Matcap | None, str]:
    """The ready-made lighting that a scene's settings ask for.

    Args:
        settings: `scene.neural_implicit`.

    Returns:
        None for the scene's own lighting, and one sentence on what is wrong, or an empty string.
    """
    if settings.lighting == "SCENE":
        return None, ""
    kind = settings.lighting
    name = settings.studio_light_name if kind == "STUDIO" else settings.matcap_name
    what = "studio light" if kind == "STUDIO" else "MatCap"
    light = next((light for light in _lights(kind) if light.name == name), None)
    problem = ""
    if light is None:
        light = next(_lights(kind), None)
        if light is None:
            return None, f"Blender has no {what}: the scene's own lighting is shown"
        problem = f"The {what} {name!r} is not there: {light.name!r} is shown"
    if kind == "STUDIO":
        return describe_studio(light), problem
    if light.path not in _matcaps:
        _request(light.path)
        return None, problem
    matcap = _matcaps[light.path]
    if matcap is None:
        return None, f"The MatCap {light.name!r} cannot be read: the scene's own lighting is shown"
    return matcap, problem


def describe_studio(light: bpy.types.StudioLight) -> ViewLighting:
    """The lights of one of Solid mode's studio lights that are switched on."""
    lights = tuple(
        lighting.StudioLight(
            tuple(solid.direction), tuple(solid.diffuse_color), tuple(solid.specular_color), solid.smooth
        )
        for solid in light.solid_lights
        if solid.use
    )
    return ViewLighting(lighting.StudioLighting(lights, tuple(light.light_ambient)))


def prepare(settings: bpy.types.PropertyGroup) -> None:
    """Read the MatCap that a scene's settings ask for, where that is allowed: not while something is drawn."""
    if settings.lighting == "MATCAP":
        light = next((light for light in _lights("MATCAP") if light.name == settings.matcap_name), None)
        light = light or next(_lights("MATCAP"), None)
        if light is not None and light.path not in _matcaps:
            _read(light.path)


def _read(path: str) -> None:
    pixels = matcap_images.read(path)
    _matcaps[path] = None if pixels is None else lighting.Matcap(pixels, None, path)


def _request(path: str) -> None:
    """Read a MatCap as soon as Blender allows it, and have the viewports drawn again."""

    def read_and_redraw() -> None:
        if path not in _matcaps:
            _read(path)
            for scene in bpy.data.scenes:
                # What gathers the scene is told by an update, which a redraw alone is not.
                scene.update_tag()

    if not bpy.app.background:
        bpy.app.timers.register(read_and_redraw, first_interval=0.0)


@bpy.app.handlers.persistent
def _prepare_scenes(*_arguments: object) -> None:
    """Read what the scenes of an opened file ask for."""
    for scene in bpy.data.scenes:
        prepare(scene.neural_implicit)


CLASSES = ()


def register() -> None:
    """Be ready for the files that are opened."""
    bpy.app.handlers.load_post.append(_prepare_scenes)


def unregister() -> None:
    """Forget what was read when the add-on is disabled."""
    bpy.app.handlers.load_post.remove(_prepare_scenes)
    _matcaps.clear()
    _items.clear()
