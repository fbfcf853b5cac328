# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are saved with the scene."""

from __future__ import annotations

CLASSES = ()
