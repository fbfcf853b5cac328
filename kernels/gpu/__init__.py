# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU renderer: GLSL kernels (`kernels/glsl`), the Python that specialises them, and the passes made of them.

No module here knows Blender. A host (Blender's gpu module, or EGL in a benchmark) is a `device.Device`.
"""
