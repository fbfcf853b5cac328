# SPDX-License-Identifier: GPL-3.0-or-later
"""Extract Mesh: an ordinary mesh in the neural object's place."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels import extraction, nsdf


@pytest.fixture(scope="module")
def data() -> bytes:
    return nsdf.dumps(shapes.torus_sequence())


@pytest.fixture
def source(blender, addon_module, data):
    """The active neural object of a torus."""
    neural_object = addon_module("neural_implicit_addon.neural_object")
    obj = neural_object.create(blender.context, addon_module("kernels.nsdf").loads(data), "Torus", data=data, faces=300)
    neural_object.select_only(blender.context, obj)
    return obj


def extract(blender, **options) -> set[str]:
    return blender.ops.neural_implicit.extract_mesh(**options)


def test_plain_mesh_in_the_same_place(blender, source) -> None:
    source.location, source.scale = (1, 2, 3), (1, -2, 0.5)
    source.data.materials.append(blender.data.materials.new("red"))
    assert extract(blender, resolution=32) == {"FINISHED"}
    obj = blender.context.active_object
    assert obj != source
    assert obj.name == "Torus Mesh"
    assert blender.context.selected_objects == [obj]
    assert obj.matrix_world == source.matrix_world
    assert obj.data.materials[0].name == "red"
    assert "neural_implicit" not in obj.data
    positions = np.empty(len(obj.data.vertices) * 3, np.float32)
    obj.data.vertices.foreach_get("co", positions)
    np.testing.assert_allclose(shapes.torus()(positions.reshape(-1, 3)), 0.0, atol=0.006)
    assert obj.data.has_custom_normals


def test_face_count(blender, source) -> None:
    extract(blender, density="FACES", faces=3000, use_normals=False)
    mesh = blender.context.active_object.data
    assert len(mesh.polygons) == pytest.approx(3000, rel=0.12)
    assert not mesh.has_custom_normals
    assert mesh.normals_domain == "POINT", "it is not shaded smooth"


def test_active_object_is_not_neural(blender, source) -> None:
    blender.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="Make a neural object the active one"):
        extract(blender)


def test_damaged_network_leaves_nothing_behind(blender, source, data) -> None:
    del source.data["neural_implicit"]
    source.data["neural_implicit"] = data[:500]
    with pytest.raises(RuntimeError, match="The network of 'Torus'"):
        extract(blender)
    assert len(blender.data.objects) == len(blender.data.meshes) == 1


def test_edit_mode(blender, source) -> None:
    blender.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="object mode"):
        extract(blender)


def test_undo_is_one_step_and_nothing_is_extracted_again_by_a_slider(blender, source) -> None:
    assert blender.types.NEURAL_IMPLICIT_OT_extract_mesh.bl_options == {"UNDO"}


@pytest.mark.parametrize(("density", "asked"), [("RESOLUTION", (200, None)), ("FACES", (None, 300))])
def test_extraction_gets_what_was_asked_for(blender, source, addon_module, monkeypatch, density, asked) -> None:
    module = addon_module("operators.extract_mesh")
    told = []

    def told_extract(sequence, resolution, target_faces, progress, cancelled):
        told.append((resolution, target_faces))
        progress(0.5)
        assert not cancelled()
        return extraction.extract(sequence, 24, progress=progress, cancelled=cancelled)

    monkeypatch.setattr(module, "extract", told_extract)
    assert extract(blender, density=density, resolution=200, faces=300) == {"FINISHED"}
    assert told == [asked]


def test_source_that_is_gone_before_its_mesh_is_there(blender, source, addon_module, monkeypatch) -> None:
    def deleting(*_arguments, **_options):
        blender.data.objects.remove(source)
        return extraction.extract(shapes.torus_sequence(), 24)

    monkeypatch.setattr(addon_module("operators.extract_mesh"), "extract", deleting)
    with pytest.raises(RuntimeError, match="Torus was deleted meanwhile"):
        extract(blender)
    assert len(blender.data.objects) == 0
