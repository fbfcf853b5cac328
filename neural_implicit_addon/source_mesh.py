# SPDX-License-Identifier: GPL-3.0-or-later
"""From a mesh object to the triangles that a network is trained on."""

from __future__ import annotations

import bpy
import numpy as np

from ..kernels.baking import between_locals
from ..kernels.meshes import MeshError, TriangleMesh, clean


def evaluated_triangles(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> TriangleMesh:
    """The triangles of `obj` in its local space, with modifiers and shape keys applied.

    Raises:
        MeshError: nothing can be trained on it. The message says why, in words for the artist.
    """
    if obj.mode == "EDIT":
        raise MeshError("is in edit mode; leave it before training")
    if not _can_stand(np.array(obj.matrix_world, dtype=np.float64)):
        raise MeshError("has a scale of zero or a transform that is not finite; correct it before training")
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.to_mesh()
    try:
        vertices = np.empty(3 * len(mesh.vertices), dtype=np.float32)
        mesh.vertices.foreach_get("co", vertices)
        mesh.calc_loop_triangles()
        faces = np.empty(3 * len(mesh.loop_triangles), dtype=np.int32)
        mesh.loop_triangles.foreach_get("vertices", faces)
    finally:
        evaluated.to_mesh_clear()
    # Cleaned here and not only in the worker, so that what is wrong is said before anything is started.
    return clean(TriangleMesh(vertices.reshape(-1, 3), faces.reshape(-1, 3)))


def _can_stand(local_to_world: np.ndarray) -> bool:
    """Whether a (4, 4) matrix has a way back, so that what is trained can be placed, rendered and baked from."""
    try:
        return bool(np.isfinite(between_locals(local_to_world, np.eye(4))).all())
    except ValueError:
        return False
