# SPDX-License-Identifier: GPL-3.0-or-later
"""A viewport's picture rendered on the CPU, by a thread beside Blender's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakSet

import numpy as np

from ..kernels.gpu.device import Texture
from ..kernels.progressive import ProgressivePicture, ProgressiveRenderer
from ..kernels.scenes import RenderConfig, Scene
from .viewport_backends import Picture

# A picture of a changed network is shown at the latest after this time, however coarse it is by then.
PATIENCE_SECONDS = 1.0


class CpuBackend:
    """Shows the pictures of a renderer in a thread; a draw call only puts the newest one on the GPU.

    Args:
        upload: (H, W, 4) float32 pixels -> a texture.
        clock: seconds.
    """

    def __init__(self, upload: Callable[[np.ndarray], Texture], clock: Callable[[], float] = time.monotonic) -> None:
        self.picture: Picture | None = None
        self.problem = ""
        self._upload = upload
        self._clock = clock
        self._renderer = ProgressiveRenderer()
        self._sizes: dict[int, tuple[int, int]] = {}  # of the views whose pictures may still come, by their number
        self._view = 0  # the number of the view that is worked on
        self._serial = 0  # of the picture that was looked at last
        self._patient_until = 0.0  # until then, only a complete picture replaces the one that is shown
        self._waiting: tuple[Scene, RenderConfig] | None = None

    def show(self, scene: Scene, config: RenderConfig, patient: bool) -> None:
        """See `ViewportBackend.show`."""
        if patient and self.picture is not None:
            # Were each state of a training begun at once, none would ever be complete on a slow machine.
            self._waiting = (scene, config)
            self._begin_waiting()
        else:
            self._patient_until = 0.0
            self._begin(scene, config)

    def _begin(self, scene: Scene, config: RenderConfig) -> None:
        self._waiting = None
        self._view = self._renderer.show(scene, config)
        self._sizes[self._view] = (config.width, config.height)

    def _begin_waiting(self) -> None:
        """Begin what waits, if the view before it has a complete picture."""
        newest = self._renderer.newest()
        if self._waiting is not None and newest is not None and self._is_complete(newest):
            self._patient_until = self._clock() + PATIENCE_SECONDS
            self._begin(*self._waiting)

    def _is_complete(self, picture: ProgressivePicture) -> bool:
        """Whether a picture of the present view has all pixels at full resolution, or will never have them."""
        return picture.view == self._view and (picture.samples > 0 or picture.finished)

    def advance(self) -> None:
        """See `ViewportBackend.advance`."""
        newest = self._renderer.newest()
        if newest is not None and newest.serial != self._serial:
            self._serial = newest.serial
            self.problem = newest.problem
            worthy = self._clock() >= self._patient_until or self._is_complete(newest)
            if worthy and newest.pixels.size and not newest.problem:
                self.picture = Picture(self._upload(newest.pixels), newest.rectangle, self._sizes[newest.view])
            self._sizes = {view: size for view, size in self._sizes.items() if view >= newest.view}
        self._begin_waiting()

    def has_news(self) -> bool:
        """See `ViewportBackend.has_news`."""
        newest = self._renderer.newest()
        return newest is not None and newest.serial != self._serial

    @property
    def finished(self) -> bool:
        """See `ViewportBackend.finished`."""
        newest = self._renderer.newest()
        return newest is not None and newest.view == self._view and newest.finished and not self.has_news()

    def free(self) -> None:
        """See `ViewportBackend.free`."""
        self._renderer.stop(wait=False)
        _ending.add(self._renderer)
        self.picture = None


# Renderers that were told to end. A thread that still runs keeps its renderer; the others are not kept.
_ending: WeakSet[ProgressiveRenderer] = WeakSet()


def wait_for_threads() -> None:
    """Return when the threads of all backends that were freed have ended."""
    for renderer in list(_ending):
        renderer.stop()
