# SPDX-License-Identifier: GPL-3.0-or-later
"""What the viewports take from the scene and from what else goes on; drawing them needs a window (tests/window)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest


@pytest.mark.parametrize("mode", ["AUTO", "FIXED"])
def test_pictures_leave_the_cores_to_a_training(
    blender: ModuleType, addon_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    viewport, camera = (addon_module(f"neural_implicit_addon.{name}") for name in ("viewport", "viewport_camera"))
    training_session = addon_module("neural_implicit_addon.training_session")
    view = camera.view_from_matrices(np.eye(4), np.eye(4), (64, 48), (0.1, 10.0), (0.0, 0.0, 0.5, 1.0))
    scene = blender.context.scene
    scene.render.threads_mode = mode
    scene.render.threads = 3
    alone = viewport.picture_config(scene, view)
    assert alone.threads == (3 if mode == "FIXED" else None)
    assert (alone.width, alone.height, alone.region) == (64, 48, (0, 0, 32, 48))
    # The test owns no worker, so a session that is just beginning stands for it.
    session = training_session.TrainingSession("python", [object()], None)
    monkeypatch.setattr(training_session, "_session", session)
    assert viewport.picture_config(scene, view).threads == 1
    session.cancelled = True
    assert viewport.picture_config(scene, view) == alone
