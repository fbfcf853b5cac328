# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: what they promise holds for every shape, whatever numbers they are tuned to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.networks import bounded_residual, random_network
from kernels.presets import PRESETS, training_config
from kernels.training_config import TrainingConfig, with_budget

# In place of shape_traits.ShapeTraits, whose module needs libigl.
SHAPES = st.builds(
    SimpleNamespace,
    detail=st.floats(0.0, 180.0),
    noise=st.floats(0.0, 0.1),
)
NAMES = st.sampled_from(sorted(PRESETS))
PLAIN = SimpleNamespace(detail=5.0, noise=0.0)


def parameters(config: TrainingConfig) -> int:
    """Weights and biases of all networks of a training, with the bounding units of its residuals."""
    first, *others = (level.widths for level in config.levels)
    networks = [random_network(first), *(bounded_residual(widths, 0.1) for widths in others)]
    return sum(network.parameter_count for network in networks)


@pytest.mark.parametrize("name", PRESETS)
def test_shares_of_the_time_sum_to_one(name: str) -> None:
    preset = PRESETS[name]
    assert sum(plan.share for plan in preset.levels) == pytest.approx(1.0)
    assert all(plan.share > 0.0 for plan in preset.levels)
    assert preset.label
    assert preset.description


def test_names_and_times_that_artists_rely_on() -> None:
    assert list(PRESETS) == ["PREVIEW", "BALANCED", "FINE"]
    assert PRESETS["PREVIEW"].seconds <= 30.0
    assert PRESETS["BALANCED"].seconds <= 120.0
    assert PRESETS["FINE"].seconds <= 600.0


@settings(max_examples=100, deadline=None)
@given(name=NAMES, traits=SHAPES)
def test_training_of_any_shape_keeps_to_the_time_and_is_determined_by_it(name: str, traits: SimpleNamespace) -> None:
    preset = PRESETS[name]
    config = training_config(preset, traits)
    assert config == training_config(preset, traits)
    assert len(config.levels) == len(preset.levels)
    assert sum(level.seconds for level in config.levels) == pytest.approx(preset.seconds)
    for level in config.levels:
        assert level.steps > 0
        assert level.omega > 0.0
        assert min(level.widths) > 1


@settings(max_examples=100, deadline=None)
@given(traits=SHAPES)
def test_fine_has_at_most_250_000_parameters(traits: SimpleNamespace) -> None:
    assert parameters(training_config(PRESETS["FINE"], traits)) <= 250_000


@settings(max_examples=50, deadline=None)
@given(traits=SHAPES)
def test_levels_grow(traits: SimpleNamespace) -> None:
    counts = []
    for preset in PRESETS.values():
        config = training_config(preset, traits)
        sizes = [random_network(level.widths).parameter_count for level in config.levels]
        assert sizes == sorted(sizes)
        counts.append(parameters(config))
    assert counts == sorted(counts)


@settings(max_examples=50, deadline=None)
@given(name=NAMES, traits=SHAPES, factor=st.floats(1e-9, 10.0))
def test_budget_scales_steps_and_seconds(name: str, traits: SimpleNamespace, factor: float) -> None:
    config = training_config(PRESETS[name], traits)
    scaled = with_budget(config, factor)
    for level, changed in zip(config.levels, scaled.levels, strict=True):
        assert changed.steps == max(1, round(level.steps * factor))
        assert changed.seconds == level.seconds * factor
        assert (changed.widths, changed.omega) == (level.widths, level.omega)
    assert all(level.steps == 1 for level in with_budget(training_config(PRESETS[name], PLAIN), 1e-9).levels)
