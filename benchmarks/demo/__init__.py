# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo, `python make.py demo`: from a detailed mesh to a picture and baked normals, measured on the way."""
