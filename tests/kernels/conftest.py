# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves out the tests that need what only the worker has, where it is not installed, and says so.

For those that train, there is torch with one thread.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

# Held against torch's autograd, or against libigl, or training themselves.
NEED_WORKER_PACKAGES = (
    "test_activations.py",
    "test_denoising.py",
    "test_losses.py",
    "test_mesh_parts.py",
    "test_networks.py",
    "test_reference_trainings.py",
    "test_sampling.py",
    "test_sequence.py",
    "test_shape_traits.py",
    "test_snapshots.py",
    "test_solids.py",
    "test_surface_sampling.py",
    "test_time_to_quality.py",
    "test_training.py",
    "test_training_benchmarks.py",
    "test_training_set.py",
    "test_weight_gradients.py",
    "test_worker.py",
)
MISSING = [name for name in ("torch", "igl") if importlib.util.find_spec(name) is None]

collect_ignore = list(NEED_WORKER_PACKAGES) if MISSING else []


def pytest_report_header() -> str | None:
    """Name what is left out."""
    return f"without {' and '.join(MISSING)}: left out {', '.join(NEED_WORKER_PACKAGES)}" if MISSING else None


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """One thread for the tests of a module that train.

    Networks as small as theirs gain nothing from more, and lose much on a machine that has other work to do.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
