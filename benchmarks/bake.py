# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake gains on a decimated mesh, beside its own smooth normals and beside a transfer from the source itself.

`python benchmarks/bake.py FILE.nsdf MESH [RATIO...]` measures a sequence and the mesh it was trained on.
`python -m benchmarks bake` measures what the presets reached on the shared meshes.

Two errors, both mean angles in degrees to the source's smooth (angle-weighted) normals at the closest points: at the
vertices of the low-poly mesh, and at points all over it, where shading interpolates. The second has a floor that no
vertex normals go below, which the transfer shows. Neural Normals, taken at every pixel, are not bound by it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import bpy
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measures, presets, report
from benchmarks.demo import sculpt, steps
from kernels import baking, normal_mapping, nsdf
from kernels.scenes import NeuralNormals
from kernels.sequence import NestedSequence

RATIOS = (0.01, 0.05)
POINTS = 20_000  # all over a mesh that wears neural normals
# What the product promises for igea at 1 %.
PROMISED_SHARE = 0.5


def baked_normals(sequence: NestedSequence, low: measures.Surface) -> tuple[np.ndarray, np.ndarray]:
    """What Bake Normals puts on the vertices of a mesh in the sequence's local space, plain and adaptive: (V, 3)."""
    own = low.vertex_normals
    normals, inside = baking.normals_from(sequence, low.vertices, np.eye(4))
    plain = normal_mapping.mix_normals(own, normals, inside.astype(float))
    error = sequence.training.get("normal_error_rms_degrees", 0.0)
    weight = baking.confidence(own[inside], normals[inside], error)
    return plain, normal_mapping.mix_normals(own, normals, weight * inside)


def neural_normals_error(sequence: NestedSequence, low: measures.Surface, source: measures.Surface) -> float:
    """Mean angle all over a mesh in the sequence's local space that wears the sequence's normals at every pixel."""
    worn = NeuralNormals(sequence, np.linalg.inv(sequence.network_to_local))
    points, own = measures.surface_points(low, POINTS)
    normals, places = normal_mapping.normals_at(sequence, points, worn.local_to_network)
    shown = normal_mapping.seen_normals(own, normals, normal_mapping.band_weights(places, worn.transition))
    return float(measures.angles(shown, measures.closest_normals(source, points)[0]).mean())


def measure(
    sequence: NestedSequence, source: bpy.types.Object, ratio: float
) -> tuple[dict[str, tuple[float, float]], float]:
    """Errors at the vertices and all over for each kind of vertex normals, and all over with Neural Normals."""
    surface = measures.surface_of(source.data)
    low_poly = steps.decimate(source, ratio)
    low = measures.surface_of(low_poly.data)
    bpy.data.objects.remove(low_poly)
    transferred, _ = measures.closest_normals(surface, low.vertices)
    plain, adaptive = baked_normals(sequence, low)
    kinds = {"own": low.vertex_normals, "baked": plain, "baked, adaptive": adaptive, "transferred": transferred}
    figures = {}
    for kind, normals in kinds.items():
        shown = measures.Surface(low.vertices, low.triangles, measures.unit(normals.astype(np.float64))[low.triangles])
        figures[kind] = measures.vertex_normal_error(shown, surface), measures.shaded_normal_error(shown, surface)
    return figures, neural_normals_error(sequence, low, surface)


def rows_of(sequence: NestedSequence, mesh: Path, ratios: tuple[float, ...]) -> list[report.Row]:
    """What `measure` found, as rows of the report."""
    bpy.ops.wm.read_homefile(use_empty=True)
    source = sculpt.load(mesh)
    rows = []
    for ratio in ratios:
        figures, worn = measure(sequence, source, ratio)
        what = f"{mesh.stem} at {ratio:.0%}"
        own, own_shaded = figures["own"]
        for kind, (error, shaded) in figures.items():
            if kind != "baked, adaptive":
                rows.append(report.Row(f"{what}, {kind}: at vertices", error, "degrees"))
                rows.append(report.Row(f"{what}, {kind}: all over", shaded, "degrees"))
                continue
            promised = own * PROMISED_SHARE if (mesh.stem, ratio) == ("igea", 0.01) else own
            rows.append(report.at_most(f"{what}, {kind}: at vertices", error, "degrees", round(promised, 2)))
            rows.append(report.at_most(f"{what}, {kind}: all over", shaded, "degrees", round(own_shaded, 2)))
        rows.append(report.at_most(f"{what}, neural normals: all over", worn, "degrees", round(own_shaded, 2)))
    return rows


def run() -> list[report.Row]:
    """Measure what the presets' benchmark trained, training it where it has not; no row for an absent mesh."""
    rows = []
    for each in (presets.IGEA_BALANCED, presets.BUNNY_BALANCED):
        mesh = report.shared_mesh(each.mesh)
        if mesh is not None and presets.demo(each) is not None:
            rows += rows_of(nsdf.load(each.folder / "sequence.nsdf"), mesh, RATIOS)
    return rows


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(prog="python benchmarks/bake.py", description=__doc__)
    parser.add_argument("sequence", type=Path, help="a .nsdf file")
    parser.add_argument("mesh", type=Path, help="the mesh that it was trained on")
    parser.add_argument("ratios", type=float, nargs="*", default=RATIOS, help="shares of the triangles to keep")
    parsed = parser.parse_args()
    print(report.table(rows_of(nsdf.load(parsed.sequence), parsed.mesh, tuple(parsed.ratios))))


if __name__ == "__main__":
    main()
