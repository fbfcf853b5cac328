# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend renders: a GPU, or the CPU where there is none, where it is not wanted, or where it has failed."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import bpy

from ..kernels.gpu.device import GpuError, UnsupportedNetworkError

if TYPE_CHECKING:
    from .gpu_device import BlenderDevice

BACKENDS = (
    ("AUTO", "Automatic", "The GPU, unless it is one that its driver computes on the CPU"),
    ("GPU", "GPU", "The GPU, whatever it is"),
    ("CPU", "CPU", "The CPU alone"),
)

# Of EGL_MESA_platform_surfaceless: a display without a screen.
EGL_PLATFORM_SURFACELESS_MESA = 0x31DD

# Devices keep compiled shaders and their parameters, which two threads must not set at once: the viewports, in
# Blender's main thread, have one, and the final picture, which is rendered in a thread of its own, has another.
_devices: dict[str, BlenderDevice] = {}
# Why the GPU is not used any more, once something on it failed; an empty string while all is well.
_failure = ""


def device_for(preference: str, purpose: str = "viewport") -> BlenderDevice | None:
    """The GPU to render on, or None for the CPU. To be called where a GPU context is (see `gpu_device`).

    Args:
        preference: AUTO, GPU or CPU.
        purpose: "viewport" or "final": each has its own device.
    """
    if preference == "CPU" or _failure:
        return None
    device = _the_device(purpose)
    if device is None or (preference == "AUTO" and device.is_software):
        return None
    return device


def _the_device(purpose: str) -> BlenderDevice | None:
    """Blender's GPU, or None where there is none."""
    if purpose not in _devices:
        try:
            # Imported where it is wanted: some builds of the bpy package have no gpu module.
            from .gpu_device import BlenderDevice

            _devices[purpose] = BlenderDevice()
        except (ImportError, GpuError):
            return None
    return _devices[purpose]


def describe(preference: str) -> str:
    """One line for the artist: what is rendered on, and why."""
    if preference == "CPU":
        return "Rendering on the CPU"
    if _failure:
        return f"Rendering on the CPU: the GPU failed ({_failure})"
    device = _the_device("viewport")
    if device is None:
        return "Rendering on the CPU: Blender has no GPU here"
    if preference == "AUTO" and device.is_software:
        return f"Rendering on the CPU: the driver, {device.name}, computes on the CPU itself"
    return f"Rendering on the GPU: {device.name}"


def give_up_gpu(error: Exception) -> str | None:
    """Use the CPU from now on, until the preference is changed or another file is loaded.

    Args:
        error: what failed on the GPU.

    Returns:
        What to tell the artist, or None when it has been said before.
    """
    global _failure
    if _failure:
        return None
    _failure = str(error)
    return f"Rendering on the CPU: the GPU failed ({_failure})"


def describe_refusal(error: UnsupportedNetworkError) -> str:
    """What to tell the artist of a scene that the CPU renders because of its networks. The GPU renders others."""
    return f"Rendering on the CPU: {error}"


def failure() -> str:
    """Why the GPU is not used any more; an empty string while nothing failed."""
    return _failure


def forget_failure() -> None:
    """Give the GPU another chance: the artist has changed the preference."""
    global _failure
    _failure = ""
    _devices.clear()


@bpy.app.handlers.persistent
def _another_file(*_: object) -> None:
    """What was too much for the GPU may have been in the file that is left."""
    global _failure
    _failure = ""


def may_render_on_gpu() -> bool:
    """Whether Blender can make a GPU context for a final picture.

    In the background, where no window has needed a driver yet, Blender ends the whole process when it finds none for
    an engine that wants a context. On Linux that is a matter of EGL, which is asked first.
    """
    if not bpy.app.background or not sys.platform.startswith("linux"):
        return True
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    if not hasattr(egl, "eglGetPlatformDisplay"):
        return False
    egl.eglGetDisplay.restype = egl.eglGetPlatformDisplay.restype = ctypes.c_void_p
    egl.eglGetDisplay.argtypes = [ctypes.c_void_p]
    egl.eglGetPlatformDisplay.argtypes = [ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    egl.eglInitialize.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    displays = egl.eglGetDisplay(None), egl.eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, None, None)
    return any(display and egl.eglInitialize(display, None, None) for display in displays)


CLASSES = ()


def register() -> None:
    """Notice when another file is loaded."""
    bpy.app.handlers.load_pre.append(_another_file)


def unregister() -> None:
    """Let go of the devices: what is on a GPU has to be freed before Blender ends it."""
    bpy.app.handlers.load_pre.remove(_another_file)
    forget_failure()
