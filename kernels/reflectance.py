# SPDX-License-Identifier: GPL-3.0-or-later
"""How much rough surfaces reflect: GGX microfacets integrated over the hemisphere, tabulated.

For Schlick's Fresnel term with reflectance f0 at normal incidence, the share of uniform light that single reflections
send towards the viewer is f0 * A + B, where A and B depend on roughness and on the cosine to the view alone (Karis,
"Real shading in Unreal Engine 4", 2013). The rest of what a perfect mirror would reflect, 1 - A - B, bounces between
microfacets first; `multiple_scattering` brings it back as Principled BSDF does.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .arrays import Array, array_namespace, as_indices, asarray_like

# Values along each axis of the table, at equal steps from 0 to 1.
TABLE_SIDE = 32

GOLDEN_RATIO = (1.0 + 5.0**0.5) / 2.0

# Surfaces less rough count as this rough: their highlights would be too narrow for float32.
SMALLEST_ROUGHNESS = 0.03


@cache
def table() -> np.ndarray:
    """(TABLE_SIDE, TABLE_SIDE, 3) float32 over roughness and cosine to the view: A, B, and the mean of A + B.

    The mean, weighted by the cosine, is over all views; it depends on roughness alone.
    """
    steps = np.linspace(0.0, 1.0, TABLE_SIDE)
    # A grid, shifted from column to column: otherwise whole rows of it would fall below the surface at once.
    count = 48
    row, column = np.divmod(np.arange(count * count), count)
    first = (row + (column * GOLDEN_RATIO) % 1.0) / count
    second = (column + 0.5) / count
    result = np.empty((TABLE_SIDE, TABLE_SIDE, 3), dtype=np.float32)
    n_v = steps.clip(1e-3)[:, None]
    for place, roughness in enumerate(steps.clip(SMALLEST_ROUGHNESS)):
        alpha2 = roughness**4
        # Half vectors distributed as the microfacets; by symmetry half a turn of azimuth is enough.
        n_h = np.sqrt((1.0 - first) / (1.0 + (alpha2 - 1.0) * first))
        across = np.sqrt(1.0 - n_h * n_h) * np.cos(np.pi * second)
        v_h = np.sqrt(1.0 - n_v * n_v) * across + n_v * n_h
        n_l = 2.0 * v_h * n_h - n_v
        lit = (n_l > 0.0) & (v_h > 0.0)
        n_l, v_h = n_l.clip(0.0), v_h.clip(0.0, 1.0)
        masking = n_l * np.sqrt(n_v * n_v * (1.0 - alpha2) + alpha2)
        masking += n_v * np.sqrt(n_l * n_l * (1.0 - alpha2) + alpha2)
        shares = np.where(lit, 2.0 * n_l * v_h / (masking * n_h).clip(1e-12), 0.0)
        fresnel = (1.0 - v_h) ** 5
        result[place, :, 0] = (shares * (1.0 - fresnel)).mean(axis=1)
        result[place, :, 1] = (shares * fresnel).mean(axis=1)
    # The samples' error may add up to more than all light.
    result[..., 0] = np.minimum(result[..., 0], 1.0 - result[..., 1])
    weighted = 2.0 * steps * (result[..., 0] + result[..., 1])
    result[..., 2] = 0.5 * (weighted[:, 1:] + weighted[:, :-1]).sum(axis=1, keepdims=True) / (TABLE_SIDE - 1)
    return result


def lookup(n_v: Array, roughness: Array) -> Array:
    """Bilinear lookup in `table`: (N,) cosines to the view and (N,) roughness -> (N, 3)."""
    xp = array_namespace(n_v)
    values = asarray_like(table().reshape(-1, 3), n_v)
    x, y = n_v * (TABLE_SIDE - 1.0), (roughness + 0.0 * n_v) * (TABLE_SIDE - 1.0)
    left, low = xp.floor(x).clip(0.0, TABLE_SIDE - 2.0), xp.floor(y).clip(0.0, TABLE_SIDE - 2.0)
    corner = as_indices(low * TABLE_SIDE + left)
    right, up = (x - left)[:, None], (y - low)[:, None]
    lower = values[corner] * (1.0 - right) + values[corner + 1] * right
    upper = values[corner + TABLE_SIDE] * (1.0 - right) + values[corner + TABLE_SIDE + 1] * right
    return lower * (1.0 - up) + upper * up


def multiple_scattering(f0: Array, looked_up: Array) -> Array:
    """Factor that brings back what bounces between microfacets: (N, 3) reflectances, `lookup`'s (N, 3) -> (N, 3).

    Kulla and Conty, "Revisiting physically based shading at Imageworks", 2017, in the form of a factor on single
    reflections that Principled BSDF uses. A surface of reflectance 1 reflects all light.
    """
    single = looked_up[:, 0:1] + looked_up[:, 1:2]
    mean_single = looked_up[:, 2:3]
    mean_fresnel = f0 + (1.0 - f0) / 21.0
    bounced = mean_fresnel * mean_single / (1.0 - mean_fresnel * (1.0 - mean_single))
    return 1.0 + bounced * (1.0 - single) / single
