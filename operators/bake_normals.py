# SPDX-License-Identifier: GPL-3.0-or-later
"""Bake Normals: from the active neural object to the other selected meshes, like Blender's data transfer."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from ..kernels import baking, normal_mapping, nsdf
from ..kernels.sequence import NestedSequence
from ..neural_implicit_addon import neural_object
from ..neural_implicit_addon.placement import current_world_matrix
from ..neural_implicit_addon.reporting import cancel

CUSTOM_NORMAL = "custom_normal"


class BakeError(Exception):
    """A target cannot be baked onto. The message says why, in words for the artist."""


@dataclass(frozen=True)
class _Bake:
    """What is known about one target before anything is written.

    target: the object; its mesh gets the normals. normals: (V, 3) in its local space. weights: (V,) how much of
    them each vertex takes, 0 outside the band and where the mask says so. inside: number of vertices in the band.
    share: how much of `normals` is the network's, the rest being the mesh's own smooth normals; 1 unless adaptive.
    """

    target: bpy.types.Object
    normals: np.ndarray
    weights: np.ndarray
    inside: int
    share: float


class NEURAL_IMPLICIT_OT_bake_normals(bpy.types.Operator):
    """Put the normals of the active neural object on the other selected meshes where they lie close to it.
    Needs no UVs, no cage and no detailed mesh"""

    bl_idname = "neural_implicit.bake_normals"
    bl_label = "Bake Normals"
    bl_options = {"REGISTER", "UNDO"}

    target: EnumProperty(
        name="Target",
        description="Where the normals go",
        items=(
            ("CUSTOM_NORMALS", "Custom Normals", "Free custom normals: exact, but they do not follow deformation"),
            ("TANGENT_NORMALS", "Tangent Normals", "Custom normals that follow armatures and other deformation"),
            ("COLOR", "Color Attribute", "A color attribute that holds the object space normals as 0.5 n + 0.5"),
            ("ATTRIBUTE", "Vector Attribute", "A named vector attribute, for geometry and shader nodes"),
        ),
    )
    name: StringProperty(
        name="Name",
        description="Name of the color or vector attribute",
        default="Neural Normal",
        maxlen=63,
    )
    factor: FloatProperty(
        name="Factor",
        description="Mix between the normals the mesh has and the neural ones",
        min=0.0,
        max=1.0,
        default=1.0,
        subtype="FACTOR",
    )
    adaptive: BoolProperty(
        name="Adaptive",
        description="Lean on the mesh's own smooth normals where it is nearly as fine as the network, "
        "whose error would otherwise show",
        default=True,
    )
    vertex_group: StringProperty(
        name="Vertex Group",
        description="Vertex group of the targets that limits the bake; empty for the whole mesh",
        maxlen=63,
    )
    invert_vertex_group: BoolProperty(
        name="Invert",
        description="Bake where the vertex group is not",
        default=False,
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """The panel of the last operation: only what the chosen target uses."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "target")
        if self.target in {"COLOR", "ATTRIBUTE"}:
            layout.prop(self, "name")
        layout.prop(self, "factor")
        layout.prop(self, "adaptive")
        layout.prop(self, "vertex_group")
        row = layout.row()
        row.active = bool(self.vertex_group)
        row.prop(self, "invert_vertex_group")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Prepare all targets, then write those that can be baked onto; say what became of each."""
        source = context.active_object
        if not neural_object.is_neural(source):
            return cancel(self, "Make a neural object the active one: select the targets first, the neural object last")
        targets = [obj for obj in context.selected_objects if obj != source]
        if not targets:
            return cancel(self, "Select the meshes that should get the normals, and the neural object last")
        try:
            sequence = neural_object.read_sequence(source.data)
        except nsdf.NsdfError as error:
            return cancel(self, str(error))
        # A transform that a script has just set reaches the world matrices only now.
        context.view_layer.update()
        place = current_world_matrix(context, source)

        bakes, problems = [], []
        meshes = {source.data}
        for target in targets:
            try:
                bakes.append(self._prepare(sequence, place, target, meshes))
                meshes.add(target.data)
            except BakeError as error:
                problems.append(f"{target.name}: {error}")
        if not bakes:
            return cancel(self, "; ".join(problems))
        for bake in bakes:
            self._write(bake)
        self._report_result(bakes, problems)
        return {"FINISHED"}

    def _report_result(self, bakes: list[_Bake], problems: list[str]) -> None:
        parts = []
        for bake in bakes:
            mesh = bake.target.data
            part = f"{bake.target.name}: {bake.inside:,} of {len(mesh.vertices):,} vertices in the band"
            percent = round(100.0 * bake.share)
            if percent < 100:
                part += f", neural share {percent} %, the rest from the mesh's own smooth normals"
            if mesh.users > 1:
                part += f" (mesh shared by {mesh.users} users, which all get the normals)"
            parts.append(part)
        complete = not problems and all(bake.inside == len(bake.target.data.vertices) for bake in bakes)
        self.report({"INFO" if complete else "WARNING"}, "; ".join([*parts, *problems]))

    def _prepare(
        self,
        sequence: NestedSequence,
        place: np.ndarray,
        target: bpy.types.Object,
        taken: set[bpy.types.Mesh],
    ) -> _Bake:
        """Everything that can go wrong with one target, and the normals it will get.

        place: (4, 4) where the neural object stands in the world.
        """
        mesh = _bakeable_mesh(target, taken)
        if self.target in {"COLOR", "ATTRIBUTE"}:
            _check_attribute_name(target, self.name)
        elif not mesh.polygons:
            raise BakeError("has no faces, so it has no normals; bake to an attribute instead")
        weights = self._mask(target) * self.factor
        points = _read(mesh.vertices, "co", 3)
        try:
            to_source = baking.between_locals(np.array(target.matrix_world), place)
        except ValueError as error:
            raise BakeError(f"cannot be baked onto: {error}") from error
        normals, inside = baking.normals_from(sequence, points, to_source)
        if not inside.any():
            raise BakeError(
                "no vertex lies in the band around the neural surface; move the mesh onto the neural object"
            )
        share = 1.0
        if self.adaptive:
            normals[inside], share = _adapted(sequence, _smooth_normals(mesh)[inside], normals[inside])
        return _Bake(target, normals, np.where(inside, weights, 0.0), int(inside.sum()), share)

    def _mask(self, target: bpy.types.Object) -> np.ndarray:
        """Weight of each vertex in the vertex group: (V,), all ones without a group."""
        vertices = target.data.vertices
        if not self.vertex_group:
            return np.ones(len(vertices))
        group = target.vertex_groups.get(self.vertex_group)
        if group is None:
            raise BakeError(f"has no vertex group {self.vertex_group!r}")
        weights = np.zeros(len(vertices))
        for vertex in vertices:
            for membership in vertex.groups:
                if membership.group == group.index:
                    weights[vertex.index] = membership.weight
        return 1.0 - weights if self.invert_vertex_group else weights

    def _write(self, bake: _Bake) -> None:
        mesh = bake.target.data
        if self.target == "CUSTOM_NORMALS":
            _write_free_normals(mesh, bake)
        elif self.target == "TANGENT_NORMALS":
            _write_tangent_normals(mesh, bake)
        elif self.target == "COLOR":
            _write_colors(mesh, bake, self.name)
        else:
            _write_vectors(mesh, bake, self.name)
        mesh.update()


def _bakeable_mesh(target: bpy.types.Object, taken: set[bpy.types.Mesh]) -> bpy.types.Mesh:
    """The mesh of `target`, when normals can be put on it and no other object of this bake has brought it along."""
    if target.type != "MESH":
        raise BakeError("is not a mesh")
    mesh = target.data
    if mesh in taken:
        raise BakeError("shares its mesh with another object of this bake")
    if not mesh.is_editable:
        raise BakeError("is linked from a library and cannot be changed; make it local first")
    if mesh.is_editmode:
        raise BakeError("is in edit mode; leave it first")
    if not mesh.vertices:
        raise BakeError("has no vertices")
    return mesh


def _adapted(sequence: NestedSequence, own: np.ndarray, baked: np.ndarray) -> tuple[np.ndarray, float]:
    """The network's normals mixed with the mesh's own as far as those are as good, (N, 3), and the network's share."""
    error = sequence.training.get("normal_error_rms_degrees")
    # Free text from a file: without a sensible number the network is trusted.
    if type(error) not in (int, float) or not 0.0 < error < 90.0:
        return baked, 1.0
    share = baking.confidence(own, baked, error)
    return normal_mapping.mix_normals(own, baked, np.full(len(own), share)), share


def _check_attribute_name(target: bpy.types.Object, name: str) -> None:
    """Refuse a name that would cost the artist something: only what this operator may have made is replaced."""
    if not name:
        raise BakeError("needs a name for the attribute")
    attribute = target.data.attributes.get(name)
    # Vertex groups and attributes share their names.
    reserved = name.startswith(".") or name in {CUSTOM_NORMAL, "position"} or name in target.vertex_groups
    if reserved or (attribute is not None and not _is_ours(attribute)):
        raise BakeError(f"uses the name {name!r} for something else; choose another name")


def _is_ours(attribute: bpy.types.Attribute) -> bool:
    return attribute.domain == "POINT" and attribute.data_type in {"FLOAT_VECTOR", "FLOAT_COLOR"}


def _read(collection: bpy.types.bpy_prop_collection, name: str, width: int) -> np.ndarray:
    """A float property of all items: (N, width) float32."""
    values = np.empty(len(collection) * width, dtype=np.float32)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)


def _corner_vertices(mesh: bpy.types.Mesh) -> np.ndarray:
    """The vertex of each face corner: (C,) int32."""
    indices = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", indices)
    return indices


def _smooth_normals(mesh: bpy.types.Mesh) -> np.ndarray:
    """The mesh's own smooth normals, (V, 3); not `vertex_normals`, which follow an earlier bake's custom normals."""
    starts = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    return baking.smooth_normals(_read(mesh.vertices, "co", 3), _corner_vertices(mesh), starts)


def _mixed_corner_normals(mesh: bpy.types.Mesh, bake: _Bake) -> np.ndarray:
    """What each face corner shows after the bake: (C, 3). Corners of untouched vertices keep what they show now."""
    corners = _corner_vertices(mesh)
    existing = _read(mesh.corner_normals, "vector", 3)
    return normal_mapping.mix_normals(existing, bake.normals[corners], bake.weights[corners])


def _remove_attribute(mesh: bpy.types.Mesh, name: str) -> None:
    """Attributes are told apart by name alone: a second one would get another name instead of the first one's place."""
    attribute = mesh.attributes.get(name)
    if attribute is not None:
        mesh.attributes.remove(attribute)


def _write_free_normals(mesh: bpy.types.Mesh, bake: _Bake) -> None:
    # One normal a vertex is enough only where none has to keep the several normals of its corners.
    covered = bool((bake.weights == 1.0).all())
    vectors = bake.normals if covered else _mixed_corner_normals(mesh, bake)
    _remove_attribute(mesh, CUSTOM_NORMAL)
    attribute = mesh.attributes.new(CUSTOM_NORMAL, "FLOAT_VECTOR", "POINT" if covered else "CORNER")
    attribute.data.foreach_set("vector", vectors.reshape(-1))


def _write_tangent_normals(mesh: bpy.types.Mesh, bake: _Bake) -> None:
    vectors = _mixed_corner_normals(mesh, bake)
    _remove_attribute(mesh, CUSTOM_NORMAL)
    mesh.normals_split_custom_set(vectors)


def _existing_normals(mesh: bpy.types.Mesh, name: str) -> np.ndarray:
    """What the mix starts from, (V, 3): an earlier bake under that name, otherwise the mesh's own smooth normals."""
    attribute = mesh.attributes.get(name)
    if attribute is None:
        return _smooth_normals(mesh)
    if attribute.data_type == "FLOAT_COLOR":
        return baking.decode_colors(_read(attribute.data, "color", 4))
    return _read(attribute.data, "vector", 3)


def _write_colors(mesh: bpy.types.Mesh, bake: _Bake, name: str) -> None:
    mixed = normal_mapping.mix_normals(_existing_normals(mesh, name), bake.normals, bake.weights)
    _remove_attribute(mesh, name)
    attribute = mesh.color_attributes.new(name, "FLOAT_COLOR", "POINT")
    attribute.data.foreach_set("color", baking.encode_colors(mixed).reshape(-1))


def _write_vectors(mesh: bpy.types.Mesh, bake: _Bake, name: str) -> None:
    mixed = normal_mapping.mix_normals(_existing_normals(mesh, name), bake.normals, bake.weights)
    _remove_attribute(mesh, name)
    attribute = mesh.attributes.new(name, "FLOAT_VECTOR", "POINT")
    attribute.data.foreach_set("vector", mixed.reshape(-1))


CLASSES = (NEURAL_IMPLICIT_OT_bake_normals,)
