# SPDX-License-Identifier: GPL-3.0-or-later
"""From Blender's materials to the renderers' own: base colour, roughness and metallic."""

from __future__ import annotations

import bpy

from ..kernels.shading import Material
from . import nodes


class MaterialReader:
    """Reads each material once.

    Args:
        override: the view layer's material override, or None.
    """

    def __init__(self, override: bpy.types.Material | None) -> None:
        self._override = override
        self._read: dict[str, Material] = {}

    def slots(self, obj: bpy.types.Object) -> tuple[Material, ...]:
        """The materials of an object's slots; the default one where a slot is empty."""
        if self._override is not None:
            return (self._material(self._override),)
        return tuple(self._material(slot.material) for slot in obj.material_slots)

    def first(self, obj: bpy.types.Object) -> Material:
        """The material of an object that is of one piece."""
        materials = self.slots(obj)
        return materials[0] if materials else Material()

    def _material(self, material: bpy.types.Material | None) -> Material:
        if material is None:
            return Material()
        if material.name_full not in self._read:
            self._read[material.name_full] = describe(material)
        return self._read[material.name_full]


def describe(material: bpy.types.Material) -> Material:
    """What the Principled BSDF says, or else, value by value, what Solid shading shows."""
    color, roughness, metallic = tuple(material.diffuse_color[:3]), material.roughness, material.metallic
    node = nodes.surface_node(material, "OUTPUT_MATERIAL", "BSDF_PRINCIPLED")
    if node is not None:
        color = _color(nodes.constant(node.inputs["Base Color"])) or color
        roughness = _number(nodes.constant(node.inputs["Roughness"]), roughness)
        metallic = _number(nodes.constant(node.inputs["Metallic"]), metallic)
    return Material(color, roughness, metallic)


def _color(value: tuple[float, ...] | float | None) -> tuple[float, float, float] | None:
    """A socket's value as a colour: Blender makes grey of a number."""
    return (value,) * 3 if isinstance(value, float) else value and tuple(value[:3])


def _number(value: tuple[float, ...] | float | None, otherwise: float) -> float:
    """A socket's value as a number: Blender takes the mean of a colour's channels."""
    if value is None:
        return otherwise
    return value if isinstance(value, float) else sum(value[:3]) / 3.0
