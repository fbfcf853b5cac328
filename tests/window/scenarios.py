# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried in the real window. Each scenario is a generator of pauses in seconds; see session.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import bpy

if TYPE_CHECKING:
    from session import Session

ADDON = "bl_ext.user_default.neural_implicit"


def install_and_look(session: Session) -> Iterator[float]:
    """Install, enable, look at the sidebar beside the monkey, disable."""
    session.install()
    session.record(enabled=ADDON in bpy.context.preferences.addons)
    bpy.ops.preferences.addon_enable(module=ADDON)
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.mesh.primitive_monkey_add()
    _, _, view = session.view()
    view.show_region_ui = True
    yield 1.0
    window, area, _ = session.view()
    sidebar = next(region for region in area.regions if region.type == "UI")
    # The tabs exist once the sidebar was drawn.
    categories = {panel.bl_category for panel in bpy.types.Panel.__subclasses__() if hasattr(panel, "bl_category")}
    if "Neural Implicit" in categories:
        sidebar.active_panel_category = "Neural Implicit"
    area.tag_redraw()
    yield 1.0
    session.screenshot("sidebar")
    session.record(sidebar=sidebar.active_panel_category)
    bpy.ops.preferences.addon_disable(module=ADDON)
    yield 0.5
    session.screenshot("disabled")
    session.record(left=[name for name in dir(bpy.types) if "neural_implicit" in name.lower()])


SCENARIOS = {"install_and_look": install_and_look}
