# SPDX-License-Identifier: GPL-3.0-or-later
"""One ray for each pixel of a region, from the scene to its colour: found, described, shaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .cameras import pixel_rays
from .false_colors import false_colors
from .nearest_hits import Hits, nearest_hits
from .placing import PlacedInstance, PlacedMeshes, place_instances, place_meshes
from .scenes import BACKGROUND_DEPTH, Display, Region, RenderConfig, Scene
from .shading import background, shade_scene
from .sun_occlusion import Sun, shadowing_sun
from .surface_points import SurfacePoints, surface_points


@dataclass(frozen=True)
class Picture:
    """A scene made ready for a picture, or for a part of it.

    Attributes:
        scene, config: as they were given.
        instances: neural objects that may be seen, the nearest first.
        meshes: meshes that may be seen.
        sun: what casts shadows; None for no shadows.
    """

    scene: Scene
    config: RenderConfig
    instances: list[PlacedInstance]
    meshes: PlacedMeshes
    sun: Sun | None

    @classmethod
    def of(cls, scene: Scene, config: RenderConfig) -> Picture:
        """Everything that may be seen of a scene."""
        return cls(
            scene, config, place_instances(scene, config), place_meshes(scene, config), shadowing_sun(scene, config)
        )

    def within(self, region: Region) -> Picture:
        """What of it may be seen in a region."""
        instances = [item for item in self.instances if item.meets(region)]
        meshes = replace(self.meshes, screen=self.meshes.screen.touching(region))
        return replace(self, instances=instances, meshes=meshes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing may be seen but the background."""
        return not self.instances and not len(self.meshes.screen.triangle)


@dataclass(frozen=True)
class Sample:
    """What one ray a pixel sees; one row a pixel, rows from the bottom up.

    Attributes:
        colors: (N, 4) scene-linear, premultiplied by alpha.
        depth: (N,) view depth; BACKGROUND_DEPTH where nothing is seen.
        normal: (N, 3) unit normal in world space, facing the viewer; zero where nothing is seen.
        object_index: (N,) zero where nothing is seen.
    """

    colors: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    object_index: np.ndarray


def render_sample(
    picture: Picture,
    region: Region,
    offset: tuple[float, float],
    cancelled: Callable[[], bool] = lambda: False,
) -> Sample:
    """What the rays through the pixels of a region see.

    Args:
        picture: what may be seen of the region is enough.
        offset: added to the pixels' centres, in pixels.
        cancelled: asked after every step of a ray.

    Raises:
        TraceCancelled: `cancelled` said so.
    """
    config = picture.config
    rays = pixel_rays(picture.scene.camera, (config.width, config.height), region, offset)
    count = len(rays.origins)
    depth, normal, object_index = np.full(count, BACKGROUND_DEPTH), np.zeros((count, 3)), np.zeros(count)
    if picture.is_empty:
        colors = _background_colors(picture.scene, rays.directions, np.ones(count, dtype=bool))
        return Sample(colors, depth, normal, object_index)
    hits = nearest_hits(picture.instances, picture.meshes, picture.scene, config, rays, region, offset, cancelled)
    colors = _background_colors(picture.scene, rays.directions, ~hits.seen)
    points = surface_points(picture.instances, picture.meshes, config, rays, hits)
    rows = points.rows
    if len(rows):
        colors[rows, :3], colors[rows, 3] = _surface_colors(picture, hits, points, cancelled), 1.0
        depth[rows], normal[rows] = rays.depth(hits.t)[rows], points.normals
        object_index[rows] = points.object_index
    return Sample(colors, depth, normal, object_index)


def _background_colors(scene: Scene, directions: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """The world where rays meet nothing, (N,) booleans, and zero elsewhere or for a transparent film: (N, 4)."""
    colors = np.zeros((len(directions), 4))
    if not scene.film_transparent:
        rows = np.flatnonzero(unseen)
        colors[rows, :3], colors[rows, 3] = background(scene, directions[rows]), 1.0
    return colors


def _surface_colors(picture: Picture, hits: Hits, points: SurfacePoints, cancelled: Callable[[], bool]) -> np.ndarray:
    """Colours of the points seen, shaded or false: (n, 3)."""
    display = picture.config.display
    if display is not Display.SHADED:
        numbers = {
            Display.LEVEL: hits.level[points.rows],
            Display.ITERATIONS: hits.steps[points.rows],
            Display.BAND: points.band,
        }
        return false_colors(display, numbers[display])
    visible = None
    if picture.sun is not None:
        visible = picture.sun.visibility(points.positions, points.normals, cancelled)
    return shade_scene(
        picture.scene, points.positions, points.normals, points.views, points.materials, points.openness, visible
    )
