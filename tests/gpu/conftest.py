# SPDX-License-Identifier: GPL-3.0-or-later
"""A GPU for the tests: Blender's gpu module as the installed extension uses it, on whatever driver there is."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

EGL_PLATFORM_SURFACELESS_MESA = 0x31DD


def missing_driver() -> str:
    """Why Blender could make no GPU context in the background; empty when it probably can.

    Asked before Blender is: without a driver, Blender 5.0 ends the whole process.
    """
    if not sys.platform.startswith("linux"):
        return ""
    library = ctypes.util.find_library("EGL")
    if library is None:
        return "there is no libEGL"
    egl = ctypes.CDLL(library)
    egl.eglGetPlatformDisplay.restype = egl.eglGetDisplay.restype = ctypes.c_void_p
    egl.eglGetPlatformDisplay.argtypes = [ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
    egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    displays = egl.eglGetDisplay(None), egl.eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, None, None)
    if not any(display and egl.eglInitialize(display, None, None) for display in displays):
        return "EGL finds no driver"
    return ""


def begin_gpu(bpy: ModuleType) -> None:
    """Make Blender's GPU context, which then stays until Blender ends."""
    import gpu

    if hasattr(gpu, "init"):
        gpu.init()
        return

    class ContextEngine(bpy.types.RenderEngine):
        """Renders nothing: Blender makes a context for it."""

        bl_idname = "TESTS_GPU_CONTEXT"
        bl_label = "GPU context"
        bl_use_gpu_context = True

        def render(self, depsgraph: bpy.types.Depsgraph) -> None:
            """Nothing."""

    bpy.utils.register_class(ContextEngine)
    scene = bpy.data.scenes.new("GPU context")
    scene.render.engine = ContextEngine.bl_idname
    camera = bpy.data.objects.new("GPU context", bpy.data.cameras.new("GPU context"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x = scene.render.resolution_y = 4
    bpy.ops.render.render(scene=scene.name)
    bpy.data.scenes.remove(scene)
    bpy.utils.unregister_class(ContextEngine)


@pytest.fixture(scope="session")
def device(addon: ModuleType, addon_module: Callable[[str], ModuleType]) -> Any:
    """A BlenderDevice of the installed extension. Its classes are the extension's: take others by `addon_module`."""
    import bpy

    reason = missing_driver()
    if reason:
        pytest.skip(f"no GPU here, not even a software one: {reason}")
    begin_gpu(bpy)
    return addon_module("neural_implicit_addon.gpu_device").BlenderDevice()
