# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid mode's ready-made lighting: studio lights and material captures, by the formulas of Blender's Workbench.

It is made to show form clearly at any angle, not to be physical. kernels/glsl/shading.glsl has the same formulas.
"""

from __future__ import annotations

import numpy as np

from .arrays import normalize_rows, row_dots
from .lighting import Matcap, StudioLighting

# Specular reflectance of dielectrics in Solid mode.
STUDIO_F0 = 0.05

# What `rough_reciprocal` subtracts from.
RECIPROCAL_BITS = 0x7EEF370B

# Radius of the sphere in a material capture, in widths of its picture: a little less than its half.
MATCAP_RADIUS = 0.496


def rough_reciprocal(values: np.ndarray) -> np.ndarray:
    """1 / x as Workbench computes it, by subtracting floats' bits: from 7 % too small to 3 % too large.

    Its lights are darker than their settings say by that, and so are these. (Drobot, "Low level optimizations for GCN",
    2014.)
    """
    bits = np.asarray(values, dtype=np.float32).view(np.int32)
    return (np.int32(RECIPROCAL_BITS) - bits).view(np.float32)


def wrapped(cosines: np.ndarray, smooth: np.ndarray | float) -> np.ndarray:
    """Light on a surface from a light that reaches around: unclamped (N,) cosines to it -> (N,) from 0 to 1."""
    return ((cosines + smooth) * rough_reciprocal((1.0 + np.asarray(smooth)) ** 2)).clip(0.0, 1.0)


def studio_color(
    lighting: StudioLighting,
    normals: np.ndarray,
    views: np.ndarray,
    base_color: np.ndarray,
    roughness: np.ndarray,
    metallic: np.ndarray,
) -> np.ndarray:
    """What surfaces send to the viewer under studio lighting.

    Args:
        normals, views: (N, 3) unit, as for `shading.shade`.
        base_color, roughness, metallic: (N, 3), (N,), (N,) of the points, or one row for all.

    Returns:
        (N, 3) scene-linear colour.
    """
    # Solid mode's roughness is meant to look even on its slider, not to measure microfacets.
    dullness = np.sqrt(roughness)
    diffuse = np.broadcast_to(np.asarray(lighting.ambient, dtype=normals.dtype), normals.shape)
    specular = np.broadcast_to(np.asarray(lighting.ambient, dtype=normals.dtype), normals.shape)
    n_v = row_dots(normals, views)
    mirrored = 2.0 * n_v[:, None] * normals - views
    for light in lighting.lights:
        direction = np.asarray(light.direction, dtype=normals.dtype)
        smooth = light.smooth
        n_l = row_dots(normals, direction)
        diffuse = diffuse + wrapped(n_l, smooth)[:, None] * np.asarray(light.diffuse_color, dtype=normals.dtype)
        n_h = row_dots(normals, normalize_rows(views + direction)).clip(0.0, 1.0)
        # Blinn's highlight, normalised; a smooth light is a large one, whose highlight is wider and less glossy.
        shininess = np.exp2(10.0 * (1.0 - dullness) * (1.0 - smooth) + 1.0)
        highlight = n_h**shininess * n_l.clip(0.0) * (0.125 * shininess + 1.0)
        around = wrapped(row_dots(mirrored, direction), smooth + (1.0 - smooth) * dullness)
        highlight = highlight + (around - highlight) * smooth**2
        specular = specular + highlight[:, None] * np.asarray(light.specular_color, dtype=normals.dtype)
    if not lighting.specular:
        return diffuse * base_color
    metal = metallic[:, None]
    f0 = STUDIO_F0 * (1.0 - metal) + metal * base_color
    edge = (np.exp2(-8.35 * n_v.clip(0.0, 1.0)) * (1.0 - dullness))[:, None]
    reflected = f0 + (1.0 - f0) * edge
    # The base gets what a grey coat would let through: coloured losses look strange.
    through = 1.0 - reflected.sum(-1)[:, None] / 3.0
    return diffuse * base_color * (1.0 - metal) * through + specular * reflected


def matcap_color(
    matcap: Matcap, normals: np.ndarray, views: np.ndarray, to_camera: np.ndarray, base_color: np.ndarray
) -> np.ndarray:
    """What surfaces send to the viewer when their normals are looked up on a material capture's sphere.

    Args:
        normals, views: (N, 3) unit, as for `shading.shade`.
        to_camera: (3, 3) rotation from world space to the camera's, which looks along -z.
        base_color: (N, 3) of the points, or one row for all.

    Returns:
        (N, 3) scene-linear colour.
    """
    coordinates = matcap_coordinates(normals @ to_camera.T, views @ to_camera.T)
    color = lookup(matcap.diffuse, coordinates) * base_color
    return color if matcap.specular is None else color + lookup(matcap.specular, coordinates)


def matcap_coordinates(normals: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Where normals are found in a material capture: unit (N, 3), (N, 3) in camera space -> (N, 2), 0 to 1.

    Each point is seen as if it were in the middle of the picture: the frame of the normal is turned with the view, so
    that perspective does not bend the sphere.
    """
    x, y, z = views[:, 0], views[:, 1], views[:, 2]
    # A frame whose third axis is the view, upright where it can be (Frisvad's construction).
    scale = 1.0 / (1.0 + z).clip(1e-6)
    mixed = -x * y * scale
    right = np.stack([1.0 - x * x * scale, mixed, -x], axis=1)
    up = np.stack([mixed, 1.0 - y * y * scale, -y], axis=1)
    return 0.5 + MATCAP_RADIUS * np.stack([row_dots(right, normals), row_dots(up, normals)], axis=1)


def lookup(pixels: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Bilinear lookup in a picture that ends at its edges: (H, W, 3), (N, 2) from 0 to 1 -> (N, 3)."""
    height, width = pixels.shape[:2]
    x = (coordinates[:, 0] * width - 0.5).clip(0.0, width - 1.0)
    y = (coordinates[:, 1] * height - 0.5).clip(0.0, height - 1.0)
    left, low = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, above = (x - left)[:, None], (y - low)[:, None]
    right, high = np.minimum(left + 1, width - 1), np.minimum(low + 1, height - 1)
    lower = pixels[low, left] * (1.0 - across) + pixels[low, right] * across
    upper = pixels[high, left] * (1.0 - across) + pixels[high, right] * across
    return lower * (1.0 - above) + upper * above
