# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sidebar says. How it looks is for the real window."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import shapes

from kernels import nsdf
from kernels.assumptions import assumptions
from kernels.networks import random_network
from kernels.sequence import Band, NestedSequence


class Layout:
    """Stands in for a UILayout and remembers what is drawn."""

    def __init__(self, drawn: list[str] | None = None, buttons: dict[str, SimpleNamespace] | None = None) -> None:
        self.drawn = [] if drawn is None else drawn
        # The properties that each operator's last button passes on.
        self.buttons = {} if buttons is None else buttons
        self.enabled = True
        self.alignment = ""

    def _nested(self, **_options: object) -> Layout:
        return Layout(self.drawn, self.buttons)

    row = column = split = _nested

    def label(self, text: str = "", icon: str = "NONE") -> None:
        self.drawn.append(f"[{icon}] {text}" if icon in {"INFO", "CHECKMARK"} else text)

    def prop(self, _data: object, name: str, expand: bool = False) -> None:
        self.drawn.append(name)

    def operator(self, name: str, text: str = "", icon: str = "NONE") -> SimpleNamespace:
        self.drawn.append(f"{name} {text}".strip())
        self.buttons[name] = SimpleNamespace()
        return self.buttons[name]

    def progress(self, factor: float, text: str) -> None:
        self.drawn.append(text)

    def operator_enum(self, name: str, prop: str) -> None:
        self.drawn.append(f"{name} {prop}")


@pytest.fixture
def sidebar(addon_module) -> ModuleType:
    return addon_module("panels.sidebar")


def draw(panel: type, context) -> list[str]:
    """What a panel draws in `context`, nothing when its poll says no."""
    layout = Layout()
    if not hasattr(panel, "poll") or panel.poll(context):
        panel.draw(SimpleNamespace(layout=layout), context)
    return layout.drawn


@pytest.fixture
def context(blender, addon_module):
    """A context as in a 3D view's sidebar, with a neural object as the active one."""
    neural_object = addon_module("neural_implicit_addon.neural_object")
    networks = shapes.sphere_sequence().networks
    training = {
        "nesting_violations": [0.00031],
        "normal_error_degrees": 1.84,
        "assumptions": ["The faces were turned inside out."],
    }
    data = nsdf.dumps(NestedSequence(networks, (Band(0.024, "sampled"),), radius=2.0, training=training))
    sequence = addon_module("kernels.nsdf").loads(data)
    obj = neural_object.create(blender.context, sequence, "Neural", data=data, faces=300)
    return SimpleNamespace(
        active_object=obj,
        selected_objects=[obj],
        scene=blender.context.scene,
        # In the background Blender's own scale is zero.
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0), addons=blender.context.preferences.addons),
        region=SimpleNamespace(width=300),
    )


def all_text(sidebar, context) -> str:
    return "\n".join(line for panel in sidebar.CLASSES for line in draw(panel, context))


def test_neural_object_is_described(sidebar, context) -> None:
    text = all_text(sidebar, context)
    sequence = shapes.sphere_sequence()
    for level, network in enumerate(sequence.networks):
        assert f"Level {level}\n{network.parameter_count:,} parameters" in text
    for expected in ("128x0 > 512x0", "Band 0 / size\n1.2 %, sampled", "0.031 %", "1.84"):
        assert expected in text


def test_what_was_assumed_about_the_mesh_is_said(sidebar, context) -> None:
    assert "[INFO] The faces were turned inside out." in draw(sidebar.NEURAL_IMPLICIT_PT_object, context)


def test_certified_bands_are_marked_and_need_no_certifying(sidebar, context, addon_module) -> None:
    neural_object = addon_module("neural_implicit_addon.neural_object")
    assert "neural_implicit.certify_bands" in all_text(sidebar, context)
    sequence = neural_object.read_sequence(context.active_object.data)
    certified = replace(sequence, bands=(replace(sequence.bands[0], evidence="certified"),))
    neural_object.write_sequence(context.active_object.data, certified)
    text = all_text(sidebar, context)
    assert "[CHECKMARK] 1.2 %, certified" in text
    assert "neural_implicit.certify_bands" not in text


def test_joining_is_offered_where_other_neural_objects_are_selected(sidebar, context) -> None:
    assert "join_networks" not in all_text(sidebar, context)
    # A duplicate that shares the mesh carries no other network.
    context.selected_objects.append(context.active_object.copy())
    assert "join_networks" not in all_text(sidebar, context)
    other = context.active_object.copy()
    other.data = other.data.copy()
    context.selected_objects.append(other)
    assert "neural_implicit.join_networks Join 2 Networks" in all_text(sidebar, context)


def test_computation_that_runs_shows_its_progress_in_place_of_the_buttons(sidebar, context, monkeypatch) -> None:
    computation = SimpleNamespace(share=0.42, status=lambda: "Extracting Neural: 42%")
    monkeypatch.setattr(sidebar.background_work, "running", lambda _kind: computation)
    text = all_text(sidebar, context)
    assert "Extracting Neural" in text
    assert "certify_bands" not in text


@pytest.mark.parametrize(("density", "shown"), [("RESOLUTION", "extract_resolution"), ("FACES", "extract_faces")])
def test_density_of_the_extracted_mesh_is_chosen_beside_its_button(sidebar, context, density, shown) -> None:
    context.scene.neural_implicit.extract_density = density
    drawn = draw(sidebar.NEURAL_IMPLICIT_PT_exchange, context)
    assert drawn[:4] == ["extract_density", shown, "extract_normals", "neural_implicit.extract_mesh"]


def test_buttons_pass_on_what_is_set_beside_them(sidebar, context) -> None:
    settings = context.scene.neural_implicit
    settings.extract_density, settings.extract_resolution, settings.extract_faces = "FACES", 99, 777
    settings.extract_normals, settings.certify_seconds = False, 7.0
    assert "certify_seconds\nneural_implicit.certify_bands" in all_text(sidebar, context)
    layout = Layout()
    for panel in (sidebar.NEURAL_IMPLICIT_PT_object, sidebar.NEURAL_IMPLICIT_PT_exchange):
        panel.draw(SimpleNamespace(layout=layout), context)
    extract = layout.buttons["neural_implicit.extract_mesh"]
    assert vars(extract) == {"density": "FACES", "resolution": 99, "faces": 777, "use_normals": False}
    assert vars(layout.buttons["neural_implicit.certify_bands"]) == {"seconds": 7.0}


def test_every_operator_can_be_found(sidebar, context) -> None:
    text = all_text(sidebar, context)
    for name in ("train", "bake_normals", "extract_mesh", "export_network", "import_network"):
        assert f"neural_implicit.{name}" in text
    assert "neural_implicit.cancel_training" not in text, "there is nothing to cancel"


def test_running_training_shows_its_progress_and_can_be_cancelled(sidebar, context, monkeypatch) -> None:
    session = SimpleNamespace(
        share=0.42,
        status=lambda: "Training Bunny: level 1 of 2",
        source=SimpleNamespace(name="Bunny"),
        assumptions={"Bunny": ["Its holes were closed."]},
    )
    monkeypatch.setattr(sidebar.training_session, "current", lambda: session)
    text = all_text(sidebar, context)
    assert "42%" in text
    assert "[INFO] Its holes were closed." in text
    assert "level 1 of 2" in text.replace("\n", " ")
    assert "neural_implicit.cancel_training" in text
    assert "neural_implicit.train" not in text.replace("neural_implicit.cancel_training", "")


def test_what_training_lacks_is_said_before_it_is_started(sidebar, context, monkeypatch) -> None:
    answer = SimpleNamespace(problem="Training needs torch, missing in /usr/bin/python", command="")
    monkeypatch.setattr(sidebar, "known_answer", lambda _python: answer)
    text = all_text(sidebar, context)
    assert "Training needs torch" in text.replace("\n", " ")
    assert "preferences.addon_show" in text
    monkeypatch.setattr(sidebar, "known_answer", lambda _python: SimpleNamespace(problem="", command=""))
    assert "preferences.addon_show" not in all_text(sidebar, context)


def test_damaged_network_is_a_message_and_not_a_traceback(sidebar, context) -> None:
    mesh = context.active_object.data
    del mesh["neural_implicit"]
    mesh["neural_implicit"] = b"\x01" * 50
    assert "cannot be used" in all_text(sidebar, context).replace("\n", " ")


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"nesting_violations": "none", "normal_error_degrees": None},
        {"nesting_violations": [None, {}], "normal_error_degrees": [1]},
        {"nesting_violations": 3, "normal_error_degrees": True},
        {"nesting_violations": [10**400], "normal_error_degrees": -(10**400)},
        {"assumptions": "none"},
        {"assumptions": [None, 3, "", ["nested"]]},
        {"assumptions": 5},
    ],
)
def test_nonsense_in_the_training_record_is_left_out(sidebar, training) -> None:
    sequence = NestedSequence((random_network((8,)),), (), training=training)
    assert [row.name for row in sidebar.describe(sequence, 1000)] == ["Level 0", "File"]
    assert assumptions(sequence) == []


def test_scene_without_objects(sidebar, context) -> None:
    context.active_object, context.selected_objects = None, []
    assert "Select a mesh" in all_text(sidebar, context)


def test_message_is_broken_into_lines_as_wide_as_the_region(sidebar, context) -> None:
    layout = Layout()
    sidebar.draw_message(layout, context, "a fairly long message " * 5)
    assert len(layout.drawn) > 2
    assert max(map(len, layout.drawn)) < 45
