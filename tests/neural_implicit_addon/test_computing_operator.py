# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that compute something from the active neural object, while the artist does anything to it."""

from __future__ import annotations

import pytest
import shapes

from kernels import nsdf


@pytest.fixture
def module(addon_module):
    return addon_module("neural_implicit_addon.computing_operator")


@pytest.fixture
def source(blender, addon_module):
    """The active neural object of a sphere."""
    neural_object = addon_module("neural_implicit_addon.neural_object")
    data = nsdf.dumps(shapes.sphere_sequence())
    obj = neural_object.create(blender.context, addon_module("kernels.nsdf").loads(data), "Ball", data=data, faces=300)
    neural_object.select_only(blender.context, obj)
    return obj


@pytest.fixture
def operator(module):
    """An operator that counts the parameters of the networks, and remembers what it reported and took in."""

    class Operator(module.ComputingOperator):
        bl_label = "Count"

        def __init__(self) -> None:
            self.reports: list[str] = []
            self.taken: list[tuple[str, int]] = []
            self.error: Exception | None = None
            self.replaces_networks = False

        def report(self, _kind: set[str], text: str) -> None:
            self.reports.append(text)

        def prepare(self, _context, source, sequence):
            def compute(_progress, _cancelled) -> int:
                if self.error is not None:
                    raise self.error
                return sequence.parameter_count

            return f"Counting {source.name}", compute

        def take_in(self, _context, source, result) -> set[str]:
            if self.replaces_networks:
                self.check_unchanged(source)
            self.taken.append((source.name, result))
            return {"FINISHED"}

    return Operator()


def computed(operator, context):
    """The work of an operator, done but not taken in."""
    work = operator.begin(context, in_background=False)
    work.finish(context)
    return work


def test_result_is_taken_in(operator, source, blender) -> None:
    assert operator.execute(blender.context) == {"FINISHED"}
    assert operator.taken == [("Ball", shapes.sphere_sequence().parameter_count)]
    assert operator.reports == []


def test_no_neural_object_is_active(operator, source, blender) -> None:
    blender.context.view_layer.objects.active = None
    assert operator.execute(blender.context) == {"CANCELLED"}
    assert operator.reports == ["Make a neural object the active one"]


def test_edit_mode(operator, source, blender) -> None:
    blender.ops.object.mode_set(mode="EDIT")
    assert operator.execute(blender.context) == {"CANCELLED"}
    assert operator.reports == ["Return to object mode first"]


def test_damaged_network(operator, source, blender) -> None:
    data = bytes(source.data["neural_implicit"])
    del source.data["neural_implicit"]
    source.data["neural_implicit"] = data[:500]
    assert operator.execute(blender.context) == {"CANCELLED"}
    (said,) = operator.reports
    assert said.startswith("The network of 'Ball' cannot be used")


def test_one_computation_at_a_time_beside_the_window(operator, source, blender, addon_module, monkeypatch) -> None:
    background_work = addon_module("neural_implicit_addon.background_work")
    other = addon_module("neural_implicit_addon.computation").Computation("Extracting Cube", lambda *_: None)
    monkeypatch.setattr(background_work._works, "timers", {other: None})
    assert operator.begin(blender.context, in_background=True) is None
    assert operator.reports == ["Extracting Cube: 0%: wait for it, or press Esc to cancel it"]
    assert operator.execute(blender.context) == {"FINISHED"}, "a script is not held up"


def test_object_that_was_deleted_meanwhile(operator, source, blender) -> None:
    work = computed(operator, blender.context)
    blender.data.objects.remove(source)
    assert operator.conclude(blender.context, work) == {"CANCELLED"}
    assert operator.reports == ["Ball was deleted meanwhile"]
    assert operator.taken == []


def test_object_that_was_renamed_and_undone_meanwhile_is_found(operator, source, blender) -> None:
    blender.ops.ed.undo_push(message="before")
    work = computed(operator, blender.context)
    source.name = "Sphere"
    blender.ops.ed.undo_push(message="renamed")
    assert operator.conclude(blender.context, work) == {"FINISHED"}
    blender.ops.ed.undo()
    assert operator.conclude(blender.context, work) == {"FINISHED"}
    assert [name for name, _ in operator.taken] == ["Sphere", "Ball"]


def test_networks_that_were_changed_meanwhile_are_not_replaced(operator, source, blender, addon_module) -> None:
    operator.replaces_networks = True
    assert operator.execute(blender.context) == {"FINISHED"}
    work = computed(operator, blender.context)
    neural_object = addon_module("neural_implicit_addon.neural_object")
    neural_object.write_sequence(source.data, nsdf.dumps(shapes.torus_sequence()))
    assert operator.conclude(blender.context, work) == {"CANCELLED"}
    assert operator.reports == ["The networks of Ball were changed meanwhile, so they are left as they are"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("it has no surface"), "Ball: it has no surface"),
        (MemoryError(), "Ball: there is not enough memory for this"),
    ],
)
def test_what_the_computation_refuses_is_said(operator, source, blender, error, message) -> None:
    operator.error = error
    assert operator.execute(blender.context) == {"CANCELLED"}
    assert operator.reports == [message]


def test_cancelling_is_said_and_leaves_all_as_it_was(operator, source, blender) -> None:
    work = operator.begin(blender.context, in_background=False)
    work.cancel()
    assert operator.conclude(blender.context, work) == {"CANCELLED"}
    assert operator.reports == ["Count: cancelled"]
    assert operator.taken == []


def test_mistake_in_a_computation_is_not_hidden(operator, source, blender) -> None:
    operator.error = KeyError("levels")
    with pytest.raises(KeyError):
        operator.execute(blender.context)
