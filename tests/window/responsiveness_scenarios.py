# SPDX-License-Identifier: GPL-3.0-or-later
"""What `benchmarks/responsiveness.py` measures in the real window; see session.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import bpy
from computation_scenarios import running, start_extraction
from scenarios import add_monkey, can_train, start_training

if TYPE_CHECKING:
    from session import Session

# Seconds for which Blender is asked to be left alone between two looks at the clock.
TICK = 0.01
IDLE_SECONDS = 5.0


def window_beside_work(session: Session) -> Iterator[float]:
    """How long Blender's window keeps an event waiting: idle, beside a training, beside an extraction."""
    session.install()
    if not can_train(session):
        return
    source = add_monkey(session)
    source.modifiers.new("Subdivision", "SUBSURF").levels = 4
    end = time.perf_counter() + IDLE_SECONDS
    yield from _recorded(session, "idle", lambda: time.perf_counter() < end)
    bpy.context.scene.render.engine = "NEURAL_IMPLICIT"
    for shading in ("SOLID", "RENDERED"):
        session.view()[2].shading.type = shading
        bpy.context.view_layer.objects.active = source
        source.hide_set(False)
        source.select_set(True)
        start_training(session)
        current = session.module("neural_implicit_addon.training_session").current()
        yield from _recorded(session, f"training, {shading.capitalize()} shading", lambda: current.running)  # noqa: B023
        assert not current.problems, current.problems
    session.view()[2].shading.type = "SOLID"
    start_extraction(session, resolution=512)
    computation = running(session)
    yield from _recorded(session, "extraction at 512 cells", lambda: computation.running)


def _recorded(session: Session, beside: str, goes_on: Callable[[], bool]) -> Iterator[float]:
    """Look at the clock at every tick as long as something goes on; record how late the ticks were, in seconds."""
    late = []
    while goes_on():
        session.view()[1].tag_redraw()
        before = time.perf_counter()
        yield TICK
        late.append(time.perf_counter() - before - TICK)
    session.record(beside=beside, late=late)


SCENARIOS = {scenario.__name__: scenario for scenario in (window_beside_work,)}
