# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist can do: one verb a file."""

from . import (
    bake_normals,
    cancel_training,
    certify_bands,
    export_network,
    extract_mesh,
    import_network,
    join_networks,
    train,
)

MODULES = (
    train,
    cancel_training,
    bake_normals,
    extract_mesh,
    join_networks,
    certify_bands,
    export_network,
    import_network,
)
