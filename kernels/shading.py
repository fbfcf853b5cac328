# SPDX-License-Identifier: GPL-3.0-or-later
"""Shading in scene-linear colour: what surfaces send to the viewer under a scene's lights and world.

Surfaces are Principled BSDF's metallic-roughness: a dielectric coat over a dull base, or a metal. The only shadow is
that of the brightest sun, and it comes from outside. GLSL has the same formulas (kernels/glsl/shading.glsl).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import environments, reflectance, studio
from .arrays import Array, array_namespace, asarray_like, normalize_rows, row_dots, row_norms, to_numpy
from .lighting import Color, Light, Matcap, SpotLight, SunLight, World, brightest_sun

if TYPE_CHECKING:
    from .scenes import Scene

# Reflectance at normal incidence of a refractive index of 1.5, Principled BSDF's default.
DIELECTRIC_F0 = 0.04

# Share of a light's squared slope that adds to the squared alpha of a surface, fitted to Cycles. See `widened`.
LIGHT_WIDTH = 0.15


@dataclass(frozen=True)
class Material:
    """A surface of one colour.

    Attributes:
        base_color: of a dielectric the diffuse albedo, of a metal the reflectance; scene-linear.
        roughness: 0 mirror-like to 1 dull, as Principled BSDF's.
        metallic: 0 a dielectric to 1 a metal of the base colour, as Principled BSDF's.
    """

    base_color: Color = (0.8, 0.8, 0.8)
    roughness: float = 0.5
    metallic: float = 0.0


@dataclass(frozen=True, eq=False)
class PointMaterials:
    """The materials of N points, or of all points with arrays of one row.

    Attributes:
        base_color: (N, 3), as `Material`'s.
        roughness, metallic: (N,).
    """

    base_color: Array
    roughness: Array
    metallic: Array

    @classmethod
    def of(cls, material: Material | PointMaterials, like: Array) -> PointMaterials:
        """A material as one row that holds for all points, in the kind and precision of `like`."""
        if isinstance(material, PointMaterials):
            return material
        values = material.base_color, material.roughness, material.metallic
        return cls(*(asarray_like([value], like) for value in values))

    @classmethod
    def chosen(cls, materials: Sequence[Material], rows: np.ndarray) -> PointMaterials:
        """The materials at `rows`, (N,) integers, of a list, one a point; those beyond the list take its last.

        An empty list stands for the default material.
        """
        listed = tuple(materials) or (Material(),)
        where = np.asarray(rows).clip(0, len(listed) - 1)
        return cls(
            np.array([m.base_color for m in listed], dtype=np.float32)[where],
            np.array([m.roughness for m in listed], dtype=np.float32)[where],
            np.array([m.metallic for m in listed], dtype=np.float32)[where],
        )


def facing_normals(normals: Array, views: Array) -> Array:
    """Normals bent just far enough to face the viewer: (N, 3), (N, 3) -> (N, 3), unit.

    A finer level's normal at a coarser level's silhouette may look slightly away from a viewer who does see that
    point. Mirroring it would light it from the wrong side; removing the part along the view keeps its direction.

    Args:
        normals: unit normals.
        views: unit vectors from the surface towards the viewer.
    """
    missing = (1e-3 - row_dots(normals, views)).clip(0.0)
    return normalize_rows(normals + missing[:, None] * views)


def incoming(light: Light, positions: Array) -> tuple[Array, Array]:
    """What a light sends to (N, 3) positions: unit directions towards it, and irradiance on surfaces facing it."""
    xp = array_namespace(positions)
    if isinstance(light, SunLight):
        ones = xp.ones_like(positions)
        return ones * asarray_like(light.direction, positions), ones * asarray_like(light.irradiance, positions)
    toward = asarray_like(light.position, positions) - positions
    distances = row_norms(toward).clip(1e-9)
    directions = toward / distances[:, None]
    share = 1.0 / (4.0 * math.pi * distances**2)
    if isinstance(light, SpotLight):
        share = share * spot_attenuation(light, -row_dots(directions, asarray_like(light.axis, positions)))
    elif light.axis is not None:
        # A Lambertian emitter of the same power: the cosine's integral over its half space is pi, not 4 pi. Close to a
        # disc less light is gained than close to a point; in front of its middle this is exact.
        share = 1.0 / (math.pi * (distances**2 + light.radius**2))
        share = share * (-row_dots(directions, asarray_like(light.axis, positions))).clip(0.0)
    return directions, share[:, None] * asarray_like(light.power, positions)


def widened(light: Light, positions: Array, alpha2: Array) -> Array:
    """The fourth power of the roughness at which a point's highlight is as wide as the light's own, (N,).

    A light of some size shines on a mirror as a point does on a rougher surface. Alpha, the squared roughness, is a
    slope as the light's apparent size is: their squares add.

    Args:
        alpha2: (N,) or (1,) the fourth power of the surface's roughness.
    """
    if isinstance(light, SunLight):
        slope = math.tan(0.5 * light.angle)
    else:
        slope = light.radius / row_norms(asarray_like(light.position, positions) - positions).clip(1e-9)
    return (alpha2 + LIGHT_WIDTH * slope * slope).clip(0.0, 1.0)


def spot_attenuation(light: SpotLight, cosines: Array) -> Array:
    """Share of a spot's light at the cosine of the angle to its axis, 0 outside the cone: (N,) -> (N,)."""
    edge, scale = spot_cone(light)
    inner = ((cosines - edge) * scale).clip(0.0, 1.0)
    return inner * inner * (3.0 - 2.0 * inner)


def spot_cone(light: SpotLight) -> tuple[float, float]:
    """The cosine at the border of a spot's cone, and the inverse of the cosine's range in which the light fades."""
    edge = math.cos(0.5 * light.angle)
    return edge, 1.0 / max((1.0 - edge) * light.blend, 1e-6)


def _ggx(normals: Array, halfway: Array, n_l: Array, n_v: Array, alpha2: Array) -> Array:
    """GGX microfacets with Smith's height-correlated shadowing, but for the Fresnel term: BRDF values (N,).

    Args:
        alpha2: the fourth power of the roughness.
    """
    xp = array_namespace(n_l)
    n_h = row_dots(normals, halfway).clip(0.0, 1.0)
    # The part of the half vector across the normal: 1 - n_h^2 would lose all digits in a narrow highlight.
    across = halfway - n_h[:, None] * normals
    distribution = alpha2 / (math.pi * (row_dots(across, across) + n_h * n_h * alpha2) ** 2)
    masking = n_l * xp.sqrt(n_v * n_v * (1.0 - alpha2) + alpha2) + n_v * xp.sqrt(n_l * n_l * (1.0 - alpha2) + alpha2)
    return distribution * 0.5 / masking.clip(1e-6)


def shade(
    positions: Array,
    normals: Array,
    views: Array,
    material: Material | PointMaterials,
    lights: Sequence[Light],
    world: World,
    openness: Array | None = None,
    sun_visibility: Array | None = None,
) -> Array:
    """Light leaving the surface towards the viewer, in scene-linear colour.

    Args:
        positions: (N, 3) in world space.
        normals: (N, 3) unit, facing the viewer (see `facing_normals`).
        views: (N, 3) unit vectors from the surface towards the viewer.
        material: of all points, or of each.
        world: what shines from everywhere.
        openness: (N,) share of the world that a point sees, 0 to 1; None: all of it.
        sun_visibility: (N,) share of the brightest sun that a point sees, 0 to 1; None: all of it.

    Returns:
        (N, 3) radiance.
    """
    surface = PointMaterials.of(material, positions)
    roughness = surface.roughness.clip(reflectance.SMALLEST_ROUGHNESS, 1.0)
    # Products instead of powers, which numpy computes many times slower; here and below.
    alpha2 = roughness * roughness * roughness * roughness
    metallic = surface.metallic[:, None]
    n_v = row_dots(normals, views).clip(1e-3, 1.0)
    table = reflectance.lookup(n_v, roughness)
    # A dielectric and a metal, mixed: of each the reflectance at normal incidence, then with all bounces.
    metal_f0 = surface.base_color
    coat_boost = (1.0 - metallic) * reflectance.multiple_scattering(asarray_like([[DIELECTRIC_F0]], positions), table)
    coat = glossy = coat_boost * (DIELECTRIC_F0 * table[:, 0:1] + table[:, 1:2])
    has_metal = bool((surface.metallic > 0.0).any())
    if has_metal:
        metal_boost = metallic * reflectance.multiple_scattering(metal_f0, table)
        glossy = coat + metal_boost * (metal_f0 * table[:, 0:1] + table[:, 1:2])
    # What the coat reflects does not reach the base below it, and a metal has no base.
    dull = (1.0 - metallic - coat) * surface.base_color
    color = _world_light(world, normals, views, n_v, roughness, alpha2, dull, glossy)
    if openness is not None:
        color = color * openness[:, None]
    shadowed = brightest_sun(lights)
    for number, light in enumerate(lights):
        directions, irradiance = incoming(light, positions)
        if sun_visibility is not None and number == shadowed:
            irradiance = irradiance * sun_visibility[:, None]
        n_l = row_dots(normals, directions).clip(0.0)
        halfway = normalize_rows(directions + views)
        v_h = row_dots(views, halfway).clip(0.0, 1.0)
        beside = 1.0 - v_h
        edge = (beside * beside * beside * beside * beside)[:, None]
        fresnel = coat_boost * (DIELECTRIC_F0 + (1.0 - DIELECTRIC_F0) * edge)
        if has_metal:
            fresnel = fresnel + metal_boost * (metal_f0 + (1.0 - metal_f0) * edge)
        specular = _ggx(normals, halfway, n_l, n_v, widened(light, positions, alpha2))[:, None] * fresnel
        color = color + (dull / math.pi + specular) * irradiance * n_l[:, None]
    return color


def _world_light(
    world: World,
    normals: Array,
    views: Array,
    n_v: Array,
    roughness: Array,
    alpha2: Array,
    dull: Array,
    glossy: Array,
) -> Array:
    """What a surface reflects of the world: `dull` of its irradiance, `glossy` of the mirrored directions, (N, 3)."""
    color = asarray_like(world.color, normals)
    if world.environment is None:
        return color * (dull + glossy)
    mirrored = 2.0 * n_v[:, None] * normals - views
    # The rougher, the more is reflected from the zenith and the less from the mirror direction (fitted to Cycles).
    directions = normalize_rows(mirrored + (normals - mirrored) * alpha2[:, None])
    spread = to_numpy(roughness + 0.0 * n_v)
    below = asarray_like(environments.irradiance(world.environment, to_numpy(normals)), normals)
    above = asarray_like(environments.reflected_radiance(world.environment, to_numpy(directions), spread), normals)
    return color * (dull * below + glossy * above)


def shade_scene(
    scene: Scene,
    positions: np.ndarray,
    normals: np.ndarray,
    views: np.ndarray,
    material: Material | PointMaterials,
    openness: np.ndarray | None = None,
    sun_visibility: np.ndarray | None = None,
) -> np.ndarray:
    """As `shade`, by whatever lights a scene: its lights and world, or Solid mode's lighting where it has one."""
    # Single precision is enough for colours, and twice as fast.
    positions, normals, views = (np.asarray(a, dtype=np.float32) for a in (positions, normals, views))
    openness, sun_visibility = (
        share if share is None else np.asarray(share, dtype=np.float32) for share in (openness, sun_visibility)
    )
    if scene.lighting is None:
        return shade(positions, normals, views, material, scene.lights, scene.world, openness, sun_visibility)
    surface = PointMaterials.of(material, positions)
    if isinstance(scene.lighting, Matcap):
        to_camera = np.asarray(scene.camera.camera_to_world, dtype=np.float32)[:3, :3].T
        color = studio.matcap_color(scene.lighting, normals, views, to_camera, surface.base_color)
    else:
        base_color, roughness, metallic = surface.base_color, surface.roughness, surface.metallic
        color = studio.studio_color(scene.lighting, normals, views, base_color, roughness, metallic)
    return color if openness is None else color * openness[:, None]


def background(scene: Scene, directions: np.ndarray) -> np.ndarray:
    """Radiance of the world in unit directions, (N, 3) -> (N, 3); under Solid mode's lighting its colour alone."""
    directions = np.asarray(directions, dtype=np.float32)
    color = np.asarray(scene.world.color, dtype=np.float32)
    if scene.world.environment is None or scene.lighting is not None:
        return np.broadcast_to(color, directions.shape).copy()
    return color * environments.radiance(scene.world.environment, directions)
