# SPDX-License-Identifier: GPL-3.0-or-later
"""How many threads numpy's matrix products use.

OpenBLAS cuts each product into pieces for every core. Where whole tiles are already computed side by side, the two
kinds of threads wait for each other and both get slower (2.2 s instead of 0.5 s for one picture on two cores).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

# The names in numpy's own wheels, in older ones, and in a system's library.
_SYMBOLS = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads")

# The number of threads belongs to the whole process, and several pictures may be computed at the same time: the first
# limit remembers how it was, the last one to end brings it back.
_lock = threading.Lock()
_limits: list[int] = []
_unlimited = 0


def _library() -> tuple[ctypes.CDLL, str] | None:
    """The OpenBLAS that numpy is linked to and the pattern of its names, or None where it cannot be reached."""
    try:
        # A symbol is looked for in the libraries that this one depends on, too (not on Windows).
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)
    except (AttributeError, OSError):
        return None
    return next(((library, name) for name in _SYMBOLS if hasattr(library, name.format("set"))), None)


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Matrix products on at most `count` threads while the context lasts, in the whole process.

    Contexts may overlap in any order, from any thread: the smallest count among them holds. No effect where numpy has
    no reachable OpenBLAS.
    """
    global _unlimited
    found = _library()
    if found is None:
        yield
        return
    library, name = found
    set_threads = getattr(library, name.format("set"))
    with _lock:
        if not _limits:
            _unlimited = getattr(library, name.format("get"))()
        _limits.append(count)
        set_threads(min(_limits))
    try:
        yield
    finally:
        with _lock:
            _limits.remove(count)
            set_threads(min(_limits, default=_unlimited))
