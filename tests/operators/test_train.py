# SPDX-License-Identifier: GPL-3.0-or-later
"""Train as an artist or a script calls it, with the real worker and with bad input of every kind."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import fakes
import numpy as np
import pytest
from processes import children, is_running, wait_until

from kernels import nsdf

SCRIPTS = Path(__file__).parent / "scripts"
ADDON = "bl_ext.user_default.neural_implicit"
# Parts of Preview's time: enough for a rough shape, and enough for anything at all.
ROUGH, SHORTEST = 0.3, 0.05
# Seconds after which something that a busy machine does slowly has failed.
PATIENCE = 400.0

trains = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "igl")), reason="torch or libigl is absent"
)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")


def train(blender, *undo: bool, preset: str = "PREVIEW", budget: float = SHORTEST, **options) -> set[str]:
    return blender.ops.neural_implicit.train("EXEC_DEFAULT", *undo, preset=preset, budget=budget, **options)


def assert_refused(blender, message: str) -> None:
    """Train ends with an error that says `message`, and has changed and left nothing."""
    before = {obj.name for obj in blender.data.objects}
    with pytest.raises(RuntimeError, match=message):
        train(blender)
    assert {obj.name for obj in blender.data.objects} == before
    assert not children()


def sphere(rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a bumpy sphere of about 4 * rings^2 triangles."""
    u, v = np.meshgrid(
        np.linspace(0.0, np.pi, rings + 1), np.linspace(0.0, 2.0 * np.pi, 2 * rings, endpoint=False), indexing="ij"
    )
    radius = 1.0 + 0.05 * np.sin(5.0 * u) * np.cos(4.0 * v) * np.sin(u)
    vertices = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], -1) * radius[..., None]
    i, j = np.meshgrid(np.arange(rings), np.arange(2 * rings), indexing="ij")
    a, b = i * 2 * rings + j, i * 2 * rings + (j + 1) % (2 * rings)
    quads = np.stack([a, a + 2 * rings, b + 2 * rings, b], -1).reshape(-1, 4)
    return vertices.reshape(-1, 3), np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])


def add_mesh(blender, vertices, faces, name: str = "Source"):
    """A selected mesh object. Arrays go in at once: millions of triangles must not take minutes here."""
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    mesh = blender.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.reshape(-1))
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.reshape(-1))
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    obj = blender.data.objects.new(name, mesh)
    blender.context.collection.objects.link(obj)
    obj.select_set(True)
    blender.context.view_layer.objects.active = obj
    return obj


def positions(mesh) -> np.ndarray:
    values = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", values)
    return values.reshape(-1, 3)


def job_folders(addon_module) -> list[Path]:
    return list(addon_module("neural_implicit_addon.training_session").jobs_folder().iterdir())


@pytest.fixture
def python(blender):
    """A function that sets the Python in the preferences; it is set back afterwards."""
    preferences = blender.context.preferences.addons[ADDON].preferences

    def choose(path: str) -> None:
        preferences.python = path

    yield choose
    preferences.python = ""


def test_artist_may_choose_every_preset_that_the_worker_knows(blender, addon_module) -> None:
    operator = blender.ops.neural_implicit.train.get_rna_type()
    offered = {item.identifier: (item.name, item.description) for item in operator.properties["preset"].enum_items}
    presets = addon_module("kernels.presets").PRESETS
    assert offered == {identifier: (preset.label, preset.description) for identifier, preset in presets.items()}
    assert list(offered) == list(presets)


@pytest.fixture(scope="module")
def trained(addon, addon_module, tmp_path_factory):
    """One training of an object with everything an object may have, and what was seen before, during and after it."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    parent = bpy.data.objects.new("Parent", None)
    bpy.context.collection.objects.link(parent)
    parent.location, parent.rotation_euler, parent.scale = (1, 2, 3), (0.3, -0.2, 1.0), (1.0, 2.0, 0.5)
    obj = add_mesh(bpy, *sphere(20))
    obj.parent = parent
    obj.location, obj.rotation_euler, obj.scale = (0.5, 0, -1), (1.0, 0.4, 0.1), (-1.5, 0.7, 1.0)
    obj.data.materials.append(bpy.data.materials.new("Clay"))
    obj.shape_key_add(name="Basis")
    wide = obj.shape_key_add(name="Wide")
    for point in wide.data:
        point.co.x *= 2.0
    wide.value = 1.0
    modifier = obj.modifiers.new("Move", "DISPLACE")
    modifier.direction, modifier.mid_level, modifier.strength = "Z", 0.0, 3.0
    bpy.ops.ed.undo_push(message="before")
    seen = SimpleNamespace(torch_before="torch" in sys.modules, result=train(bpy, True, budget=ROUGH))
    seen.torch_after, seen.children, seen.jobs = "torch" in sys.modules, children(), job_folders(addon_module)
    seen.bytes = bytes(bpy.data.objects["Source Neural"].data["neural_implicit"])
    bpy.ops.ed.undo()
    seen.undone = {obj.name for obj in bpy.data.objects}
    bpy.ops.ed.redo()
    seen.redone = bytes(bpy.data.objects["Source Neural"].data["neural_implicit"])
    seen.path = str(tmp_path_factory.mktemp("trained") / "trained.blend")
    bpy.ops.wm.save_as_mainfile(filepath=seen.path)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    return seen


@pytest.fixture
def opened(trained, blender):
    """The file of `trained`, opened again."""
    blender.ops.wm.open_mainfile(filepath=trained.path)
    return trained


@trains
def test_training_leaves_nothing_running_and_nothing_behind(trained) -> None:
    assert trained.result == {"FINISHED"}
    assert trained.children == []
    assert trained.jobs == []
    assert trained.torch_after == trained.torch_before, "torch was imported into Blender's process"


@trains
def test_undo_is_one_step_and_redo_brings_the_same_bytes(trained) -> None:
    assert trained.undone == {"Parent", "Source"}
    assert trained.redone == trained.bytes


@trains
def test_file_that_was_saved_and_opened_again_has_the_same_bytes(opened, blender) -> None:
    mesh = blender.data.objects["Source Neural"].data
    assert bytes(mesh["neural_implicit"]) == opened.bytes
    sequence = nsdf.loads(opened.bytes)
    assert sequence.notation == "64x1 > 128x2"
    assert sequence.training["source"] == "Source"
    assert sequence.training["preset"] == "PREVIEW"


@trains
def test_neural_object_stands_where_its_source_stands_and_is_selected(opened, blender) -> None:
    source, obj = blender.data.objects["Source"], blender.data.objects["Source Neural"]
    assert obj.matrix_world == source.matrix_world
    assert obj.parent == source.parent
    assert blender.context.active_object == obj
    assert blender.context.selected_objects == [obj]
    assert [material.name for material in obj.data.materials] == ["Clay"]
    assert len(source.data.polygons) == len(sphere(20)[1]), "the source was changed"


@trains
def test_shape_is_that_of_the_evaluated_mesh(opened, blender) -> None:
    """Modifiers and shape keys are in it: everything is twice as wide and three higher."""
    assert_lies_around(blender.data.objects["Source Neural"], sphere(200)[0] * [2, 1, 1] + [0, 0, 3])


# Bad input: refused before anything is started


def test_nothing_selected(blender) -> None:
    assert_refused(blender, "Select the meshes to train on first")


def test_only_what_is_no_mesh_is_selected(blender) -> None:
    for data in (None, blender.data.cameras.new("Camera"), blender.data.curves.new("Curve", "CURVE")):
        obj = blender.data.objects.new("Other", data)
        blender.context.collection.objects.link(obj)
        obj.select_set(True)
    assert_refused(blender, "Select the meshes to train on first")


def test_neural_object_is_selected(blender) -> None:
    add_mesh(blender, *sphere(4)).data["neural_implicit"] = b"anything"
    assert_refused(blender, "neural object already")


BAD = {
    "empty": ([], [], "no faces"),
    "nan": ([(np.nan, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "not a finite number"),
    "infinite": ([(np.inf, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "not a finite number"),
    "one point": (np.ones((3, 3)), [(0, 1, 2)], "one point"),
    "zero area": ([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [(0, 1, 2)], "zero area"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_mesh_among_good_ones_is_named_before_anything_is_started(blender, name) -> None:
    vertices, faces, message = BAD[name]
    add_mesh(blender, *sphere(4), "Good")
    add_mesh(blender, np.reshape(vertices, (-1, 3)), np.reshape(faces, (-1, 3)), "Bad One")
    assert_refused(blender, f"Bad One: .*{message}")


def test_scale_of_zero(blender) -> None:
    add_mesh(blender, *sphere(4)).scale.z = 0.0
    assert_refused(blender, "Source: has a scale of zero")


def test_edit_mode(blender) -> None:
    add_mesh(blender, *sphere(4))
    blender.ops.object.mode_set(mode="EDIT")
    try:
        assert_refused(blender, "Source: is in edit mode")
        assert blender.context.mode == "EDIT_MESH"
    finally:
        blender.ops.object.mode_set(mode="OBJECT")


def test_python_that_does_not_exist(blender, python) -> None:
    add_mesh(blender, *sphere(4))
    python("/nonsense/python")
    assert_refused(blender, "/nonsense/python does not run.*Preferences")


@linux
def test_python_without_torch(blender, python, tmp_path) -> None:
    add_mesh(blender, *sphere(4))
    python(fakes.answering_python(tmp_path / "python", libigl="2.6.1", numpy="1.26.4"))
    assert_refused(blender, 'Training needs torch 2.9 or newer, missing in .*-m pip install "torch>=2.9"')


@linux
def test_another_training_is_running(blender, python, tmp_path, addon_module) -> None:
    training_session = addon_module("neural_implicit_addon.training_session")
    python(fakes.training_python(tmp_path))
    add_mesh(blender, *sphere(4))
    running = training_session.begin(training_session.TrainingSession("", [], addon_module("kernels.jobs").Request("")))
    assert_refused(blender, "already running")
    assert blender.ops.neural_implicit.cancel_training() == {"FINISHED"}
    assert running.cancelled
    with pytest.raises(RuntimeError, match="No training is running"):
        blender.ops.neural_implicit.cancel_training()
    assert train(blender) == {"FINISHED"}


@linux
def test_file_that_was_never_saved(blender, python, tmp_path) -> None:
    python(fakes.training_python(tmp_path))
    add_mesh(blender, *sphere(4))
    assert blender.data.filepath == ""
    blender.ops.ed.undo_push(message="before")
    assert train(blender, True) == {"FINISHED"}
    assert "Source Neural" in blender.data.objects
    blender.ops.ed.undo()
    assert [obj.name for obj in blender.data.objects] == ["Source"], "undo is one step"


def flat() -> tuple[np.ndarray, np.ndarray]:
    """A square of 2 * 16^2 triangles."""
    i, j = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    corner = (17 * i + j).reshape(-1, 1)
    x, y = np.meshgrid(np.linspace(-1, 1, 17), np.linspace(-1, 1, 17), indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    return vertices, np.concatenate([corner + [0, 17, 18], corner + [0, 18, 1]])


def open_sphere() -> tuple[np.ndarray, np.ndarray]:
    """A sphere without its lower quarter."""
    vertices, faces = sphere(16)
    return vertices, faces[vertices[faces, 2].min(axis=1) > -0.5]


@linux
@pytest.mark.parametrize(
    "shape",
    [flat, open_sphere, lambda: (sphere(16)[0], sphere(16)[1][:, ::-1])],
    ids=["flat", "open", "flipped"],
)
def test_meshes_that_enclose_nothing_are_taken(blender, python, tmp_path, shape) -> None:
    python(fakes.training_python(tmp_path))
    add_mesh(blender, *shape())
    assert train(blender) == {"FINISHED"}
    assert "Source Neural" in blender.data.objects


@linux
def test_what_was_assumed_about_a_mesh_is_said(blender, python, tmp_path, capfd) -> None:
    python(fakes.training_python(tmp_path, Torn="doubtful"))
    add_mesh(blender, *sphere(4), "Whole")
    add_mesh(blender, *sphere(5), "Torn")
    assert train(blender) == {"FINISHED"}
    said = "Trained Whole Neural, Torn Neural. Torn: The faces were turned inside out; a hole was closed"
    assert f"Warning: {said}\n" in capfd.readouterr().out


# What may go wrong while it runs


@pytest.fixture
def modal(blender, addon_module, tmp_path):
    """A modal training of one mesh: a function from an event's type to modal's result, and what it works on."""
    module = addon_module("neural_implicit_addon.background_work")
    training_session = addon_module("neural_implicit_addon.training_session")
    request = addon_module("kernels.jobs").Request("PREVIEW")
    mesh = addon_module("kernels.meshes").TriangleMesh(*sphere(4))
    source = training_session.Source("Source", 0, None, mesh)
    session = training_session.begin(
        training_session.TrainingSession(fakes.training_python(tmp_path, Source="wait"), [source], request)
    )
    # Only Blender can make an operator.
    conclude = vars(addon_module("operators.train").NEURAL_IMPLICIT_OT_train)["conclude"]
    attributes = {"conclude": conclude, "_work": session, "report": lambda *_: None}
    operator = type("Operator", (module.BackgroundOperator,), attributes)()

    def tick(kind: str) -> set[str]:
        return operator.modal(blender.context, SimpleNamespace(type=kind, value="PRESS"))

    yield SimpleNamespace(tick=tick, session=session, session_class=training_session.TrainingSession, module=module)
    session.cancel()


@linux
def test_modal_training_that_raises_leaves_nothing_running(modal, monkeypatch) -> None:
    closed = []
    monkeypatch.setattr(modal.module._works, "show", lambda *_: None)
    monkeypatch.setattr(modal.module._works, "remove", lambda *_: closed.append(True))
    assert modal.tick("TIMER") == {"PASS_THROUGH"}
    assert children()
    assert not closed

    def fail(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(modal.session_class, "update", fail)
    with pytest.raises(ZeroDivisionError):
        modal.tick("TIMER")
    assert closed
    assert modal.session.cancelled
    assert not children()


@linux
def test_scene_is_left_alone_while_a_picture_is_rendered(modal, monkeypatch) -> None:
    updates = []
    monkeypatch.setattr(modal.session_class, "update", lambda *_: updates.append(True))
    app = SimpleNamespace(is_job_running=lambda kind: kind == "RENDER")
    monkeypatch.setattr(modal.module, "bpy", SimpleNamespace(app=app))
    assert modal.tick("TIMER") == {"PASS_THROUGH"}
    assert not updates
    app.is_job_running = lambda kind: False
    assert modal.tick("TIMER") == {"PASS_THROUGH"}
    assert updates


@linux
def test_worker_that_dies_while_a_script_waits(blender, python, tmp_path, addon_module) -> None:
    training_session = addon_module("neural_implicit_addon.training_session")

    def kill() -> None:
        wait_until(lambda: training_session.current() and training_session.current().has_changed_scene)
        os.kill(children()[0], signal.SIGKILL)

    python(fakes.training_python(tmp_path, Source="wait"))
    add_mesh(blender, *sphere(4))
    threading.Thread(target=kill).start()
    with pytest.raises(RuntimeError, match="Source: the training process ended unexpectedly: it was killed"):
        train(blender)
    assert not children()


@linux
def test_script_that_is_interrupted_leaves_no_worker(blender, python, tmp_path, addon_module) -> None:
    python(fakes.training_python(tmp_path, Source="wait"))
    add_mesh(blender, *sphere(4))
    session_class = addon_module("neural_implicit_addon.training_session").TrainingSession
    update = session_class.update

    def interrupted(self, context):
        update(self, context)
        if self.has_changed_scene:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_class, "update", interrupted)
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            train(blender)
    assert not children()
    assert addon_module("neural_implicit_addon.training_session").current() is None


@linux
def test_one_that_fails_among_several(blender, python, tmp_path) -> None:
    python(fakes.training_python(tmp_path, B="error"))
    for number, name in enumerate("ABC"):
        add_mesh(blender, *sphere(4 + number), name)
    with pytest.raises(RuntimeError, match="B: Level 1 did not converge"):
        train(blender)
    assert {"A Neural", "C Neural"} <= set(blender.data.objects.keys())
    assert "B Neural" not in blender.data.objects


@linux
def test_source_from_a_library(blender, python, tmp_path) -> None:
    """Linked data cannot be changed; its neural object is local and stands where the linked object stands."""
    obj = add_mesh(blender, *sphere(4), "Linked")
    obj.data.materials.append(blender.data.materials.new("Clay"))
    obj.location = (1, 2, 3)
    library = str(tmp_path / "library.blend")
    blender.data.libraries.write(library, {obj})
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with blender.data.libraries.load(library, link=True) as (_, target):
        target.objects = ["Linked"]
    linked = target.objects[0]
    blender.context.collection.objects.link(linked)
    linked.select_set(True)
    python(fakes.training_python(tmp_path))
    assert train(blender) == {"FINISHED"}
    neural = blender.data.objects["Linked Neural"]
    assert neural.library is None
    assert neural.data.library is None
    assert neural.matrix_world == linked.matrix_world
    assert neural.data.materials[0].name == "Clay"


@trains
@linux
def test_worker_ends_when_blender_is_killed_and_training_again_goes_on(addon, extension_zip, tmp_path) -> None:
    environ = {
        **os.environ,
        "BLENDER_USER_RESOURCES": str(tmp_path),
        "EXTENSION_ZIP": str(extension_zip),
    }
    command = [sys.executable, str(SCRIPTS / "train_monkey.py")]
    first = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: list(tmp_path.glob("**/jobs/*/state.npz")), PATIENCE)
        workers = children(first.pid)
        assert workers
    finally:
        first.kill()
        first.wait()
    wait_until(lambda: not any(map(is_running, workers)))
    (job,) = tmp_path.glob("**/jobs/*")
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"events": ["resumed"], "torch": False, "objects": ["Suzanne", "Suzanne Neural"]}
    assert not job.exists()


# Meshes at the border of what can be trained on. What is trained on is tested with the kernels; here it arrives.


def triangle() -> tuple[np.ndarray, np.ndarray]:
    return np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], float), np.array([(0, 1, 2)])


UNUSUAL = {
    "one triangle": triangle,
    "tiny": lambda: (sphere(16)[0] * 5e-7, sphere(16)[1]),
    "huge": lambda: (sphere(16)[0] * 5e5, sphere(16)[1]),
}


def assert_lies_around(obj, vertices: np.ndarray) -> None:
    """The neural object fills the space that `vertices` fill. Trained for a moment, it may do so badly."""
    sequence = nsdf.loads(bytes(obj.data["neural_implicit"]))
    lowest, highest = vertices.min(axis=0), vertices.max(axis=0)
    extent = (highest - lowest).max()
    np.testing.assert_allclose(sequence.center, (lowest + highest) / 2, atol=1e-5 * extent)
    np.testing.assert_allclose(2 * sequence.radius, extent, rtol=0.2)
    proxy = positions(obj.data)
    assert len(proxy) > 100
    assert (np.abs(proxy - np.float32(sequence.center)) < 1.01 * sequence.radius).all()


@trains
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_meshes(blender, name) -> None:
    vertices, faces = UNUSUAL[name]()
    add_mesh(blender, vertices, faces)
    # A thin sheet that is hardly trained is full of holes, and its extraction slow.
    assert train(blender, budget=ROUGH if name == "one triangle" else SHORTEST) == {"FINISHED"}
    assert_lies_around(blender.data.objects["Source Neural"], vertices)


@trains
def test_two_million_triangles(blender) -> None:
    vertices, faces = sphere(708)
    assert len(faces) > 2_000_000
    add_mesh(blender, vertices, faces)
    assert train(blender) == {"FINISHED"}
    assert_lies_around(blender.data.objects["Source Neural"], vertices)
