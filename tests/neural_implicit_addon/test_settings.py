# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of scenes and objects: changing any of them is told to the viewports, and files keep them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rendering
import shapes

CHANGES = {
    "samples": 9,
    "viewport_samples": 3,
    "trace_finest": False,
    "level_of_detail": "LOCKED",
    "traced_level": 3,
    "normal_level": 1,
    "ambient_occlusion": False,
    "sun_shadows": False,
    "display": "BAND",
    "lighting": "STUDIO",
}
# What viewports need not know of.
QUIET_CHANGES = {
    "extract_density": "FACES",
    "extract_resolution": 512,
    "extract_faces": 777,
    "extract_normals": False,
    "certify_seconds": 7.0,
}


@pytest.fixture
def changed(blender: ModuleType) -> Any:
    """Names of the datablocks that the last update named as changed."""
    names: set[str] = set()

    def note(_scene: Any, depsgraph: Any) -> None:
        names.update(update.id.name for update in depsgraph.updates)

    blender.context.view_layer.update()
    blender.app.handlers.depsgraph_update_post.append(note)
    yield names
    blender.app.handlers.depsgraph_update_post.remove(note)


def test_all_settings_of_scenes_are_tried(blender: ModuleType) -> None:
    properties = {*blender.context.scene.neural_implicit.bl_rna.properties.keys()}
    assert properties - {"rna_type", "name", "uses_solid_lighting"} == {*CHANGES, *QUIET_CHANGES}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_scenes_are_told(blender: ModuleType, changed: set[str], name: str) -> None:
    scene = blender.context.scene
    assert getattr(scene.neural_implicit, name) != CHANGES[name]
    setattr(scene.neural_implicit, name, CHANGES[name])
    blender.context.view_layer.update()
    assert scene.name in changed


def test_changes_of_objects_are_told(blender: ModuleType, changed: set[str]) -> None:
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    blender.ops.mesh.primitive_cube_add()
    cube = blender.context.object
    blender.context.view_layer.update()
    for name, value in (("normals_source", neural), ("transition", 0.7)):
        changed.clear()
        setattr(cube.neural_implicit, name, value)
        blender.context.view_layer.update()
        assert cube.name in changed


def test_files_and_copies_keep_settings(blender: ModuleType, tmp_path: Path) -> None:
    changes = CHANGES | QUIET_CHANGES
    for name, value in changes.items():
        setattr(blender.context.scene.neural_implicit, name, value)
    neural = rendering.add_neural_object(blender, shapes.sphere_sequence())
    blender.ops.mesh.primitive_cube_add()
    blender.context.object.neural_implicit.normals_source = neural
    path = str(tmp_path / "a.blend")
    blender.ops.wm.save_as_mainfile(filepath=path)
    blender.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert blender.context.scene.neural_implicit.samples == 4
    blender.ops.wm.open_mainfile(filepath=path)
    settings = blender.context.scene.neural_implicit
    assert {name: getattr(settings, name) for name in changes} == changes
    cube = blender.data.objects["Cube"]
    assert cube.copy().neural_implicit.normals_source == blender.data.objects["neural"]
