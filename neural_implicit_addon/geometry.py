# SPDX-License-Identifier: GPL-3.0-or-later
"""The triangles of evaluated meshes, read once for as long as they stay what they are."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import bpy
import numpy as np

from ..kernels.scenes import Geometry

# Evaluated meshes whose contents are remembered; each is a few bytes.
KNOWN_MESHES = 65_536


class GeometryCache:
    """Triangles by content, and which evaluated meshes are known to have which content.

    Blender makes evaluated meshes anew when anything about their geometry changes, and gives each a number, the
    session's unique identifier, which it never gives again. Reading a mesh whose number is known can be spared.

    Args:
        spare_bytes: of triangles that are kept beside those of the scene at hand.
    """

    def __init__(self, spare_bytes: int) -> None:
        self._spare_bytes = spare_bytes
        self._known: OrderedDict[int, str] = OrderedDict()
        self._geometries: OrderedDict[str, Geometry] = OrderedDict()
        # How many meshes were read, for tests and benchmarks.
        self.reads = 0

    def geometry(self, item: bpy.types.DepsgraphObjectInstance) -> Geometry | None:
        """The triangles that a mesh instance of a depsgraph shows, in its local space; None when it has no faces.

        Args:
            item: an instance whose object is a mesh, as the depsgraph's iterator stands on it.
        """
        number = item.object.data.session_uid
        geometry = self._geometries.get(self._known.get(number, ""))
        if geometry is None:
            geometry = self._read(item)
            self._known[number] = geometry.key
            if len(self._known) > KNOWN_MESHES:
                self._known.popitem(last=False)
        self._geometries[geometry.key] = geometry
        self._geometries.move_to_end(geometry.key)
        return geometry if len(geometry.triangles) else None

    def forget(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Read again what a depsgraph names as changed, whatever its number."""
        for update in depsgraph.updates:
            if update.is_updated_geometry:
                data = update.id.data if isinstance(update.id, bpy.types.Object) else update.id
                if data is not None:
                    self._known.pop(data.session_uid, None)

    def shrink(self, used: set[str]) -> None:
        """Drop what was not used for long, except the geometries whose keys are in `used`."""
        total = sum(_size(geometry) for key, geometry in self._geometries.items() if key not in used)
        for key in [key for key in self._geometries if key not in used]:
            if total <= self._spare_bytes:
                return
            total -= _size(self._geometries.pop(key))

    def clear(self) -> None:
        """Drop everything."""
        self._known.clear()
        self._geometries.clear()

    def _read(self, item: bpy.types.DepsgraphObjectInstance) -> Geometry:
        self.reads += 1
        owner = item.instance_object if item.is_instance else item.object
        if owner is None or owner.type != "MESH" or owner.data.session_uid != item.object.data.session_uid:
            # Made by geometry nodes, or the surface of a curve or text: no object's own mesh.
            return self._geometry(item.object.data)
        # In edit mode, and where the GPU subdivides, the evaluated mesh is finished only when it is asked for.
        mesh = owner.to_mesh()
        try:
            return self._geometry(mesh)
        finally:
            owner.to_mesh_clear()

    def _geometry(self, mesh: bpy.types.Mesh) -> Geometry:
        """The triangles of `mesh`; arrays that are known by their content are not made again."""
        if not len(mesh.polygons):
            return _EMPTY
        positions = _values(mesh.attributes["position"].data, "vector", len(mesh.vertices), 3, np.float32)
        corner_vertices = _values(mesh.attributes[".corner_vert"].data, "value", len(mesh.loops), 1, np.int32)
        corner_normals = _values(mesh.corner_normals, "vector", len(mesh.loops), 3, np.float32)
        first_corners = _values(mesh.polygons, "loop_start", len(mesh.polygons), 1, np.int32)
        slots = mesh.attributes.get("material_index")
        face_slots = (
            _values(slots.data, "value", len(mesh.polygons), 1, np.int32)
            if slots is not None and slots.domain == "FACE" and slots.data_type == "INT"
            else np.zeros(len(mesh.polygons), dtype=np.int32)
        )
        digest = hashlib.blake2b(digest_size=16)
        for array in (positions, corner_vertices, corner_normals, first_corners, face_slots):
            digest.update(str(len(array)).encode())
            digest.update(array)
        key = digest.hexdigest()
        if key in self._geometries:
            return self._geometries[key]
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        corners = _values(mesh.loop_triangles, "loops", count, 3, np.int32)
        faces = _values(mesh.loop_triangle_polygons, "value", count, 1, np.int32)
        return Geometry(positions, corner_vertices[corners], corner_normals[corners], face_slots[faces], key)


_EMPTY = Geometry(
    np.zeros((0, 3), np.float32),
    np.zeros((0, 3), np.int32),
    np.zeros((0, 3, 3), np.float32),
    np.zeros(0, np.int32),
    "empty",
)


def _size(geometry: Geometry) -> int:
    """Bytes that the arrays take."""
    return sum(a.nbytes for a in (geometry.positions, geometry.triangles, geometry.normals, geometry.material_slots))


def _values(
    collection: bpy.types.bpy_prop_collection, attribute: str, count: int, columns: int, dtype: type
) -> np.ndarray:
    """An attribute of all items: (count,), or (count, columns) for vectors."""
    values = np.empty(count * columns, dtype=dtype)
    collection.foreach_get(attribute, values)
    return values if columns == 1 else values.reshape(count, columns)
