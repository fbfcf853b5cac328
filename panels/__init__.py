# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the artist sees and sets it: one place a file. Panels name operators by their id and import none."""

from . import render_settings, sidebar

MODULES = (render_settings, sidebar)
