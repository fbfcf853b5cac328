# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements side by side with the alternatives.

A benchmark is a module of this folder with a function

    def run() -> list[Row]: ...

that measures and returns rows (`benchmarks.report.Row`: what, value, unit, target). `python make.py bench [NAME...]`
runs each in a process of its own, prints the rows as a table and writes them to build/bench/NAME.json together with
the machine's name. Meshes beside the repository come from `benchmarks.report.shared_mesh(name)`, which is None where
they are absent; a benchmark then measures on a shape of its own or returns no row.
"""
