# SPDX-License-Identifier: GPL-3.0-or-later
"""The mathematics of nested neural SDFs, free of Blender.

Importing this package needs numpy and nothing else. Evaluation, gradients, tracing and shading run on
numpy arrays and on torch tensors of any device alike; sampling needs libigl and training needs torch,
and those modules are imported only by whoever trains.
"""
