# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading simple node trees: which shader feeds the output, and which constant feeds a socket."""

from __future__ import annotations

import math

import bpy


def uses_nodes(owner: bpy.types.Material | bpy.types.World) -> bool:
    """Whether nodes decide. From Blender 5.0 on they always do, and asking is deprecated."""
    return bpy.app.version >= (5, 0, 0) or owner.use_nodes


def surface_node(
    owner: bpy.types.Material | bpy.types.World, output_type: str, node_type: str
) -> bpy.types.Node | None:
    """The node of `node_type` that feeds the active output of a material or world, if it is that one."""
    tree = owner.node_tree if uses_nodes(owner) else None
    outputs = [node for node in tree.nodes if node.type == output_type and node.is_active_output] if tree else []
    for output in outputs:
        node = source(output.inputs["Surface"])
        if node is not None and node.type == node_type:
            return node
    return None


def source(socket: bpy.types.NodeSocket) -> bpy.types.Node | None:
    """The node that feeds a socket, through reroutes; None when nothing does."""
    # A chain of reroutes may be as long as the tree; a muted link feeds nothing.
    while socket.is_linked and not socket.links[0].is_muted:
        node = socket.links[0].from_node
        if node.type != "REROUTE":
            return node
        socket = node.inputs[0]
    return None


def constant(socket: bpy.types.NodeSocket) -> tuple[float, ...] | float | None:
    """The value of a socket: its own, or that of an RGB or Value node that feeds it; None when it varies.

    What is not finite, as broken drivers and scripts leave it, counts as zero.
    """
    node = source(socket)
    if node is not None:
        if node.type not in {"RGB", "VALUE"} or node.mute:
            return None
        socket = node.outputs[0]
    value = socket.default_value
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    return tuple(each if math.isfinite(each) else 0.0 for each in value)
