# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the artist sees and sets it: one place a file. Panels name operators by their id and import none."""

from . import neural_normals, render_settings, shading, sidebar

MODULES = (render_settings, shading, sidebar, neural_normals)
