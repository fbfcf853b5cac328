# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewports in Rendered shading: from Blender's calls to what each of them shows, and back when they are gone.

Blender makes an engine for each viewport, but says nothing when it needs one no more, and ends it at some later time.
So what is kept here is found by the viewport, and a timer frees it when that is no longer shown. Nothing of Blender's
data is kept from one draw call to the next: undo or another file may have freed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import bpy

from ..kernels.gpu.rendering import GpuRenderer
from ..kernels.scenes import RenderConfig
from . import backends, picture_settings, preferences, scene, training_session, viewport_cpu, viewport_messages
from .gpu_device import BlenderDevice
from .viewport_blit import PictureDrawer
from .viewport_camera import View, view_of, viewed_camera
from .viewport_gpu import GpuBackend
from .viewport_state import Viewport

if TYPE_CHECKING:
    from .viewport_backends import ViewportBackend

ENGINE = "NEURAL_IMPLICIT"

# How often is asked for new pictures while viewports work, and otherwise whether they are still there, in seconds.
WORKING_INTERVAL = 0.01
IDLE_INTERVAL = 0.5

# Settings of a viewport that decide what it shows. Blender announces no change of the scene when they change.
SPACE_SETTINGS = (
    "use_local_collections",
    "show_object_viewport_mesh",
    "show_object_viewport_curve",
    "show_object_viewport_surf",
    "show_object_viewport_meta",
    "show_object_viewport_font",
    "show_object_viewport_curves",
    "show_object_viewport_light",
)


@dataclass
class _Entry:
    """A viewport, and what of Blender it was drawn with last: its engine by its address, and its settings."""

    viewport: Viewport
    engine: int
    settings: tuple[object, ...]


class Viewports:
    """All viewports that show the engine's pictures, and what they share on Blender's one GPU."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}  # by the address of Blender's RegionView3D
        self._drawer: PictureDrawer | None = None
        self._renderer: GpuRenderer | None = None
        self._renderer_device: BlenderDevice | None = None

    def update(self, engine: bpy.types.RenderEngine) -> None:
        """The scene has changed."""
        address = engine.as_pointer()
        for entry in self._entries.values():
            if entry.engine == address:
                entry.viewport.invalidate()
        # Of what scripts and trainings change, Blender tells the engine, but draws nothing for it.
        engine.tag_redraw()

    def draw(self, engine: bpy.types.RenderEngine, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
        """Draw the viewport of the context into the framebuffer that is bound."""
        space, region_data = context.space_data, context.region_data
        entry = self._entries.setdefault(region_data.as_pointer(), _Entry(Viewport(self._backend), 0, ()))
        now_with = engine.as_pointer(), _settings(space)
        if now_with != (entry.engine, entry.settings):
            entry.engine, entry.settings = now_with
            entry.viewport.invalidate()
        if self._drawer is None:
            self._drawer = PictureDrawer()
        view = view_of(context, depsgraph)
        entry.viewport.draw(
            view,
            picture_config(depsgraph.scene_eval, view),
            partial(scene.gather, depsgraph, space),
            backends.device_for(preferences.backend_preference(context)),
            self._drawer,
        )
        messages = entry.viewport.messages
        camera = viewed_camera(space, region_data, depsgraph)
        if camera is not None and camera.data.type not in {"PERSP", "ORTHO"}:
            messages = (*messages, f"{camera.name!r} is panoramic, which is not supported: seen as in perspective")
        free = viewport_messages.free_rectangle(context.area, context.region)
        viewport_messages.draw(messages, free, context.preferences.system.ui_scale)

    def _backend(self, device: BlenderDevice | None) -> ViewportBackend:
        if device is None:
            return viewport_cpu.CpuBackend(BlenderDevice().texture)
        if device is not self._renderer_device:
            # Pictures of other viewports are the former renderer's.
            for entry in self._entries.values():
                entry.viewport.free()
            self._free_renderer()
            self._renderer, self._renderer_device = GpuRenderer(device), device
        return GpuBackend(self._renderer)

    def tend(self) -> float | None:
        """Have viewports drawn for which there is news, and free those that are gone.

        Returns:
            Seconds until it should be called again; None when there are no viewports.
        """
        regions = {region_data.as_pointer(): region for region, region_data in shown_regions()}
        for address in self._entries.keys() - regions.keys():
            self._entries.pop(address).viewport.free()
        if not self._entries:
            self.free()
            return None
        for address, entry in self._entries.items():
            if entry.viewport.has_news():
                regions[address].tag_redraw()
        return WORKING_INTERVAL if self.is_working else IDLE_INTERVAL

    @property
    def is_working(self) -> bool:
        """Whether any viewport will show something better without anybody doing anything."""
        return any(entry.viewport.is_working for entry in self._entries.values())

    def free(self) -> None:
        """Give all GPU memory back and have all threads end, without waiting. Drawing begins anew."""
        for entry in self._entries.values():
            entry.viewport.free()
        self._entries.clear()
        self._free_renderer()
        self._drawer = None

    def _free_renderer(self) -> None:
        if self._renderer is not None:
            self._renderer.free()
        self._renderer = self._renderer_device = None


def picture_config(scene_eval: bpy.types.Scene, view: View) -> RenderConfig:
    """How a view is rendered: as the scene says, but in one thread beside a training, which has the other cores."""
    config = picture_settings.viewport_config(scene_eval, *view.size, view.region)
    return config if training_session.current() is None else replace(config, threads=1)


_viewports = Viewports()


def update(engine: bpy.types.RenderEngine) -> None:
    """Blender's call when the scene that an engine shows in a viewport has changed."""
    _viewports.update(engine)


def draw(engine: bpy.types.RenderEngine, context: bpy.types.Context, depsgraph: bpy.types.Depsgraph) -> None:
    """Blender's call to draw a viewport; it has bound the framebuffer and made it transparent black."""
    _viewports.draw(engine, context, depsgraph)
    _wake_timer()


def _settings(space: bpy.types.SpaceView3D) -> tuple[object, ...]:
    """What of a viewport decides what it shows, apart from scene and view. Not every Blender has all of it."""
    return (
        space.local_view is not None,
        *(getattr(space, name, None) for name in SPACE_SETTINGS),
    )


def shown_regions() -> Iterator[tuple[bpy.types.Region, bpy.types.RegionView3D]]:
    """The regions of all windows in which the engine draws, and what is seen in them."""
    for window in bpy.context.window_manager.windows:
        if window.scene.render.engine != ENGINE:
            continue
        for area in window.screen.areas:
            space = area.spaces.active
            if area.type == "VIEW_3D" and space.shading.type == "RENDERED":
                regions = (region for region in area.regions if region.type == "WINDOW")
                # In quad view there are four of them.
                yield from zip(regions, space.region_quadviews or [space.region_3d], strict=False)


def _tend() -> float | None:
    return _viewports.tend()


def _wake_timer() -> None:
    """Let the timer run: at once while there is work, whatever it waits for."""
    is_running = bpy.app.timers.is_registered(_tend)
    if is_running and not _viewports.is_working:
        return
    if is_running:
        bpy.app.timers.unregister(_tend)
    bpy.app.timers.register(_tend, first_interval=WORKING_INTERVAL)


@bpy.app.handlers.persistent
def _before_loading(*_: object) -> None:
    """Another file is about to replace this one."""
    _viewports.free()


CLASSES = ()


def register() -> None:
    """Free all viewports before another file is loaded."""
    bpy.app.handlers.load_pre.append(_before_loading)


def unregister() -> None:
    """Free all viewports, and leave no thread to a Blender that may be about to end."""
    bpy.app.handlers.load_pre.remove(_before_loading)
    if bpy.app.timers.is_registered(_tend):
        bpy.app.timers.unregister(_tend)
    _viewports.free()
    viewport_cpu.wait_for_threads()
