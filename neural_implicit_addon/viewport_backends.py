# SPDX-License-Identifier: GPL-3.0-or-later
"""What a viewport asks of whoever renders its picture, on the CPU (`viewport_cpu`) or on the GPU (`viewport_gpu`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..kernels.gpu.device import Texture
from ..kernels.scenes import RenderConfig, Scene


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered picture on the GPU, ready to be drawn.

    Attributes:
        texture: RGBA32F, scene-linear and premultiplied, row 0 at the bottom.
        rectangle: left, bottom, width and height of what it covers, in pixels of a viewport of that size.
        size: width and height of the viewport that it was made for.
    """

    texture: Texture
    rectangle: tuple[float, float, float, float]
    size: tuple[int, int]


class ViewportBackend(Protocol):
    """Renders what a viewport shows, better and better. Used in draw calls only, where a GPU context is."""

    picture: Picture | None
    """The newest one that is worth showing; None before there is one."""
    problem: str
    """What went wrong with it, for the artist; empty when all is well."""

    def show(self, scene: Scene, config: RenderConfig, patient: bool) -> None:
        """Turn to another view or another state of the scene; the picture stays until there is a better one.

        Args:
            config: full resolution, and `samples` of the view at rest.
            patient: keep the old picture until the new one is as fine, because what changed is seen in passing, as
                a network in training; otherwise the view moves, and a coarse new picture is better than the old one.
        """

    def advance(self) -> None:
        """Work, or take over what was worked on meanwhile, for some hundredths of a second at most.

        Raises:
            GpuError: the GPU cannot do it.
        """

    def has_news(self) -> bool:
        """Whether `advance` would do something, so that the viewport should be drawn again. Needs no GPU context."""

    @property
    def finished(self) -> bool:
        """Whether the picture is complete, so that nobody need ask before the next `show`."""

    def free(self) -> None:
        """Give GPU memory back and have threads end. Does not wait for them: that may take tenths of a second."""
