# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's source meshes: the sculpt, and files of every kind it reads."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def sculpt(blender: ModuleType) -> ModuleType:
    """The demo's module, which imports bpy."""
    from benchmarks.demo import sculpt

    return sculpt


def test_sculpt_is_detailed_and_closed(sculpt: ModuleType) -> None:
    mesh = sculpt.make().data
    assert len(mesh.polygons) >= 200_000
    assert {polygon.loop_total for polygon in mesh.polygons} == {3}
    edges = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("edge_index", edges)
    assert set(np.bincount(edges)) == {2}


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".glb"])
def test_several_objects_of_a_file_become_one(
    blender: ModuleType, sculpt: ModuleType, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"two cubes{suffix}"
    for x in (0.0, 5.0):
        blender.ops.mesh.primitive_cube_add(location=(x, 0.0, 0.0))
    export = {
        ".obj": lambda: blender.ops.wm.obj_export(filepath=str(path)),
        ".ply": lambda: blender.ops.wm.ply_export(filepath=str(path)),
        ".stl": lambda: blender.ops.wm.stl_export(filepath=str(path)),
        ".glb": lambda: blender.ops.export_scene.gltf(filepath=str(path)),
    }
    export[suffix]()
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    loaded = sculpt.load(path)
    blender.context.view_layer.update()
    assert list(blender.context.scene.objects) == [loaded]
    corners = np.array([loaded.matrix_world @ vertex.co for vertex in loaded.data.vertices])
    np.testing.assert_allclose(np.sort(np.ptp(corners, axis=0)), [2.0, 2.0, 7.0], atol=1e-5)


def test_unreadable_files_are_refused_in_words(sculpt: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"\.obj"):
        sculpt.load(tmp_path / "model.max")
    with pytest.raises(SystemExit, match="no such file"):
        sculpt.load(tmp_path / "absent.obj")
