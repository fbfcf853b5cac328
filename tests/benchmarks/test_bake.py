# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake is compared with: Blender's own transfers, on a shape whose normals are known."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from benchmarks import measures


@pytest.fixture
def balls(blender: ModuleType) -> tuple[object, object]:
    """A ball of 5,120 triangles and a coarse one of 80 inside of it."""
    made = []
    for subdivisions in (5, 2):
        blender.ops.mesh.primitive_ico_sphere_add(subdivisions=subdivisions, radius=1.0)
        made.append(blender.context.object)
    return made[0], made[1]


def angles_to_the_ball(surface: measures.Surface) -> np.ndarray:
    return measures.angles(surface.vertex_normals, surface.vertices)


def test_data_transfer_brings_the_source_normals(balls: tuple[object, object]) -> None:
    from benchmarks import blender_transfers

    source, low_poly = balls
    shown = blender_transfers.data_transfer(source, low_poly)
    assert angles_to_the_ball(shown).max() < 0.5
    assert len(shown.triangles) == 80
    # Nothing stays behind on the mesh.
    assert not low_poly.modifiers
    assert "custom_normal" not in low_poly.data.attributes


def test_sdf_grid_brings_the_gradient_of_the_source(blender: ModuleType, balls: tuple[object, object]) -> None:
    from benchmarks import blender_transfers

    if not blender_transfers.has_sdf_grids():
        pytest.skip("this Blender has no SDF grids")
    source, low_poly = balls
    groups = len(blender.data.node_groups)
    gradients = blender_transfers.sdf_grid_gradients(source, low_poly, 0.05, 4)
    vertices = measures.surface_of(low_poly.data).vertices
    assert gradients.shape == vertices.shape
    assert measures.angles(gradients.astype(float), vertices).max() < 3.0
    np.testing.assert_allclose(np.linalg.norm(gradients, axis=1), 1.0, atol=0.1)
    # Nothing stays behind.
    assert len(blender.data.node_groups) == groups
    assert not low_poly.modifiers
