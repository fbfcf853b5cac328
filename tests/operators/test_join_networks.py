# SPDX-License-Identifier: GPL-3.0-or-later
"""Join Networks: networks of the selected neural objects become levels of the active one."""

from __future__ import annotations

import numpy as np
import pytest
import shapes
from libraries import linked

from kernels import nsdf
from kernels.sequence import NestedSequence


def single(width: int, distance=None) -> NestedSequence:
    """One network of a sphere, or of another shape."""
    return shapes.fitted_sequence(distance or shapes.sphere(), widths=(width,))


@pytest.fixture
def add(blender, addon_module):
    """A function from a name and a sequence to a new neural object, selected besides the others and active."""
    neural_object = addon_module("neural_implicit_addon.neural_object")

    def add(name: str, sequence: NestedSequence):
        data = nsdf.dumps(sequence)
        obj = neural_object.create(
            blender.context, addon_module("kernels.nsdf").loads(data), name, data=data, faces=300
        )
        obj.select_set(True)
        blender.context.view_layer.objects.active = obj
        return obj

    return add


def join(blender) -> set[str]:
    return blender.ops.neural_implicit.join_networks()


def carried(obj) -> NestedSequence:
    return nsdf.loads(bytes(obj.data["neural_implicit"]))


def test_active_object_gets_the_levels_and_shows_the_finest(blender, add) -> None:
    fine, coarse = add("Fine", single(256)), add("Coarse", single(64))
    before = bytes(fine.data["neural_implicit"])
    assert join(blender) == {"FINISHED"}
    joined = carried(coarse)
    assert joined.notation == "64x0 > 256x0"
    assert [band.evidence for band in joined.bands] == ["sampled"]
    positions = np.empty(len(coarse.data.vertices) * 3, np.float32)
    coarse.data.vertices.foreach_get("co", positions)
    np.testing.assert_allclose(np.linalg.norm(positions.reshape(-1, 3), axis=1), 0.6, atol=0.003)
    assert bytes(fine.data["neural_implicit"]) == before
    assert blender.context.selected_objects == [coarse]


def test_progress_is_told_all_along(blender, add, addon_module, monkeypatch) -> None:
    told = []
    computation = addon_module("neural_implicit_addon.computation").Computation
    monkeypatch.setattr(computation, "_set_share", lambda _self, share: told.append(share))
    add("Fine", single(256))
    add("Coarse", single(64))
    assert join(blender) == {"FINISHED"}
    assert told == sorted(told)
    joining = addon_module("operators.join_networks").JOINING_SHARE
    assert 0.0 < told[0] < joining
    assert joining in told
    assert len([share for share in told if joining < share < 1.0]) > 3
    assert told[-1] == pytest.approx(1.0)


def test_nothing_to_join(blender, add) -> None:
    obj = add("Ball", single(64))
    twin = obj.copy()
    blender.context.collection.objects.link(twin)
    twin.select_set(True)
    with pytest.raises(RuntimeError, match="Select the neural objects to join"):
        join(blender)


def test_other_shape_is_refused_and_nothing_is_changed(blender, add) -> None:
    add("Torus", single(256, shapes.torus()))
    ball = add("Ball", single(64))
    before = bytes(ball.data["neural_implicit"])
    with pytest.raises(RuntimeError, match="Ball: "):
        join(blender)
    assert bytes(ball.data["neural_implicit"]) == before


def test_linked_object_is_left_alone_but_gives_its_networks(blender, add, tmp_path) -> None:
    fine = linked(blender, add("Fine", single(256)), tmp_path)
    coarse = add("Coarse", single(64))
    before = bytes(fine.data["neural_implicit"])
    blender.context.view_layer.objects.active = fine
    with pytest.raises(RuntimeError, match="Fine is linked from a library"):
        join(blender)
    blender.context.view_layer.objects.active = coarse
    assert join(blender) == {"FINISHED"}
    assert carried(coarse).notation == "64x0 > 256x0"
    assert bytes(fine.data["neural_implicit"]) == before


def test_damaged_network_among_them(blender, add) -> None:
    other = add("Other", single(256))
    add("Ball", single(64))
    data = bytes(other.data["neural_implicit"])
    del other.data["neural_implicit"]
    other.data["neural_implicit"] = data[:500]
    with pytest.raises(RuntimeError, match="The network of 'Other' cannot be used"):
        join(blender)
