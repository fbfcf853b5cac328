# SPDX-License-Identifier: GPL-3.0-or-later
"""Shading in scene-linear colour: a dielectric surface under suns, point lights and a uniform world.

Lights cast no shadows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .arrays import Array, array_namespace, asarray_like, normalize_rows, row_norms
from .lighting import Color, Light, SunLight

# Reflectance at normal incidence of a refractive index of 1.5, Principled BSDF's default.
DIELECTRIC_F0 = 0.04


@dataclass(frozen=True)
class Material:
    """A dielectric over a diffuse base.

    Attributes:
        base_color: diffuse albedo, scene-linear.
        roughness: 0 mirror-like to 1 dull, as Principled BSDF's.
        metallic: 0 the dielectric to 1 a metal of the base colour, as Principled BSDF's.
    """

    base_color: Color = (0.8, 0.8, 0.8)
    roughness: float = 0.5
    metallic: float = 0.0


def facing_normals(normals: Array, views: Array) -> Array:
    """Normals bent just far enough to face the viewer: (N, 3), (N, 3) -> (N, 3), unit.

    A finer level's normal at a coarser level's silhouette may look slightly away from a viewer who does see that
    point. Mirroring it would light it from the wrong side; removing the part along the view keeps its direction.

    Args:
        normals: unit normals.
        views: unit vectors from the surface towards the viewer.
    """
    missing = (1e-3 - (normals * views).sum(-1)).clip(0.0)
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
    if light.axis is not None:
        # A Lambertian emitter of the same power: the cosine's integral over its half space is pi, not 4 pi.
        share = 4.0 * share * (-(directions * asarray_like(light.axis, positions)).sum(-1)).clip(0.0)
    return directions, share[:, None] * asarray_like(light.power, positions)


def specular_reflectance(cosines: Array, roughness: float) -> Array:
    """Share of uniform light that the dielectric's coat reflects: (N,) cosines to the view -> (N,).

    The split-sum environment term in Karis' analytic fit ("Physically based shading on mobile", 2014).
    """
    xp = array_namespace(cosines)
    r0, r1, r2, r3 = 1.0 - roughness, 0.0425 - 0.0275 * roughness, 1.04 - 0.572 * roughness, 0.022 * roughness - 0.04
    a004 = xp.minimum(xp.ones_like(cosines) * r0 * r0, xp.exp2(-9.28 * cosines)) * r0 + r1
    return (DIELECTRIC_F0 * (r2 - 1.04 * a004) + r3 + 1.04 * a004).clip(0.0, 1.0)


def _ggx(normals: Array, views: Array, directions: Array, n_l: Array, n_v: Array, roughness: float) -> Array:
    """GGX microfacets with Smith's height-correlated shadowing and Schlick's Fresnel term: BRDF values (N,)."""
    xp = array_namespace(normals)
    alpha2 = max(roughness, 0.03) ** 4
    halfway = normalize_rows(directions + views)
    n_h, v_h = (normals * halfway).sum(-1).clip(0.0, 1.0), (views * halfway).sum(-1).clip(0.0, 1.0)
    distribution = alpha2 / (math.pi * ((n_h * n_h) * (alpha2 - 1.0) + 1.0) ** 2)
    masking = n_l * xp.sqrt(n_v * n_v * (1.0 - alpha2) + alpha2) + n_v * xp.sqrt(n_l * n_l * (1.0 - alpha2) + alpha2)
    fresnel = DIELECTRIC_F0 + (1.0 - DIELECTRIC_F0) * (1.0 - v_h) ** 5
    return distribution * fresnel * 0.5 / masking.clip(1e-6)


def shade(
    positions: Array,
    normals: Array,
    views: Array,
    material: Material,
    lights: tuple[Light, ...],
    world_color: Color,
    openness: Array | None = None,
) -> Array:
    """Light leaving the surface towards the viewer, in scene-linear colour.

    Args:
        positions: (N, 3) in world space.
        normals: (N, 3) unit, facing the viewer (see `facing_normals`).
        views: (N, 3) unit vectors from the surface towards the viewer.
        world_color: radiance that comes from everywhere.
        openness: (N,) share of the world that a point sees, 0 to 1; None: all of it.

    Returns:
        (N, 3) radiance.
    """
    base_color = asarray_like(material.base_color, positions)
    n_v = (normals * views).sum(-1).clip(1e-3, 1.0)
    coat = specular_reflectance(n_v, material.roughness)[:, None]
    # What the coat reflects does not reach the base below it.
    diffuse = (1.0 - coat) * base_color
    color = asarray_like(world_color, positions) * (diffuse + coat)
    if openness is not None:
        color = color * openness[:, None]
    for light in lights:
        directions, irradiance = incoming(light, positions)
        n_l = (normals * directions).sum(-1).clip(0.0)
        specular = _ggx(normals, views, directions, n_l, n_v, material.roughness)
        color = color + (diffuse / math.pi + specular[:, None]) * irradiance * n_l[:, None]
    return color
