# SPDX-License-Identifier: GPL-3.0-or-later
"""Training sessions beside an artist who goes on working, and workers that fail: played, nothing is trained here."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
import shapes
from processes import children, wait_until

from kernels import nsdf
from kernels.extraction import extract
from kernels.jobs import JobFolder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for Python are shell scripts")
ADDON = "bl_ext.user_default.neural_implicit"
# Seconds after which something that a busy machine does slowly has failed.
PATIENCE = 300.0


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    return fakes.training_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def session_module(addon_module):
    return addon_module("neural_implicit_addon.training_session")


@pytest.fixture
def trainings(blender, addon_module, session_module, python, tmp_path, monkeypatch):
    """How tests start a training, let it go on, and look at what it leaves."""
    monkeypatch.setattr(session_module, "jobs_folder", lambda: tmp_path)
    jobs, source_mesh = addon_module("kernels.jobs"), addon_module("neural_implicit_addon.source_mesh")

    def begin(*objects, hides_sources=False, **behaviours):
        (Path(python).parent / "behaviour.json").write_text(json.dumps(behaviours))
        blender.context.view_layer.update()
        depsgraph = blender.context.evaluated_depsgraph_get()
        sources = [
            session_module.Source(
                obj.name, obj.session_uid, obj.matrix_world.copy(), source_mesh.evaluated_triangles(obj, depsgraph)
            )
            for obj in objects
        ]
        return session_module.begin(
            session_module.TrainingSession(python, sources, jobs.Request("PREVIEW"), hides_sources)
        )

    def until(session, condition):
        wait_until(lambda: session.update(blender.context) and condition() or not session.running, PATIENCE)
        assert condition()

    def finish(session):
        wait_until(lambda: session.update(blender.context) and False or not session.running, PATIENCE)

    yield SimpleNamespace(begin=begin, until=until, finish=finish, folder=tmp_path, python=python)
    if session_module.current() is not None:
        session_module.current().cancel()
    assert not children(), "a worker was left running"


@pytest.fixture
def add(blender):
    """A function that adds a selected tetrahedron of a given name, each name's a little different."""

    def add_object(name, x=0.0):
        mesh = blender.data.meshes.new(name)
        vertices = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, ord(name))]
        mesh.from_pydata(vertices, [], [(0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)])
        obj = blender.data.objects.new(name, mesh)
        obj.location.x = x
        blender.context.collection.objects.link(obj)
        obj.select_set(True)
        return obj

    return add_object


def names(blender) -> set[str]:
    return {obj.name for obj in blender.data.objects}


@pytest.fixture
def publish(python):
    """A function that goes on in the worker's place: leaves a sequence with a proxy, and says so in the log."""

    def leave(session, sequence, proxy: bool = False, finished: bool = False) -> bytes:
        job = JobFolder(session._worker.job.path)
        nsdf.save(sequence, job.sequence_path)
        if proxy:
            job.write_proxy(extract(sequence, target_faces=400))
        job.log("snapshot", level=0, proxy=proxy, finished=finished)
        return nsdf.dumps(sequence)

    return leave


def vertices(mesh) -> np.ndarray:
    """(V, 3) coordinates of a Blender mesh."""
    coordinates = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", coordinates)
    return coordinates.reshape(-1, 3)


def test_neural_object_appears_at_the_first_snapshot(blender, trainings, add) -> None:
    session = trainings.begin(add("A", x=2.0), A="wait")
    trainings.until(session, lambda: "A Neural" in names(blender))
    obj = blender.data.objects["A Neural"]
    assert obj.location.x == 2.0
    assert "neural_implicit" in obj.data
    assert not obj.select_get(), "the artist's selection was changed before the end"
    assert session.status().startswith("Training A: level 1 of 2, step 1 of 10, loss 0.5")
    assert 0.0 < session.share < 1.0
    session.cancel()
    assert names(blender) == {"A", "A Neural"}


def test_snapshots_replace_the_networks_and_only_those(blender, trainings, add, publish) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    obj = blender.data.objects["A Neural"]
    mesh, before = obj.data, vertices(obj.data)
    obj.location.x = 3.0
    torus = publish(session, shapes.torus_sequence())
    session.update(blender.context)
    assert obj.data == mesh
    assert bytes(mesh["neural_implicit"]) == torus
    np.testing.assert_array_equal(vertices(mesh), before)
    assert obj.location.x == 3.0
    # A new proxy comes with the bytes it was extracted from, also when snapshots without one came after it.
    publish(session, shapes.torus_sequence(), proxy=True, finished=True)
    sphere = publish(session, replace(shapes.sphere_sequence(), training={"newest": True}))
    session.update(blender.context)
    assert bytes(mesh["neural_implicit"]) == sphere
    radii = np.hypot(np.hypot(vertices(mesh)[:, 0], vertices(mesh)[:, 1]) - 0.55, vertices(mesh)[:, 2])
    np.testing.assert_allclose(radii, 0.22, atol=0.01)
    session.cancel()
    assert bytes(mesh["neural_implicit"]) == sphere, "what was shown is not taken away"


def test_source_is_hidden_behind_its_neural_object_when_asked(blender, trainings, add) -> None:
    source, other = add("A"), add("B")
    session = trainings.begin(source, other, hides_sources=True, B="wait")
    assert not source.hide_get(), "there is nothing to see instead yet"
    trainings.until(session, lambda: "B Neural" in blender.data.objects)
    assert source.hide_get()
    assert other.hide_get()
    session.cancel()
    assert source.hide_get(), "its training is done"
    assert not other.hide_get()


def test_cancelling_shows_and_selects_the_source_again(blender, trainings, add) -> None:
    source = add("A")
    session = trainings.begin(source, hides_sources=True, A="wait")
    trainings.until(session, source.hide_get)
    session.cancel()
    assert not source.hide_get()
    assert source.select_get(), "the same training can be started again at once"


def test_source_is_hidden_and_shown_in_the_scene_where_training_began(blender, trainings, add) -> None:
    source = add("A")
    first, second = blender.context.scene, blender.data.scenes.new("Other")
    layer = first.view_layers[0]
    session = trainings.begin(source, hides_sources=True, A="wait")
    blender.context.window.scene = second
    trainings.until(session, lambda: source.hide_get(view_layer=layer))
    session.cancel()
    assert not source.hide_get(view_layer=layer)
    assert source.select_get(view_layer=layer)


def test_source_in_a_scene_that_is_deleted_meanwhile(blender, trainings, add) -> None:
    source = add("A")
    session = trainings.begin(source, hides_sources=True, A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    first = blender.context.scene
    blender.context.window.scene = blender.data.scenes.new("Other")
    blender.data.scenes.remove(first)
    session.cancel()
    assert not session.running


def test_source_stays_visible_otherwise(blender, trainings, add) -> None:
    scripted, failing, hidden = add("A"), add("B"), add("C")
    trainings.finish(trainings.begin(scripted))
    assert not scripted.hide_get()
    trainings.finish(trainings.begin(failing, hides_sources=True, B="garbage"))
    assert not failing.hide_get()
    session = trainings.begin(hidden, hides_sources=True, C="wait")
    hidden.hide_set(True)
    trainings.until(session, lambda: session.has_changed_scene)
    session.cancel()
    assert hidden.hide_get(), "the artist has hidden it"


def test_engines_are_told_of_a_snapshot(blender, trainings, add, publish) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    obj = blender.data.objects["A Neural"]
    blender.context.view_layer.update()
    updated = []

    def note(_scene, depsgraph) -> None:
        updated.extend((update.id.original, update.is_updated_geometry) for update in depsgraph.updates)

    blender.app.handlers.depsgraph_update_post.append(note)
    try:
        torus = publish(session, shapes.torus_sequence())
        session.update(blender.context)
        blender.context.view_layer.update()
    finally:
        blender.app.handlers.depsgraph_update_post.remove(note)
    assert (obj.data, True) in updated
    evaluated = obj.evaluated_get(blender.context.evaluated_depsgraph_get())
    assert bytes(evaluated.data["neural_implicit"]) == torus, "engines see the evaluated mesh"
    session.cancel()


def test_snapshot_that_is_damaged(blender, trainings, add) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    shown = bytes(blender.data.objects["A Neural"].data["neural_implicit"])
    job = session._worker.job
    job.sequence_path.write_bytes(b"garbage")
    job.log("snapshot", level=0, proxy=False, finished=False)
    trainings.finish(session)
    assert "A: the result cannot be read" in session.problems[0]
    assert bytes(blender.data.objects["A Neural"].data["neural_implicit"]) == shown


def test_several_meshes_one_after_another_and_a_failing_one_does_not_stop_the_rest(
    blender, trainings, add, session_module
) -> None:
    session = trainings.begin(
        *(add(name) for name in ("A", "B", "C", "D", "E", "F")), B="error", C="die", D="garbage", E="silent"
    )
    trainings.finish(session)
    assert session.made == ["A Neural", "F Neural"]
    problems = "\n".join(session.problems)
    assert "B: Level 1 did not converge" in problems
    assert "C: the training process ended unexpectedly: a last word" in problems
    assert "D: the result cannot be read" in problems
    assert "E: the training process ended unexpectedly: it left no message" in problems
    assert blender.context.active_object.name == "F Neural"
    assert session_module.current() is None
    assert len(list(trainings.folder.iterdir())) == 4, "folders of what succeeded are removed, the others are kept"


def test_killed_worker(trainings, add) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    os.kill(session._worker._process.pid, signal.SIGKILL)
    trainings.finish(session)
    assert "A: the training process ended unexpectedly: it was killed (signal 9)" in session.problems[0]


def test_cancelled_job_is_kept_and_taken_up_by_the_same_training_only(trainings, add) -> None:
    source = add("A")
    session = trainings.begin(source, A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    session.cancel()
    session.cancel()
    assert not session.running
    assert not session.update(None)
    (kept,) = trainings.folder.iterdir()
    source.data.vertices[0].co.x = 0.25
    trainings.finish(trainings.begin(source))
    assert list(trainings.folder.iterdir()) == [kept], "another shape must not take up this job"
    source.data.vertices[0].co.x = 0.0
    trainings.finish(trainings.begin(source))
    assert not list(trainings.folder.iterdir())


def test_old_jobs_are_removed(trainings, add, session_module) -> None:
    for number in range(session_module.KEPT_JOBS + 3):
        folder = trainings.folder / str(number)
        folder.mkdir()
        os.utime(folder, (number, number))
    trainings.finish(trainings.begin(add("A")))
    assert {folder.name for folder in trainings.folder.iterdir()} == {
        str(n) for n in range(3, session_module.KEPT_JOBS + 3)
    }


def test_job_that_another_blender_removes_meanwhile(trainings, session_module, monkeypatch) -> None:
    for name in ("gone", "kept"):
        (trainings.folder / name).mkdir()

    def is_dir(path: Path) -> bool:
        if path.name == "gone":
            shutil.rmtree(path)
        return True

    monkeypatch.setattr(Path, "is_dir", is_dir)
    session_module._remove_old_jobs()
    assert [folder.name for folder in trainings.folder.iterdir()] == ["kept"]


def test_meshes_are_not_kept_in_memory(trainings, add) -> None:
    session = trainings.begin(add("A"), add("B"), add("C"), B="wait")
    trainings.until(session, lambda: session.source.name == "B")
    assert [source.mesh is None for source in session.sources] == [True, True, False]
    session.cancel()
    assert all(source.mesh is None for source in session.sources)


def test_source_renamed_meanwhile(blender, trainings, add) -> None:
    source = add("A", x=3.0)
    session = trainings.begin(source)
    source.name = "Renamed"
    source.location.x = 5.0
    trainings.finish(session)
    assert session.made == ["A Neural"]
    assert blender.data.objects["A Neural"].location.x == 5.0, "it stands where its source stands now"


def test_source_deleted_meanwhile(blender, trainings, add) -> None:
    source = add("A", x=3.0)
    session = trainings.begin(source)
    blender.data.objects.remove(source)
    trainings.finish(session)
    assert session.made == ["A Neural"]
    assert blender.data.objects["A Neural"].location.x == 3.0, "it stands where its source stood"


def test_neural_object_deleted_meanwhile_is_made_again_at_a_level(blender, trainings, add, publish) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    blender.data.objects.remove(blender.data.objects["A Neural"])
    publish(session, shapes.torus_sequence())
    session.update(blender.context)
    assert names(blender) == {"A"}, "not twice a second against the artist's will"
    publish(session, shapes.torus_sequence(), proxy=True, finished=True)
    session.update(blender.context)
    assert names(blender) == {"A", "A Neural"}
    blender.data.objects.remove(blender.data.objects["A Neural"])
    session._take_in(blender.context, {"event": "done"})
    assert session.made == ["A Neural"]
    session.cancel()


def test_neural_object_that_the_artist_edits_is_left_alone(blender, trainings, add, publish) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    obj = blender.data.objects["A Neural"]
    shown = bytes(obj.data["neural_implicit"])
    blender.context.view_layer.objects.active = obj
    blender.ops.object.mode_set(mode="EDIT")
    torus = publish(session, shapes.torus_sequence(), proxy=True, finished=True)
    session.update(blender.context)
    assert bytes(obj.data["neural_implicit"]) == shown
    assert names(blender) == {"A", "A Neural"}
    # What came meanwhile is shown as soon as the artist is done with it.
    blender.ops.object.mode_set(mode="OBJECT")
    session.update(blender.context)
    assert bytes(obj.data["neural_implicit"]) == torus
    assert len(obj.data.vertices) == len(session._worker.job.proxy().vertices)
    blender.ops.object.mode_set(mode="EDIT")
    session._take_in(blender.context, {"event": "done"})
    assert blender.context.mode == "EDIT_MESH"
    assert blender.context.active_object.name == "A Neural"
    assert session.made == ["A Neural.001"]
    session.cancel()


def test_neural_object_whose_linked_duplicate_is_edited_is_left_alone(blender, trainings, add, publish) -> None:
    session = trainings.begin(add("A"), A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    obj = blender.data.objects["A Neural"]
    shown = bytes(obj.data["neural_implicit"])
    duplicate = obj.copy()
    blender.context.collection.objects.link(duplicate)
    blender.context.view_layer.objects.active = duplicate
    blender.ops.object.mode_set(mode="EDIT")
    torus = publish(session, shapes.torus_sequence(), proxy=True, finished=True)
    session.update(blender.context)
    assert bytes(obj.data["neural_implicit"]) == shown
    blender.ops.object.mode_set(mode="OBJECT")
    session.update(blender.context)
    assert bytes(obj.data["neural_implicit"]) == torus
    session.cancel()


def test_undo_meanwhile(blender, trainings, add, publish) -> None:
    source = add("A")
    blender.ops.ed.undo_push(message="before")
    source.location.x = 7.0
    blender.ops.ed.undo_push(message="moved")
    session = trainings.begin(source, A="wait")
    trainings.until(session, lambda: session.has_changed_scene)
    blender.ops.ed.undo()
    assert names(blender) == {"A"}
    publish(session, shapes.torus_sequence())
    session.update(blender.context)
    assert names(blender) == {"A"}
    session._take_in(blender.context, {"event": "done"})
    assert session.made == ["A Neural"]
    assert blender.data.objects["A Neural"].location.x == blender.data.objects["A"].location.x == 0.0
    session.cancel()


@pytest.fixture
def beside_the_window(addon_module, monkeypatch):
    """A function that puts a session among the works beside the windows, as the operator does."""
    works = addon_module("neural_implicit_addon.background_work")._works
    return lambda session: monkeypatch.setattr(works, "timers", {session: None})


def test_opening_another_file_ends_the_worker(blender, trainings, add, beside_the_window, session_module) -> None:
    session = trainings.begin(add("A"), A="wait")
    beside_the_window(session)
    trainings.until(session, lambda: session.has_changed_scene)
    assert children()
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert session.cancelled
    assert session_module.current() is None
    assert not children()


def test_disabling_the_addon_ends_the_worker(blender, trainings, add, beside_the_window) -> None:
    import addon_utils

    trainings.until(session := trainings.begin(add("A"), A="wait"), lambda: session.has_changed_scene)
    beside_the_window(session)
    try:
        addon_utils.disable(ADDON)
        assert session.cancelled
        assert not children()
    finally:
        addon_utils.enable(ADDON)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_job_that_cannot_be_written(blender, trainings, add, addon_module, monkeypatch, code) -> None:
    def fail(*_arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(addon_module("kernels.jobs"), "replace_bytes", fail)
    session = trainings.begin(add("A"))
    trainings.finish(session)
    assert session.problems == [f"A: the training job could not be written: [Errno {code}] {os.strerror(code)}"]
    assert names(blender) == {"A"}


def test_user_folder_that_is_a_file(trainings, add, session_module, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.undo()
    monkeypatch.setattr(session_module.bpy.utils, "extension_path_user", fail_to_make(tmp_path / "file" / "jobs"))
    session = trainings.begin(add("A"))
    trainings.finish(session)
    assert "A: the training job could not be written" in session.problems[0]


def fail_to_make(path: Path):
    """What Blender does for a folder that cannot be made."""

    def make(*_arguments, **_options):
        path.mkdir(parents=True)

    return make
