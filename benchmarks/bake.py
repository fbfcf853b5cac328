# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bake gains on a decimated mesh, beside its own smooth normals and beside a transfer from the source itself.

`python benchmarks/bake.py FILE.nsdf MESH [RATIO...]` measures a sequence and the mesh it was trained on.
`python -m benchmarks bake` measures what the presets reached on the shared meshes.

Beside it are Blender's own ways, which need the source in the file: the Data Transfer modifier (nearest face,
interpolated), and the nodes Mesh to SDF Grid and Grid Gradient, whose distances have no sign for a source with holes.

Two errors, both mean angles in degrees to the source's smooth (angle-weighted) normals at the closest points: at the
vertices of the low-poly mesh, and at points all over it, where shading interpolates. The second has a floor that no
vertex normals go below, which the transfer shows. Neural Normals, taken at every pixel, are not bound by it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import bpy
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import blender_transfers, measures, report, subjects
from benchmarks.demo import sculpt, steps
from kernels import baking, normal_mapping, nsdf
from kernels.scenes import NeuralNormals
from kernels.sequence import NestedSequence

RATIOS = (0.01, 0.05)
POINTS = 20_000  # all over a mesh that wears neural normals
# Of the low-poly's own error, the share that a bake may leave, where it is not 1.
PROMISED_SHARE = {0.01: 0.25}
# Voxels of the grid along the longest side of the source, and how many of them lie to each side of its surface.
SDF_VOXELS, SDF_BAND = 256, 3


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
    kinds = {
        "own normals": low,
        "baked": _with_normals(low, baked_normals(sequence, low)[0]),
        "baked, adaptive": _with_normals(low, baked_normals(sequence, low)[1]),
        "source's own normals": _with_normals(low, measures.closest_normals(surface, low.vertices)[0]),
        "Data Transfer": blender_transfers.data_transfer(source, low_poly),
    }
    if blender_transfers.has_sdf_grids():
        voxel = surface.extent / SDF_VOXELS
        gradients = blender_transfers.sdf_grid_gradients(source, low_poly, voxel, SDF_BAND)
        kinds["SDF grid's gradient"] = _with_normals(low, gradients)
    bpy.data.objects.remove(low_poly)
    figures = {
        kind: (measures.vertex_normal_error(shown, surface), measures.shaded_normal_error(shown, surface))
        for kind, shown in kinds.items()
    }
    return figures, neural_normals_error(sequence, low, surface)


def _with_normals(low: measures.Surface, normals: np.ndarray) -> measures.Surface:
    """A mesh with other normals (V, 3) at its vertices."""
    return measures.Surface(low.vertices, low.triangles, measures.unit(normals.astype(np.float64))[low.triangles])


def rows_of(name: str, sequence: NestedSequence, mesh: Path, ratios: Iterable[float]) -> Iterator[report.Row]:
    """What `measure` found, as rows of the report."""
    bpy.ops.wm.read_homefile(use_empty=True)
    source = sculpt.load(mesh)
    for ratio in ratios:
        figures, worn = measure(sequence, source, ratio)
        share = PROMISED_SHARE.get(ratio, 1.0)
        own, own_shaded = figures["own normals"]
        for kind, (error, shaded) in figures.items():
            # What is promised is what the operator does by itself; between vertices nobody's normals do better.
            is_ours = kind == "baked, adaptive"
            what = f"{name} at {ratio:.0%}, {kind}"
            yield report.at_most(f"{what}: at vertices", error, "degrees", round(share * own, 2) if is_ours else None)
            yield report.at_most(f"{what}: all over", shaded, "degrees", round(own_shaded, 2) if is_ours else None)
        what = f"{name} at {ratio:.0%}, neural normals at every pixel: all over"
        yield report.at_most(what, worn, "degrees", round(share * own_shaded, 2))
    if not blender_transfers.has_sdf_grids():
        yield report.not_measured("SDF grid's gradient", f"Blender {bpy.app.version_string} has no such nodes")


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained on bunny, igea and nefertiti."""
    trainings = (
        subjects.BUNNY_BALANCED,
        subjects.IGEA_BALANCED,
        subjects.NEFERTITI_BALANCED,
        subjects.BUNNY_FINE,
        subjects.IGEA_FINE,
    )
    for subject in subjects.subjects(trainings, quick):
        yield from rows_of(subject.name, subject.sequence, subject.mesh, RATIOS[1:] if quick else RATIOS)


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(prog="python benchmarks/bake.py", description=__doc__)
    parser.add_argument("sequence", type=Path, help="a .nsdf file")
    parser.add_argument("mesh", type=Path, help="the mesh that it was trained on")
    parser.add_argument("ratios", type=float, nargs="*", default=RATIOS, help="shares of the triangles to keep")
    parsed = parser.parse_args()
    rows = rows_of(parsed.mesh.stem, nsdf.load(parsed.sequence), parsed.mesh, parsed.ratios)
    print(report.table(list(rows)))


if __name__ == "__main__":
    main()
