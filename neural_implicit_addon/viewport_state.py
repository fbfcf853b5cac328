# SPDX-License-Identifier: GPL-3.0-or-later
"""One viewport: what it shows, who renders it, and when it must be rendered anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..kernels.gpu.device import GpuError, UnsupportedNetworkError
from ..kernels.scenes import RenderConfig
from ..kernels.sequence import NestedSequence
from . import backends
from .viewport_backends import ViewportBackend
from .viewport_camera import View

if TYPE_CHECKING:
    from .gpu_device import BlenderDevice
    from .scene import Gathered
    from .viewport_blit import PictureDrawer


@dataclass(frozen=True)
class _Refusal:
    """Why the CPU renders a scene although there is a GPU.

    Attributes:
        message: for the artist.
        notations: of the scene's networks; while all of them are there, nothing has changed about it.
    """

    message: str
    notations: frozenset[str]


class Viewport:
    """What one viewport shows, from one draw call to the next.

    Args:
        make_backend: for a GPU, or for the CPU when it is None.

    Attributes:
        messages: what the artist should know, one sentence each.
    """

    def __init__(self, make_backend: Callable[[BlenderDevice | None], ViewportBackend]) -> None:
        self.messages: tuple[str, ...] = ()
        self._make_backend = make_backend
        self._backend: ViewportBackend | None = None
        self._device: BlenderDevice | None = None
        self._gathered: Gathered | None = None
        self._is_current = False
        self._shown: tuple[View, RenderConfig] | None = None
        self._failure = ""
        self._refusal: _Refusal | None = None

    def invalidate(self) -> None:
        """The scene may have changed: it is gathered again when the viewport is drawn next."""
        self._is_current = False

    def draw(
        self,
        view: View,
        config: RenderConfig,
        gather: Callable[[], Gathered],
        device: BlenderDevice | None,
        drawer: PictureDrawer,
    ) -> None:
        """Bring the picture a step further and draw it into the framebuffer that is bound.

        Args:
            view: of this moment.
            config: how it is rendered when it rests; its size and region are the view's.
            gather: called when the scene may have changed.
            device: the GPU to render on, or None for the CPU.
        """
        if view.is_empty:
            return
        if self._backend is None or device is not self._device:
            self._render_with(device)
        if not backends.failure():
            # What was said about a GPU is over with another choice of backend.
            self._failure = ""
        try:
            self._advance(view, config, gather)
        except UnsupportedNetworkError as error:
            self._render_with(device, _Refusal(backends.describe_refusal(error), _notations(self._gathered)))
            self._advance(view, config, gather)
        except GpuError as error:
            if device is None or self._refusal is not None:
                # Nothing is rendered on the GPU, so what failed is to show the picture.
                self._failure = f"The picture cannot be shown: {error}"
            else:
                self._failure = backends.give_up_gpu(error) or self._failure
                self._render_with(None)
                self._advance(view, config, gather)
        picture = self._backend.picture
        if picture is not None:
            # A picture of the viewport's former size is stretched until there is one of the new size.
            across, up = view.size[0] / picture.size[0], view.size[1] / picture.size[1]
            left, bottom, width, height = picture.rectangle
            drawer.draw(picture.texture, (left * across, bottom * up, width * across, height * up), view.size)
        refusal = "" if self._refusal is None else self._refusal.message
        messages = (self._failure, refusal, self._backend.problem, *self._gathered.problems)
        self.messages = tuple(filter(None, messages))

    def _render_with(self, device: BlenderDevice | None, refusal: _Refusal | None = None) -> None:
        """Render on another device from now on.

        Args:
            refusal: why the CPU renders instead; None where it does not.
        """
        if self._backend is not None:
            self._backend.free()
        self._backend = self._make_backend(device if refusal is None else None)
        self._device, self._refusal, self._shown = device, refusal, None

    def _advance(self, view: View, config: RenderConfig, gather: Callable[[], Gathered]) -> None:
        before = self._gathered
        if not self._is_current:
            self._gathered, self._is_current = gather(), True
            if self._refusal is not None and not self._refusal.notations <= _notations(self._gathered):
                # What the GPU could not render may be gone.
                self._render_with(self._device)
        # How many threads there are for it changes nothing about a picture.
        wanted = view, replace(config, threads=None)
        if not is_same(wanted, self._shown):
            self._shown = wanted
            self._backend.show(self._gathered.seen_by(view.camera), config, patient=False)
        elif not is_same(before, self._gathered):
            patient = is_same(before, self._gathered, apart_from_networks=True)
            self._backend.show(self._gathered.seen_by(view.camera), config, patient)
        self._backend.advance()

    @property
    def is_working(self) -> bool:
        """Whether there will be a better picture without anybody doing anything."""
        return self._backend is not None and not self._backend.finished

    def has_news(self) -> bool:
        """Whether it is worth drawing the viewport now."""
        return self._backend is not None and self._backend.has_news()

    def free(self) -> None:
        """Give GPU memory back and have threads end, without waiting. Drawing again begins anew."""
        if self._backend is not None:
            self._backend.free()
        self._backend = self._gathered = self._shown = None
        self._is_current = False


def _notations(gathered: Gathered) -> frozenset[str]:
    """What the networks of a scene are like, which stays while they are trained."""
    sequences = [instance.sequence for instance in gathered.instances]
    sequences += [mesh.neural_normals.sequence for mesh in gathered.meshes if mesh.neural_normals is not None]
    return frozenset(sequence.notation for sequence in sequences)


def is_same(first: object, second: object, apart_from_networks: bool = False) -> bool:
    """Whether two descriptions, of scenes, of views or of parts of them, say the same.

    Args:
        apart_from_networks: which networks a neural object has does not count.
    """
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    if isinstance(first, NestedSequence) and apart_from_networks:
        return True
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, tuple):
        return len(first) == len(second) and all(
            is_same(a, b, apart_from_networks) for a, b in zip(first, second, strict=True)
        )
    if is_dataclass(first):
        return all(
            is_same(getattr(first, field.name), getattr(second, field.name), apart_from_networks)
            for field in fields(first)
        )
    return first == second
