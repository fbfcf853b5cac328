# SPDX-License-Identifier: GPL-3.0-or-later
"""Import and export of `.nsdf` files, with the files that go wrong."""

from __future__ import annotations

import os
import signal
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import shapes

from kernels import nsdf
from kernels.networks import random_network
from kernels.sequence import Band, NestedSequence


@pytest.fixture(scope="module")
def data() -> bytes:
    return nsdf.dumps(shapes.sphere_sequence())


@pytest.fixture
def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "ball.nsdf"
    path.write_bytes(data)
    return path


def imports(blender, path: Path | str) -> set[str]:
    return blender.ops.neural_implicit.import_network(filepath=str(path))


def exports(blender, path: Path | str) -> set[str]:
    return blender.ops.neural_implicit.export_network(filepath=str(path))


def assert_import_refused(blender, path: Path, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        imports(blender, path)
    assert not blender.data.objects
    assert not blender.data.meshes


def test_import_makes_an_active_neural_object_with_a_proxy(blender, file, data) -> None:
    assert imports(blender, file) == {"FINISHED"}
    obj = blender.context.active_object
    assert obj.name == "ball"
    assert blender.context.selected_objects == [obj]
    assert obj.data["neural_implicit"] == data
    assert len(obj.data.polygons) > 10_000
    assert {"REGISTER", "UNDO"} <= blender.types.NEURAL_IMPLICIT_OT_import_network.bl_options


def test_a_stranger_cannot_certify(blender, tmp_path) -> None:
    """Separate networks are proven by range analysis alone, of which a file holds the word only."""
    claimed = replace(shapes.sphere_sequence(), bands=(Band(0.2, "certified"),))
    path = tmp_path / "claimed.nsdf"
    path.write_bytes(nsdf.dumps(claimed))
    assert imports(blender, path) == {"FINISHED"}
    carried = nsdf.loads(blender.context.active_object.data["neural_implicit"])
    assert carried.bands == (Band(0.2, "given"),)


def test_undo_of_an_import_is_one_step(blender, file, data) -> None:
    blender.ops.ed.undo_push(message="before")
    assert blender.ops.neural_implicit.import_network("EXEC_DEFAULT", True, filepath=str(file)) == {"FINISHED"}
    blender.ops.ed.undo()
    assert not blender.data.objects
    blender.ops.ed.redo()
    assert blender.data.objects["ball"].data["neural_implicit"] == data


def test_export_writes_the_same_bytes(blender, file, data, tmp_path) -> None:
    imports(blender, file)
    assert exports(blender, tmp_path / "again.nsdf") == {"FINISHED"}
    assert (tmp_path / "again.nsdf").read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.nsdf", "ball.nsdf"]


def test_paths_beside_the_blend_file(blender, file, data, tmp_path) -> None:
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert imports(blender, "//ball.nsdf") == {"FINISHED"}
    assert blender.context.active_object.name == "ball"
    assert exports(blender, "//again.nsdf") == {"FINISHED"}
    assert (tmp_path / "again.nsdf").read_bytes() == data


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "too short"),
        (lambda data: data[:100], "truncated"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: b"solid mesh\n" * 100, "absurdly large|not a .nsdf"),
        (lambda data: struct.pack("<Q", 1 << 60) + data[8:], "absurdly large"),
        (lambda data: data.replace(b'"version":"1"', b'"version":"9"'), "version"),
        (lambda data: data[:-4] + struct.pack("<f", float("nan")), "finite"),
        (lambda data: nsdf.dumps(NestedSequence((random_network((8,), inputs=4),), (), time=(0, 1))), "moves in time"),
    ],
)
def test_damaged_file(blender, tmp_path, data, damage, message) -> None:
    path = tmp_path / "damaged.nsdf"
    path.write_bytes(damage(data))
    assert_import_refused(blender, path, f"damaged.nsdf: .*({message})")


def test_file_without_a_surface(blender, tmp_path) -> None:
    network = random_network((8,))
    network.biases[-1][:] = 50.0
    nsdf.save(NestedSequence((network,), ()), tmp_path / "nothing.nsdf")
    assert_import_refused(blender, tmp_path / "nothing.nsdf", "zero set is empty")


def test_absurdly_large_file_is_refused_without_reading_it(blender, tmp_path) -> None:
    path = tmp_path / "huge.nsdf"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: a tebibyte that takes no room
    assert_import_refused(blender, path, "larger than 256 MiB")


def test_missing_file_and_folder(blender, tmp_path) -> None:
    assert_import_refused(blender, tmp_path / "none.nsdf", "Could not read .*none.nsdf: No such file")
    assert_import_refused(blender, tmp_path, "Could not read .*directory")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(blender, file, tmp_path) -> None:
    imports(blender, file)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RuntimeError, match="Could not write .*Permission denied"):
            exports(blender, tmp_path / "new.nsdf")
    finally:
        tmp_path.chmod(0o700)


def test_export_into_a_folder_that_is_not_there(blender, file, tmp_path) -> None:
    imports(blender, file)
    with pytest.raises(RuntimeError, match="Could not write"):
        exports(blender, tmp_path / "nowhere" / "new.nsdf")


def test_full_disk_keeps_the_older_file(blender, file, tmp_path, data) -> None:
    resource = pytest.importorskip("resource")
    imports(blender, file)
    older = tmp_path / "older.nsdf"
    older.write_bytes(b"precious")
    # A limit on file sizes ends a write half way, as a full disk does.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, limits[1]))
    try:
        with pytest.raises(RuntimeError, match="Could not write .*older.nsdf"):
            exports(blender, older)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert older.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ball.nsdf", "older.nsdf"]


def test_export_of_what_is_not_neural(blender, tmp_path) -> None:
    with pytest.raises(RuntimeError, match="Make a neural object the active one"):
        exports(blender, tmp_path / "new.nsdf")


def test_export_of_a_damaged_network_writes_nothing(blender, file, tmp_path) -> None:
    imports(blender, file)
    mesh = blender.context.active_object.data
    del mesh["neural_implicit"]
    mesh["neural_implicit"] = b"damaged"
    with pytest.raises(RuntimeError, match="ball: too short"):
        exports(blender, tmp_path / "new.nsdf")
    assert not (tmp_path / "new.nsdf").exists()


def test_import_in_edit_mode(blender, file) -> None:
    imports(blender, file)
    blender.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="object mode"):
        imports(blender, file)


def test_files_can_be_dropped_into_the_window(blender) -> None:
    handler = blender.types.NEURAL_IMPLICIT_FH_network
    assert handler.bl_import_operator == "neural_implicit.import_network"
    assert handler.bl_file_extensions == ".nsdf"
