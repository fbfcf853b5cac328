# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, disabling, enabling and reloading the extension."""

from __future__ import annotations

import importlib
from types import ModuleType


def test_installed_extension_is_enabled(blender: ModuleType, addon: ModuleType) -> None:
    assert addon.__name__ in blender.context.preferences.addons
    assert importlib.import_module(f"{addon.__name__}.kernels.nsdf")
