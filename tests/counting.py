# SPDX-License-Identifier: GPL-3.0-or-later
"""How many points a module asks a sequence about."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels.sequence import NestedSequence


def counted_points(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[int]:
    """The number of points of each call of a module's function (sequence, points), from now on."""
    counts: list[int] = []
    original = getattr(module, name)

    def counted(sequence: NestedSequence, points: np.ndarray) -> Any:
        counts.append(len(points))
        return original(sequence, points)

    monkeypatch.setattr(module, name, counted)
    return counts
