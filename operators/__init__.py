# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist can do: one verb a file."""

from . import bake_normals, export_network, extract_mesh, import_network

MODULES = (bake_normals, extract_mesh, export_network, import_network)
