# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist can do: one verb a file."""

from . import bake_normals, cancel_training, export_network, extract_mesh, import_network, train

MODULES = (train, cancel_training, bake_normals, extract_mesh, export_network, import_network)
