# SPDX-License-Identifier: GPL-3.0-or-later
"""A viewport's picture rendered on the GPU, a bounded piece of work in each draw call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..kernels.gpu.rendering import GpuPicture, GpuRenderer
from ..kernels.progressive import reduced
from ..kernels.scenes import RenderConfig, Scene
from .viewport_backends import Picture

# What one draw call may take, in seconds: while the view moves, and once it rests.
MOVING_SECONDS = 0.03
RESTING_SECONDS = 0.06

# A view that has not changed for so long rests.
REST_AFTER_SECONDS = 0.12

# A picture of a moving view has at least one pixel for so many pixels a side of the viewport...
LARGEST_REDUCTION = 8
# ... and one for so many before anything is measured.
FIRST_REDUCTION = 4


@dataclass
class _Work:
    """A picture that is worked on: what it covers of the viewport for which `config` was made, and the time it took."""

    picture: GpuPicture
    rectangle: tuple[float, float, float, float]
    config: RenderConfig
    is_fine: bool
    seconds: float = 0.0


class GpuBackend:
    """Renders in the draw calls themselves.

    While the view moves, pictures are as small as needed to be made in one draw call. When it rests, one of full
    resolution follows and is refined; it is shown from its first complete sample on.

    Args:
        renderer: may be shared by viewports; it is not freed here.
        clock: seconds.
    """

    def __init__(self, renderer: GpuRenderer, clock: Callable[[], float] = time.monotonic) -> None:
        self.picture: Picture | None = None
        self.problem = ""
        self._renderer = renderer
        self._clock = clock
        self._shown: GpuPicture | None = None
        self._work: _Work | None = None
        self._coarse: tuple[Scene, RenderConfig] | None = None  # of which a coarse picture is wanted
        self._fine: tuple[Scene, RenderConfig] | None = None  # of which a fine one is wanted when the view rests
        self._changed = -math.inf  # when the view last changed
        self._pixels_per_second = 0.0  # of coarse pictures

    def show(self, scene: Scene, config: RenderConfig, patient: bool) -> None:
        """See `ViewportBackend.show`."""
        self._fine = (scene, config)
        if not patient or self.picture is None:
            self._coarse = self._fine
            self._changed = self._clock()

    def advance(self) -> None:
        """See `ViewportBackend.advance`."""
        now = self._clock()
        end = now + (RESTING_SECONDS if self._rests(now) else MOVING_SECONDS)
        while now < end and self.has_news():
            work = self._next_work()
            work.picture.advance(end - now)
            work.seconds += self._clock() - now
            now = self._clock()
            self._take_over(work)

    def _rests(self, now: float) -> bool:
        return now >= self._changed + REST_AFTER_SECONDS

    def _next_work(self) -> _Work:
        """What to work on now, begun if need be. `has_news` has said that there is something."""
        work = self._work
        if self._coarse is not None and (work is None or work.is_fine):
            (scene, config), self._coarse = self._coarse, None
            small, rectangle = reduced(config, self._reduction(config))
            return self._begin(scene, small, rectangle, config, is_fine=False)
        # A coarse picture that was begun is ended, or a view that moves all the time would never be seen. A fine one
        # gives way to that of a newer state as soon as it is complete.
        if work is None or (work.is_fine and self._fine is not None and _is_complete(work.picture)):
            (scene, config), self._fine = self._fine, None
            return self._begin(scene, config, config.rendered_region, config, is_fine=True)
        return work

    def _begin(
        self,
        scene: Scene,
        config: RenderConfig,
        rectangle: tuple[float, float, float, float],
        full: RenderConfig,
        is_fine: bool,
    ) -> _Work:
        self._drop_work()
        self._work = _Work(self._renderer.begin(scene, config), rectangle, full, is_fine)
        return self._work

    def _take_over(self, work: _Work) -> None:
        """Show what was worked on, if it is complete at its resolution."""
        if not _is_complete(work.picture):
            return
        if self._shown is not None and self._shown is not work.picture:
            self._shown.free()
        self._shown = work.picture
        self.picture = Picture(work.picture.texture, work.rectangle, (work.config.width, work.config.height))
        if work.picture.finished:
            self._work = None
            if not work.is_fine:
                pixels = work.picture.texture.width * work.picture.texture.height
                self._pixels_per_second = pixels / max(work.seconds, 1e-6)

    def _reduction(self, config: RenderConfig) -> int:
        """Pixels of the viewport for each pixel a side of a coarse picture that one draw call can make."""
        if not self._pixels_per_second:
            return FIRST_REDUCTION
        _, _, width, height = config.rendered_region
        affordable = MOVING_SECONDS * self._pixels_per_second
        return min(LARGEST_REDUCTION, math.ceil(math.sqrt(width * height / affordable)))

    def _drop_work(self) -> None:
        if self._work is not None and self._work.picture is not self._shown:
            self._work.picture.free()
        self._work = None

    def has_news(self) -> bool:
        """See `ViewportBackend.has_news`."""
        fine_is_due = self._fine is not None and self._rests(self._clock())
        return self._coarse is not None or self._work is not None or fine_is_due

    @property
    def finished(self) -> bool:
        """See `ViewportBackend.finished`."""
        return self._coarse is None and self._work is None and self._fine is None

    def free(self) -> None:
        """See `ViewportBackend.free`."""
        self._drop_work()
        if self._shown is not None:
            self._shown.free()
        self._shown = self.picture = None
        self._coarse = self._fine = None


def _is_complete(picture: GpuPicture) -> bool:
    """Whether every pixel has been rendered at least once."""
    return picture.samples > 0 or picture.finished
