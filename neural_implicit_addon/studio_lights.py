# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's studio lights and MatCaps, as the scene's display settings choose them, for the renderers.

Those settings are Blender's own (`scene.display.shading`), which Workbench renders by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..kernels import lighting
from ..kernels.cameras import Camera
from . import matcap_images

# Colours alone.
FLAT = lighting.StudioLighting((), (1.0, 1.0, 1.0), specular=False)
# The display settings that the renderers follow.
FOLLOWED = ("light", "studio_light", "show_specular_highlight", "use_world_space_lighting", "studiolight_rotate_z")


@dataclass(frozen=True)
class ViewLighting:
    """Studio lighting as Solid mode has it by default: fixed to the view.

    Attributes:
        lighting: with directions in camera space, where the view goes along -z.
    """

    lighting: lighting.StudioLighting

    def seen_by(self, camera: Camera) -> lighting.StudioLighting:
        """The lights around a camera, with directions in world space."""
        return _turned(self.lighting, np.asarray(camera.camera_to_world)[:3, :3])


def _turned(studio: lighting.StudioLighting, rotation: np.ndarray) -> lighting.StudioLighting:
    """Studio lighting with its directions turned by a (3, 3) matrix."""
    lights = tuple(replace(light, direction=tuple(rotation @ light.direction)) for light in studio.lights)
    return replace(studio, lights=lights)


# MatCaps by their files' paths; None for a file that cannot be read.
_matcaps: dict[str, lighting.Matcap | None] = {}
# Timers that will read MatCaps, by the files' paths.
_requests: dict[str, Callable[[], None]] = {}
# Names the add-on where it asks Blender to be told of changes.
_owner = object()


def chosen(scene: bpy.types.Scene) -> tuple[ViewLighting | lighting.StudioLighting | lighting.Matcap | None, str]:
    """The ready-made lighting that a scene's settings ask for.

    Returns:
        None for the scene's own lighting, and one sentence on what is wrong, or an empty string.
    """
    kind = scene.neural_implicit.lighting
    if kind == "SCENE":
        return None, ""
    if kind == "FLAT":
        return ViewLighting(FLAT), ""
    shading = scene.display.shading
    light = _selected(shading)
    if light is None:
        return None, f"The studio light {shading.studio_light!r} is not there: the scene's own lighting is shown"
    if kind == "STUDIO":
        return describe_studio(light, shading), ""
    if light.path not in _matcaps:
        _request(light.path)
        return None, ""
    matcap = _matcaps[light.path]
    if matcap is None:
        return None, f"The MatCap {light.name!r} cannot be read: the scene's own lighting is shown"
    return matcap, ""


def _selected(shading: bpy.types.View3DShading) -> bpy.types.StudioLight | None:
    """The studio light or MatCap of display settings. Blender answers with the default where a name is gone."""
    lights = bpy.context.preferences.studio_lights
    return next((light for light in lights if (light.type, light.name) == (shading.light, shading.studio_light)), None)


def describe_studio(
    light: bpy.types.StudioLight, shading: bpy.types.View3DShading
) -> ViewLighting | lighting.StudioLighting:
    """The lights of one of Solid mode's studio lights that are switched on, fixed to the view or to the world."""
    lights = tuple(
        lighting.StudioLight(
            tuple(solid.direction), tuple(solid.diffuse_color), tuple(solid.specular_color), solid.smooth
        )
        for solid in light.solid_lights
        if solid.use
    )
    studio = lighting.StudioLighting(lights, tuple(light.light_ambient), shading.show_specular_highlight)
    if not shading.use_world_space_lighting:
        return ViewLighting(studio)
    return _turned(studio, _front_view(shading.studiolight_rotate_z))


def _front_view(angle: float) -> np.ndarray:
    """Camera space to world space, (3, 3), of a camera that looks along +y with z up, turned by `-angle` about z.

    In world space Workbench has the lights around that camera, whatever looks at the scene.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.array([[cosine, 0.0, -sine], [-sine, 0.0, -cosine], [0.0, 1.0, 0.0]])


def prepare(scene: bpy.types.Scene) -> None:
    """Read the MatCap that a scene asks for, where that is allowed: not while something is drawn."""
    if scene.neural_implicit.lighting == "MATCAP":
        light = _selected(scene.display.shading)
        if light is not None and light.path not in _matcaps:
            _read(light.path)


def _read(path: str) -> None:
    pixels = matcap_images.read(path)
    _matcaps[path] = None if pixels is None else lighting.Matcap(pixels, None, path)


def _request(path: str) -> None:
    """Read a MatCap as soon as Blender allows it, and have the viewports told."""

    def read_and_tell() -> None:
        _requests.pop(path, None)
        if path not in _matcaps:
            _read(path)
            _tell_viewports()

    if not bpy.app.background and path not in _requests:
        # Persistent, or else opening another file would take it away, and the MatCap be waited for forever.
        _requests[path] = read_and_tell
        bpy.app.timers.register(read_and_tell, first_interval=0.0, persistent=True)


def _tell_viewports() -> None:
    """Have the viewports gather their scenes again: display settings change nothing that Blender would tell of."""
    for scene in bpy.data.scenes:
        if scene.neural_implicit.uses_solid_lighting:
            prepare(scene)
            scene.update_tag()


@bpy.app.handlers.persistent
def _follow(*_arguments: object) -> None:
    """Follow the display settings of the file at hand; Blender forgets such wishes when it opens another one."""
    _subscribe()
    for scene in bpy.data.scenes:
        prepare(scene)


def _subscribe() -> None:
    bpy.msgbus.clear_by_owner(_owner)
    for name in FOLLOWED:
        key = (bpy.types.View3DShading, name)
        bpy.msgbus.subscribe_rna(key=key, owner=_owner, args=(), notify=_tell_viewports, options={"PERSISTENT"})


CLASSES = ()


def register() -> None:
    """Follow the display settings of all files that are opened. `bpy.data` is out of reach until Blender is ready."""
    bpy.app.handlers.load_post.append(_follow)
    _subscribe()


def unregister() -> None:
    """Forget what was read when the add-on is disabled."""
    bpy.msgbus.clear_by_owner(_owner)
    bpy.app.handlers.load_post.remove(_follow)
    for request in _requests.values():
        if bpy.app.timers.is_registered(request):
            bpy.app.timers.unregister(request)
    _requests.clear()
    _matcaps.clear()
