# SPDX-License-Identifier: GPL-3.0-or-later
"""Scans with noise: found, measured and smoothed before a network is fitted to them.

Noise that moves every vertex by itself is white on the graph of the mesh's edges, while a surface, however fine, is
smooth from vertex to vertex: so the differences between a vertex and its neighbours' mean alternate where there is
noise, and go together where there is shape. The mesh is then smoothed by a low pass of that graph, of the strength
at which Stein's unbiased estimate of the remaining error is least (Stein 1981), and once more with weights that stop
at creases (as guided normal filters do).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import igl
import numpy as np
from scipy import sparse

from .arrays import row_dots
from .mesh_edges import mesh_edges
from .meshes import FILLED_SHARE, TriangleMesh

# A mesh of fewer vertices does not tell noise from shape.
_FEWEST_VERTICES = 1_000
# Mean product of signs between a vertex's offset and its neighbours', below which the offsets alternate. White noise
# has -0.2 to -0.5, the clean meshes that were tried +0.1 to +0.9.
_ALTERNATING = -0.05
# Share of the edges at which the two faces lie in one plane, or that have not two, above which a mesh was built and
# not scanned: steps of voxels alternate like noise, but noise leaves no two faces in one plane.
_MOST_BUILT, _FLAT_DEGREES = 0.15, 0.1
# Less noise than this, in lengths of edges, tilts faces by about the angle that fitting smooths anyway.
_LEAST_NOISE = 0.05
# Steps of half a neighbourhood after which normals are taken to be those of the surface, while noise is looked for.
_STEPS_TO_NORMALS = 12
# Steps of smoothing that are compared. The filter also needs twice as many of each.
_STEPS = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# No stronger smoothing is tried once the error in all directions is this many times the least one.
_HOPELESS = 3.0
# Degrees between the normals of neighbours at which they count for each other by 60 percent.
_CREASE_DEGREES = 20.0
# What neighbours across the sharpest crease still count: no vertex may stand alone.
_LEAST_WEIGHT = 1e-3


def without_noise(mesh: TriangleMesh) -> tuple[TriangleMesh, float]:
    """The mesh with its noise smoothed away, its faces as they were, and the noise that was found.

    It is the standard deviation of the vertices' noise along the normals, in the mesh's units; 0 where none is found.
    A mesh without noise comes back as it is.
    """
    if len(mesh.vertices) < _FEWEST_VERTICES:
        return mesh, 0.0
    mean = _neighbour_mean(mesh)
    noise = _estimated_noise(mesh, mean)
    return (_denoised(mesh, mean, noise) if noise else mesh), noise


def noise_assumption(noise: float) -> str:
    """What to tell the artist of noise found in a mesh in network space, and smoothed."""
    share = 100.0 * noise / (2.0 * FILLED_SHARE)
    return f"The surface looks like a scan with noise of about {share:.2g} % of its size: it was smoothed"


def _estimated_noise(mesh: TriangleMesh, mean: sparse.csr_matrix) -> float:
    """The noise that `without_noise` finds, from the matrix (V, V) of neighbours' means."""
    normals = _vertex_normals(_smoothed(mean, mesh.vertices, _STEPS_TO_NORMALS), mesh.faces)
    offsets = row_dots(mesh.vertices - mean @ mesh.vertices, normals)
    alternating = np.mean(np.sign(offsets) * np.sign(mean @ offsets)) < _ALTERNATING
    if not alternating or _built_share(mesh) > _MOST_BUILT:
        return 0.0
    # The second difference holds less of the shape; what it makes of white noise is seen on white noise.
    white = np.random.default_rng(0).normal(size=len(mesh.vertices))
    expected = white - mean @ white
    noise = _mean_size(offsets - mean @ offsets) / _mean_size(expected - mean @ expected)
    edges = mesh.vertices[mesh.faces] - mesh.vertices[np.roll(mesh.faces, 1, axis=1)]
    return noise if noise > _LEAST_NOISE * np.median(np.linalg.norm(edges, axis=2)) else 0.0


def _denoised(mesh: TriangleMesh, mean: sparse.csr_matrix, noise: float) -> TriangleMesh:
    """The mesh smoothed as suits noise of that standard deviation."""
    steps, smooth = _best_smoothing(mesh, mean, noise)
    guided = _guided(mean, _vertex_normals(smooth, mesh.faces))
    vertices = _low_pass(guided.astype(np.float32), mesh.vertices.astype(np.float32), steps)
    return TriangleMesh(vertices.astype(np.float64), mesh.faces)


def _built_share(mesh: TriangleMesh) -> float:
    """Share of the edges at which two faces lie in one plane, or that have not two faces."""
    edges, normals = mesh_edges(mesh.faces), igl.per_face_normals(mesh.vertices, mesh.faces)
    first, second = normals[edges.faces[edges.pairs]], normals[edges.faces[edges.pairs + 1]]
    bent = np.linalg.norm(first - second, axis=1) >= np.radians(_FLAT_DEGREES)
    return 1.0 - float(bent.sum()) / len(edges.first)


def _neighbour_mean(mesh: TriangleMesh) -> sparse.csr_matrix:
    """The matrix (V, V) that gives each vertex the mean of its neighbours.

    Vertices on the border of an open mesh have only those along the border, so that it does not shrink.
    """
    edges, count = mesh_edges(mesh.faces), len(mesh.vertices)
    ends = edges.vertices[edges.first]
    on_border = np.zeros(count, dtype=bool)
    on_border[edges.vertices[edges.borders]] = True
    of, neighbour = np.concatenate([ends, ends[:, ::-1]]).T
    counts = ~on_border[of] | np.tile(edges.counts == 1, 2)
    weights = sparse.csr_matrix((counts.astype(float), (of, neighbour)), (count, count))
    weights.eliminate_zeros()
    return _normalized(weights)


def _normalized(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix with rows that sum to one."""
    return sparse.diags(1.0 / np.asarray(weights.sum(axis=1)).ravel()) @ weights


def _smoothed(mean: sparse.csr_matrix, values: np.ndarray, steps: int) -> np.ndarray:
    """Values (V, C) or (V,) moved `steps` times half of the way to their neighbours' mean."""
    for _ in range(steps):
        values = values.dtype.type(0.5) * (values + mean @ values)
    return values


def _low_pass(mean: sparse.csr_matrix, values: np.ndarray, steps: int) -> np.ndarray:
    """Values smoothed, and what this took from the shape given back as far as it is smooth itself (twicing)."""
    smooth = _smoothed(mean, values, steps)
    return 2.0 * smooth - _smoothed(mean, smooth, steps)


@dataclass(frozen=True)
class _Candidate:
    """One strength of smoothing.

    Attributes:
        steps: how often half of the way was gone.
        vertices: (V, 3) smoothed.
        trace: share of white noise that stays, estimated.
    """

    steps: int
    vertices: np.ndarray
    trace: float


def _candidates(mesh: TriangleMesh, mean: sparse.csr_matrix) -> Iterator[_Candidate]:
    """The mesh smoothed more and more, with each of `_STEPS`."""
    # The trace of the filter is the mean of how it answers to random signs (Hutchinson 1989), one more column.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], len(mesh.vertices))
    # Single precision: twice as fast, and noise is far above its rounding.
    mean = mean.astype(np.float32)
    smoothed = {0: np.column_stack([mesh.vertices, signs]).astype(np.float32)}
    for steps in _STEPS:
        for wanted in (steps, 2 * steps):
            if wanted not in smoothed:
                nearest = max(done for done in smoothed if done < wanted)
                smoothed[wanted] = _smoothed(mean, smoothed[nearest], wanted - nearest)
        filtered = (2.0 * smoothed[steps] - smoothed[2 * steps]).astype(np.float64)
        yield _Candidate(steps, filtered[:, :3], float((signs * filtered[:, 3]).mean()))


def _best_smoothing(mesh: TriangleMesh, mean: sparse.csr_matrix, noise: float) -> tuple[int, np.ndarray]:
    """The steps and the vertices (V, 3) whose normals should be nearest to those of the surface."""
    # In all directions the vertices' slide along the surface counts as an error: the least error is then found at
    # too few steps, but at enough to say where the normals point.
    candidates, sliding = [], []
    for candidate in _candidates(mesh, mean):
        candidates.append(candidate)
        sliding.append(_remaining_error(mesh.vertices - candidate.vertices, candidate.trace, noise))
        if sliding[-1] > _HOPELESS * min(sliding):
            break
    reference = candidates[min(int(np.argmin(sliding)) + 2, len(candidates) - 1)]
    normals = _vertex_normals(reference.vertices, mesh.faces)
    errors = [
        _remaining_error(row_dots(mesh.vertices - c.vertices, normals)[:, None], c.trace, noise) for c in candidates
    ]
    # Normals suffer from what is left of noise more than positions do: one strength more than positions ask for.
    best = candidates[min(int(np.argmin(errors)) + 1, len(candidates) - 1)]
    return best.steps, best.vertices


def _remaining_error(moved: np.ndarray, trace: float, noise: float) -> float:
    """Stein's unbiased estimate of the mean squared error of smoothed vertices, of how far they moved: (V, C)."""
    return float((moved**2).sum(axis=1).mean()) + (2.0 * trace - 1.0) * noise**2


def _guided(mean: sparse.csr_matrix, normals: np.ndarray) -> sparse.csr_matrix:
    """The means of neighbours weighted by how alike their normals (V, 3) are."""
    entries = mean.tocoo()
    gaps = normals[entries.row] - normals[entries.col]
    width = np.radians(_CREASE_DEGREES)
    weights = np.exp(-row_dots(gaps, gaps) / (2.0 * width**2)) + _LEAST_WEIGHT
    return _normalized(sparse.csr_matrix((weights * entries.data, (entries.row, entries.col)), mean.shape))


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals of vertices by their faces' areas: (V, 3); zero where the faces cancel out."""
    weighting = igl.PER_VERTEX_NORMALS_WEIGHTING_TYPE_AREA
    return np.nan_to_num(igl.per_vertex_normals(vertices, faces, weighting))


def _mean_size(values: np.ndarray) -> float:
    """Mean absolute value, with outliers such as vertices on creases held down."""
    sizes = np.abs(values)
    return float(sizes.clip(max=4.0 * np.median(sizes)).mean())
