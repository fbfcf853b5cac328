# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sun casts shadows, and how often shadow maps are made. What shadows look like: test_rendering_meshes.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapes
from pictures import CONFIG, camera, placed

from kernels import shadow_maps, sun_occlusion
from kernels.lighting import PointLight, StudioLighting, SunLight
from kernels.scenes import Display, Geometry, MeshInstance, NeuralInstance, Scene
from kernels.sun_occlusion import shadowing_sun

CASTING = replace(CONFIG, sun_shadows=True)
WEAK, STRONG = SunLight((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)), SunLight((0.0, 0.0, 1.0), (3.0, 3.0, 3.0))
LAMP = PointLight((0.0, 0.0, 5.0), (9e9, 9e9, 9e9))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each map that is made; maps are small."""
    for module in (sun_occlusion, shadow_maps):
        monkeypatch.setattr(module, "SHADOW_MAP_SIDE", 32)
    monkeypatch.setattr(sun_occlusion, "_shadow_maps", sun_occlusion._ShadowMaps())
    counts: list[int] = []
    rasterize_depth = sun_occlusion.rasterize_depth
    monkeypatch.setattr(
        sun_occlusion, "rasterize_depth", lambda screen, region: counts.append(1) or rasterize_depth(screen, region)
    )
    return counts


def triangle(x: float = 0.0) -> MeshInstance:
    positions = np.eye(3, dtype=np.float32)
    faces, normals = np.array([[0, 1, 2]], np.int32), np.full((1, 3, 3), 3**-0.5, np.float32)
    return MeshInstance(
        "m", Geometry(positions, faces, normals, np.zeros(1, np.int32), "t"), placed(np.eye(3), (x, 0, 0))
    )


def test_the_brightest_sun_casts_the_shadows() -> None:
    sun = shadowing_sun(Scene(camera(), lights=(WEAK, LAMP, STRONG)), CASTING)
    assert sun.direction == STRONG.direction


@pytest.mark.parametrize(
    ("scene", "config"),
    [
        (Scene(camera(), lights=(STRONG,)), CONFIG),
        (Scene(camera(), lights=(LAMP,)), CASTING),
        (Scene(camera(), lights=(STRONG,), lighting=StudioLighting(())), CASTING),
        (Scene(camera(), lights=(STRONG,)), replace(CASTING, display=Display.LEVEL)),
    ],
    ids=["switched off", "no sun", "studio lighting", "false colours"],
)
def test_pictures_without_shadows(scene: Scene, config: object) -> None:
    assert shadowing_sun(scene, config) is None


def test_maps_are_kept_while_only_the_view_moves(made: list[int]) -> None:
    scene = Scene(camera(), meshes=(triangle(),), lights=(STRONG,))
    shadowing_sun(scene, CASTING)
    shadowing_sun(replace(scene, camera=camera(7.0)), replace(CASTING, width=10))
    assert len(made) == 1
    shadowing_sun(replace(scene, lights=(WEAK,)), CASTING)
    shadowing_sun(replace(scene, meshes=(triangle(1.0),)), CASTING)
    assert len(made) == 3
    shadowing_sun(scene, CASTING)
    assert len(made) == 4, "no more than a few are kept"
    shadowing_sun(replace(scene, meshes=()), CASTING)
    assert len(made) == 4


def test_points_that_face_away_see_no_sun() -> None:
    points, normals = np.zeros((3, 3)), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    sun = shadowing_sun(Scene(camera(), lights=(STRONG,)), CASTING)
    np.testing.assert_array_equal(sun.visibility(points, normals), [1.0, 0.0, 0.0])


def test_objects_of_no_size_cast_no_shadow() -> None:
    flat = NeuralInstance("flat", shapes.sphere_sequence(), np.diag([1.0, 1.0, 0.0, 1.0]))
    sun = shadowing_sun(Scene(camera(), (flat,), lights=(STRONG,)), CASTING)
    np.testing.assert_array_equal(sun.visibility(np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])), [1.0])


def test_maps_can_be_given_back(made: list[int]) -> None:
    scene = Scene(camera(), meshes=(triangle(),), lights=(STRONG,))
    shadowing_sun(scene, CASTING)
    sun_occlusion.forget_shadow_maps()
    shadowing_sun(scene, CASTING)
    assert len(made) == 2
