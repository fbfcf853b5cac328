# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the surface points that a picture shows: normals, materials, occlusion, from what rays have met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .ambient_occlusion import openness
from .arrays import normalize_rows
from .cameras import PixelRays
from .mesh_normals import mesh_normals
from .nearest_hits import Hits
from .placing import PlacedInstance, PlacedMeshes
from .scenes import Display, RenderConfig
from .shading import Material, PointMaterials, facing_normals


@dataclass(frozen=True)
class SurfacePoints:
    """The points seen, one row a ray that meets something.

    Attributes:
        rows: (n,) of the rays.
        positions: (n, 3) world space.
        views: (n, 3) unit vectors towards the viewer.
        normals: (n, 3) unit, world space, facing the viewer.
        materials: of the points.
        object_index: (n,).
        openness: (n,) share of the world that is seen, 0 to 1.
        band: (n,) place in the band of the level before the one on which the ray ended, 0 to 1; -1 for none.
    """

    rows: np.ndarray
    positions: np.ndarray
    views: np.ndarray
    normals: np.ndarray
    materials: PointMaterials
    object_index: np.ndarray
    openness: np.ndarray
    band: np.ndarray


def surface_points(
    instances: list[PlacedInstance], meshes: PlacedMeshes, config: RenderConfig, rays: PixelRays, hits: Hits
) -> SurfacePoints:
    """The points that rays have met, from the instances and meshes that `hits` counts by."""
    rows = np.flatnonzero(hits.seen)
    views = -rays.directions[rows]
    normals = np.zeros((len(rows), 3))
    object_index, openness_shares = np.zeros(len(rows)), np.ones(len(rows))
    band = np.full(len(rows), -1.0)
    # Rows of `listed`, in which each object's materials follow the ones before.
    material, listed = np.zeros(len(rows), dtype=np.int64), list[Material]()
    for number, own in _by_owner(hits.instance[rows]):
        item = instances[number]
        normals[own], openness_shares[own], band[own] = _traced_points(item, config, hits, rows[own], views[own])
        object_index[own], material[own] = item.instance.object_index, len(listed)
        listed.append(item.instance.material)
    for number, own in _by_owner(hits.mesh[rows]):
        mesh = meshes.meshes[number]
        triangles = hits.coverage.triangle[rows[own]] - meshes.starts[number]
        barycentrics, front = hits.coverage.barycentrics[rows[own]], hits.coverage.front[rows[own]]
        normals[own] = mesh_normals(mesh, triangles, barycentrics, front, views[own])
        object_index[own] = mesh.object_index
        materials = mesh.materials or (Material(),)
        material[own] = len(listed) + mesh.geometry.material_slots[triangles].clip(0, len(materials) - 1)
        listed.extend(materials)
    positions = rays.origins[rows] + hits.t[rows, None] * rays.directions[rows]
    materials = PointMaterials.chosen(listed, material)
    return SurfacePoints(rows, positions, views, normals, materials, object_index, openness_shares, band)


def _by_owner(owners: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The numbers that occur in (n,) `owners`, but for -1, each with the rows where it stands.

    Sorted once, because there may be thousands of owners.
    """
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-2))
    for rows in np.split(order, starts[1:]) if len(order) else ():
        if owners[rows[0]] >= 0:
            yield int(owners[rows[0]]), rows


def _traced_points(
    item: PlacedInstance, config: RenderConfig, hits: Hits, rows: np.ndarray, views: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals (n, 3), openness (n,) and places in the band (n,) of a neural object's points on the rays `rows`."""
    sequence, points = item.instance.sequence, hits.positions[rows]
    network_normals = sequence.normals(points, item.levels.normals)
    network_normals = network_normals * np.where(hits.inside[rows], -1.0, 1.0)[:, None]
    shares, band = np.ones(len(rows)), np.full(len(rows), -1.0)
    if config.ambient_occlusion and config.display is Display.SHADED:
        shares = openness(sequence, points, network_normals.astype(np.float32))
    if config.display is Display.BAND:
        for level in np.unique(hits.level[rows]):
            if level > 0:
                ended = np.flatnonzero(hits.level[rows] == level)
                band[ended] = np.abs(sequence.distance(level - 1, points[ended])) / sequence.bands[level - 1].delta
    # A gradient is a covector: it goes to world space by the inverse transpose, mirrored scale included.
    world_normals = normalize_rows(network_normals @ item.world_to_network[:3, :3])
    return facing_normals(world_normals, views), shares, band.clip(-1.0, 1.0)
