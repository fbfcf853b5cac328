# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves out the tests that need what only the worker has, where it is not installed, and says so."""

from __future__ import annotations

import importlib.util

# Held against torch's autograd, or against libigl, or training themselves.
NEED_WORKER_PACKAGES = (
    "test_activations.py",
    "test_losses.py",
    "test_networks.py",
    "test_sampling.py",
    "test_sequence.py",
    "test_snapshots.py",
    "test_training.py",
    "test_worker.py",
)
MISSING = [name for name in ("torch", "igl") if importlib.util.find_spec(name) is None]

collect_ignore = list(NEED_WORKER_PACKAGES) if MISSING else []


def pytest_report_header() -> str | None:
    """Name what is left out."""
    return f"without {' and '.join(MISSING)}: left out {', '.join(NEED_WORKER_PACKAGES)}" if MISSING else None
