# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphere tracing against intersections in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
import shapes
import wild_residuals
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels.sequence
from kernels import trace_stages, tracing
from kernels.networks import Network, evaluate
from kernels.sequence import Band, NestedSequence
from kernels.tracing import TraceConfig, trace, trace_single_level

ALL_LEVELS = TraceConfig(levels=(0, 1))


def rays_from(eye: tuple[float, float, float], side: int = 48, spread: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """A square fan of rays from `eye` towards the origin; lengths of the directions vary."""
    origin = np.array(eye)
    forward = -origin / np.linalg.norm(origin)
    right = np.cross(forward, (0.0, 0.3, 1.0))
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    v, u = (grid.ravel()[:, None] * spread for grid in np.meshgrid(*2 * [np.linspace(-1.0, 1.0, side)], indexing="ij"))
    directions = (forward + u * right + v * up) * np.random.default_rng(0).uniform(0.2, 5.0, (side * side, 1))
    return np.tile(origin, (side * side, 1)), directions


def sphere_hits(origins: np.ndarray, directions: np.ndarray, radius: float = 0.6) -> np.ndarray:
    """t of the first intersection with a sphere around the origin; infinite for none."""
    a = (directions**2).sum(1)
    b = (origins * directions).sum(1)
    root = b * b - a * ((origins**2).sum(1) - radius**2)
    with np.errstate(invalid="ignore"):
        near, far = (-b - np.sqrt(root)) / a, (-b + np.sqrt(root)) / a
    return np.where((root < 0) | (far < 0), np.inf, np.where(near > 0, near, far))


def torus_hits(origins: np.ndarray, directions: np.ndarray, major: float = 0.55, minor: float = 0.22) -> np.ndarray:
    """t of the first intersection with a torus around z: the smallest positive root of its quartic."""
    found = []
    for o, d in zip(origins, directions, strict=True):
        a, b, c = d @ d, 2.0 * (o @ d), o @ o + major**2 - minor**2
        quartic = np.polymul([a, b, c], [a, b, c])
        ring = 4.0 * major**2 * np.array([d[0] ** 2 + d[1] ** 2, 2.0 * (o[:2] @ d[:2]), o[0] ** 2 + o[1] ** 2])
        roots = np.roots(np.polysub(quartic, ring))
        real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0.0)]
        found.append(real.min() if len(real) else math.inf)
    return np.array(found)


def assert_agrees(result: tracing.TraceResult, expected: np.ndarray, directions: np.ndarray, within: float) -> None:
    """Same silhouette up to grazing rays, and the same distances in network units."""
    hit = np.isfinite(expected)
    assert (result.hit != hit).mean() < 0.01
    both = hit & result.hit
    error = np.abs(result.t[both] - expected[both]) * np.linalg.norm(directions, axis=1)[both]
    # A fitted surface that is off by e is met e / cos(angle) earlier or later: the median judges the tracer.
    assert np.median(error) < within
    assert np.quantile(error, 0.95) < 12.0 * within
    assert np.isinf(result.t[~result.hit]).all()


def assert_same_points(first: np.ndarray, second: np.ndarray, rows: np.ndarray) -> None:
    """The same points but for rounding, which may let a ray arrive one step earlier or later."""
    apart = np.linalg.norm(first[rows] - second[rows], axis=1)
    assert np.median(apart) < 1e-5
    assert np.quantile(apart, 0.99) < 1e-3


@pytest.mark.parametrize("config", [None, ALL_LEVELS, TraceConfig(levels=(1,))])
@pytest.mark.parametrize("eye", [(0.4, -3.0, 1.2), (300.0, -20.0, 80.0), (0.75, 0.7, -0.5)])
def test_sphere(config: TraceConfig | None, eye: tuple[float, float, float]) -> None:
    origins, directions = rays_from(eye, spread=min(0.8, 1.2 / np.linalg.norm(eye)))
    result = trace(shapes.sphere_sequence(), origins, directions, config)
    assert_agrees(result, sphere_hits(origins, directions), directions, 2e-3)
    np.testing.assert_allclose(
        (origins + result.t[:, None] * directions)[result.hit], result.positions[result.hit], atol=1e-5
    )


@pytest.mark.parametrize("config", [None, ALL_LEVELS, TraceConfig(levels=(1,))])
@pytest.mark.parametrize("eye", [(0.4, -3.0, 1.2), (300.0, -20.0, 80.0), (0.75, 0.7, -0.5), (0.1, -0.2, 0.05)])
@pytest.mark.parametrize("side", [5, 37])
def test_pixels_of_a_picture(config: TraceConfig | None, eye: tuple[float, float, float], side: int) -> None:
    """Followed in blocks, neighbours meet what they meet one by one: seen from afar, from near, and from within."""
    origins, directions = rays_from(eye, side=side, spread=min(0.8, 1.2 / np.linalg.norm(eye)))
    result = trace(shapes.sphere_sequence(), origins, directions, config, shape=(side, side))
    expected = trace(shapes.sphere_sequence(), origins, directions, config)
    assert (result.hit != expected.hit).mean() < 0.002
    assert (result.inside == expected.inside).all()
    assert (result.level[expected.hit] == expected.level[expected.hit]).all()
    both = result.hit & expected.hit
    # Another start, another last step: each is within the tolerance of the surface.
    apart = np.linalg.norm(result.positions[both] - expected.positions[both], axis=1)
    assert np.median(apart) < 3e-4
    assert np.quantile(apart, 0.95) < 2e-3


def test_pictures_larger_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2))
    whole = trace(shapes.torus_sequence(), origins, directions, ALL_LEVELS, shape=(48, 48))
    monkeypatch.setattr(tracing, "RAYS_PER_BLOCK", 1000)
    parts = trace(shapes.torus_sequence(), origins, directions, ALL_LEVELS, shape=(48, 48))
    same = whole.hit == parts.hit
    assert same.mean() > 0.999
    assert_same_points(whole.positions, parts.positions, same & whole.hit)


def test_neighbours_may_be_strangers() -> None:
    """Rays in any order under a picture's shape: nothing gained, nothing lost."""
    origins, directions = rays_from((0.4, -3.0, 1.2))
    origins = origins + np.random.default_rng(2).uniform(-0.5, 0.5, origins.shape)
    order = np.random.default_rng(1).permutation(len(origins))
    result = trace(shapes.torus_sequence(), origins[order], directions[order], ALL_LEVELS, shape=(48, 48))
    expected = trace(shapes.torus_sequence(), origins, directions, ALL_LEVELS)
    same = result.hit == expected.hit[order]
    assert same.mean() > 0.998
    apart = np.linalg.norm(result.positions - expected.positions[order], axis=1)[same & result.hit]
    assert np.quantile(apart, 0.95) < 2e-3


def test_pixels_of_a_picture_take_fewer_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    distance = NestedSequence.distance

    def spy(self: NestedSequence, level: int, points: np.ndarray) -> np.ndarray:
        asked.append(len(points))
        return distance(self, level, points)

    monkeypatch.setattr(NestedSequence, "distance", spy)
    origins, directions = rays_from((0.4, -3.0, 1.2), side=128)
    trace(shapes.sphere_sequence(), origins, directions)
    apart = sum(asked)
    asked.clear()
    trace(shapes.sphere_sequence(), origins, directions, shape=(128, 128))
    assert sum(asked) < 0.5 * apart


def test_shape_that_does_not_fit_the_rays() -> None:
    with pytest.raises(ValueError, match="5 rows and 3 columns"):
        trace(shapes.sphere_sequence(), np.zeros((16, 3)), np.ones((16, 3)), shape=(5, 3))


def test_cancelled_trace() -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2), side=8)
    asked = []
    with pytest.raises(tracing.TraceCancelled):
        trace(shapes.sphere_sequence(), origins, directions, cancelled=lambda: asked.append(0) or len(asked) > 2)
    assert len(asked) == 3


@pytest.mark.parametrize(("config", "within"), [(None, 8e-3), (ALL_LEVELS, 4e-3)])
def test_torus(config: TraceConfig | None, within: float) -> None:
    origins, directions = rays_from((0.8, -2.6, 1.7), side=32)
    result = trace(shapes.torus_sequence(), origins, directions, config)
    assert_agrees(result, torus_hits(origins, directions), directions, within)


def test_camera_inside_the_object_sees_it_from_within() -> None:
    origins, directions = rays_from((0.1, -0.2, 0.05), spread=2.0)
    result = trace(shapes.sphere_sequence(), origins, directions, ALL_LEVELS)
    assert result.hit.all()
    assert result.inside.all()
    assert_agrees(result, sphere_hits(origins, directions), directions, 2e-3)


def test_order_and_batching_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2))
    whole = trace(shapes.torus_sequence(), origins, directions, ALL_LEVELS)
    order = np.random.default_rng(1).permutation(len(origins))
    monkeypatch.setattr(tracing, "RAYS_PER_BLOCK", 177)
    pieces = trace(shapes.torus_sequence(), origins[order], directions[order], ALL_LEVELS)
    # Matrix products of other sizes round differently, which a grazing ray may notice.
    same = whole.hit[order] == pieces.hit
    assert same.mean() > 0.999
    assert_same_points(whole.positions[order], pieces.positions, same & pieces.hit)


def test_cost_follows_the_rays_alive() -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2))
    result = trace(shapes.sphere_sequence(), origins, directions)
    assert result.steps.mean() < 12
    assert (result.steps[result.level < 0] == 0).all()
    assert result.steps.max() <= TraceConfig().max_steps


def residual_spheres() -> NestedSequence:
    """The sequence of spheres with f_1 = f_0 + r, r = fine - coarse as one network whose layers stand side by side."""
    fine, coarse = shapes.sphere_sequence().networks[::-1]
    residual = Network(
        (
            np.concatenate([fine.weights[0], coarse.weights[0]]),
            np.concatenate([fine.weights[1], -coarse.weights[1]], axis=1),
        ),
        (np.concatenate([fine.biases[0], coarse.biases[0]]), fine.biases[1] - coarse.biases[1]),
    )
    return NestedSequence((coarse, residual), shapes.sphere_sequence().bands, kind="residual")


def asked_of_level_1(monkeypatch: pytest.MonkeyPatch, sequence: NestedSequence) -> list[np.ndarray]:
    """The points at which that level's network will have been evaluated."""
    asked = []

    def spy(network: Network, points: np.ndarray) -> np.ndarray:
        if network is sequence.networks[1]:
            asked.append(points)
        return evaluate(network, points)

    for module in (trace_stages, kernels.sequence):
        monkeypatch.setattr(module, "evaluate", spy)
    return asked


@pytest.mark.parametrize(
    ("sequence", "bands", "slack"),
    [(shapes.sphere_sequence(), 3.0, 3.0 * ALL_LEVELS.tolerance), (residual_spheres(), 1.0, 1e-6)],
)
def test_finest_level_is_evaluated_near_the_band_alone(
    monkeypatch: pytest.MonkeyPatch, sequence: NestedSequence, bands: float, slack: float
) -> None:
    """A residual means nothing outside the band; a level of its own may be followed where it leads from there."""
    asked = asked_of_level_1(monkeypatch, sequence)
    origins, directions = rays_from((0.4, -3.0, 1.2))
    trace(sequence, origins, directions, ALL_LEVELS)
    coarse = np.abs(evaluate(sequence.networks[0], np.concatenate(asked)))
    assert coarse.max() <= bands * sequence.bands[0].delta + slack


@lru_cache
def two_balls() -> Network:
    """The sphere, and a second ball beside it."""
    both = shapes.union(shapes.sphere(0.6), shapes.sphere(0.12, (0.83, 0.0, 0.0)))
    return shapes.fitted_network(both, 640, omega=4.0)


@pytest.mark.parametrize("shape", [None, (48, 48)])
def test_what_the_finest_level_shows_outside_the_band_is_not_there(shape: tuple[int, int] | None) -> None:
    """A second ball, which only the fine level knows of and which is much farther away than the band is wide."""
    coarse, band = shapes.sphere_sequence().networks[0], shapes.sphere_sequence().bands[0]
    origins, directions = rays_from((0.4, -3.0, 0.4))
    sequence = NestedSequence((coarse, two_balls()), (band,))
    expected = sphere_hits(origins, directions)
    alone = trace(sequence, origins, directions, TraceConfig(levels=(1,)))
    assert alone.hit.sum() > 1.02 * np.isfinite(expected).sum()
    result = trace(sequence, origins, directions, ALL_LEVELS, shape=shape)
    assert_agrees(result, expected, directions, 4e-3)


def test_residual_sequence() -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2))
    result = trace(residual_spheres(), origins, directions, ALL_LEVELS)
    assert_agrees(result, sphere_hits(origins, directions), directions, 2e-3)


def test_rays_from_a_band_know_their_coarse_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a residual sequence's next level adds to was seen at the very same point."""
    sequence, asked = residual_spheres(), []

    def spy(network: Network, points: np.ndarray) -> np.ndarray:
        asked.append((network is sequence.networks[0], len(points)))
        return evaluate(network, points)

    for module in (trace_stages, kernels.sequence):
        monkeypatch.setattr(module, "evaluate", spy)
    origins, directions = rays_from((0.4, -3.0, 1.2))
    result = trace(sequence, origins, directions, ALL_LEVELS)
    evaluations = sum(count for is_coarse, count in asked if is_coarse)
    # One coarse evaluation for each step but the first one on level 1.
    assert evaluations <= result.steps.sum() - 0.9 * result.hit.sum()


LEVEL_CHOICES = [None, (0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)]


@pytest.mark.parametrize(("side", "slope"), [(None, 1e4), (40, 2.0)])
@pytest.mark.parametrize("eye", [(0.4, -3.0, 1.2), (0.8, 0.75, -0.6)], ids=["perspective", "within the bounds"])
@pytest.mark.parametrize("levels", LEVEL_CHOICES, ids=str)
def test_residuals_that_are_enormous_outside_their_bands(
    levels: tuple[int, ...] | None, eye: tuple[float, float, float], side: int | None, slope: float
) -> None:
    sequence = wild_residuals.octahedra(slope)
    origins, directions = rays_from(eye, side=side or 40, spread=min(0.8, 1.2 / np.linalg.norm(eye)))
    config = TraceConfig(levels=levels)
    result = trace(sequence, origins, directions, config, shape=None if side is None else (side, side))
    last = tracing.default_levels(sequence)[-1] if levels is None else levels[-1]
    size = wild_residuals.COARSE_SIZE - np.sqrt(3.0) * sum(wild_residuals.CORRECTIONS[:last])
    expected = wild_residuals.octahedron_hits(origins, directions, size)
    assert np.isfinite(expected).mean() > 0.1
    # Rays along an edge may end either way.
    assert (result.hit != np.isfinite(expected)).mean() < 0.004
    both = result.hit & np.isfinite(expected)
    assert (result.level[both] == last).all()
    error = np.abs(result.t[both] - expected[both]) * np.linalg.norm(directions, axis=1)[both]
    assert np.median(error) < config.tolerance
    height = (np.abs(result.positions[both]).sum(axis=1) - size) / np.sqrt(3.0)
    assert np.quantile(np.abs(height), 0.98) < 2.0 * config.tolerance
    # The next finer level gives the normals there.
    normals = sequence.normals(result.positions[both], min(last + 1, sequence.finest))
    cosines = (normals * np.sign(result.positions[both])).sum(axis=1) / np.sqrt(3.0)
    assert np.quantile(cosines, 0.02) > 0.999


@pytest.mark.parametrize("delta", [2e-5, 2e-4])
def test_bands_narrower_than_the_tolerance(delta: float) -> None:
    """Rays come closer then, so that the normals' level is asked in its band."""
    wild = wild_residuals.octahedra()
    # The last correction is zero near its band's middle and enormous beyond a hundredth of the usual width.
    weights, biases = wild.networks[2].weights, wild.networks[2].biases
    hinges = biases[1] + np.float32(wild_residuals.DELTAS[1] - delta)
    finest = Network(weights, (biases[0], hinges, np.zeros_like(biases[2])), "relu")
    sequence = NestedSequence((*wild.networks[:2], finest), (wild.bands[0], Band(delta)), kind="residual")
    origins, directions = rays_from((0.4, -3.0, 1.2), side=40)
    result = trace(sequence, origins, directions)
    expected = wild_residuals.octahedron_hits(
        origins, directions, wild_residuals.COARSE_SIZE - np.sqrt(3.0) * wild_residuals.CORRECTIONS[0]
    )
    assert (result.hit != np.isfinite(expected)).mean() < 0.004
    places = np.abs(sequence.distance(1, result.positions[result.hit])) / delta
    assert np.quantile(places, 0.98) <= 1.0
    everything = trace(sequence, origins, directions, TraceConfig(levels=(0, 1, 2)))
    assert (everything.hit != np.isfinite(expected)).mean() < 0.004


def linear_network(normal: tuple[float, float, float], offset: float, scale: float = 1.0) -> Network:
    """f(p) = scale * (normal . p - offset) inside the cube, by ReLUs of +-x, +-y, +-z."""
    identity = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    last = scale * np.concatenate([normal, np.negative(normal)])[None].astype(np.float32)
    return Network((identity, last), (np.zeros(6, np.float32), np.array([-scale * offset], np.float32)), "relu")


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_network_that_is_no_exact_distance(scale: float) -> None:
    """Steps three times too long cross the surface again and again; bisection still finds it."""
    networks = (linear_network((0, 0, 1), 0.25, 1.0), linear_network((0, 0, 1), 0.2, scale))
    sequence = NestedSequence(networks, (Band(0.15),))
    origins, directions = rays_from((0.3, 0.2, 3.0), spread=0.15)
    result = trace(sequence, origins, directions, ALL_LEVELS)
    assert result.hit.all()
    np.testing.assert_allclose(result.positions[:, 2], 0.2, atol=1.5e-3)


@dataclass(frozen=True)
class Wall:
    """A wall across the cube, with values beside it as trained networks have them.

    They are flat in the wall, and larger than the distances a little above.

    Attributes:
        half: half of its thickness.
        heights, values: straight lines between these values at these heights above and below its middle, z = 0.
    """

    half: float
    heights: tuple[float, ...]
    values: tuple[float, ...]

    def sequence(self) -> NestedSequence:
        """The wall as a single network."""
        slopes = np.diff(self.values) / np.diff(self.heights)
        # Of two slopes at each height, the first unit brings the difference; above and below alike.
        count = len(slopes)
        directions = np.repeat([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], count, axis=0)
        weights = directions.astype(np.float32), np.tile(np.diff(slopes, prepend=0.0), 2)[None].astype(np.float32)
        biases = np.tile(np.negative(self.heights[:-1]), 2).astype(np.float32), np.array(self.values[:1], np.float32)
        return NestedSequence((Network(weights, biases, "relu"),), ())


WALLS = {
    "a fifth too large": Wall(0.02, (0.0, 0.02, 0.04, 0.12, 0.2, 1.0), (-0.004, 0.0, 0.012, 0.12, 0.19, 0.98)),
    # The ear of a sculpt: a fold beside it makes the values flat, until the ray is past that.
    "thin beside a fold": Wall(
        0.0033, (0.0, 0.0033, 0.0133, 0.0233, 0.06, 1.0), (-0.0018, 0.0, 0.0105, 0.015, 0.03, 0.9)
    ),
}


@pytest.mark.parametrize("wall", WALLS.values(), ids=WALLS)
@pytest.mark.parametrize("eye", [(0.4, 0.3, 3.0), (-0.9, 0.8, 1.6), (0.1, 0.2, 0.8), (1.5, -0.6, 1.1)])
@pytest.mark.parametrize("side", [None, 16, 61])
def test_thin_walls_are_met_where_they_begin(wall: Wall, eye: tuple[float, float, float], side: int | None) -> None:
    """Values that promise more room than there is take neither a ray nor a cone of neighbours through the surface."""
    origins, directions = rays_from(eye, side=side or 48, spread=0.3)
    result = trace(wall.sequence(), origins, directions, shape=None if side is None else (side, side))
    t = (wall.half - origins[:, 2]) / directions[:, 2]
    met = (t > 0.0) & (np.abs(origins + t[:, None] * directions) < 0.99).all(axis=1)
    assert met.sum() > 0.3 * len(met)
    assert result.hit[met].all()
    # Below the surface a ray within the tolerance of it is up to 2.5e-3 deep: that is how flat the values are there.
    np.testing.assert_allclose(result.positions[met, 2], wall.half, atol=3e-3)


def test_a_grazing_ray_that_leaves_the_band_goes_back() -> None:
    """Rays pass a first sphere within its band, miss it, and have to reach a second one behind it."""
    first, second = np.array([-0.45, 0.0, 0.0]), np.array([0.45, 0.0, 0.0])
    shape = shapes.union(shapes.sphere(0.3, tuple(first)), shapes.sphere(0.3, tuple(second)))
    sequence = shapes.fitted_sequence(shape, (384, 640), omega=4.0)
    passing = np.linspace(0.01, 0.022, 9)
    assert passing.max() < sequence.bands[0].delta
    # A line through the second centre passes the first, 0.9 away, at a distance of 0.9 sin(angle).
    sines = (0.3 + passing) / 0.9
    directions = np.stack([np.sqrt(1.0 - sines**2), -sines, 0.0 * sines], axis=1)
    result = trace(sequence, second - 3.0 * directions, directions, ALL_LEVELS)
    assert result.hit.all()
    np.testing.assert_allclose(result.t, 2.7, atol=0.01)


def test_degenerate_rays_miss() -> None:
    origins = np.array([[0.0, -3.0, 0.0]] * 5)
    directions = np.array([[0.0, 0, 0], [np.nan, 1, 0], [np.inf, 0, 0], [0, -1.0, 0], [0, 1.0, 0]])
    result = trace(shapes.sphere_sequence(), origins, directions)
    assert result.hit.tolist() == [False, False, False, False, True]


@pytest.mark.parametrize("shape", [None, (0, 5), (3, 0)])
def test_no_rays(shape: tuple[int, int] | None) -> None:
    result = trace(shapes.sphere_sequence(), np.zeros((0, 3)), np.zeros((0, 3)), shape=shape)
    assert result.hit.shape == (0,)
    assert result.positions.shape == (0, 3)


@pytest.mark.parametrize("shape", [None, (48, 48)])
@pytest.mark.parametrize("behind", [0.01, 0.03])
def test_surfaces_just_before_the_end_are_hit(behind: float, shape: tuple[int, int] | None) -> None:
    # Its coarse level overestimates distances by a third: a step from far away leads past both.
    origins, directions = rays_from((1.8, -3.4, 2.0))
    expected = torus_hits(origins, directions)
    within = np.isfinite(expected)
    limit = expected + behind / np.linalg.norm(directions, axis=1)
    result = trace(shapes.torus_sequence(), origins, directions, farthest=limit, shape=shape)
    assert within.sum() > 200
    # The network's surface lies a little behind the torus here and there, most of all where rays graze it.
    assert result.hit[within].mean() > 0.99


@pytest.mark.parametrize("shape", [None, (48, 48)])
def test_farthest_ends_rays(shape: tuple[int, int] | None) -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2))
    free = trace(shapes.sphere_sequence(), origins, directions)
    limit = np.where(np.arange(len(origins)) % 2, 0.9, 1.1) * free.t
    result = trace(shapes.sphere_sequence(), origins, directions, farthest=limit, shape=shape)
    assert (result.hit == free.hit & (np.arange(len(origins)) % 2 == 0)).all()


@pytest.mark.parametrize("shape", [None, (48, 48)])
def test_numpy_and_torch_agree(shape: tuple[int, int] | None) -> None:
    torch = pytest.importorskip("torch")
    origins, directions = rays_from((0.4, -3.0, 1.2))
    sequence = shapes.torus_sequence()
    expected = trace(sequence, origins, directions, ALL_LEVELS)
    as_tensors = torch.as_tensor(origins), torch.as_tensor(directions)
    result = trace(sequence.like(torch.zeros(1)), *as_tensors, ALL_LEVELS, shape=shape)
    same = result.hit.numpy() == expected.hit
    assert same.mean() > 0.999
    assert_same_points(result.positions.numpy(), expected.positions, same & expected.hit)


def test_reference_agrees_with_multiscale() -> None:
    origins, directions = rays_from((0.4, -3.0, 1.2), side=32)
    sequence = shapes.sphere_sequence()
    reference = trace_single_level(sequence, 1, origins, directions)
    assert_agrees(reference, sphere_hits(origins, directions), directions, 3e-3)
    assert (reference.steps == 40).all()


@pytest.mark.parametrize("levels", [(2,), (-1,), (0, 5)])
def test_levels_that_are_not_there(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        trace(shapes.sphere_sequence(), np.zeros((1, 3)), np.ones((1, 3)), TraceConfig(levels=levels))


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_length_of_the_direction_only_scales_t(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    origins = rng.normal(0.0, 2.0, (20, 3))
    directions = -origins + rng.normal(0.0, 0.3, (20, 3))
    sequence = shapes.sphere_sequence()
    once, scaled = trace(sequence, origins, directions), trace(sequence, origins, scale * directions)
    agree = once.hit == scaled.hit
    assert agree.mean() > 0.9
    both = agree & once.hit
    np.testing.assert_allclose(scaled.t[both] * scale, once.t[both], rtol=2e-3)
