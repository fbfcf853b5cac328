# SPDX-License-Identifier: GPL-3.0-or-later
"""How operators answer a user's mistake: one clear message, and nothing changed."""

from __future__ import annotations

import bpy


def cancel(operator: bpy.types.Operator, message: str) -> set[str]:
    """Report `message` as an error and return what an operator's `execute` returns when it did nothing."""
    operator.report({"ERROR"}, message)
    return {"CANCELLED"}
