# SPDX-License-Identifier: GPL-3.0-or-later
"""Traits of shapes against what geometry says of spheres and bumps."""

from __future__ import annotations

import numpy as np
import pytest
import shapes

from kernels.meshes import TriangleMesh
from kernels.shape_traits import shape_traits


def test_a_sphere_bends_by_its_radius() -> None:
    for radius in (0.3, 0.8):
        traits = shape_traits(shapes.sphere_mesh(5, radius), 50.0)
        assert traits.noise == 0.0
        # From a tangent 0.03 long back to the sphere: the angle's tangent is 0.03 / radius.
        assert traits.detail == pytest.approx(np.degrees(np.arctan(0.03 / radius)), rel=0.05)


def test_few_triangles_do_not_look_like_detail() -> None:
    # Normals are blended over 128 triangles as over 8192.
    coarse, fine = (shape_traits(shapes.sphere_mesh(n, 0.8), 50.0).detail for n in (2, 5))
    assert coarse == pytest.approx(fine, rel=0.25)


def test_bumps_are_detail() -> None:
    def detail(height: float) -> float:
        torus = shapes.torus_mesh(240, 96)
        outward = shapes.unit_normals(shapes.torus(), torus.vertices)
        bumps = height * np.sin(40.0 * torus.vertices).prod(axis=1)[:, None]
        return shape_traits(TriangleMesh(torus.vertices + bumps * outward, torus.faces), 50.0).detail

    assert detail(0.0) < detail(0.005) < detail(0.01)


def test_noise_is_handed_through() -> None:
    assert shape_traits(shapes.sphere_mesh(2), 50.0, noise=0.01).noise == 0.01
