# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests do with the results of scenarios."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Results = list[dict[str, Any]]
# Runs a scenario, given by its name: the fixture `run_scenario`.
Run = Callable[..., Results]


def trainable(results: Results) -> Results:
    """The results of a scenario that trains. The test is skipped where this Blender's Python cannot."""
    if "skipped" in results[0]:
        pytest.skip(results[0]["skipped"])
    return results
