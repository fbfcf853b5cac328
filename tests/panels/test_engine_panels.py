# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's panels offer in each state. How they look is for the real window."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import rendering
import shapes


class Layout:
    """Stands in for a UILayout: remembers the properties and texts, and refuses properties that do not exist."""

    def __init__(self, drawn: list[str] | None = None) -> None:
        self.drawn = [] if drawn is None else drawn

    def _nested(self, **_options: object) -> Layout:
        return Layout(self.drawn)

    row = column = split = _nested

    def prop(self, data: Any, name: str, text: str = "", expand: bool = False) -> None:
        assert name in data.bl_rna.properties
        self.drawn.append(name)

    def template_icon_view(self, data: Any, name: str, scale: float, scale_popup: float) -> None:
        self.prop(data, name)

    def label(self, text: str = "", icon: str = "NONE") -> None:
        self.drawn.append(text)


@pytest.fixture
def draw(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> Callable[[str], list[str]]:
    """What the panels of a module draw for the current scene and its active object."""
    blender.context.scene.render.engine = rendering.ENGINE

    def draw_module(name: str) -> list[str]:
        context = SimpleNamespace(
            scene=blender.context.scene,
            view_layer=blender.context.view_layer,
            engine=blender.context.scene.render.engine,
            active_object=blender.context.view_layer.objects.active,
            space_data=SimpleNamespace(shading=SimpleNamespace(type="RENDERED")),
            preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)),
            region=SimpleNamespace(width=300),
        )
        layout = Layout()
        for panel in addon_module(f"panels.{name}").CLASSES:
            if panel.poll(context):
                panel.draw(SimpleNamespace(layout=layout), context)
        return layout.drawn

    return draw_module


def test_render_settings(blender: ModuleType, draw: Callable[[str], list[str]]) -> None:
    settings = blender.context.scene.neural_implicit
    drawn = draw("render_settings")
    assert {"samples", "viewport_samples", "trace_finest", "ambient_occlusion", "sun_shadows", "film_transparent"} <= {
        *drawn
    }
    assert not {"traced_level", "studio_light"} & {*drawn}
    assert "use_pass_object_index" in drawn
    settings.level_of_detail = "LOCKED"
    assert {"traced_level", "normal_level"} <= {*draw("render_settings")}
    for lighting, shown in (("STUDIO", True), ("MATCAP", True), ("FLAT", False), ("SCENE", False)):
        settings.lighting = lighting
        assert ("studio_light" in draw("render_settings")) == shown
    settings.lighting, shading = "STUDIO", blender.context.scene.display.shading
    for shading.use_world_space_lighting in (True, False):
        assert ("studiolight_rotate_z" in draw("render_settings")) == shading.use_world_space_lighting
    blender.context.scene.render.engine = "CYCLES"
    assert draw("render_settings") == []


def test_false_colors_come_with_a_legend(blender: ModuleType, draw: Callable[[str], list[str]]) -> None:
    settings = blender.context.scene.neural_implicit
    shaded = draw("shading")
    assert {"lighting", "display"} <= {*shaded}
    for display in ("LEVEL", "ITERATIONS", "BAND"):
        settings.display = display
        assert len(draw("shading")) > len(shaded)
    blender.context.scene.render.engine = "CYCLES"
    assert draw("shading") == []


def test_neural_normals(blender: ModuleType, draw: Callable[[str], list[str]]) -> None:
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence(), "statue")
    blender.context.view_layer.objects.active = neural
    assert draw("neural_normals") == []
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    assert "Choose a neural object" in " ".join(draw("neural_normals"))
    cube.neural_implicit.normals_source = neural
    assert draw("neural_normals") == ["normals_source", "transition"]
    blender.context.scene.render.engine = "CYCLES"
    assert "need a bake" in " ".join(draw("neural_normals"))
    blender.context.scene.render.engine = rendering.ENGINE
    del neural.data["neural_implicit"]
    assert "carries no network" in " ".join(draw("neural_normals"))
    blender.context.view_layer.objects.active = None
    assert draw("neural_normals") == []


def test_only_other_neural_objects_are_sources(blender: ModuleType, addon_module: Callable[[str], ModuleType]) -> None:
    may_give = addon_module("neural_implicit_addon.settings")._may_give_normals
    neural, other = (rendering.add_neural_object(blender, shapes.sphere_sequence()) for _ in range(2))
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    assert may_give(cube.neural_implicit, neural)
    assert may_give(other.neural_implicit, neural)
    assert not may_give(neural.neural_implicit, neural)
    assert not may_give(neural.neural_implicit, cube)
