# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on is inside Blender: registration, settings, neural objects, jobs, render engine."""
