# SPDX-License-Identifier: GPL-3.0-or-later
"""Which benchmarks there are, in the order in which they run: what takes seconds first, what takes hours last."""

from __future__ import annotations

BENCHMARKS = (
    "gradients",
    "training_step",
    "enabling",
    "gpu",
    # Trains what those after it measure.
    "presets",
    "topology",
    "nesting",
    "extraction",
    "tracing",
    "viewport",
    "agreement",
    "occlusion",
    "bake",
    "view_transforms",
    "responsiveness",
    "whole_path",
    "noise",
    "time_to_quality",
    "fidelity",
    "ablation",
)
