# SPDX-License-Identifier: GPL-3.0-or-later
"""The `.nsdf` format: a nested sequence as a safetensors file.

The container is read and written here in plain numpy, because Blender ships no safetensors; the tests hold it
against the real library. A file from a stranger is data: every size is checked against the bytes that are
really there before anything is allocated, and nothing in it is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from .activations import activation_named
from .arrays import to_numpy
from .files import replace_bytes
from .networks import Network
from .sequence import EVIDENCES, Band, NestedSequence

FORMAT = "nsdf"
VERSION = "1"

MAX_FILE_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 20
MAX_LEVELS = 16
MAX_LAYERS = 32
MAX_WIDTH = 4096
MAX_DEPTH = 32


class NsdfError(ValueError):
    """The bytes are not a valid `.nsdf`. The message says what is wrong, in words for the artist."""


def dumps(sequence: NestedSequence) -> bytes:
    """The bytes of a `.nsdf` file."""
    tensors = {}
    for level, network in enumerate(sequence.networks):
        for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            tensors[f"level.{level}.layer.{layer}.weight"] = to_numpy(weight)
            tensors[f"level.{level}.layer.{layer}.bias"] = to_numpy(bias)
    described = {
        "kind": sequence.kind,
        "inputs": sequence.inputs,
        "center": [float(x) for x in sequence.center],
        "radius": float(sequence.radius),
        "time": None if sequence.time is None else [float(t) for t in sequence.time],
        "levels": [{"name": network.name, "activation": network.activation} for network in sequence.networks],
        "bands": [{"delta": float(band.delta), "evidence": band.evidence} for band in sequence.bands],
        "training": dict(sequence.training),
    }
    metadata = {"format": FORMAT, "version": VERSION, "sequence": json.dumps(described, allow_nan=False)}
    header: dict[str, Any] = {"__metadata__": metadata}
    payload = []
    offset = 0
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        payload.append(data)
        offset += len(data)
    encoded = json.dumps(header, separators=(",", ":")).encode()
    # safetensors aligns the data to 8 bytes by padding the header with spaces.
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(payload)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise NsdfError(message)


def _number(value: Any, what: str) -> float:
    valid = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
    _require(valid and math.isfinite(value), f"{what} is not a finite number")
    return float(value)


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    _require(isinstance(value, list) and len(value) == count, f"{what} is not a list of {count} numbers")
    return tuple(_number(v, what) for v in value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _depth(value: Any) -> int:
    """How many lists and objects are nested in one another."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _parse_object(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
        depth = _depth(parsed)
    except RecursionError as error:
        raise NsdfError(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise NsdfError(f"{what} is not valid JSON") from error
    # Deeper than this might be read here and fail to be written elsewhere, where less of the stack is left.
    _require(depth <= MAX_DEPTH, f"{what} is nested too deeply")
    _require(isinstance(parsed, dict), f"{what} is not a JSON object")
    return parsed


def _read_span(name: str, entry: Any, available: int) -> tuple[int, int, list[int]]:
    """Where the bytes of a tensor start and end among the `available` ones, and its shape."""
    _require(isinstance(entry, dict) and entry.get("dtype") == "F32", f"tensor {name!r} is not float32")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    for what, value in (("shape", shape), ("position", offsets)):
        valid = isinstance(value, list) and all(type(v) is int and 0 <= v <= MAX_FILE_BYTES for v in value)
        _require(valid, f"tensor {name!r} has an invalid {what}")
    _require(len(offsets) == 2 and len(shape) in (1, 2), f"tensor {name!r} has an invalid shape")
    start, end = offsets
    _require(start <= end <= available, f"truncated: tensor {name!r} is cut off")
    _require(math.prod(shape) * 4 == end - start, f"tensor {name!r} has a size other than its shape says")
    return start, end, shape


def _read_container(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the float32 tensors of a safetensors file."""
    _require(len(data) <= MAX_FILE_BYTES, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    _require(len(data) >= 8, "too short to be a .nsdf file")
    (header_bytes,) = struct.unpack("<Q", data[:8])
    _require(header_bytes <= MAX_HEADER_BYTES, "the header is absurdly large, or this is not a .nsdf file")
    _require(8 + header_bytes <= len(data), "truncated: the header is cut off")
    header = _parse_object(data[8 : 8 + header_bytes], "the header")
    payload = memoryview(data)[8 + header_bytes :]
    metadata = header.pop("__metadata__", None)
    _require(isinstance(metadata, dict), "no metadata: a safetensors file, but not a .nsdf file")
    spans = {name: _read_span(name, entry, len(payload)) for name, entry in header.items()}
    tensors = {}
    # Every byte belongs to one tensor, as safetensors asks: what is read is never larger than the file.
    reached = 0
    for name, (start, end, shape) in sorted(spans.items(), key=lambda item: item[1]):
        _require(start == reached, f"tensor {name!r} does not begin where the one before it ends")
        # A copy: the tensors outlive the bytes, and a slice may be unaligned.
        tensors[name] = np.frombuffer(payload[start:end], dtype="<f4").reshape(shape).astype(np.float32)
        reached = end
    _require(reached == len(payload), "bytes at the end belong to no tensor")
    return metadata, tensors


def _read_network(tensors: dict[str, np.ndarray], level: int, inputs: int, activation: str) -> Network:
    weights, biases = [], []
    fan_in = inputs
    while f"level.{level}.layer.{len(weights)}.weight" in tensors:
        layer = len(weights)
        where = f"level {level}, layer {layer}"
        weight = tensors.pop(f"level.{level}.layer.{layer}.weight")
        bias = tensors.pop(f"level.{level}.layer.{layer}.bias", None)
        _require(layer < MAX_LAYERS, f"level {level} has more than {MAX_LAYERS} layers")
        _require(bias is not None, f"{where}: the bias is missing")
        _require(weight.ndim == 2 and bias.ndim == 1, f"{where}: weights or bias have the wrong dimension")
        _require(0 < weight.shape[0] <= MAX_WIDTH, f"{where}: wider than {MAX_WIDTH}, or empty")
        _require(weight.shape[1] == fan_in, f"{where}: {weight.shape[1]} inputs, the layer before has {fan_in} outputs")
        _require(bias.shape[0] == weight.shape[0], f"{where}: weights and bias do not fit together")
        _require(bool(np.isfinite(weight).all() and np.isfinite(bias).all()), f"{where}: not all numbers are finite")
        fan_in = weight.shape[0]
        weights.append(weight)
        biases.append(bias)
    _require(len(weights) >= 2, f"level {level} needs at least two layers, found {len(weights)}")
    _require(fan_in == 1, f"level {level} has {fan_in} outputs instead of 1")
    return Network(tuple(weights), tuple(biases), activation)


def loads(data: bytes) -> NestedSequence:
    """The nested sequence in the bytes of a `.nsdf` file, checked in full.

    Raises:
        NsdfError: anything about the bytes is not as the format says.
    """
    metadata, tensors = _read_container(data)
    _require(metadata.get("format") == FORMAT, "a safetensors file, but not a .nsdf file")
    _require(metadata.get("version") == VERSION, f"version {metadata.get('version')!r}; this add-on reads {VERSION!r}")
    _require(isinstance(metadata.get("sequence"), str), "the description of the sequence is missing")
    described = _parse_object(metadata["sequence"], "the description of the sequence")

    inputs = described.get("inputs")
    _require(type(inputs) is int and inputs in (3, 4), "the number of inputs is neither 3 nor 4")
    levels, bands = described.get("levels"), described.get("bands")
    _require(isinstance(levels, list) and 1 <= len(levels) <= MAX_LEVELS, f"not between 1 and {MAX_LEVELS} levels")
    _require(isinstance(bands, list) and len(bands) == len(levels) - 1, "not one band for every level but the last")
    networks = []
    for index, level in enumerate(levels):
        activation = level.get("activation") if isinstance(level, dict) else None
        try:
            activation_named(activation)
        except (ValueError, TypeError) as error:
            raise NsdfError(f"level {index}: unknown activation {activation!r}") from error
        networks.append(_read_network(tensors, index, inputs, activation))
    _require(not tensors, f"unexpected tensor {next(iter(tensors), '')!r}")
    read_bands = []
    for index, band in enumerate(bands):
        _require(isinstance(band, dict) and band.get("evidence") in EVIDENCES, f"band {index}: unknown evidence")
        delta = _number(band.get("delta"), f"band {index}")
        _require(delta >= 0.0, f"band {index} is negative")
        read_bands.append(Band(delta, band["evidence"]))
    radius = _number(described.get("radius"), "radius")
    _require(radius > 0.0, "radius is not positive")
    time = described.get("time")
    training = described.get("training", {})
    _require(isinstance(training, dict), "the training record is not a JSON object")
    try:
        return NestedSequence(
            tuple(networks),
            tuple(read_bands),
            _numbers(described.get("center"), 3, "center"),
            radius,
            described.get("kind"),
            None if time is None else _numbers(time, 2, "time"),
            training,
        )
    except (ValueError, TypeError) as error:
        if isinstance(error, NsdfError):
            raise
        raise NsdfError(str(error)) from error


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file of a sensible size, not yet checked otherwise.

    Raises:
        NsdfError: the file is larger than any `.nsdf`.
        OSError: the file cannot be read.
    """
    path = Path(path)
    # Checked before reading, so that a file of many gigabytes is refused and not loaded.
    _require(path.stat().st_size <= MAX_FILE_BYTES, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return path.read_bytes()


def load(path: str | os.PathLike[str]) -> NestedSequence:
    """Read a `.nsdf` file.

    Raises:
        NsdfError: the file is not a valid `.nsdf`.
        OSError: the file cannot be read.
    """
    return loads(read_bytes(path))


def save(sequence: NestedSequence, path: str | os.PathLike[str]) -> None:
    """Write a `.nsdf` file, replacing an older one in one step: a reader sees the old file or the new one.

    Raises:
        OSError: the file cannot be written; an older one is then left as it was.
    """
    replace_bytes(path, dumps(sequence))
