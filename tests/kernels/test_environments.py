# SPDX-License-Identifier: GPL-3.0-or-later
"""Panoramas against closed forms. That the mapping is Blender's is tested against Cycles, beside the engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import environments
from kernels.lighting import EnvironmentMap

seeds = st.integers(0, 2**31)


def panorama(pixels: np.ndarray, key: str, world_to_map: np.ndarray | None = None) -> EnvironmentMap:
    """An environment, by default not turned."""
    return EnvironmentMap(pixels.astype(np.float32), np.eye(3) if world_to_map is None else world_to_map, key)


def directions(seed: int, count: int = 200) -> np.ndarray:
    """(count, 3) random directions."""
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def test_the_middle_is_plus_x_and_turns_towards_minus_y() -> None:
    found = environments.equirectangular(np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, -1.0]]))
    np.testing.assert_allclose(found[:3], [[0.5, 0.5], [0.75, 0.5], [0.25, 0.5]], atol=1e-12)
    np.testing.assert_allclose(found[3:, 1], [1.0, 0.0], atol=1e-12)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_directions_of_pixels_are_found_at_their_centres(rows: int, columns: int) -> None:
    found = environments.equirectangular(environments.panorama_directions(rows, columns).reshape(-1, 3))
    v, u = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    np.testing.assert_allclose(found, np.stack([u.ravel(), v.ravel()], axis=1), atol=1e-9)


@settings(max_examples=5, deadline=None)
@given(rows=st.integers(1, 90), columns=st.integers(1, 200), seed=seeds)
def test_the_same_radiance_everywhere_stays_the_same(rows: int, columns: int, seed: int) -> None:
    color = np.random.default_rng(seed).random(3) * 10.0
    environment = panorama(np.broadcast_to(color, (rows, columns, 3)), f"uniform {rows} {columns} {seed}")
    where = directions(seed)
    roughness = np.random.default_rng(seed).random(len(where))
    for light in (
        environments.radiance(environment, where),
        environments.irradiance(environment, where),
        environments.reflected_radiance(environment, where, roughness),
    ):
        np.testing.assert_allclose(light, np.broadcast_to(color, light.shape), rtol=1e-5)


def linear_panorama(slope: np.ndarray, rows: int = 64) -> np.ndarray:
    """1 + slope . direction in each pixel."""
    toward = environments.panorama_directions(rows, 2 * rows)
    return np.repeat((1.0 + toward @ slope)[..., None], 3, axis=2)


def test_irradiance_of_radiance_that_grows_along_an_axis() -> None:
    """The cosine's integral over the half space makes it 1 + 2/3 slope . normal."""
    slope = np.array([0.3, -0.6, 0.5])
    normals = directions(0)
    light = environments.irradiance(panorama(linear_panorama(slope), "linear"), normals)
    np.testing.assert_allclose(light[:, 0], 1.0 + 2.0 / 3.0 * normals @ slope, atol=5e-3)


@pytest.mark.parametrize("roughness", environments.SPECULAR_ROUGHNESS[1:])
def test_blur_of_radiance_that_grows_along_an_axis(roughness: float) -> None:
    """By the theorem of Funk and Hecke the blur shortens the slope by the mean cosine of its weights."""
    count = 100_000
    cosines, weights = (np.arange(count) + 0.5) / count * 2.0 - 1.0, np.ones(count)
    half = np.sqrt(0.5 + 0.5 * cosines)
    alpha2 = roughness**4
    weights = weights * cosines.clip(0.0) * alpha2 / (half**2 * (alpha2 - 1.0) + 1.0) ** 2
    shortened = (weights * cosines).sum() / weights.sum()
    slope = np.array([0.3, -0.6, 0.5])
    where = directions(1)
    environment = panorama(linear_panorama(slope), "linear")
    light = environments.reflected_radiance(environment, where, np.full(len(where), roughness))
    np.testing.assert_allclose(light[:, 0], 1.0 + shortened * where @ slope, atol=8e-3)


@settings(max_examples=5, deadline=None)
@given(rows=st.integers(2, 400), seed=seeds)
def test_no_light_is_lost(rows: int, seed: int) -> None:
    """A small sun anywhere in a panorama of any size: the mean over all normals is its mean over the sphere."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((rows, 2 * rows, 3))
    row, column = int(rng.integers(rows)), int(rng.integers(2 * rows))
    pixels[row, column] = 1000.0
    edges = np.sin((np.array([row, row + 1]) / rows - 0.5) * np.pi)
    mean = 1000.0 * (edges[1] - edges[0]) / 2.0 / (2 * rows)
    z = (np.arange(60) + 0.5) / 30.0 - 1.0
    azimuth = (np.arange(60) + 0.5) / 30.0 * np.pi
    around = np.sqrt(1.0 - z * z)[:, None]
    normals = np.stack(
        [around * np.cos(azimuth), around * np.sin(azimuth), np.broadcast_to(z[:, None], (60, 60))], axis=-1
    )
    light = environments.irradiance(panorama(pixels, f"sun {rows} {seed}"), normals.reshape(-1, 3))
    # Panoramas smaller than the atlas are interpolated, which moves some of a lone pixel's light.
    assert light.mean() == pytest.approx(mean, rel=0.03 if rows >= 256 else 0.35)


def test_a_mirror_shows_the_panorama_and_roughness_blurs_it_steadily() -> None:
    pixels = np.random.default_rng(0).random((64, 128, 3))
    environment, where = panorama(pixels, "noise"), directions(2)
    sharp = environments.reflected_radiance(environment, where, np.zeros(len(where)))
    np.testing.assert_allclose(sharp, environments.radiance(environment, where), rtol=1e-9)
    contrasts = [
        environments.reflected_radiance(environment, where, np.full(len(where), r)).std()
        for r in np.arange(0, 1.01, 0.1)
    ]
    assert (np.diff(contrasts) < 0.0).all()


def test_there_is_no_seam() -> None:
    environment = panorama(np.random.default_rng(0).random((8, 16, 3)), "seam")
    edge = np.array([[-1.0, 1e-7, 0.3], [-1.0, -1e-7, 0.3]]) / np.hypot(1.0, 0.3)
    for light in (environments.radiance(environment, edge), environments.irradiance(environment, edge)):
        np.testing.assert_allclose(light[0], light[1], atol=1e-5)


def test_a_turned_panorama_is_looked_up_turned() -> None:
    pixels = np.random.default_rng(0).random((16, 32, 3))
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    where = directions(3)
    turned = environments.radiance(panorama(pixels, "still", turn), where)
    np.testing.assert_allclose(turned, environments.radiance(panorama(pixels, "still"), where[:, [1, 2, 0]]))


def test_prepared_panoramas_are_kept_by_their_keys() -> None:
    pixels = np.ones((2, 4, 3))
    first = environments.prepared(panorama(pixels, "kept 0"))
    assert environments.prepared(panorama(2.0 * pixels, "kept 0")) is first
    for number in range(environments.KEPT):
        environments.prepared(panorama(pixels, f"kept {number + 1}"))
    assert environments.prepared(panorama(pixels, "kept 0")) is not first
    again = environments.prepared(panorama(pixels, "kept 0"))
    environments.forget_prepared()
    assert environments.prepared(panorama(pixels, "kept 0")) is not again


def test_bad_panoramas() -> None:
    with pytest.raises(ValueError, match="needs"):
        environments.prepare(np.zeros((0, 4, 3), dtype=np.float32))
    pixels = np.ones((8, 16, 3), dtype=np.float32)
    pixels[0, 0], pixels[1, 1] = np.nan, np.inf
    ready = environments.prepare(pixels)
    assert np.isfinite(ready.atlas).all()
    assert np.isfinite(ready.background).all()


def test_backgrounds_are_never_larger_than_graphics_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "BACKGROUND_ROWS", 4)
    assert environments.prepare(np.ones((8, 16, 3), dtype=np.float32)).background.shape == (4, 8, 3)
    assert environments.prepare(np.ones((2, 16, 3), dtype=np.float32)).background.shape == (2, 8, 3)
