# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural normals on meshes and neural objects' shadows on the GPU, against the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import shapes
import wild_residuals

from kernels.cameras import Camera, pixel_rays
from kernels.level_of_detail import LevelChoice
from kernels.networks import random_network
from kernels.normal_mapping import band_weights, normals_at, seen_normals
from kernels.scenes import NeuralInstance, NeuralNormals
from kernels.sequence import Band, NestedSequence
from kernels.shading import facing_normals
from kernels.shadow_rays import reach_sun
from kernels.tracing import TraceConfig

Module = Callable[[str], ModuleType]

SIZE = (40, 36)
CAMERA = Camera(np.diag([0.9, 1.0, -0.1, 1.0]), np.eye(4) + np.outer((0, 0, 1, 0), (0, 0, 0, 3.0)))


class Bench:
    """Buffers that are filled by hand, and the passes under test."""

    def __init__(self, device: Any, addon_module: Module) -> None:
        self.device = device
        self.tracer = addon_module("kernels.gpu.tracing").NeuralTracer(device)
        self.config = addon_module("kernels.scenes").RenderConfig(*SIZE)
        self.rays = addon_module("kernels.gpu.sources").PixelRays(CAMERA, SIZE, (0, 0, *SIZE))
        self.buffers = addon_module("kernels.gpu.surfaces").SurfaceBuffers(device, *SIZE)
        self.pixel_rays = pixel_rays(CAMERA, SIZE, (0, 0, *SIZE))

    def fill(self, points: np.ndarray, normals: np.ndarray, number: np.ndarray) -> None:
        """Surfaces at (N, 3) points of the pixels' rays, of mesh `number`; nothing where that is negative."""
        rays = self.pixel_rays
        t = ((points - rays.origins) * rays.directions).sum(axis=1)
        nothing = number < 0
        surface = np.where(nothing[:, None], (0.0, 0.0, 0.0, 1e30), np.column_stack([normals, t]))
        ones = np.ones(len(t))
        relief = np.column_stack([ones, ones, -ones, np.where(nothing, 0.0, number + 1)])
        owner = np.column_stack([np.where(nothing, 0.0, 1.0), 0.0 * ones, -ones, 0.0 * ones])
        for name, values in (("surface", surface), ("relief", relief), ("owner", owner)):
            setattr(self.buffers, name, self.device.texture(values.reshape(SIZE[1], SIZE[0], 4).astype(np.float32)))

    def read(self, name: str) -> np.ndarray:
        """(H * W, 4) of a buffer."""
        return self.device.read(getattr(self.buffers, name)).reshape(-1, 4)


@pytest.fixture
def bench(device: Any, addon_module: Module) -> Bench:
    return Bench(device, addon_module)


def dome(height: float = 0.75, sink: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A curved surface above z = 0 through all pixels, seen from above: points and unit normals."""
    rays = pixel_rays(CAMERA, SIZE, (0, 0, *SIZE))
    x, y = rays.origins[:, 0], rays.origins[:, 1]
    z = height - 0.45 * (x * x + y * y) - sink
    normals = np.column_stack([0.9 * x, 0.9 * y, np.ones_like(x)])
    return np.column_stack([x, y, z]), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def residual_sphere() -> NestedSequence:
    """A sphere with a small correction, three levels."""
    networks = [shapes.fitted_network(shapes.sphere(), 64)]
    for seed in (1, 2):
        correction = random_network((40, 40), omega=5.0, seed=seed)
        scale = np.float32(0.01)
        weights = (*correction.weights[:-1], correction.weights[-1] * scale)
        networks.append(type(correction)(weights, (*correction.biases[:-1], correction.biases[-1] * scale)))
    return NestedSequence(tuple(networks), (Band(0.3), Band(0.2)), kind="residual")


@pytest.mark.parametrize("transition", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["independent", "residual"])
def test_mapped_normals(bench: Bench, kind: str, transition: float) -> None:
    sequence = residual_sphere() if kind == "residual" else shapes.sphere_sequence()
    if kind == "independent":
        sequence = NestedSequence(sequence.networks, (Band(0.25),))
    points, normals = dome()
    number = np.where(np.arange(len(points)) % 7 == 0, 4, 3)
    number[:40] = -1
    bench.fill(points, normals, number)
    local_to_world = np.array([[1.1, 0.2, 0.0, 0.05], [0.0, 0.9, 0.1, 0.0], [0.0, 0.0, -1.2, 0.1], [0, 0, 0, 1.0]])
    local_to_network = np.diag([1.05, 0.9, 1.1, 1.0])
    mapped = NeuralNormals(sequence, local_to_network, transition)
    bench.tracer.map_normals(mapped, local_to_world, 3, bench.rays, bench.buffers)
    found = bench.read("surface")

    to_local = np.linalg.inv(local_to_world)
    local_points = points @ to_local[:3, :3].T + to_local[:3, 3]
    neural, places = normals_at(sequence, local_points, local_to_network)
    world = neural @ to_local[:3, :3]
    world /= np.linalg.norm(world, axis=1, keepdims=True).clip(1e-20)
    weights = band_weights(places, transition)
    views = -bench.pixel_rays.directions
    wanted = facing_normals(seen_normals(normals, world, weights), views)
    # The band's hard border may fall to either side of a point.
    sure = np.abs(places - 1.0) > 1e-3 if transition == 0.0 else np.ones(len(points), dtype=bool)
    own = (number == 3) & sure
    np.testing.assert_allclose(found[own, :3], wanted[own], atol=2e-3)
    assert 0.1 < (weights[own] > 0.5).mean() < 0.9, "the test needs points in the bands and beyond"
    # Other meshes, and pixels where nothing is seen, are as before.
    np.testing.assert_allclose(found[number == 4, :3], normals[number == 4], atol=1e-6)
    np.testing.assert_array_equal(found[number == -1], np.float32([0.0, 0.0, 0.0, 1e30])[None].repeat(40, axis=0))
    np.testing.assert_array_equal(bench.read("relief")[:, 0], 1.0)


@pytest.mark.parametrize("slope", [2.0, 1e4])
def test_mapped_normals_of_residuals_that_are_enormous_outside_their_bands(bench: Bench, slope: float) -> None:
    # The octahedron's upper faces, tilted, so that they leave the bands on both sides.
    points, normals = dome()
    points[:, 2] = wild_residuals.SIZE - np.abs(points[:, :2]).sum(axis=1) + 0.15 * points[:, 0]
    bench.fill(points, normals, np.zeros(len(points)))
    mapped = NeuralNormals(wild_residuals.octahedra(slope), np.eye(4), 0.0)
    bench.tracer.map_normals(mapped, np.eye(4), 0, bench.rays, bench.buffers)
    found = bench.read("surface")[:, :3]
    inside, outside = (wild_residuals.in_bands(points, margin) for margin in (1e-4, -1e-4))
    assert 0.1 < inside.mean() < 0.5
    # Beside an edge of the octahedron the sign is up to rounding; its lower faces look away from the camera.
    inside &= (np.abs(points) > 1e-5).all(axis=1) & (points[:, 2] > 0.0)
    np.testing.assert_allclose(found[inside], np.sign(points[inside]) / np.sqrt(3.0), atol=1e-4)
    np.testing.assert_allclose(found[~outside], normals[~outside], atol=1e-6)


def test_shadow_of_a_torus(bench: Bench) -> None:
    # A floor and a torus above it, which also casts shadows on its own far side.
    matrix = np.diag([0.8, 0.9, 0.7, 1.0])
    instance = NeuralInstance("torus", shapes.torus_sequence(), matrix)
    points, normals = dome(height=-0.4)
    number = np.zeros(len(points), dtype=int)
    number[:40] = -1
    bench.fill(points, normals, number)
    direction = np.array([0.3, -0.2, 0.9]) / np.linalg.norm([0.3, -0.2, 0.9])
    levels = LevelChoice((0, 1), 1)
    bench.tracer.shadow(instance, levels, tuple(direction), bench.rays, bench.buffers, bench.config)
    found = bench.read("relief")[:, 1]
    wanted = reach_sun(
        instance.sequence, matrix, levels.traced, points, normals, tuple(direction), TraceConfig()
    ).astype(float)
    assert 0.1 < 1.0 - wanted[number == 0].mean() < 0.8
    assert (found != wanted)[number == 0].mean() < 0.01
    np.testing.assert_array_equal(found[number == -1], 1.0)
    assert set(found) == {0.0, 1.0}


def test_object_in_full_sun_has_no_shadow_of_itself(bench: Bench) -> None:
    instance = NeuralInstance("sphere", shapes.sphere_sequence(), np.eye(4))
    levels = LevelChoice((0, 1), 1)
    bench.buffers.clear()
    bench.tracer.trace(instance, levels, bench.rays, bench.buffers, 0, bench.config)
    direction = np.array([0.4, 0.3, 0.87])
    direction /= np.linalg.norm(direction)
    bench.tracer.shadow(instance, levels, tuple(direction), bench.rays, bench.buffers, bench.config)
    surface, relief = bench.read("surface"), bench.read("relief")
    lit = (surface[:, 3] < 1e29) & (surface[:, :3] @ direction > 0.0)
    assert lit.sum() > 200
    assert relief[lit, 1].mean() > 0.995
