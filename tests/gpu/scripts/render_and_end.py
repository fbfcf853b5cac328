# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a picture on the GPU and ends: what the extension keeps there must be gone before Blender's GPU is."""

import json
import os

import bpy

bpy.ops.extensions.package_install_files(
    filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=True, overwrite=True
)
extension = "bl_ext.user_default.neural_implicit"
bpy.context.preferences.addons[extension].preferences.backend = "GPU"
bpy.ops.mesh.primitive_cube_add()
scene = bpy.context.scene
scene.render.engine = "NEURAL_IMPLICIT"
scene.render.resolution_x = scene.render.resolution_y = 8
bpy.ops.render.render()
print(json.dumps({"rendered": True}))
