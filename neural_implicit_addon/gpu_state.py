# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's drawing state, borrowed and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gpu


@contextmanager
def drawing_state(depth_test: bool) -> Iterator[None]:
    """Colours are written as they are; afterwards, also after a failure, no shader is bound and the state is as it was.

    Args:
        depth_test: only what is nearer than all before is drawn, and its depth kept.
    """
    state = gpu.state
    blend, test, mask = state.blend_get(), state.depth_test_get(), state.depth_mask_get()
    state.blend_set("NONE")
    state.depth_test_set("LESS" if depth_test else "NONE")
    state.depth_mask_set(depth_test)
    try:
        yield
    finally:
        # A shader that stays bound when it is freed crashes Blender at the next bind.
        gpu.shader.unbind()
        state.blend_set(blend)
        state.depth_test_set(test)
        state.depth_mask_set(mask)
