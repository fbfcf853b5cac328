# SPDX-License-Identifier: GPL-3.0-or-later
"""Certify Bands: the active neural object carries what was proven. Proofs themselves are tested with the kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import shapes
from libraries import linked

from kernels import nsdf
from kernels.sequence import Band, NestedSequence

# What is said of a proof that left an eighth of the cube open.
UNFINISHED = "is not proven, 12 % of the space is undecided after 60 s in all: raise the Time Limit"


@pytest.fixture
def source(blender, addon_module):
    """The active neural object of a sphere with three levels."""
    neural_object = addon_module("neural_implicit_addon.neural_object")
    data = nsdf.dumps(shapes.fitted_sequence(shapes.sphere(), widths=(32, 64, 128)))
    obj = neural_object.create(blender.context, addon_module("kernels.nsdf").loads(data), "Ball", data=data, faces=300)
    neural_object.select_only(blender.context, obj)
    return obj


@pytest.fixture
def proving(addon_module, monkeypatch):
    """A function from which bands are proven to the list of how many seconds each proof was given.

    `unfinished`: of the other ones' proofs, how many boxes they examined and which share of the cube they left open.
    """
    seconds = []

    def only(*levels: int, unfinished: tuple[int, float] = (4000, 0.125)) -> list[float]:
        def proven(sequence, config, *, progress, cancelled):
            seconds.append(config.seconds)
            progress(1.0)
            assert not cancelled()
            bands = list(sequence.bands)
            for level in levels:
                bands[level] = replace(bands[level], delta=2.0 * bands[level].delta, evidence="certified")
            certification = addon_module("kernels.certification")
            proofs = tuple(
                certification.BandProof(band.delta, 0.0, *((10, 0.0) if level in levels else unfinished))
                for level, band in enumerate(bands)
            )
            return certification.CertifiedBands(replace(sequence, bands=tuple(bands)), proofs)

        monkeypatch.setattr(addon_module("operators.certify_bands"), "certify_bands", proven)
        return seconds

    return only


def certify(blender, **options) -> set[str]:
    return blender.ops.neural_implicit.certify_bands(**options)


def carried(obj) -> NestedSequence:
    return nsdf.loads(bytes(obj.data["neural_implicit"]))


def test_object_carries_what_was_proven(blender, source, proving, capfd) -> None:
    before = carried(source)
    seconds = proving(0, 1)
    assert certify(blender, seconds=7.0) == {"FINISHED"}
    assert seconds == [7.0]
    after = carried(source)
    assert after.bands == tuple(Band(2.0 * band.delta, "certified") for band in before.bands)
    assert nsdf.dumps(replace(after, bands=before.bands)) == nsdf.dumps(before), "more than the bands was changed"
    assert "Info: Ball: all bands are certified" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((1,), f"band 0 {UNFINISHED}"),
        ((), f"band 0 {UNFINISHED}; band 1 {UNFINISHED}"),
    ],
)
def test_band_that_was_not_proven_stays_as_it_was(blender, source, proving, capfd, levels, message) -> None:
    before = carried(source)
    proving(*levels)
    assert certify(blender) == {"FINISHED"}
    assert carried(source).bands[0] == before.bands[0]
    assert f"Warning: Ball: {message}\n" in capfd.readouterr().out


def test_more_time_is_not_recommended_where_boxes_ran_out(blender, source, proving, addon_module, capfd) -> None:
    most = addon_module("kernels.certification").CertificationConfig().boxes
    proving(1, unfinished=(most, 0.004))
    assert certify(blender) == {"FINISHED"}
    said = capfd.readouterr().out
    assert "Ball: band 0 is not proven, 0.4 % of the space is undecided after 5,000,000 boxes, the most" in said
    assert "Time Limit" not in said


def test_bounded_residuals_are_proven_by_the_kernels_themselves(blender, source, addon_module) -> None:
    """A correction that is nothing: whatever the band, every point of the finer one is in it."""
    coarse = shapes.fitted_network(shapes.sphere(), 16, 1.0, seed=0)
    nothing = replace(coarse, weights=(*coarse.weights[:-1], 0.0 * coarse.weights[-1]), biases=coarse.biases)
    nothing = replace(nothing, biases=(*coarse.biases[:-1], 0.0 * coarse.biases[-1]))
    sequence = NestedSequence((coarse, nothing), (Band(0.3, "given"),), kind="residual")
    addon_module("neural_implicit_addon.neural_object").write_sequence(source.data, nsdf.dumps(sequence))
    assert certify(blender) == {"FINISHED"}
    assert carried(source).bands[0].evidence == "certified"


def test_single_level_has_no_band(blender, source, addon_module) -> None:
    single = shapes.fitted_sequence(shapes.sphere(), widths=(64,))
    addon_module("neural_implicit_addon.neural_object").write_sequence(source.data, nsdf.dumps(single))
    with pytest.raises(RuntimeError, match="Ball has a single level, so there is no band to certify"):
        certify(blender)


def test_linked_object_is_left_alone(blender, source, proving, tmp_path) -> None:
    proving(0, 1)
    obj = linked(blender, source, tmp_path)
    before = bytes(obj.data["neural_implicit"])
    with pytest.raises(RuntimeError, match="Ball is linked from a library and cannot be changed; make it local first"):
        certify(blender)
    assert bytes(obj.data["neural_implicit"]) == before


def test_no_neural_object_is_active(blender, source) -> None:
    blender.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="Make a neural object the active one"):
        certify(blender)
