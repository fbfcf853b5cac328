# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that a file links from another one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any


def linked(blender: ModuleType, obj: Any, folder: Path) -> Any:
    """An object of this file as another file's, which this one links: selected and active."""
    path = str(folder / "library.blend")
    blender.data.libraries.write(path, {obj})
    name = obj.name
    blender.data.objects.remove(obj)
    with blender.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = [name]
    (found,) = wanted.objects
    blender.context.collection.objects.link(found)
    found.select_set(True)
    blender.context.view_layer.objects.active = found
    return found
