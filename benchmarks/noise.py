# SPDX-License-Identifier: GPL-3.0-or-later
"""A noisy scan: every vertex of igea moved along its normal by up to 1 % of the diagonal, then trained with PREVIEW.

Normals are compared with those of the mesh without noise: the noisy mesh's own and the network's, each all over its own
surface at the closest points of the clean one; and both at the vertices. The noise is that of M-plicits (uniform).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kernels import nsdf
from kernels.extraction import extract
from kernels.jobs import Request
from kernels.meshes import TriangleMesh, clean
from kernels.sequence import NestedSequence

from . import fitted, measures, report, subjects
from .subjects import Subject

NOISE = 0.01
POINTS = 20_000
RESOLUTION = 256
# Of the noisy mesh's own error, what the network may have.
MOST_SHARE = 1.0 / 3.0


def noisy(mesh: TriangleMesh, share: float, seed: int = 0) -> TriangleMesh:
    """The mesh with each vertex moved along its normal by a random part of `share` of the box's diagonal, in or out."""
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    ways = np.random.default_rng(seed).uniform(-share, share, len(mesh.vertices)) * diagonal
    return TriangleMesh(mesh.vertices + ways[:, None] * smooth_surface(mesh).vertex_normals, mesh.faces)


def smooth_surface(mesh: TriangleMesh) -> measures.Surface:
    """A mesh with one smooth normal a vertex."""
    starts = np.arange(0, mesh.faces.size, 3)
    normals = measures.smooth_normals(mesh.vertices, mesh.faces.reshape(-1), starts)[mesh.faces]
    return measures.Surface(mesh.vertices, mesh.faces, measures.unit(normals.astype(np.float64)))


def network_surface(sequence: NestedSequence, resolution: int) -> measures.Surface:
    """The surface of a sequence with the network's own normals, in local space."""
    quads = extract(sequence, resolution)
    faces = np.concatenate([quads.quads[:, [0, 1, 2]], quads.quads[:, [0, 2, 3]]])
    return measures.Surface(quads.vertices.astype(np.float64), faces, quads.normals.astype(np.float64)[faces])


def rows_of(
    name: str, subject: Subject, clean_mesh: TriangleMesh, noisy_mesh: TriangleMesh, resolution: int = RESOLUTION
) -> Iterator[report.Row]:
    """What the noise costs the mesh and the network.

    Args:
        subject: what was trained on the noisy mesh.
    """
    source, spoiled = smooth_surface(clean_mesh), smooth_surface(noisy_mesh)
    own = measures.shaded_normal_error(spoiled, source, POINTS)
    ours = measures.shaded_normal_error(network_surface(subject.sequence, resolution), source, POINTS)
    yield report.Row(f"{name}, the noisy mesh's own normals: all over", own, "degrees")
    yield report.at_most(f"{name}, the network's: all over", ours, "degrees", round(MOST_SHARE * own, 2))
    own_vertices = float(measures.angles(spoiled.vertex_normals, source.vertex_normals).mean())
    at_vertices = measures.angles(subject.normals_at(clean_mesh.vertices).astype(np.float64), source.vertex_normals)
    yield report.Row(f"{name}, the noisy mesh's own normals: at vertices", own_vertices, "degrees")
    what = f"{name}, the network's: at vertices"
    yield report.at_most(what, float(at_vertices.mean()), "degrees", round(MOST_SHARE * own_vertices, 2))
    yield report.Row(f"{name}: distance of the noisy vertices, mean", _distance_percent(noisy_mesh, source), "%")
    surface = network_surface(subject.sequence, resolution)
    moved = TriangleMesh(surface.vertices, surface.triangles)
    yield report.Row(f"{name}: distance of the network's, mean", _distance_percent(moved, source), "%")


def _distance_percent(mesh: TriangleMesh, source: measures.Surface) -> float:
    """Mean distance of a mesh's vertices to the source, in percent of the source's extent."""
    return 100.0 * float(measures.closest_normals(source, mesh.vertices)[1].mean()) / source.extent


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure on igea; no row where it is absent."""
    if quick:
        mesh = fitted.bumpy_torus_mesh()
        yield from rows_of("torus", subjects.fitted_subject(), mesh, noisy(mesh, NOISE), 48)
        return
    path = report.shared_mesh(subjects.IGEA)
    if path is None:
        return
    mesh = clean(subjects.read_mesh(path))
    spoiled, folder = noisy(mesh, NOISE), report.BENCH_FOLDER / "trained" / "igea-noisy-preview"
    seconds = subjects.train(spoiled, Request("PREVIEW", "noisy igea"), folder)
    subject = Subject("igea", nsdf.load(folder / "sequence.nsdf"), path, seconds)
    yield from rows_of(f"igea with {NOISE:.0%} noise", subject, mesh, spoiled)
    for sentence in subject.sequence.training.get("assumptions", ()):
        yield report.Row(f"said of it: {sentence}", None)
