# SPDX-License-Identifier: GPL-3.0-or-later
"""What lets one formula run on numpy arrays and on torch tensors of any device."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    Array = np.ndarray | torch.Tensor
else:
    Array = Any


def array_namespace(x: Array) -> ModuleType:
    """The module (numpy or torch) whose functions apply to `x`.

    torch is looked up among the modules already imported: whoever holds a tensor has imported it, and
    whoever does not must not pay for it.

    Raises:
        TypeError: `x` is neither a numpy array nor a torch tensor.
    """
    if isinstance(x, np.ndarray | np.generic):
        return np
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return torch
    raise TypeError(f"expected a numpy array or a torch tensor, got {type(x).__name__}")


def asarray_like(values: Any, like: Array) -> Array:
    """`values` as an array of the kind, precision and device of `like`."""
    xp = array_namespace(like)
    if xp is np:
        return np.asarray(values, dtype=like.dtype)
    return xp.as_tensor(values, dtype=like.dtype, device=like.device)


def full_like_rows(like: Array, shape: tuple[int, ...], value: float) -> Array:
    """A new array of `shape` filled with `value`, of the kind, precision and device of `like`."""
    xp = array_namespace(like)
    if xp is np:
        return np.full(shape, value, dtype=like.dtype)
    return xp.full(shape, value, dtype=like.dtype, device=like.device)


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a numpy array on the CPU, detached from any computation graph."""
    return x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()


def nonzero_rows(mask: Array) -> Array:
    """Indices of the rows where `mask` holds: (N,) booleans -> (M,) integers, ascending."""
    xp = array_namespace(mask)
    return np.nonzero(mask)[0] if xp is np else xp.nonzero(mask, as_tuple=True)[0]


def row_dots(first: Array, second: Array) -> Array:
    """Scalar product of each row with the other's: (N, D), (N, D) -> (N,)."""
    if array_namespace(first) is np:
        # Several times faster than numpy's sums over a short last axis.
        return np.einsum("...i,...i->...", first, second)
    return (first * second).sum(-1)


def row_norms(vectors: Array) -> Array:
    """Euclidean length of each row: (N, D) -> (N,)."""
    return array_namespace(vectors).sqrt(row_dots(vectors, vectors))


def as_indices(x: Array) -> Array:
    """Numbers cut down to integers that index arrays of their kind: (N,) -> (N,) int64."""
    return x.astype(np.int64) if array_namespace(x) is np else x.long()


def normalize_rows(vectors: Array, smallest: float = 1e-20) -> Array:
    """Each row scaled to unit length: (N, D) -> (N, D). Rows shorter than `smallest` stay almost zero."""
    return vectors / row_norms(vectors).clip(smallest)[..., None]
