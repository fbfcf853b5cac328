# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried in the real window. Each scenario is a generator of pauses in seconds; see session.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

# What all tests share; this Blender's Python knows nothing of pytest's paths.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import viewport_scenarios
from processes import children

if TYPE_CHECKING:
    from session import Session

ADDON = "bl_ext.user_default.neural_implicit"
PROPERTY = "neural_implicit"


# Preview's own time and more, for a machine where Blender draws beside it, in software, on the same few cores.
BUDGET = 2.0
# Seconds in which something happens on a machine that is busy.
PATIENCE = 300.0


def install_and_look(session: Session) -> Iterator[float]:
    """Install, enable, look at the sidebar beside the monkey, disable."""
    session.install()
    session.record(enabled=ADDON in bpy.context.preferences.addons)
    bpy.ops.preferences.addon_enable(module=ADDON)
    add_monkey(session)
    yield from session.show_sidebar()
    session.screenshot("sidebar")
    _, area, _ = session.view()
    sidebar = next(region for region in area.regions if region.type == "UI")
    session.record(sidebar=sidebar.active_panel_category)
    bpy.ops.preferences.addon_disable(module=ADDON)
    yield 0.5
    session.screenshot("disabled")
    session.record(left=[name for name in dir(bpy.types) if "neural_implicit" in name.lower()])


def missing_torch(session: Session) -> Iterator[float]:
    """The panel says what is missing before Train is pressed; Train says it too and starts nothing."""
    session.install()
    bpy.context.preferences.addons[ADDON].preferences.python = "/nonsense/python"
    add_monkey(session)
    yield from session.show_sidebar()
    yield 1.0
    session.screenshot("missing")
    try:
        with session.in_view():
            bpy.ops.neural_implicit.train("INVOKE_DEFAULT")
    except RuntimeError as error:
        session.record(message=str(error))
    with session.in_view():
        bpy.ops.preferences.addon_show(module=ADDON)
    yield 1.0
    session.screenshot("preferences")


def from_mesh_to_bake(session: Session) -> Iterator[float]:
    """All of an artist's path: train beside the open window, undo, redo, render, bake, save, open again."""
    session.install()
    if not can_train(session):
        return
    source = add_monkey(session)
    source.modifiers.new("Subdivision", "SUBSURF").levels = 3
    # Pictures are rendered to their end, on the CPU: of a small window.
    session.resize(*viewport_scenarios.WINDOW)
    yield from session.show_sidebar()
    # The training is watched in Rendered shading, where only the neural object is in the picture.
    bpy.context.scene.render.engine = "NEURAL_IMPLICIT"
    bpy.context.scene.neural_implicit.viewport_samples = 1
    session.view()[2].overlay.show_overlays = session.view()[2].show_gizmo = False
    session.view()[2].shading.type = "RENDERED"
    training_session = session.module("neural_implicit_addon.training_session")
    # What a script does is no step of undo by itself.
    bpy.ops.ed.undo_push(message="Monkey")
    start_training(session)
    current = training_session.current()
    # Out of the way, or it would be seen where the neural object stands.
    source.hide_set(True)
    networks = set()
    while current.running:
        if "Suzanne Neural" in bpy.data.objects:
            data = bytes(bpy.data.objects["Suzanne Neural"].data[PROPERTY])
            if data not in networks and len(networks) == 2:
                session.screenshot("training")
            networks.add(data)
        yield 0.2
    assert not current.problems, current.problems
    yield from viewport_scenarios.settle(session)
    session.screenshot("trained")
    neural, selected, shown = bpy.data.objects["Suzanne Neural"], bpy.context.active_object.name, session.middle()
    neural.hide_set(True)
    yield from viewport_scenarios.settle(session)
    drawn = session.middle() != shown
    neural.hide_set(False)
    data = bytes(neural.data[PROPERTY])
    sequence = session.module("neural_implicit_addon.neural_object").read_sequence(neural.data)
    session.record(
        networks=len(networks | {data}),
        drawn=drawn,
        evidence=[band.evidence for band in sequence.bands],
        status=current.status(),
        selected=selected,
        torch="torch" in sys.modules,
        children=children(),
    )
    session.view()[2].shading.type = "SOLID"

    with session.in_view():
        bpy.ops.ed.undo()
    undone = sorted(bpy.data.objects.keys())
    with session.in_view():
        bpy.ops.ed.redo()
    session.record(undone=undone, same=bytes(bpy.data.objects["Suzanne Neural"].data[PROPERTY]) == data)

    bpy.data.objects["Suzanne"].hide_render = True
    bpy.context.scene.render.resolution_percentage = 25
    finished = []
    bpy.app.handlers.render_complete.append(lambda *_: finished.append(True))
    with session.in_view():
        bpy.ops.render.render("INVOKE_DEFAULT")
    yield from session.wait(lambda: finished, PATIENCE, "the picture is rendered")
    yield 1.0
    session.screenshot("rendered")
    session.press("Escape")
    yield 1.0

    low = add_low_poly("Suzanne")
    bpy.data.objects["Suzanne"].hide_set(True)
    low.select_set(True)
    neural = bpy.data.objects["Suzanne Neural"]
    neural.select_set(True)
    bpy.context.view_layer.objects.active = neural
    yield 0.5
    session.screenshot("before_bake")
    with session.in_view():
        result = bpy.ops.neural_implicit.bake_normals("INVOKE_DEFAULT")
    neural.hide_set(True)
    yield 1.0
    session.screenshot("baked")
    session.record(baked=sorted(result), normals="custom_normal" in low.data.attributes)

    path = str(session.folder / "saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    yield 1.0
    session.screenshot("reopened")
    session.record(same=bytes(bpy.data.objects["Suzanne Neural"].data[PROPERTY]) == data)


def end_training_early(session: Session) -> Iterator[float]:
    """Esc, disabling the add-on and opening a file each end a training and leave nothing."""
    session.install()
    if not can_train(session):
        return
    add_monkey(session)
    yield from session.show_sidebar()

    def ended(how: str) -> Iterator[float]:
        """Wait for the end of the worker and of the operator."""
        yield from session.wait(lambda: not children(), PATIENCE, f"{how} ends the worker")
        manager = bpy.context.window_manager
        # Blender lets go of the operator of a disabled add-on only when it handles its next event.
        yield from session.wait(
            lambda: not any(manager.windows[0].modal_operators), PATIENCE, f"{how} ends the operator"
        )
        session.screenshot(how.lower())
        session.record(how=how)

    # Minutes of training, so that none is over before it is ended.
    start_training(session, preset="FINE")
    current = session.module("neural_implicit_addon.training_session").current()
    yield from session.wait(lambda: current.progress, PATIENCE, "the worker trains")
    session.press("Escape")
    yield from ended("Esc")

    start_training(session, preset="FINE")
    yield from session.wait(children, PATIENCE, "the worker runs")
    yield 0.5
    bpy.ops.preferences.addon_disable(module=ADDON)
    yield from ended("Disabled")

    bpy.ops.preferences.addon_enable(module=ADDON)
    start_training(session, preset="FINE")
    yield from session.wait(children, PATIENCE, "the worker runs")
    yield 0.5
    bpy.ops.wm.read_homefile(app_template="")
    yield from ended("Opened")


def start_training(session: Session, preset: str = "PREVIEW") -> None:
    """Press Train: returns at once, the training goes on beside the window."""
    with session.in_view():
        result = bpy.ops.neural_implicit.train("INVOKE_DEFAULT", preset=preset, budget=BUDGET)
    assert result == {"RUNNING_MODAL"}, result


def can_train(session: Session) -> bool:
    """Whether this Blender's Python has what training needs; recorded when not."""
    training_python = session.module("neural_implicit_addon.training_python")
    try:
        training_python.find_python("")
    except session.module("neural_implicit_addon.worker_process").WorkerError as error:
        session.record(skipped=str(error))
        return False
    return True


def add_monkey(session: Session) -> bpy.types.Object:
    """The selected monkey in place of the cube."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with session.in_view():
        bpy.ops.mesh.primitive_monkey_add()
        bpy.ops.object.shade_smooth()
        bpy.ops.view3d.view_selected()
    return bpy.context.active_object


def add_low_poly(name: str) -> bpy.types.Object:
    """A decimated copy of an object as it is with its modifiers."""
    source = bpy.data.objects[name]
    low = source.copy()
    low.name = "Low"
    modifier = low.modifiers.new("Decimate", "DECIMATE")
    modifier.ratio = 0.02
    bpy.context.collection.objects.link(low)
    bpy.context.view_layer.update()
    mesh = bpy.data.meshes.new_from_object(low.evaluated_get(bpy.context.evaluated_depsgraph_get()))
    low.modifiers.clear()
    low.data = mesh
    return low


SCENARIOS = {
    scenario.__name__: scenario for scenario in (install_and_look, missing_torch, from_mesh_to_bake, end_training_early)
}
