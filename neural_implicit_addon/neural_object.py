# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural objects: mesh objects whose mesh datablock carries a nested sequence, and shows it as a proxy.

The bytes of the `.nsdf` are a custom property of the mesh datablock, so Blender saves, undoes, appends and copies
them with it. The mesh's own geometry is the proxy, extracted from the sequence, in the sequence's local space.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..kernels import nsdf
from ..kernels.extraction import QuadMesh, extract
from ..kernels.sequence import NestedSequence
from .placement import as_array, current_world_matrix

PROPERTY = "neural_implicit"
# Quads of a proxy: light for Blender, and close enough to the surface for outlines and overlays.
PROXY_FACES = 20_000
# Sequences kept parsed. A scene shows a handful of different ones, and each is a few megabytes at most.
CACHED_SEQUENCES = 16

# Of the largest number in a matrix, what Blender's single precision changes in any of them.
ROUNDING = 1e-5

# What makes an object stand where it stands. The order matters: setting a parent resets its inverse.
_TRANSFORM = (
    "parent",
    "parent_type",
    "parent_bone",
    "parent_vertices",
    "matrix_parent_inverse",
    "rotation_mode",
    "location",
    "rotation_euler",
    "rotation_quaternion",
    "rotation_axis_angle",
    "scale",
    "delta_location",
    "delta_rotation_euler",
    "delta_rotation_quaternion",
    "delta_scale",
)

_parsed: OrderedDict[bytes, NestedSequence | str] = OrderedDict()


def is_neural(obj: bpy.types.Object | None) -> bool:
    """Whether `obj` is a mesh object whose mesh carries a sequence, be it damaged or not."""
    return obj is not None and obj.type == "MESH" and PROPERTY in obj.data


def is_being_edited(obj: bpy.types.Object) -> bool:
    """Whether the artist edits, sculpts or paints the mesh of `obj`, through it or through another object."""
    return any(other.mode != "OBJECT" for other in bpy.data.objects if other.data == obj.data)


def read_bytes(mesh: bpy.types.Mesh) -> bytes:
    """The bytes of the sequence that `mesh` carries, unchecked.

    Raises:
        nsdf.NsdfError: there is no such property, or it does not hold bytes.
    """
    if PROPERTY not in mesh:
        raise nsdf.NsdfError(f"The mesh {mesh.name!r} carries no network")
    value = mesh[PROPERTY]
    if not isinstance(value, bytes):
        raise nsdf.NsdfError(f"The network of {mesh.name!r} was overwritten: its custom property holds no bytes")
    return value


def read_sequence(mesh: bpy.types.Mesh) -> NestedSequence:
    """The sequence that `mesh` carries, checked. Parsed once for as long as its bytes stay the same.

    Raises:
        nsdf.NsdfError: there is none, or its bytes are damaged, or it is of a kind that cannot be drawn.
    """
    data = read_bytes(mesh)
    key = hashlib.blake2b(data, digest_size=16).digest()
    if key not in _parsed:
        _parsed[key] = _parse(data)
        if len(_parsed) > CACHED_SEQUENCES:
            _parsed.popitem(last=False)
    _parsed.move_to_end(key)
    result = _parsed[key]
    if isinstance(result, str):
        raise nsdf.NsdfError(f"The network of {mesh.name!r} cannot be used: {result}")
    return result


def _parse(data: bytes) -> NestedSequence | str:
    """The sequence, or what is wrong with it: panels draw often, and must not parse damaged bytes each time."""
    try:
        return checked(nsdf.loads(data))
    except nsdf.NsdfError as error:
        return str(error)


def checked(sequence: NestedSequence) -> NestedSequence:
    """`sequence` itself, if this version of the add-on can show it.

    Raises:
        nsdf.NsdfError: the sequence moves in time.
    """
    if sequence.inputs != 3:
        raise nsdf.NsdfError("it moves in time, and this version shows static shapes only")
    return sequence


def write_sequence(mesh: bpy.types.Mesh, sequence: NestedSequence | bytes) -> None:
    """Make `mesh` carry `sequence`, given as it is or as the bytes of a `.nsdf`. The geometry stays as it is.

    Viewports and renders are told that the mesh has changed, as they are of changes of its geometry.
    """
    # Blender 5.0 cuts bytes at their first zero when they replace older bytes; a new property takes them whole.
    if PROPERTY in mesh:
        del mesh[PROPERTY]
    mesh[PROPERTY] = sequence if isinstance(sequence, bytes) else nsdf.dumps(sequence)
    # Setting a custom property alone leaves the evaluated mesh, which engines see, as it was.
    mesh.update_tag()


def fill_mesh(mesh: bpy.types.Mesh, quad_mesh: QuadMesh, normals: bool = True) -> None:
    """Replace the geometry of `mesh`; materials and custom properties stay.

    Args:
        normals: give the mesh the quad mesh's normals as free custom normals. Otherwise it is shaded smooth.
    """
    mesh.clear_geometry()
    mesh.vertices.add(len(quad_mesh.vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(quad_mesh.vertices, dtype=np.float32).reshape(-1))
    mesh.loops.add(quad_mesh.quads.size)
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(quad_mesh.quads, dtype=np.int32).reshape(-1))
    mesh.polygons.add(len(quad_mesh.quads))
    mesh.polygons.foreach_set("loop_start", np.arange(0, quad_mesh.quads.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)
    if normals:
        attribute = mesh.attributes.new("custom_normal", "FLOAT_VECTOR", "POINT")
        attribute.data.foreach_set("vector", np.ascontiguousarray(quad_mesh.normals, dtype=np.float32).reshape(-1))
        mesh.update()


def build_proxy_mesh(
    name: str,
    sequence: NestedSequence,
    data: bytes | None = None,
    faces: int = PROXY_FACES,
    quad_mesh: QuadMesh | None = None,
) -> bpy.types.Mesh:
    """A new mesh datablock that carries `sequence` and shows its proxy.

    Args:
        data: the bytes of `sequence` where they are at hand, to be carried unchanged.
        faces: about how many quads the proxy gets.
        quad_mesh: the proxy where it was extracted elsewhere; `faces` then does not count.

    Raises:
        ValueError: the sequence has no surface. No datablock is left behind.
    """
    quad_mesh = quad_mesh or extract(sequence, target_faces=faces)
    mesh = bpy.data.meshes.new(name)
    fill_mesh(mesh, quad_mesh)
    write_sequence(mesh, sequence if data is None else data)
    return mesh


def update_proxy(
    obj: bpy.types.Object,
    sequence: NestedSequence,
    data: bytes | None = None,
    faces: int = PROXY_FACES,
    quad_mesh: QuadMesh | None = None,
) -> None:
    """Make `obj` carry and show another sequence. Its mesh datablock, materials and transform stay.

    Args:
        data: the bytes of `sequence` where they are at hand, to be carried unchanged.
        faces: about how many quads the proxy gets.
        quad_mesh: the proxy where it was extracted elsewhere; `faces` then does not count.

    Raises:
        ValueError: the sequence has no surface. The object is then as it was.
    """
    fill_mesh(obj.data, quad_mesh or extract(sequence, target_faces=faces))
    write_sequence(obj.data, sequence if data is None else data)


def create(
    context: bpy.types.Context,
    sequence: NestedSequence,
    name: str,
    source: bpy.types.Object | None = None,
    data: bytes | None = None,
    faces: int = PROXY_FACES,
    quad_mesh: QuadMesh | None = None,
) -> bpy.types.Object:
    """A new neural object, linked to the scene.

    Args:
        source: the object it is made from. The neural object stands exactly where this one stands, with the same
            parent, in the same collections, and has its materials. Without it, it stands at the world's origin.
        data: the bytes of `sequence` where they are at hand, to be carried unchanged.
        faces: about how many quads the proxy gets.
        quad_mesh: the proxy where it was extracted elsewhere; `faces` then does not count.

    Raises:
        ValueError: the sequence has no surface. Nothing is left behind.
    """
    mesh = build_proxy_mesh(name, sequence, data, faces, quad_mesh)
    obj = bpy.data.objects.new(name, mesh)
    if source is None:
        _collection_for_new(context).objects.link(obj)
    else:
        take_materials(mesh, source)
        place_like(context, obj, source)
    return obj


def take_materials(mesh: bpy.types.Mesh, source: bpy.types.Object) -> None:
    """Give `mesh` the materials that `source` shows, whether its slots hold them or its mesh does."""
    for slot in source.material_slots:
        mesh.materials.append(slot.material)


def place_like(context: bpy.types.Context, obj: bpy.types.Object, source: bpy.types.Object) -> None:
    """Link `obj` to the collections of `source` and put it exactly where `source` stands.

    Channels and parent are copied rather than the world matrix, which would lose shear and the artist's numbers.
    """
    collections = [c for c in source.users_collection if c.is_editable]
    for collection in collections or [_collection_for_new(context)]:
        collection.objects.link(obj)
    for name in _TRANSFORM:
        value: Any = getattr(source, name)
        setattr(obj, name, value.copy() if hasattr(value, "copy") and name != "parent" else value)
    context.view_layer.update()
    wanted = current_world_matrix(context, source)
    # Constraints are not copied; where the source has some, only their outcome is.
    if np.abs(as_array(obj.matrix_world) - wanted).max() > ROUNDING * np.abs(wanted).max():
        obj.matrix_world = Matrix(wanted.tolist())
        context.view_layer.update()


def select_only(context: bpy.types.Context, obj: bpy.types.Object) -> None:
    """Make `obj` the only selected and the active object, where the view layer shows it."""
    # An object that was just linked is found only after an update.
    context.view_layer.update()
    if obj.name not in context.view_layer.objects:
        return
    for other in context.view_layer.objects:
        other.select_set(other == obj)
    context.view_layer.objects.active = obj


def _collection_for_new(context: bpy.types.Context) -> bpy.types.Collection:
    """Where a new object goes: the active collection, or the scene's own when that one cannot be changed."""
    return context.collection if context.collection.is_editable else context.scene.collection
