# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist can do: one verb a file."""

MODULES = ()
