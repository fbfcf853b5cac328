# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the threads of matrix products, which the whole process shares."""

from __future__ import annotations

import pytest

from kernels import blas


def threads() -> int:
    """What OpenBLAS itself says."""
    library, name = blas._library()
    return getattr(library, name.format("get"))()


@pytest.mark.skipif(blas._library() is None, reason="numpy has no OpenBLAS that can be reached")
def test_limits_may_overlap() -> None:
    with blas.limited_threads(2):
        first, second = blas.limited_threads(1), blas.limited_threads(1)
        before = threads()
        first.__enter__()
        second.__enter__()
        assert threads() == 1
        first.__exit__(None, None, None)
        assert threads() == 1
        second.__exit__(None, None, None)
        assert threads() == before
