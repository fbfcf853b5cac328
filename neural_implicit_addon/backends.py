# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend renders: a GPU, or the CPU where there is none, where it is not wanted, or where it has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .gpu_device import BlenderDevice

from ..kernels.gpu.device import GpuError

BACKENDS = (
    ("AUTO", "Automatic", "The GPU, unless it is one that its driver computes on the CPU"),
    ("GPU", "GPU", "The GPU, whatever it is"),
    ("CPU", "CPU", "The CPU alone"),
)

# Blender has one GPU; its device keeps compiled shaders, so there is one of it.
_device: BlenderDevice | None = None
# Why the GPU is not used any more, once something on it failed; an empty string while all is well.
_failure = ""


def device_for(preference: str) -> BlenderDevice | None:
    """The GPU to render on, or None for the CPU. To be called where a GPU context is (see `gpu_device`).

    Args:
        preference: AUTO, GPU or CPU.
    """
    if preference == "CPU" or _failure:
        return None
    device = _the_device()
    if device is None or (preference == "AUTO" and device.is_software):
        return None
    return device


def _the_device() -> BlenderDevice | None:
    """Blender's GPU, or None where there is none."""
    global _device
    if _device is None:
        # Blender's gpu module is looked for only where it is wanted: it is absent in some builds of the bpy package.
        from .gpu_device import BlenderDevice

        try:
            _device = BlenderDevice()
        except GpuError:
            return None
    return _device


def describe(preference: str) -> str:
    """One line for the artist: what is rendered on, and why."""
    if preference == "CPU":
        return "Rendering on the CPU"
    if _failure:
        return f"Rendering on the CPU: the GPU failed ({_failure})"
    device = _the_device()
    if device is None:
        return "Rendering on the CPU: Blender has no GPU here"
    if preference == "AUTO" and device.is_software:
        return f"Rendering on the CPU: the driver, {device.name}, computes on the CPU itself"
    return f"Rendering on the GPU: {device.name}"


def give_up_gpu(error: Exception) -> str | None:
    """Use the CPU from now on, until the preference is changed.

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


def failure() -> str:
    """Why the GPU is not used any more; an empty string while nothing failed."""
    return _failure


def forget_failure() -> None:
    """Give the GPU another chance: the artist has changed the preference."""
    global _failure, _device
    _failure, _device = "", None
