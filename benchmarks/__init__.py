# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements side by side with the alternatives.

A benchmark is a module of this folder that `benchmarks.catalogue` lists, with a function

    def run(quick: bool = False) -> Iterable[Row]: ...

that measures and hands out rows (`benchmarks.report.Row`: what, value, unit, target) as soon as it has them. A quick
run takes seconds and shows that everything works; its figures mean nothing. `python -m benchmarks [NAME...]`, and
`python make.py bench [NAME...]`, run each in a process of its own, print the rows and write them to
build/bench/NAME.json together with the machine's name; `--document` writes docs/benchmarks.md from these files.

What is measured comes from `benchmarks.subjects`: networks trained by the presets on meshes beside the repository.
Where a mesh is absent there is no row for it.
"""
