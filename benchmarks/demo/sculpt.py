# SPDX-License-Identifier: GPL-3.0-or-later
"""The mesh that the demo starts from: a sculpt made of Blender's monkey, or the artist's own file."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

# Suffix -> importer. Each brings its own unit and orientation, as it does for an artist.
IMPORTERS = {
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path),
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
}
VOXEL_SIZE = 0.0105
# The monkey's eyeball, left smooth.
EYE = np.array([0.35, -0.78, 0.24])


def load(path: Path) -> bpy.types.Object:
    """The meshes of a file as one object.

    Raises:
        SystemExit: the file is absent, of an unknown kind, or has no faces; says so.
    """
    importer = IMPORTERS.get(path.suffix.lower())
    if importer is None:
        raise SystemExit(f"{path.name}: the demo reads {', '.join(IMPORTERS)}")
    if not path.is_file():
        raise SystemExit(f"{path}: no such file")
    importer(str(path.resolve()))
    meshes = [obj for obj in bpy.context.scene.objects if obj.type == "MESH" and obj.data.polygons]
    if not meshes:
        raise SystemExit(f"{path.name}: there are no faces in this file")
    select_only(meshes[0], *meshes[1:])
    if len(meshes) > 1:
        bpy.ops.object.join()
    bpy.ops.object.parent_clear(type="CLEAR_KEEP_TRANSFORM")
    joined = bpy.context.object
    for other in [obj for obj in bpy.context.scene.objects if obj != joined]:
        bpy.data.objects.remove(other)
    joined.name = path.stem
    return joined


def make() -> bpy.types.Object:
    """A creature with folded skin, one closed surface of more than 200,000 triangles, always the same."""
    bpy.ops.mesh.primitive_monkey_add(rotation=(0.0, 0.0, 0.0))
    monkey = bpy.context.object
    monkey.name = "Sculpt"
    smooth = monkey.modifiers.new("Smooth", "SUBSURF")
    smooth.levels = 3
    # One closed skin over head and eyes, evenly divided: what a sculptor works on.
    remesh = monkey.modifiers.new("Remesh", "REMESH")
    remesh.mode = "VOXEL"
    remesh.voxel_size = VOXEL_SIZE
    monkey.modifiers.new("Relax", "SMOOTH").iterations = 8
    monkey.modifiers.new("Triangulate", "TRIANGULATE")
    for modifier in list(monkey.modifiers):
        bpy.ops.object.modifier_apply(modifier=modifier.name)
    mesh = monkey.data
    points, normals = (np.empty(len(mesh.vertices) * 3, np.float32) for _ in range(2))
    mesh.vertices.foreach_get("co", points)
    mesh.vertex_normals.foreach_get("vector", normals)
    points, normals = points.reshape(-1, 3), normals.reshape(-1, 3)
    points += skin(points)[:, None] * normals
    mesh.vertices.foreach_set("co", points.ravel())
    mesh.shade_smooth()
    mesh.update()
    return monkey


def skin(points: np.ndarray) -> np.ndarray:
    """Height of folds and creases over the surface: (N, 3) -> (N,), the same on both sides of the face."""
    mirrored = np.column_stack([np.abs(points[:, 0]), points[:, 1:]]).astype(np.float64)
    warp = np.column_stack([fractal_noise(mirrored * 2.0 + shift, 2) for shift in (11.0, 23.0, 37.0)])
    # Ridged noise of bent coordinates, flattened: rounded folds across the face with narrow valleys between them.
    valleys = np.exp(-((fractal_noise((mirrored + 0.2 * warp) * np.array([3.0, 3.0, 6.0]), 1) / 0.28) ** 2))
    creases = np.exp(-((fractal_noise((mirrored + 0.1 * warp) * 7.0 + 5.0, 1) / 0.35) ** 2))
    away_from_eyes = 1.0 - np.exp(-((np.linalg.norm(mirrored - EYE, axis=1) / 0.24) ** 4))
    return -away_from_eyes * (0.024 * valleys + 0.008 * creases)


def fractal_noise(points: np.ndarray, octaves: int, seed: int = 1) -> np.ndarray:
    """Sum of smooth value noise of doubling frequency and halving height: (N, 3) -> (N,), about -1 to 1."""
    lattice = np.random.default_rng(seed).uniform(-1.0, 1.0, (32, 32, 32))
    total = np.zeros(len(points))
    for octave in range(octaves):
        scaled = points * 2.0**octave
        cell = np.floor(scaled).astype(np.int64)
        inside = scaled - cell
        inside = inside * inside * inside * (inside * (inside * 6.0 - 15.0) + 10.0)
        for corner in np.ndindex(2, 2, 2):
            weight = np.where(corner, inside, 1.0 - inside).prod(1)
            total += 0.5**octave * weight * lattice[tuple(((cell + corner) % 32).T)]
    return total


def select_only(active: bpy.types.Object, *others: bpy.types.Object) -> None:
    """Select these objects and no others; the first is the active one."""
    bpy.ops.object.select_all(action="DESELECT")
    for obj in (active, *others):
        obj.select_set(True)
    bpy.context.view_layer.objects.active = active
