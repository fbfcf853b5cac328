# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's steps, through the operators that an artist presses, and what each reached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from benchmarks import measures
from kernels import nsdf

from . import sculpt, stage

ENGINE = "NEURAL_IMPLICIT"
PROPERTY = "neural_implicit"
MEASURED_POINTS = 20_000
SILHOUETTE_SIZE = 512


@dataclass(frozen=True)
class BakeResult:
    """One low-poly mesh, and how far its normals are from the source's smooth normals.

    Attributes:
        share: of the source's triangles that were kept.
        triangles: how many that is.
        own_error, baked_error: mean angle in degrees at the vertices, with the mesh's own smooth normals and baked.
        own_shaded_error, baked_shaded_error: the same at points all over the surface, normals interpolated.
        seconds: the operator's time.
    """

    share: float
    triangles: int
    own_error: float
    baked_error: float
    own_shaded_error: float
    baked_shaded_error: float
    seconds: float

    @property
    def worse(self) -> bool:
        """Whether the bake harmed the mesh, which is a failure of the product."""
        return self.baked_error > self.own_error or self.baked_shaded_error > self.own_shaded_error


def train(source: bpy.types.Object, preset: str) -> tuple[bpy.types.Object, float]:
    """Press Train; returns the neural object and the seconds until it was there."""
    sculpt.select_only(source)
    start = time.perf_counter()
    result = bpy.ops.neural_implicit.train(preset=preset)
    seconds = time.perf_counter() - start
    neural = bpy.context.object
    if result != {"FINISHED"} or neural is None or PROPERTY not in neural.data:
        raise SystemExit("Training did not make a neural object; the messages above say why.")
    return neural, seconds


def measure_network(neural: bpy.types.Object, source: bpy.types.Object) -> dict[str, Any]:
    """What the sequence is and how near it comes to its source, both in the source's local space."""
    data = neural.data[PROPERTY]
    sequence = nsdf.loads(data)
    surface = measures.surface_of(source.data)
    points, normals = measures.surface_points(surface, MEASURED_POINTS)
    inside = sequence.to_network(points).astype(np.float32)
    errors = measures.angles(sequence.normals(inside).astype(np.float64), normals)
    distances = np.abs(sequence.distance(sequence.finest, inside)) * sequence.radius
    return {
        "levels": sequence.notation,
        "parameters": sequence.parameter_count,
        "nsdf_bytes": len(data),
        "bands": [{"delta": band.delta, "evidence": band.evidence} for band in sequence.bands],
        "normal_error_degrees": float(errors.mean()),
        "normal_error_degrees_95_percent": float(np.percentile(errors, 95)),
        "distance_percent_of_extent": float(100.0 * distances.mean() / surface.extent),
        "training": dict(sequence.training),
    }


def silhouette(folder: Path, neural: bpy.types.Object, source: bpy.types.Object) -> float:
    """Intersection over union of what the neural object covers in the picture and what the source covers."""
    path = folder / "silhouette.png"
    masks = [
        stage.render(path, [obj], engine, SILHOUETTE_SIZE, transparent=True, samples=16)[..., 3] > 0.5
        for obj, engine in ((neural, ENGINE), (source, "CYCLES"))
    ]
    path.unlink()
    return measures.intersection_over_union(*masks)


def decimate(source: bpy.types.Object, share: float) -> bpy.types.Object:
    """A copy of `source` with `share` of its triangles, shaded smooth, where the source stands."""
    low_poly = source.copy()
    low_poly.data = source.data.copy()
    # Custom normals of the detailed mesh are not the low-poly's own.
    custom = low_poly.data.attributes.get("custom_normal")
    if custom is not None:
        low_poly.data.attributes.remove(custom)
    low_poly.name = f"Low Poly {share:.0%}"
    bpy.context.scene.collection.objects.link(low_poly)
    modifier = low_poly.modifiers.new("Decimate", "DECIMATE")
    modifier.ratio = share
    sculpt.select_only(low_poly)
    bpy.ops.object.modifier_apply(modifier=modifier.name)
    low_poly.data.shade_smooth()
    return low_poly


def bake(neural: bpy.types.Object, source: bpy.types.Object, low_poly: bpy.types.Object, share: float) -> BakeResult:
    """Press Bake Normals; measure before and after."""
    surface = measures.surface_of(source.data)
    before = measures.surface_of(low_poly.data)
    sculpt.select_only(neural, low_poly)
    start = time.perf_counter()
    result = bpy.ops.neural_implicit.bake_normals(target="CUSTOM_NORMALS")
    seconds = time.perf_counter() - start
    if result != {"FINISHED"}:
        raise SystemExit("Baking failed; the messages above say why.")
    after = measures.surface_of(low_poly.data, shown=True)
    return BakeResult(
        share,
        len(before.triangles),
        measures.vertex_normal_error(before, surface),
        measures.vertex_normal_error(after, surface),
        measures.shaded_normal_error(before, surface),
        measures.shaded_normal_error(after, surface),
        seconds,
    )
