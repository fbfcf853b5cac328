# SPDX-License-Identifier: GPL-3.0-or-later
"""Where objects stand in the world, those that Blender does not evaluate among them."""

from __future__ import annotations

from collections.abc import Collection

import bpy
import numpy as np


def as_array(matrix: bpy.types.bpy_struct) -> np.ndarray:
    """A matrix of Blender's as float64."""
    return np.array(matrix, dtype=np.float64)


def evaluated_objects(depsgraph: bpy.types.Depsgraph) -> frozenset[int]:
    """Session identifiers of the objects that are not hidden, which are those that Blender evaluates."""
    return frozenset(obj.original.session_uid for obj in depsgraph.objects)


def current_world_matrix(context: bpy.types.Context, obj: bpy.types.Object) -> np.ndarray:
    """`world_matrix` in the context's view layer, what scripts have just set included."""
    depsgraph = context.evaluated_depsgraph_get()
    return world_matrix(obj, depsgraph, evaluated_objects(depsgraph))


def world_matrix(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, evaluated: Collection[int]) -> np.ndarray:
    """(4, 4) where an object stands, hidden or not.

    A hidden object stays for Blender where it was when it was last seen, in a loaded file at the origin. What hides it
    does not move it: its own transform counts, and its parents'. Constraints, parents that are bones or vertices, and
    animation need Blender: with those it is where it was.

    Args:
        evaluated: as `evaluated_objects` returns it.
    """
    if obj.session_uid in evaluated:
        return as_array(obj.evaluated_get(depsgraph).matrix_world)
    if len(obj.constraints) or (obj.parent is not None and obj.parent_type != "OBJECT"):
        return as_array(obj.matrix_world)
    own = as_array(obj.matrix_basis)
    if obj.parent is None:
        return own
    return world_matrix(obj.parent, depsgraph, evaluated) @ as_array(obj.matrix_parent_inverse) @ own
