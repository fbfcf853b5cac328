# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that others may be reading: replaced in one step, and arrays that are checked before they are allocated."""

from __future__ import annotations

import io
import math
import os
import sys
import time
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# More than the arrays of the most detailed scan anybody trains on.
MAX_ARRAY_BYTES = 4 << 30

# What numpy and zipfile raise beside ValueError on a damaged archive, or on one that is none.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    SyntaxError,
    LookupError,
    RuntimeError,
    OverflowError,
    TypeError,
    AttributeError,
)
# Windows refuses to replace a file while somebody has it open: a reader, an indexer, a virus scanner. They let go soon.
_ATTEMPTS, _PAUSE = (10, 0.1) if sys.platform == "win32" else (1, 0.0)


def replace_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically: complete beside it first, then renamed over it.

    Raises:
        OSError: the file cannot be written; an older one is then left as it was.
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        for attempt in range(_ATTEMPTS):
            try:
                os.replace(beside, path)
                break
            except PermissionError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE)
    finally:
        beside.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name to an `.npz` file, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    replace_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file. Objects (pickles) are refused, and so are absurd sizes, before they are allocated.

    Raises:
        OSError, ValueError, EOFError: the file cannot be read, is damaged, claims more than `MAX_ARRAY_BYTES`, or
            holds more than arrays.
    """
    try:
        if path.stat().st_size > MAX_ARRAY_BYTES or _claimed_bytes(path) > MAX_ARRAY_BYTES:
            raise ValueError(f"{path.name} is absurdly large")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _DAMAGE as error:
        raise ValueError(f"{path.name} is damaged") from error
    # numpy hands out the bytes of a member that is no array.
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError(f"{path.name} holds more than arrays")
    return arrays


def _claimed_bytes(path: Path) -> int:
    """What the arrays of an `.npz` file would take in memory, read from their headers."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read_header(stream)
            total += max(math.prod(shape) * dtype.itemsize, member.file_size)
    return total
