# SPDX-License-Identifier: GPL-3.0-or-later
"""One computation of the kernels in a thread of its own, beside a Blender that goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakSet

import bpy

from ..kernels import blas
from ..kernels.cancelling import Cancelled
from ..kernels.cores import thread_count

Result = TypeVar("Result")
# Takes how far it is, from 0 to 1.
Progress = Callable[[float], None]
# Whether the result is not wanted any more.
IsCancelled = Callable[[], bool]

# Seconds that threads get to end when the add-on is disabled. Kernels look a few times a second whether they should.
GRACE = 5.0

_threads: WeakSet[threading.Thread] = WeakSet()


class Computation(Generic[Result]):
    """A `background_work.Work` that computes something.

    Args:
        sentence: what is computed, for the status bar, for example "Extracting Bunny".
        compute: returns the result. It must not touch Blender's data, and raises `Cancelled` soon after its second
            argument answers True.
    """

    def __init__(self, sentence: str, compute: Callable[[Progress, IsCancelled], Result]) -> None:
        self.share = 0.0
        self.running = True
        self._sentence = sentence
        self._compute = compute
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._result: Result | None = None
        self._error: Exception | None = None
        # The status that was seen last.
        self._seen = ""

    def update(self, context: bpy.types.Context) -> bool:
        """Start the thread, or see how far it is. A result waits for object mode, where it can be taken in."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_beside_blender, name=self._sentence, daemon=True)
            _threads.add(self._thread)
            self._thread.start()
        elif not self._thread.is_alive() and context.mode == "OBJECT":
            self.running = False
        before, self._seen = self._seen, self.status()
        return self._seen != before or not self.running

    def finish(self, _context: bpy.types.Context) -> None:
        """Compute in the thread that calls."""
        self._run()
        self.running = False

    def status(self) -> str:
        """What is computed, and how far it is."""
        if self._thread is not None and not self._thread.is_alive():
            return f"{self._sentence}: done, waiting for object mode"
        return f"{self._sentence}: {self.share:.0%}"

    def cancel(self) -> None:
        """Have the thread end, without waiting for it. Nothing that it computes is seen any more."""
        self._cancelled.set()
        self.running = False

    def result(self) -> Result:
        """What was computed.

        Raises:
            Cancelled: it was cancelled.
            Exception: whatever `compute` raised.
        """
        if self._cancelled.is_set():
            raise Cancelled
        if self._error is not None:
            raise self._error
        return self._result

    def _run_beside_blender(self) -> None:
        # A core is left to Blender, which draws.
        with blas.limited_threads(thread_count(0)):
            self._run()

    def _run(self) -> None:
        try:
            self._result = self._compute(self._set_share, self._cancelled.is_set)
        except Exception as error:  # noqa: BLE001 Raised again where the result is taken in.
            self._error = error

    def _set_share(self, share: float) -> None:
        self.share = share


CLASSES = ()


def unregister() -> None:
    """Leave no thread behind when the add-on is disabled, which has cancelled all of them by now."""
    for thread in list(_threads):
        thread.join(GRACE)
