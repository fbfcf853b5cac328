# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the surface points that a picture shows: normals, materials, occlusion, from what rays have met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ambient_occlusion import openness
from .arrays import normalize_rows
from .cameras import PixelRays
from .nearest_hits import Hits
from .normal_mapping import band_weights, normals_at, seen_normals
from .placing import PlacedInstance, PlacedMeshes
from .scenes import Display, MeshInstance, RenderConfig
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
    for number, item in enumerate(instances):
        own = np.flatnonzero(hits.instance[rows] == number)
        if not len(own):
            continue
        normals[own], openness_shares[own], band[own] = _traced_points(item, config, hits, rows[own], views[own])
        object_index[own], material[own] = item.instance.object_index, len(listed)
        listed.append(item.instance.material)
    for number, mesh in enumerate(meshes.meshes):
        own = np.flatnonzero(hits.mesh[rows] == number)
        if not len(own):
            continue
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


def mesh_normals(
    mesh: MeshInstance, triangles: np.ndarray, barycentrics: np.ndarray, front: np.ndarray, views: np.ndarray
) -> np.ndarray:
    """Normals of a mesh's points: interpolated between corners, neural where it wears them, facing the viewer.

    Args:
        triangles: (N,) rows in the geometry.
        barycentrics: (N, 3) of the points.
        front: (N,) whether the triangle's corners turn counterclockwise on screen.
        views: (N, 3) unit vectors towards the viewer, world space.

    Returns:
        (N, 3) unit, world space.
    """
    geometry = mesh.geometry
    to_world = np.linalg.inv(np.asarray(mesh.local_to_world, dtype=np.float64)[:3, :3])
    corners = geometry.positions[geometry.triangles[triangles]].astype(np.float64)
    own = (geometry.normals[triangles] * barycentrics[:, :, None]).sum(axis=1)
    # Opposite corners can cancel out, and a broken mesh may have none at all: then the triangle's own plane counts.
    missing = np.flatnonzero(~((own * own).sum(axis=1) > 1e-12))
    edges = corners[missing, 1:] - corners[missing, :1]
    own[missing] = np.cross(edges[:, 0], edges[:, 1])
    # A mirrored transform turns the corners around on screen, and leaves normals outside.
    from_behind = front != (np.linalg.det(to_world) > 0.0)
    facing = normalize_rows(own @ to_world) * np.where(from_behind, -1.0, 1.0)[:, None]
    facing = facing_normals(facing, views)
    if mesh.neural_normals is None:
        return facing
    wanted = mesh.neural_normals
    local_points = (corners * barycentrics[:, :, None]).sum(axis=1)
    neural, places = normals_at(wanted.sequence, local_points, wanted.local_to_network)
    weights = band_weights(places, wanted.transition)
    return facing_normals(seen_normals(facing, normalize_rows(neural @ to_world), weights), views)
