# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a picture in a Blender that finds no graphics driver at all, where asking for one would end the process."""

import json
import os

# Read by libEGL's vendor-neutral dispatch: no driver is there.
os.environ["__EGL_VENDOR_LIBRARY_FILENAMES"] = os.devnull

import bpy

bpy.ops.extensions.package_install_files(
    filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=True, overwrite=True
)
bpy.ops.mesh.primitive_cube_add()
scene = bpy.context.scene
scene.render.engine = "NEURAL_IMPLICIT"
scene.render.resolution_x = scene.render.resolution_y = 8
bpy.ops.render.render()
wants_context = bpy.types.RenderEngine.bl_rna_get_subclass_py("NEURAL_IMPLICIT").bl_use_gpu_context
print(json.dumps({"wants context": wants_context}))
