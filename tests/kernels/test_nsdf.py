# SPDX-License-Identifier: GPL-3.0-or-later
"""The `.nsdf` format: bit for bit there and back, the same to the real safetensors, and safe against any bytes."""

from __future__ import annotations

import errno
import json
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import nsdf
from kernels.activations import ACTIVATIONS
from kernels.networks import Network, random_network
from kernels.nsdf import NsdfError
from kernels.sequence import EVIDENCES, KINDS, Band, NestedSequence

finite = st.floats(-1e20, 1e20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def random_networks(draw: st.DrawFn, inputs: int) -> Network:
    widths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    seed, activation = draw(st.integers(0, 99)), draw(st.sampled_from(sorted(ACTIVATIONS)))
    return random_network(tuple(widths), inputs, activation, seed)


@st.composite
def sequences(draw: st.DrawFn) -> NestedSequence:
    inputs = draw(st.sampled_from([3, 4]))
    networks = draw(st.lists(random_networks(inputs), min_size=1, max_size=3))
    bands = [Band(draw(st.floats(0.0, 10.0)), draw(st.sampled_from(EVIDENCES))) for _ in networks[1:]]
    return NestedSequence(
        tuple(networks),
        tuple(bands),
        draw(st.tuples(finite, finite, finite)),
        draw(st.floats(1e-20, 1e20)),
        draw(st.sampled_from(KINDS)),
        draw(st.none() | st.tuples(finite, finite)),
        draw(st.dictionaries(st.text(max_size=8), json_values, max_size=3)),
    )


def assert_same(one: NestedSequence, other: NestedSequence) -> None:
    for a, b in zip(one.networks, other.networks, strict=True):
        assert a.activation == b.activation
        for x, y in zip(a.weights + a.biases, b.weights + b.biases, strict=True):
            assert x.dtype == y.dtype == np.float32
            assert x.shape == y.shape
            assert x.tobytes() == y.tobytes()
    for name in ("bands", "center", "radius", "kind", "time"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.training) == dict(other.training)


def two_levels(**description: Any) -> NestedSequence:
    networks = (random_network((4, 4), seed=1), random_network((6,), seed=2))
    return NestedSequence(networks, (Band(0.1, "sampled"),), **description)


VALID = nsdf.dumps(two_levels(center=(1.0, 2.0, 3.0), radius=0.5, training={"source": "Suzanne", "seconds": 1.5}))


def taken_apart(data: bytes = VALID) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, description of the sequence, and payload."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["sequence"]), data[8 + length :]


def put_together(
    header: dict[str, Any] | bytes, payload: bytes, described: dict[str, Any] | str | None = None
) -> bytes:
    if described is not None:
        header["__metadata__"]["sequence"] = described if isinstance(described, str) else json.dumps(described)
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + payload


@settings(max_examples=100, deadline=None)
@given(sequences())
def test_round_trip_is_bit_for_bit(sequence: NestedSequence) -> None:
    data = nsdf.dumps(sequence)
    again = nsdf.loads(data)
    assert_same(sequence, again)
    assert nsdf.dumps(again) == data


def test_round_trip_by_file(tmp_path: Path) -> None:
    path = tmp_path / "a shape.nsdf"
    sequence = two_levels(training={"source": "Größe 立方体"})
    nsdf.save(sequence, path)
    assert_same(nsdf.load(path), sequence)
    assert [p.name for p in tmp_path.iterdir()] == ["a shape.nsdf"]


def test_training_record_of_bytes_is_not_executed_or_lost() -> None:
    with pytest.raises(TypeError):
        nsdf.dumps(two_levels(training={"what": b"bytes"}))


def test_safetensors_reads_what_is_written(tmp_path: Path) -> None:
    sequence = two_levels()
    path = tmp_path / "shape.nsdf"
    nsdf.save(sequence, path)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    assert metadata["format"] == "nsdf"
    assert json.loads(metadata["sequence"])["levels"][0] == {"name": "4x1", "activation": "sine"}
    assert len(tensors) == 10
    for level, network in enumerate(sequence.networks):
        for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            np.testing.assert_array_equal(tensors[f"level.{level}.layer.{layer}.weight"], weight)
            np.testing.assert_array_equal(tensors[f"level.{level}.layer.{layer}.bias"], bias)


def test_what_safetensors_writes_is_read() -> None:
    sequence = two_levels()
    header, _, _ = taken_apart(nsdf.dumps(sequence))
    tensors = safetensors.numpy.load(nsdf.dumps(sequence))
    # It sorts the tensors by its own rules, and it may pad the header differently.
    assert_same(nsdf.loads(safetensors.numpy.save(tensors, header["__metadata__"])), sequence)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, *range(200, len(VALID), 97), len(VALID) - 4, len(VALID) - 1])
def test_truncated(length: int) -> None:
    with pytest.raises(NsdfError):
        nsdf.loads(VALID[:length])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_refused_or_still_a_sequence(changes: list[tuple[int, int]]) -> None:
    data = bytearray(VALID)
    for position, value in changes:
        data[position] = value
    assert_refused_or_usable(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(NsdfError):
        nsdf.loads(data)
    with pytest.raises(NsdfError):
        nsdf.loads(put_together(data, b""))


def assert_refused_or_usable(data: bytes) -> None:
    try:
        sequence = nsdf.loads(data)
    except NsdfError:
        return
    sequence.distance(0, np.zeros((2, sequence.inputs), np.float32))
    # Whatever was read can be written again.
    assert_same(nsdf.loads(nsdf.dumps(sequence)), sequence)


wrong_values = json_values | st.sampled_from([float("nan"), float("inf"), 10**400, -1, 0, "", [], {}, [[1]], 1e300])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_tampered_description_is_refused_or_still_a_sequence(data: st.DataObject) -> None:
    header, described, payload = taken_apart()
    place: Any = described
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not (isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans())):
            break
        place = place[key]
    place[key] = data.draw(wrong_values)
    assert_refused_or_usable(put_together(header, payload, described))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_tampered_header_is_refused_or_still_a_sequence(data: st.DataObject) -> None:
    header, _, payload = taken_apart()
    name = data.draw(st.sampled_from(sorted(header)))
    key = data.draw(st.sampled_from(sorted(header[name])))
    header[name][key] = data.draw(wrong_values)
    assert_refused_or_usable(put_together(header, payload))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
@pytest.mark.parametrize("before", ["[1.0,", '"radius": 0.5', '"delta": 0.1', '"seconds": 1.5'])
def test_numbers_that_are_none_are_refused(before: str, number: str) -> None:
    header, described, payload = taken_apart()
    text = json.dumps(described)
    assert before in text
    with pytest.raises(NsdfError):
        nsdf.loads(put_together(header, payload, text.replace(before, re.sub(r"\d\.\d", number, before))))


@pytest.mark.parametrize("depth", [50, 500, 900, 5000, 50_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    header, described, payload = taken_apart()
    described["training"] = "HERE"
    text = json.dumps(described).replace('"HERE"', '{"a":' * depth + "1" + "}" * depth)
    # What would pass here and fail deeper in Blender's stack must not pass.
    with pytest.raises(NsdfError, match="nested"):
        nsdf.loads(put_together(header, payload, text))
    with pytest.raises(NsdfError, match="nested|JSON"):
        nsdf.loads(put_together(b"[" * depth, b""))


def refuses_without_allocating(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(NsdfError):
            nsdf.loads(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6 + 3 * len(data)


@pytest.mark.parametrize("length", [1 << 62, (1 << 64) - 1, 1 << 20, (1 << 20) + 1])
def test_header_of_exabytes(length: int) -> None:
    refuses_without_allocating(struct.pack("<Q", length) + VALID[8:])


@pytest.mark.parametrize(
    "shape",
    [[1 << 62, 3], [1 << 32, 1 << 32], [1 << 63, 2], [0, 1 << 62], [0, 3], [10**40, 0], [4, 3, 1], [12], [], [-4, -3]],
)
def test_absurd_shapes(shape: list[int]) -> None:
    header, _, payload = taken_apart()
    entry = header["level.0.layer.0.weight"]
    entry["shape"] = shape
    refuses_without_allocating(put_together(header, payload))
    if 0 in shape:
        entry["data_offsets"] = [0, 0]
        refuses_without_allocating(put_together(header, payload))


@pytest.mark.parametrize(
    "offsets", [[0, 1 << 62], [1 << 62, (1 << 62) + 48], [48, 0], [-48, 0], [0], [0, 47], [0, 48, 96]]
)
def test_absurd_offsets(offsets: list[int]) -> None:
    header, _, payload = taken_apart()
    header["level.0.layer.0.weight"]["data_offsets"] = offsets
    refuses_without_allocating(put_together(header, payload))


def test_many_tensors_over_the_same_bytes_are_refused() -> None:
    # A small file must not become gigabytes by naming the same bytes again and again.
    header, _, _ = taken_apart()
    payload = bytes(1 << 20)
    entry = {"dtype": "F32", "shape": [1 << 18], "data_offsets": [0, 1 << 20]}
    header = {"__metadata__": header["__metadata__"]} | {f"t{i}": entry for i in range(500)}
    refuses_without_allocating(put_together(header, payload))


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    # As the real library does: nothing can hide in a file.
    with pytest.raises(safetensors.SafetensorError):
        safetensors.numpy.load(VALID + b"hidden..")
    with pytest.raises(NsdfError, match="belong"):
        nsdf.loads(VALID + b"hidden..")


def test_file_of_many_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.nsdf"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NsdfError, match="larger than 256 MiB"):
        nsdf.load(path)


Tamper = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda h, d: d.update(kind="other"), "unknown kind"),
        (lambda h, d: d.update(kind=["independent"]), "unknown kind"),
        (lambda h, d: d.update(inputs=5), "neither 3 nor 4"),
        (lambda h, d: d.update(inputs=4), "3 inputs, the layer before has 4"),
        (lambda h, d: d.update(inputs=True), "neither 3 nor 4"),
        (lambda h, d: d.update(center=[0, 0]), "center"),
        (lambda h, d: d.update(center="abc"), "center"),
        (lambda h, d: d.update(center=[0, 0, True]), "center"),
        (lambda h, d: d.update(radius=0), "radius"),
        (lambda h, d: d.update(radius=-1.0), "radius"),
        (lambda h, d: d.update(time=[0.0]), "time"),
        (lambda h, d: d.update(training=[]), "training"),
        (lambda h, d: d.update(levels=[]), "levels"),
        (lambda h, d: d.update(levels=17 * d["levels"]), "levels"),
        (lambda h, d: d.update(bands=[]), "one band for every level"),
        (lambda h, d: d.update(bands=[None]), "band 0"),
        (lambda h, d: d["bands"][0].update(delta=-0.1), "band 0 is negative"),
        (lambda h, d: d["bands"][0].update(delta="wide"), "band 0 is not a finite number"),
        (lambda h, d: d["bands"][0].update(evidence="hearsay"), "unknown evidence"),
        (lambda h, d: d["bands"][0].update(evidence={}), "unknown evidence"),
        (lambda h, d: d["levels"][1].update(activation="step"), "unknown activation"),
        (lambda h, d: d["levels"][1].update(activation=[]), "unknown activation"),
        (lambda h, d: d["levels"].__setitem__(0, "sine"), "unknown activation"),
        (lambda h, d: (d["levels"].pop(), d["bands"].pop()), "unexpected tensor"),
        (lambda h, d: h.update({"extra": h.pop("level.1.layer.1.bias")}), "bias is missing"),
        (lambda h, d: h.update({"level.1.layer.5.bias": h.pop("level.1.layer.1.bias")}), "bias is missing"),
        (lambda h, d: h["level.0.layer.0.weight"].update(shape=[3, 4]), "layer before has 3 outputs"),
        (lambda h, d: h["level.0.layer.0.weight"].update(shape=[12]), "wrong dimension"),
        (lambda h, d: h["level.0.layer.0.weight"].update(dtype="F64"), "not float32"),
        (lambda h, d: h["level.0.layer.0.weight"].update(dtype=4), "not float32"),
        (lambda h, d: h["__metadata__"].update(format="other"), "not a .nsdf file"),
        (lambda h, d: h["__metadata__"].update(version="2"), "version '2'"),
        (lambda h, d: h["__metadata__"].pop("sequence"), "description of the sequence is missing"),
        (lambda h, d: h.pop("__metadata__"), "no metadata"),
    ],
)
def test_message_says_what_is_wrong(tamper: Tamper, message: str) -> None:
    header, described, payload = taken_apart()
    tamper(header, described)
    if "sequence" in header.get("__metadata__", {}):
        header["__metadata__"]["sequence"] = json.dumps(described)
    with pytest.raises(NsdfError, match=message):
        nsdf.loads(put_together(header, payload))


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        (((4, 3), (1, 5)), (4, 1), "5 inputs, the layer before has 4 outputs"),
        (((4, 3), (2, 4)), (4, 2), "2 outputs instead of 1"),
        (((4, 3), (1, 4)), (3, 1), "do not fit together"),
        (((1, 3),), (1,), "at least two layers"),
        (((4097, 3), (1, 4097)), (4097, 1), "wider than 4096"),
        (((1, 3), *32 * [(1, 1)]), 33 * [1], "more than 32 layers"),
    ],
)
def test_networks_that_are_none(weights: tuple[tuple[int, int], ...], biases: tuple[int, ...], message: str) -> None:
    network = Network(tuple(np.zeros(s, np.float32) for s in weights), tuple(np.zeros(n, np.float32) for n in biases))
    with pytest.raises(NsdfError, match=message):
        nsdf.loads(nsdf.dumps(NestedSequence((network,), ())))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["weights", "biases"])
def test_weights_that_are_not_finite(which: str, bad: float) -> None:
    sequence = two_levels()
    getattr(sequence.networks[1], which)[1].flat[0] = bad
    with pytest.raises(NsdfError, match="level 1, layer 1: not all numbers are finite"):
        nsdf.loads(nsdf.dumps(sequence))


def fail_with_full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shape.nsdf"
    path.write_bytes(VALID)

    def write_half(part: Path, data: bytes) -> None:
        with part.open("wb") as file:
            file.write(data[: len(data) // 2])
        fail_with_full_disk()

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="No space left"):
        nsdf.save(two_levels(), path)
    assert path.read_bytes() == VALID
    assert list(tmp_path.iterdir()) == [path]


def test_failing_rename_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shape.nsdf"
    path.write_bytes(VALID)
    monkeypatch.setattr(os, "replace", fail_with_full_disk)
    with pytest.raises(OSError, match="No space left"):
        nsdf.save(two_levels(), path)
    assert path.read_bytes() == VALID
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        nsdf.save(two_levels(), tmp_path / "absent" / "shape.nsdf")
    with pytest.raises(OSError, match="absent"):
        nsdf.load(tmp_path / "absent.nsdf")
