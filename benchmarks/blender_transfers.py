# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own ways to put a detailed mesh's normals on a low-poly mesh, without UVs: what a bake stands beside."""

from __future__ import annotations

import bpy
import numpy as np

from . import measures

# The name of the attribute that carries gradients out of the nodes.
ATTRIBUTE = "gradient"


def data_transfer(source: bpy.types.Object, low_poly: bpy.types.Object) -> measures.Surface:
    """What the low-poly mesh shows with the Data Transfer modifier: the source's normals, nearest face, interpolated.

    Both objects stand in the same place. The source is shaded smooth for it.
    """
    source.data.shade_smooth()
    modifier = low_poly.modifiers.new("Data Transfer", "DATA_TRANSFER")
    modifier.object = source
    modifier.use_loop_data = True
    modifier.data_types_loops = {"CUSTOM_NORMAL"}
    modifier.loop_mapping = "POLYINTERP_NEAREST"
    evaluated = low_poly.evaluated_get(bpy.context.evaluated_depsgraph_get())
    shown = measures.surface_of(evaluated.to_mesh(), shown=True)
    evaluated.to_mesh_clear()
    low_poly.modifiers.remove(modifier)
    return shown


def has_sdf_grids() -> bool:
    """Whether this Blender has the nodes that `sdf_grid_gradients` uses."""
    return hasattr(bpy.types, "GeometryNodeMeshToSDFGrid") and hasattr(bpy.types, "GeometryNodeGridGradient")


def sdf_grid_gradients(
    source: bpy.types.Object, low_poly: bpy.types.Object, voxel_size: float, band_width: int
) -> np.ndarray:
    """Gradients at the low-poly mesh's vertices, of the source as a grid of signed distances: (V, 3), its local space.

    Both objects stand in the same place.

    Args:
        voxel_size: in the source's units.
        band_width: voxels to each side of the surface that have distances.
    """
    modifier = low_poly.modifiers.new("SDF Grid", "NODES")
    modifier.node_group = _gradient_nodes(source, voxel_size, band_width)
    evaluated = low_poly.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    gradients = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.attributes[ATTRIBUTE].data.foreach_get("vector", gradients)
    evaluated.to_mesh_clear()
    nodes = modifier.node_group
    low_poly.modifiers.remove(modifier)
    bpy.data.node_groups.remove(nodes)
    return gradients.reshape(-1, 3)


def _gradient_nodes(source: bpy.types.Object, voxel_size: float, band_width: int) -> bpy.types.NodeTree:
    """Mesh to SDF Grid > Grid Gradient > Sample Grid > Store Named Attribute on the mesh that comes in."""
    tree = bpy.data.node_groups.new("SDF Grid", "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    begin, end = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    detailed = tree.nodes.new("GeometryNodeObjectInfo")
    detailed.inputs["Object"].default_value = source
    detailed.transform_space = "RELATIVE"
    grid = tree.nodes.new("GeometryNodeMeshToSDFGrid")
    grid.inputs["Voxel Size"].default_value = voxel_size
    grid.inputs["Band Width"].default_value = band_width
    gradient = tree.nodes.new("GeometryNodeGridGradient")
    sample = tree.nodes.new("GeometryNodeSampleGrid")
    sample.data_type = "VECTOR"
    store = tree.nodes.new("GeometryNodeStoreNamedAttribute")
    store.data_type, store.domain = "FLOAT_VECTOR", "POINT"
    store.inputs["Name"].default_value = ATTRIBUTE
    for output, target in (
        (detailed.outputs["Geometry"], grid.inputs["Mesh"]),
        (grid.outputs["SDF Grid"], gradient.inputs["Grid"]),
        (gradient.outputs["Gradient"], sample.inputs["Grid"]),
        (sample.outputs["Value"], store.inputs["Value"]),
        (begin.outputs["Geometry"], store.inputs["Geometry"]),
        (store.outputs["Geometry"], end.inputs["Geometry"]),
    ):
        tree.links.new(output, target)
    return tree
