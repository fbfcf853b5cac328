# SPDX-License-Identifier: GPL-3.0-or-later
"""How many threads numpy's matrix products use.

OpenBLAS cuts each product into pieces for every core. Where whole tiles are already computed side by side, the two
kinds of threads wait for each other and both get slower (2.2 s instead of 0.5 s for one picture on two cores).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

# The names in numpy's own wheels, in older ones, and in a system's library.
_SYMBOLS = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads")


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
    """Matrix products on `count` threads while the context lasts; no effect where numpy has no reachable OpenBLAS."""
    found = _library()
    if found is None:
        yield
        return
    library, name = found
    before = getattr(library, name.format("get"))()
    set_threads = getattr(library, name.format("set"))
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)
