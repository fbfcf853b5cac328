# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried with computations in a thread beside the real window. Generators as in scenarios.py.

Nothing here depends on how long a computation takes: where one must still be running, it is held until the scenario
lets it go on, or until it is cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy
import scenarios

if TYPE_CHECKING:
    from session import Session

ADDON = "bl_ext.user_default.neural_implicit"
# Seconds in which something happens on a machine that is busy.
PATIENCE = 300.0


class Held:
    """Stands in for a function of the kernels in the module of an operator: half done, it waits.

    Attributes:
        go_on: let it compute what it is to compute. Until then it waits, unless it is cancelled.
        ended: how often it has come to an end.
        cancelled: how often that was because it was cancelled.
    """

    def __init__(self, session: Session, module: str, name: str) -> None:
        self.go_on = threading.Event()
        self.ended = self.cancelled = 0
        self._module = session.module(module)
        self._function = getattr(self._module, name)
        self._cancelled_error = session.module("kernels.cancelling").Cancelled
        setattr(self._module, name, self)

    def __call__(self, *arguments: Any, progress: Callable, cancelled: Callable, **options: Any) -> Any:
        progress(0.5)
        try:
            while not self.go_on.wait(0.05):
                if cancelled():
                    self.cancelled += 1
                    raise self._cancelled_error
            return self._function(*arguments, progress=progress, cancelled=cancelled, **options)
        finally:
            self.ended += 1


def end_extraction_early(session: Session) -> Iterator[float]:
    """Esc, deleting the object, opening a file and disabling the add-on each end an extraction at 512 cells."""
    session.install()
    yield from show_neural_object(session, "ball")
    extract = Held(session, "operators.extract_mesh", "extract")

    def ended(how: str) -> Iterator[float]:
        """Wait for the end of the operator and of its thread; record what is left."""
        manager = bpy.context.window_manager
        # Of an operator whose class is gone, None is left until the window's next event.
        yield from session.wait(
            lambda: not any(manager.windows[0].modal_operators), PATIENCE, f"{how} ends the operator"
        )
        yield from session.wait(lambda: not threads(), PATIENCE, f"{how} ends the thread")
        yield 1.0
        session.screenshot(how.lower())
        session.record(how=how, cancelled=extract.cancelled, objects=sorted(bpy.data.objects.keys()))

    yield from begin_extraction(session, resolution=512)
    # Blender goes on meanwhile: something is done and undone.
    bpy.ops.ed.undo_push(message="Ball")
    bpy.data.objects["ball"].location.x = 1.0
    bpy.ops.ed.undo_push(message="Moved")
    with session.in_view():
        bpy.ops.ed.undo()
    yield 1.0
    session.screenshot("extracting")
    session.record(status=running(session).status(), undone=bpy.data.objects["ball"].location.x)
    try:
        with session.in_view():
            bpy.ops.neural_implicit.extract_mesh("INVOKE_DEFAULT", resolution=256)
    except RuntimeError as error:
        session.record(second=str(error))
    session.press("Escape")
    yield from ended("Esc")

    extract.go_on.set()
    start_extraction(session, resolution=160)
    yield from session.wait(lambda: "ball Mesh" in bpy.data.objects, PATIENCE, "the mesh is made")
    yield from ended("Done")
    with session.in_view():
        bpy.ops.ed.undo()
    session.record(undone=sorted(bpy.data.objects.keys()))
    extract.go_on.clear()

    select(bpy.data.objects["ball"])
    yield from begin_extraction(session, resolution=160)
    bpy.data.objects.remove(bpy.data.objects["ball"])
    extract.go_on.set()
    yield from ended("Deleted")
    extract.go_on.clear()

    yield from show_neural_object(session, "ball")
    yield from begin_extraction(session, resolution=512)
    bpy.ops.wm.read_homefile(app_template="")
    yield from ended("Opened")

    yield from show_neural_object(session, "ball")
    yield from begin_extraction(session, resolution=512)
    bpy.ops.preferences.addon_disable(module=ADDON)
    yield from ended("Disabled")


def join_and_certify(session: Session) -> Iterator[float]:
    """Two networks of one ball, trained separately, become two levels; their band is certified."""
    session.install()
    yield from show_neural_object(session, "coarse")
    yield from show_neural_object(session, "fine")
    coarse, fine = bpy.data.objects["coarse"], bpy.data.objects["fine"]
    coarse.select_set(True)
    yield 1.0
    session.screenshot("to join")
    with session.in_view():
        result = bpy.ops.neural_implicit.join_networks("INVOKE_DEFAULT")
    assert result == {"RUNNING_MODAL"}, result
    yield from session.wait(lambda: running(session) is None, PATIENCE, "the networks are joined")
    yield 1.0
    session.screenshot("joined")
    neural_object = session.module("neural_implicit_addon.neural_object")
    sequence = neural_object.read_sequence(fine.data)
    session.record(joined=sequence.notation, evidence=[band.evidence for band in sequence.bands])

    # How long a proof takes is measured elsewhere; here it has come to its end.
    certified = tuple(replace(band, evidence="certified") for band in sequence.bands)
    certify = Held(session, "operators.certify_bands", "certify_bands")
    certify._function = lambda given, *_, **__: Proven(replace(given, bands=certified))
    with session.in_view():
        bpy.ops.neural_implicit.certify_bands("INVOKE_DEFAULT")
    yield from session.wait(lambda: running(session).share == 0.5, PATIENCE, "the proof is half done")
    yield 1.0
    session.screenshot("certifying")
    certify.go_on.set()
    yield from session.wait(lambda: running(session) is None, PATIENCE, "the bands are certified")
    yield 1.0
    session.screenshot("certified")
    session.record(evidence=[band.evidence for band in neural_object.read_sequence(fine.data).bands])
    with session.in_view():
        bpy.ops.ed.undo()
    session.record(undone=[b.evidence for b in neural_object.read_sequence(bpy.data.objects["fine"].data).bands])


class Proven:
    """The part of `CertifiedBands` that the operator looks at."""

    def __init__(self, sequence: Any) -> None:
        self.sequence = sequence


def doubtful_meshes(session: Session) -> Iterator[float]:
    """A plane and an inside-out ball: what is assumed about them is in the panel, also when training goes on again."""
    session.install()
    if not scenarios.can_train(session):
        return
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    yield from session.show_sidebar()
    for name, add in (("Plane", add_plane), ("Inside Out", add_inside_out_ball)):
        with session.in_view():
            obj = add()
            obj.name = name
            bpy.ops.view3d.view_selected()
        for time in ("first", "again"):
            for other in bpy.context.view_layer.objects:
                other.hide_set(other != obj)
            select(obj)
            with session.in_view():
                # Minutes of training, so that it is not over before it is looked at.
                bpy.ops.neural_implicit.train("INVOKE_DEFAULT", preset="FINE")
            training = session.module("neural_implicit_addon.training_session").current()
            yield from session.wait(lambda t=training: t.assumptions or t.problems, PATIENCE, "the mesh is sampled")
            yield 1.0
            session.screenshot(f"{name} {time}")
            session.record(mesh=name, time=time, said=training.assumptions.get(name), problems=training.problems)
            session.press("Escape")
            yield from session.wait(lambda t=training: not t.running, PATIENCE, "the training ends")


def add_plane() -> bpy.types.Object:
    """A square that encloses nothing."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=16, y_subdivisions=16)
    return bpy.context.active_object


def add_inside_out_ball() -> bpy.types.Object:
    """A closed mesh whose normals point inwards."""
    bpy.ops.mesh.primitive_uv_sphere_add()
    obj = bpy.context.active_object
    obj.data.flip_normals()
    return obj


def show_neural_object(session: Session, name: str) -> Iterator[float]:
    """Import a network from the session's folder; it is the active object, and the sidebar is open."""
    if "Cube" in bpy.data.objects:
        bpy.data.objects.remove(bpy.data.objects["Cube"])
    with session.in_view():
        bpy.ops.neural_implicit.import_network(filepath=str(session.folder / f"{name}.nsdf"))
        bpy.ops.view3d.view_selected()
    yield from session.show_sidebar()


def select(obj: bpy.types.Object) -> None:
    """Make an object the only selected and the active one."""
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj


def start_extraction(session: Session, **options: Any) -> None:
    """Press Extract Mesh: returns at once, the extraction goes on beside the window."""
    with session.in_view():
        result = bpy.ops.neural_implicit.extract_mesh("INVOKE_DEFAULT", **options)
    assert result == {"RUNNING_MODAL"}, result


def begin_extraction(session: Session, **options: Any) -> Iterator[float]:
    """The same, until it is half done, where it is held."""
    start_extraction(session, **options)
    computation = running(session)
    yield from session.wait(lambda: computation.share == 0.5, PATIENCE, "the extraction is half done")


def running(session: Session) -> Any:
    """The computation that goes on beside the window, or None."""
    kind = session.module("neural_implicit_addon.computation").Computation
    return session.module("neural_implicit_addon.background_work").running(kind)


def threads() -> list[str]:
    """Names of the threads of computations."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("Extracting", "Joining"))]


SCENARIOS = {scenario.__name__: scenario for scenario in (end_extraction_early, join_and_certify, doubtful_meshes)}
