# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes known in closed form, and networks that represent them without training.

A network is a random-feature sine layer whose last, linear layer is fitted to an analytic signed distance and
its gradient by least squares. Near the surface it is exact to about 1e-3, and it takes well under a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np

from kernels.meshes import TriangleMesh
from kernels.networks import Network, evaluate
from kernels.sequence import Band, NestedSequence

Distance = Callable[[np.ndarray], np.ndarray]


def sphere(radius: float = 0.6, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Distance:
    """Signed distance of a sphere: (N, 3) -> (N,)."""
    return lambda p: np.linalg.norm(p - np.asarray(center), axis=1) - radius


def torus(major: float = 0.55, minor: float = 0.22) -> Distance:
    """Signed distance of a torus around the z axis: (N, 3) -> (N,)."""
    return lambda p: np.hypot(np.hypot(p[:, 0], p[:, 1]) - major, p[:, 2]) - minor


def bumpy(shape: Distance, height: float = 0.03, frequency: float = 9.0) -> Distance:
    """`shape` with rounded bumps of that height: (N, 3) -> (N,). Its zero set is exact, its values are near distances.

    `frequency` is that of the bumps along each axis, in radians per unit.
    """
    return lambda p: shape(p) - height * np.sin(frequency * p).prod(axis=1)


def union(*shapes: Distance) -> Distance:
    """Signed distance of the union of disjoint shapes."""
    return lambda p: np.min([shape(p) for shape in shapes], axis=0)


def gradient(distance: Distance, points: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Gradient of `distance` by central differences: (N, 3) -> (N, 3)."""
    offsets = np.eye(3) * step
    return np.stack([(distance(points + o) - distance(points - o)) / (2.0 * step) for o in offsets], axis=1)


def surface_points(distance: Distance, count: int, seed: int = 0) -> np.ndarray:
    """Points on the zero set inside [-1, 1]^3: (count, 3), by projecting uniform points along the gradient."""
    rng = np.random.default_rng(seed)
    points = projected(distance, rng.uniform(-1.0, 1.0, (4 * count, 3)))
    valid = (np.abs(distance(points)) < 1e-6) & (np.abs(points) <= 1.0).all(axis=1)
    return points[valid][:count]


def projected(distance: Distance, points: np.ndarray) -> np.ndarray:
    """Points moved onto the zero set by Newton steps along the gradient: (N, 3) -> (N, 3)."""
    for _ in range(4):
        slope = gradient(distance, points)
        points = points - (distance(points) / (slope**2).sum(axis=1))[:, None] * slope
    return points


def unit_normals(distance: Distance, points: np.ndarray) -> np.ndarray:
    """Unit normals of the level sets of `distance`: (N, 3) -> (N, 3)."""
    slope = gradient(distance, points)
    return slope / np.linalg.norm(slope, axis=1, keepdims=True)


def fitted_network(distance: Distance, width: int = 384, omega: float = 3.0, seed: int = 0) -> Network:
    """A network with one hidden layer of `width` sines, fitted to `distance` and its gradient.

    `omega` is the standard deviation of the features' frequencies: larger resolves finer shapes.
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(0.0, omega, (width, 3))
    bias = rng.uniform(-np.pi, np.pi, width)
    surface = surface_points(distance, 1500, seed)
    near = surface + rng.normal(0.0, 0.06, surface.shape)
    # The cube's border is drawn more often, because nothing beyond it holds the fit.
    far = np.clip(rng.uniform(-1.2, 1.2, (4000, 3)), -1.0, 1.0)
    points = np.concatenate([surface, near, far])
    # Distances far away have kinks that no smooth network reproduces; they only have to be roughly right.
    importance = np.concatenate([np.full(2 * len(surface), 10.0), np.full(len(far), 0.4)])
    normals = gradient(distance, surface)

    phase = points @ weight.T + bias
    slope = np.cos(surface @ weight.T + bias)
    rows = [np.hstack([np.sin(phase), np.ones((len(points), 1))]) * importance[:, None]]
    rows += [np.hstack([slope * weight[:, j], np.zeros((len(surface), 1))]) for j in range(3)]
    wanted = np.concatenate([distance(points) * importance, normals.T.reshape(-1)])
    system = np.concatenate(rows)
    # Ridge regression: the features are nearly dependent, and huge coefficients would not survive float32.
    normal_matrix = system.T @ system + 1e-4 * np.eye(width + 1)
    solution = np.linalg.solve(normal_matrix, system.T @ wanted)
    return Network(
        (weight.astype(np.float32), solution[None, :-1].astype(np.float32)),
        (bias.astype(np.float32), solution[-1:].astype(np.float32)),
    )


def sampled_band(coarse: Network, fine: Network, distance: Distance, margin: float = 1.5) -> Band:
    """A band of `coarse` that holds the zero set of `fine`, measured near the surface and widened by `margin`."""
    rng = np.random.default_rng(1)
    points = surface_points(distance, 2000)
    points = (points + rng.normal(0.0, 0.01, points.shape)).astype(np.float32)
    gap = np.abs(evaluate(coarse, points) - evaluate(fine, points)).max()
    return Band(float(margin * gap + 0.02), "sampled")


@cache
def sphere_sequence() -> NestedSequence:
    """Two independent levels of a sphere of radius 0.6, network space equal to local space."""
    return fitted_sequence(sphere())


@cache
def torus_sequence() -> NestedSequence:
    """Two independent levels of a torus (0.55, 0.22) around z, network space equal to local space."""
    return fitted_sequence(torus())


def fitted_sequence(
    distance: Distance, widths: tuple[int, ...] = (128, 512), omega: float = 3.0, **description: object
) -> NestedSequence:
    """Independent levels fitted to `distance`, one a width; `description` goes to NestedSequence (center...)."""
    networks = [fitted_network(distance, width, omega, seed) for seed, width in enumerate(widths)]
    pairs = zip(networks, networks[1:], strict=False)
    bands = tuple(sampled_band(coarse, fine, distance) for coarse, fine in pairs)
    return NestedSequence(tuple(networks), bands, **description)


def sphere_mesh(subdivisions: int = 4, radius: float = 1.0) -> TriangleMesh:
    """Triangles of a sphere: an octahedron divided `subdivisions` times, 8 * 4^n faces, seen from outside."""
    corners = np.array([[s, t, u] for s, t, u in product((1.0, -1.0), repeat=3)])
    triangles = np.stack([corners * axis for axis in np.eye(3)], axis=1)
    # An odd number of mirrored axes turns a triangle inside out.
    mirrored = corners.prod(axis=1) < 0
    triangles[mirrored] = triangles[mirrored][:, ::-1]
    for _ in range(subdivisions):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = a + b, b + c, c + a
        children = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        triangles = np.concatenate([np.stack(child, axis=1) for child in children])
        triangles /= np.linalg.norm(triangles, axis=2, keepdims=True)
    vertices, faces = np.unique(triangles.reshape(-1, 3).round(12), axis=0, return_inverse=True)
    return TriangleMesh(vertices * radius, faces.reshape(-1, 3))


def torus_mesh(around: int = 160, across: int = 64, major: float = 0.55, minor: float = 0.22) -> TriangleMesh:
    """Triangles of a torus around the z axis, 2 * around * across faces, seen from outside."""
    turns = np.meshgrid(np.arange(around) / around, np.arange(across) / across, indexing="ij")
    u, v = 2.0 * np.pi * np.array(turns)
    ring = major + minor * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), minor * np.sin(v)], axis=-1).reshape(-1, 3)
    index = np.arange(around * across).reshape(around, across)
    ahead = np.roll(index, -1, axis=0)
    a, b, c, d = (i.ravel() for i in (index, ahead, np.roll(ahead, -1, axis=1), np.roll(index, -1, axis=1)))
    return TriangleMesh(vertices, np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]))


def box_mesh(half_extents: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> TriangleMesh:
    """The twelve triangles of a box around the origin, seen from outside."""
    vertices = np.array(list(product((-1.0, 1.0), repeat=3))) * half_extents
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return TriangleMesh(vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


def box(half_extents: tuple[float, float, float]) -> Distance:
    """Signed distance of a box around the origin: (N, 3) -> (N,)."""

    def distance(points: np.ndarray) -> np.ndarray:
        beyond = np.abs(points) - half_extents
        return np.linalg.norm(beyond.clip(0.0), axis=1) + beyond.max(axis=1).clip(None, 0.0)

    return distance


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    """All triangles of several meshes."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return TriangleMesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def moved(mesh: TriangleMesh, offset: tuple[float, float, float]) -> TriangleMesh:
    """The mesh, its vertices moved by `offset`."""
    return TriangleMesh(mesh.vertices + np.asarray(offset), mesh.faces)


def inside_out(mesh: TriangleMesh) -> TriangleMesh:
    """The mesh with every triangle turned around."""
    return TriangleMesh(mesh.vertices, mesh.faces[:, ::-1])
