# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphere tracing on the GPU against the same in numpy, on shapes known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import shapes
import wild_residuals

from kernels.ambient_occlusion import openness
from kernels.cameras import Camera, pixel_rays
from kernels.level_of_detail import LevelChoice
from kernels.networks import Network, random_network
from kernels.scenes import NeuralInstance, RenderConfig
from kernels.sequence import Band, NestedSequence
from kernels.shading import facing_normals
from kernels.tracing import TraceConfig, trace

Module = Callable[[str], ModuleType]

SIZE = (48, 40)
CONFIG = RenderConfig(*SIZE)
BOTH = LevelChoice((0, 1), 1)
COARSE = LevelChoice((0,), 1)


class Traced:
    """What the buffers hold after an object was traced into them: (H * W, ...) arrays."""

    def __init__(self, device: Any, buffers: Any) -> None:
        surface, owner, relief = (
            device.read(getattr(buffers, name)).reshape(-1, 4) for name in ("surface", "owner", "relief")
        )
        self.hit = owner[:, 0] > 0.0
        self.normals, self.t = surface[:, :3], surface[:, 3]
        self.owner, self.relief = owner, relief


@pytest.fixture(scope="session")
def tracer(device: Any, addon_module: Module) -> Any:
    """The extension's tracer, with the configuration of its own classes given to `trace`."""
    config = addon_module("kernels.scenes").RenderConfig(*SIZE)
    tracer = addon_module("kernels.gpu.tracing").NeuralTracer(device)
    original = tracer.trace

    def trace_into(
        instance: NeuralInstance,
        levels: LevelChoice,
        rays: Any,
        buffers: Any,
        row: int,
        rectangle: Any = None,
        display: str = "SHADED",
    ) -> None:
        shown = addon_module("kernels.scenes").Display[display]
        original(instance, levels, rays, buffers, row, replace(config, display=shown), rectangle)

    tracer.trace = trace_into
    return tracer


@pytest.fixture
def buffers(device: Any, addon_module: Module) -> Any:
    return addon_module("kernels.gpu.surfaces").SurfaceBuffers(device, *SIZE)


@pytest.fixture
def rays_of(addon_module: Module) -> Callable[[Camera], Any]:
    """The rays of a whole picture."""
    return lambda camera: addon_module("kernels.gpu.sources").PixelRays(camera, SIZE, (0, 0, *SIZE))


def look_from(eye: tuple[float, float, float]) -> np.ndarray:
    """A camera at `eye` that looks at the origin."""
    backward = np.asarray(eye) / np.linalg.norm(eye)
    right = np.cross((0.1, 0.2, 1.0), backward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(backward, right), backward], axis=1)
    matrix[:3, 3] = eye
    return matrix


def perspective(eye: tuple[float, float, float], lens: float = 1.8, **limits: float) -> Camera:
    projection = np.diag([lens, lens * SIZE[0] / SIZE[1], -1.0, 0.0])
    projection[2, 3], projection[3, 2] = -0.02, -1.0
    return Camera(projection, look_from(eye), **limits)


def parallel(eye: tuple[float, float, float], scale: float = 1.2, **limits: float) -> Camera:
    return Camera(np.diag([scale, scale * SIZE[0] / SIZE[1], -0.1, 1.0]), look_from(eye), **limits)


def skewed() -> np.ndarray:
    """A transform with rotation, shear, non-uniform and mirrored scale, and an offset."""
    matrix = np.eye(4)
    matrix[:3, :3] = look_from((1.0, 0.4, 0.3))[:3, :3] @ np.diag([1.3, -0.6, 0.9])
    matrix[0, 1] += 0.2
    matrix[:3, 3] = (0.1, -0.2, 0.15)
    return matrix


def expected(instance: NeuralInstance, levels: LevelChoice, camera: Camera, config: TraceConfig) -> dict[str, Any]:
    """The CPU's answers: the tracer's result, world normals facing the viewer, openness."""
    rays = pixel_rays(camera, SIZE, (0, 0, *SIZE))
    to_network = np.linalg.inv(instance.network_to_world)
    origins = rays.origins @ to_network[:3, :3].T + to_network[:3, 3]
    farthest = (camera.clip_end - rays.start_depth) / rays.cosines
    directions = rays.directions @ to_network[:3, :3].T
    result = trace(instance.sequence, origins, directions, replace(config, levels=levels.traced), farthest)
    normals = instance.sequence.normals(result.positions, levels.normals)
    normals = normals * np.where(result.inside, -1.0, 1.0)[:, None]
    shares = openness(instance.sequence, result.positions, normals.astype(np.float32))
    world = normals @ to_network[:3, :3]
    world /= np.linalg.norm(world, axis=1, keepdims=True).clip(1e-20)
    return {"result": result, "normals": facing_normals(world, -rays.directions), "openness": shares}


def network_points(instance: NeuralInstance, camera: Camera, t: np.ndarray) -> np.ndarray:
    """(H * W, 3) float32 points of a picture's rays, in the object's network space."""
    rays = pixel_rays(camera, SIZE, (0, 0, *SIZE))
    to_network = np.linalg.inv(instance.network_to_world)
    world = rays.origins + np.where(t < 1e29, t, 0.0)[:, None] * rays.directions
    return (world @ to_network[:3, :3].T + to_network[:3, 3]).astype(np.float32)


def check(tracer: Any, device: Any, buffers: Any, rays: Any, instance: NeuralInstance, levels: LevelChoice) -> Traced:
    """Trace on the GPU into empty buffers and compare with the CPU."""
    camera = rays.camera
    buffers.clear()
    tracer.trace(instance, levels, rays, buffers, 4)
    found = Traced(device, buffers)
    wanted = expected(instance, levels, camera, CONFIG.trace)
    result = wanted["result"]
    # Rays that graze the surface may end either way.
    assert (found.hit != result.hit).mean() < 0.004
    assert result.hit.mean() > 0.02, "the test looks past its object"
    both = found.hit & result.hit
    scale = np.linalg.svd(instance.network_to_world[:3, :3], compute_uv=False)[0]
    assert np.quantile(np.abs(found.t - result.t)[both] / scale, 0.98) < CONFIG.trace.tolerance
    on_surface = instance.sequence.distance(levels.traced[-1], network_points(instance, camera, found.t)[both])
    assert np.quantile(np.abs(on_surface), 0.98) < CONFIG.trace.tolerance
    cosines = (found.normals * wanted["normals"]).sum(axis=1)[both]
    np.testing.assert_allclose(np.linalg.norm(found.normals[both], axis=1), 1.0, atol=1e-4)
    assert np.quantile(cosines, 0.02) > 0.9995
    assert np.quantile(np.abs(found.relief[:, 0] - wanted["openness"])[both], 0.98) < 0.01
    np.testing.assert_array_equal(found.owner[both, 0], 5.0)
    np.testing.assert_array_equal(found.owner[both, 1], instance.object_index)
    np.testing.assert_array_equal(found.owner[both, 2], result.level[both])
    # Evaluations are counted for all rays that meet the bounds, hits or not.
    assert found.owner[:, 3].mean() == pytest.approx(result.steps.mean(), rel=0.2)
    np.testing.assert_array_equal(found.relief[:, 3], 0.0)
    np.testing.assert_array_equal(found.normals[~found.hit], 0.0)
    np.testing.assert_array_equal(found.t[~found.hit], np.float32(1e30))
    return found


CAMERAS = {
    "perspective": perspective((1.5, -2.0, 1.2)),
    "parallel": parallel((1.0, 2.0, 0.8), clip_start=0.1, clip_end=9.0),
    "within the bounds": perspective((0.75, -0.5, 0.7), lens=0.9),
    "inside the object": perspective((0.5, 0.1, 0.05), lens=0.8),
    "clipped": perspective((1.5, -2.0, 1.2), clip_start=2.3, clip_end=2.8),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_cameras(tracer: Any, device: Any, buffers: Any, rays_of: Any, name: str) -> None:
    instance = NeuralInstance("torus", shapes.torus_sequence(), np.eye(4), object_index=7)
    check(tracer, device, buffers, rays_of(CAMERAS[name]), instance, BOTH)


@pytest.mark.parametrize("levels", [BOTH, COARSE, LevelChoice((0,), 0), LevelChoice((1,), 1)], ids=str)
def test_levels_of_a_skewed_object(tracer: Any, device: Any, buffers: Any, rays_of: Any, levels: LevelChoice) -> None:
    instance = NeuralInstance("torus", shapes.torus_sequence(), skewed(), object_index=2)
    check(tracer, device, buffers, rays_of(perspective((1.6, -2.4, 1.2))), instance, levels)


def test_closed_form(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    camera = perspective((0.0, -3.0, 0.0), lens=3.0)
    instance = NeuralInstance("sphere", shapes.sphere_sequence(), np.eye(4))
    buffers.clear()
    tracer.trace(instance, BOTH, rays_of(camera), buffers, 0)
    found = Traced(device, buffers)
    rays = pixel_rays(camera, SIZE, (0, 0, *SIZE))
    along = (rays.origins * rays.directions).sum(axis=1)
    inside = along**2 - 9.0 + 0.36
    np.testing.assert_array_equal(found.hit[np.abs(inside) > 0.01], (inside > 0.0)[np.abs(inside) > 0.01])
    seen = found.hit & (inside > 0.05)
    np.testing.assert_allclose(found.t[seen], (-along - np.sqrt(inside.clip(0.0)))[seen], atol=5e-3)
    points = rays.origins + found.t[:, None] * rays.directions
    assert ((points * found.normals).sum(axis=1)[seen] / 0.6).min() > 0.99


def test_points_without_gradient_face_the_viewer(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    coarse = shapes.sphere_sequence().networks[0]
    constant = replace(coarse, weights=tuple(np.zeros_like(weight) for weight in coarse.weights))
    instance = NeuralInstance("sphere", NestedSequence((coarse, constant), (Band(0.1),)), np.eye(4))
    camera = perspective((1.5, -2.0, 1.2))
    buffers.clear()
    tracer.trace(instance, COARSE, rays_of(camera), buffers, 0)
    found = Traced(device, buffers)
    views = -pixel_rays(camera, SIZE, (0, 0, *SIZE)).directions
    assert found.hit.any()
    np.testing.assert_allclose(found.normals[found.hit], views[found.hit], atol=1e-5)


def deepened(network: Network, layers: int) -> Network:
    """Nearly the same network with so many hidden layers: sines of small arguments are the arguments."""
    width, share = network.widths[0], np.float32(0.15)
    more = layers - 1
    weights = [network.weights[0], *[share * np.eye(width, dtype=np.float32)] * more]
    biases = [network.biases[0], *[np.zeros(width, dtype=np.float32)] * more, network.biases[-1]]
    return replace(network, weights=(*weights, network.weights[-1] / share**more), biases=tuple(biases))


def test_wide_networks_lose_no_rays(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    # Software drivers stop long loops; rays along the top of a slab take many iterations.
    fitted = shapes.fitted_sequence(shapes.box((0.7, 0.7, 0.1)), (64, 128, 256), omega=4.0)
    networks = tuple(deepened(network, 2 + level) for level, network in enumerate(fitted.networks))
    instance = NeuralInstance("slab", replace(fitted, networks=networks), np.eye(4))
    camera, levels = parallel((2.0, 0.1, 0.4)), LevelChoice((0, 1, 2), 2)
    found = check(tracer, device, buffers, rays_of(camera), instance, levels)
    hits = expected(instance, levels, camera, CONFIG.trace)["result"].hit.sum()
    assert abs(found.hit.sum() - hits) <= 2


def residual_torus() -> NestedSequence:
    """A correction too small to break the nesting, on top of a torus."""
    coarse = shapes.torus_sequence().networks[0]
    correction = random_network((48, 48), omega=6.0)
    last = correction.weights[-1] * np.float32(0.01), correction.biases[-1] * np.float32(0.0)
    correction = replace(
        correction, weights=(*correction.weights[:-1], last[0]), biases=(*correction.biases[:-1], last[1])
    )
    return NestedSequence((coarse, correction), (Band(0.08),), kind="residual")


def test_residual_sequence(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    instance = NeuralInstance("torus", residual_torus(), np.eye(4))
    check(tracer, device, buffers, rays_of(CAMERAS["perspective"]), instance, BOTH)


@pytest.mark.parametrize("levels", [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize(("name", "slope"), [("perspective", 2.0), ("within the bounds", 1e4)])
def test_residuals_that_are_enormous_outside_their_bands(
    tracer: Any, device: Any, buffers: Any, rays_of: Any, name: str, slope: float, levels: tuple[int, ...]
) -> None:
    sequence = wild_residuals.octahedra(slope)
    instance = NeuralInstance("octahedron", sequence, np.eye(4))
    camera = CAMERAS[name]
    choice = LevelChoice(levels, min(levels[-1] + 1, sequence.finest))
    found = check(tracer, device, buffers, rays_of(camera), instance, choice)
    rays = pixel_rays(camera, SIZE, (0, 0, *SIZE))
    size = wild_residuals.COARSE_SIZE - np.sqrt(3.0) * sum(wild_residuals.CORRECTIONS[: levels[-1]])
    hits = wild_residuals.octahedron_hits(rays.origins, rays.directions, size)
    assert (found.hit != np.isfinite(hits)).mean() < 0.004
    points = network_points(instance, camera, found.t)[found.hit]
    heights = np.abs(np.abs(points).sum(axis=1) - size) / np.sqrt(3.0)
    assert np.quantile(heights, 0.98) < 2.0 * CONFIG.trace.tolerance
    cosines = (found.normals[found.hit] * np.sign(points)).sum(axis=1) / np.sqrt(3.0)
    assert np.quantile(cosines, 0.02) > 0.999


def counted_dispatches(device: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shaders that run from now on."""
    names: list[str] = []
    run = type(device).dispatch

    def dispatch(shader: Any, *others: Any) -> None:
        names.append(shader.name)
        run(device, shader, *others)

    monkeypatch.setattr(device, "dispatch", dispatch)
    return names


@pytest.mark.parametrize("name", ["perspective", "inside the object"])
def test_pictures_do_not_depend_on_where_dispatches_end(
    device: Any, addon_module: Module, rays_of: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, scenes = addon_module("kernels.gpu.tracing"), addon_module("kernels.scenes")
    buffers = addon_module("kernels.gpu.surfaces").SurfaceBuffers(device, *SIZE)
    monkeypatch.setattr(device, "is_software", True)
    rays, config = rays_of(CAMERAS[name]), scenes.RenderConfig(*SIZE, ambient_occlusion=False)
    for sequence in (shapes.fitted_sequence(shapes.torus(), (64, 128)), residual_torus()):
        instance = NeuralInstance("torus", sequence, skewed() if name == "perspective" else np.eye(4))
        pictures, passes = [], []
        for iterations in (50000, 3000):
            monkeypatch.setattr(module, "SOFTWARE_ITERATIONS", iterations)
            dispatched = counted_dispatches(device, monkeypatch)
            tracer = module.NeuralTracer(device)
            buffers.clear()
            tracer.trace(instance, BOTH, rays, buffers, 0, config)
            tracer.shadow(instance, BOTH, (0.0, 0.6, 0.8), rays, buffers, config)
            pictures.append([device.read(buffers.textures[each]).copy() for each in ("surface", "owner", "relief")])
            passes.append(dispatched)
            tracer.free()
        for whole, parts in zip(*pictures, strict=True):
            np.testing.assert_array_equal(whole, parts)
        for shader in ("sphere tracing", "neural shadow"):
            assert passes[1].count(shader) > passes[0].count(shader)


def test_three_levels(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    sequence = shapes.fitted_sequence(shapes.bumpy(shapes.torus(), 0.02, 8.0), (64, 128, 256), omega=4.0)
    instance = NeuralInstance("bumps", sequence, np.eye(4))
    check(tracer, device, buffers, rays_of(CAMERAS["perspective"]), instance, LevelChoice((0, 1), 2))
    check(tracer, device, buffers, rays_of(CAMERAS["perspective"]), instance, LevelChoice((0, 1, 2), 2))


def test_places_in_the_band(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    rays = rays_of(CAMERAS["perspective"])
    sequence = shapes.torus_sequence()
    instance = NeuralInstance("torus", sequence, np.eye(4))
    buffers.clear()
    tracer.trace(instance, BOTH, rays, buffers, 0, display="BAND")
    found = Traced(device, buffers)
    points = network_points(instance, rays.camera, found.t)[found.hit]
    places = np.abs(sequence.distance(0, points)) / sequence.bands[0].delta
    np.testing.assert_allclose(found.relief[found.hit, 2], places, atol=1e-3)
    assert np.ptp(places) > 0.05
    np.testing.assert_array_equal(found.relief[~found.hit, 2], -1.0)
    np.testing.assert_array_equal(found.relief[:, 0], 1.0)


def test_nearer_objects_win_in_any_order(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    rays = rays_of(CAMERAS["perspective"])
    behind = np.eye(4)
    behind[:3, 3] = (-0.3, 0.6, 0.0)
    instances = [
        NeuralInstance("torus", shapes.torus_sequence(), np.eye(4)),
        NeuralInstance("sphere", shapes.sphere_sequence(), behind),
    ]
    pictures = []
    for order in ((0, 1), (1, 0)):
        buffers.clear()
        for row in order:
            tracer.trace(instances[row], BOTH, rays, buffers, row)
        pictures.append(Traced(device, buffers))
    alone = [expected(instance, BOTH, rays.camera, CONFIG.trace)["result"] for instance in instances]
    nearest = np.where(alone[0].t <= alone[1].t, 1.0, 2.0) * (alone[0].hit | alone[1].hit)
    for picture in pictures:
        assert (picture.owner[:, 0] != nearest).mean() < 0.004
        assert set(nearest) == {0.0, 1.0, 2.0}


def test_rectangles_make_the_same_picture(tracer: Any, device: Any, buffers: Any, rays_of: Any) -> None:
    rays = rays_of(CAMERAS["perspective"])
    instance = NeuralInstance("torus", shapes.torus_sequence(), np.eye(4))
    pictures = []
    for rectangles in ([None], [(0, 0, 21, 40), (21, 0, 27, 13), (21, 13, 27, 27)]):
        buffers.clear()
        for rectangle in rectangles:
            tracer.trace(instance, BOTH, rays, buffers, 0, rectangle)
        pictures.append([device.read(buffers.textures[name]).copy() for name in ("surface", "owner", "relief")])
    for whole, parts in zip(*pictures, strict=True):
        np.testing.assert_array_equal(whole, parts)


def test_unseen_objects_and_empty_rectangles_change_nothing(
    tracer: Any, device: Any, buffers: Any, rays_of: Any
) -> None:
    rays = rays_of(CAMERAS["perspective"])
    away = np.eye(4)
    away[:3, 3] = (30.0, 0.0, 0.0)
    buffers.clear()
    tracer.trace(NeuralInstance("torus", shapes.torus_sequence(), away), BOTH, rays, buffers, 0)
    torus = NeuralInstance("torus", shapes.torus_sequence(), np.eye(4))
    tracer.trace(torus, BOTH, rays, buffers, 0, (0, 0, 0, 0))
    found = Traced(device, buffers)
    assert not found.hit.any()
    assert not found.owner[:, 3].any()


def test_networks_are_kept_until_no_longer_wanted(
    device: Any, addon_module: Module, rays_of: Any, buffers: Any
) -> None:
    module = addon_module("kernels.gpu.tracing")
    made = []
    tracer = module.NeuralTracer(device)
    original = tracer._on_gpu
    tracer._on_gpu = lambda sequence: made.append(original(sequence)) or made[-1]
    sequence = shapes.sphere_sequence()
    instance = NeuralInstance("sphere", sequence, np.eye(4))
    for _ in range(2):
        tracer.trace(instance, BOTH, rays_of(CAMERAS["parallel"]), buffers, 0, CONFIG)
    assert len({id(kept) for kept in made}) == 1
    tracer.keep([sequence])
    assert len(tracer._kept) == 1
    tracer.keep([])
    assert not tracer._kept
