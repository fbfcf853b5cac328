# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine: delegates to the renderer."""

from __future__ import annotations

CLASSES = ()
