# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo from installing the extension to the report."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bpy

import make
from benchmarks import report

from . import sculpt, stage, steps

ADDON = "bl_ext.user_default.neural_implicit"
SHARES = (0.01, 0.05)
RENDER_SIZE = 900
LOW_POLY_SIZE = 640
# Far below what is asked for, far above what a picture of something else would have.
LEAST_OVERLAP = 0.9


def install() -> None:
    """Install and enable the zip, as an artist does."""
    path = make.build_zip(Path(sys.prefix))
    bpy.ops.extensions.package_install_files(filepath=str(path), repo="user_default", enable_on_install=True)
    if ADDON not in bpy.context.preferences.addons:
        raise SystemExit("The extension could not be enabled; the messages above say why.")


def run(mesh: Path | None, preset: str, output: Path) -> int:
    """Run the demo on `mesh`, or on the sculpt where it is None; returns the exit status.

    The status is 1 when a bake left a low-poly mesh worse than its own smooth normals, or a render failed.
    """
    install()
    stage.clear()
    say("making the sculpt" if mesh is None else f"reading {mesh.name}")
    source = sculpt.make() if mesh is None else sculpt.load(mesh)
    triangles = sum(len(polygon.vertices) - 2 for polygon in source.data.polygons)
    stage.set_up(source)

    say(f"training {source.name} ({triangles:,} triangles) with preset {preset}")
    neural, seconds = steps.train(source, preset)
    network = steps.measure_network(neural, source)
    (output / "sequence.nsdf").write_bytes(neural.data[steps.PROPERTY])

    say("rendering")
    start = time.perf_counter()
    stage.render(output / "render.png", [neural], steps.ENGINE, RENDER_SIZE)
    render_seconds = time.perf_counter() - start
    overlap = steps.silhouette(output, neural, source)

    say("decimating and baking")
    low_polys = {share: steps.decimate(source, share) for share in SHARES}
    coarsest = low_polys[SHARES[0]]
    before, after, detailed = (output / f"{name}.png" for name in ("lowpoly_before", "lowpoly_after", "source"))
    stage.render(before, [coarsest], "CYCLES", LOW_POLY_SIZE)
    bakes = [steps.bake(neural, source, low_poly, share) for share, low_poly in low_polys.items()]
    stage.render(after, [coarsest], "CYCLES", LOW_POLY_SIZE)
    stage.render(detailed, [source], "CYCLES", LOW_POLY_SIZE)
    stage.side_by_side(output / "lowpoly_side_by_side.png", [before, after, detailed])

    source_bytes = size_of_data(source, output / "source.blend")
    save(source, neural, list(low_polys.values()), output / "demo.blend")
    measured = {
        "machine": report.machine(),
        "blender": bpy.app.version_string,
        "source": {"name": source_name(mesh), "triangles": triangles, "blend_bytes": source_bytes},
        "preset": preset,
        "training_seconds": seconds,
        "network": network,
        "render": {"seconds": render_seconds, "size": RENDER_SIZE},
        "silhouette_intersection_over_union": overlap,
        "bakes": [asdict(bake) for bake in bakes],
        "blend_bytes": (output / "demo.blend").stat().st_size,
    }
    (output / "report.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(f"\n{summary(measured)}\n\nThe files are in {output}")
    found = failures(overlap, bakes)
    for failure in found:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if found else 0


def failures(overlap: float, bakes: list[steps.BakeResult]) -> list[str]:
    """What the product must never do, where it did it."""
    found = []
    if overlap < LEAST_OVERLAP:
        # Blender prints what a render engine raises, and goes on.
        found.append(f"the render covers other pixels than the source does (overlap {overlap:.3f}); see the messages")
    found += [
        f"the bake made the {bake.share:.0%} low-poly mesh worse than its own smooth normals "
        f"({bake.baked_error:.2f} against {bake.own_error:.2f} degrees at the vertices, "
        f"{bake.baked_shaded_error:.2f} against {bake.own_shaded_error:.2f} over the surface)"
        for bake in bakes
        if bake.worse
    ]
    return found


def say(what: str) -> None:
    """Tell what is going on."""
    print(f"== {what}", flush=True)


def source_name(mesh: Path | None) -> str:
    """What the demo started from, without the folders of this machine."""
    return "sculpt" if mesh is None else mesh.name


def size_of_data(obj: bpy.types.Object, path: Path) -> int:
    """Bytes of a compressed .blend with nothing but the object's mesh: what keeping the source would cost."""
    bpy.data.libraries.write(str(path), {obj.data}, compress=True)
    size = path.stat().st_size
    path.unlink()
    return size


def save(source: bpy.types.Object, neural: bpy.types.Object, low_polys: list[bpy.types.Object], path: Path) -> None:
    """Save the file to open: the neural object, and the baked meshes beside it. The detailed mesh is not in it."""
    mesh = source.data
    bpy.data.objects.remove(source)
    bpy.data.meshes.remove(mesh)
    neural.hide_render = False
    for index, low_poly in enumerate(low_polys):
        low_poly.location.x += (index + 1) * 1.2 * max(neural.dimensions)
        low_poly.hide_render = False
    sculpt.select_only(neural)
    bpy.context.scene.render.engine = steps.ENGINE
    bpy.context.scene.render.filepath = "//render.png"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


def summary(measured: dict[str, Any]) -> str:
    """The report in a few lines."""
    source, network = measured["source"], measured["network"]
    lines = [
        f"{source['name']}: {source['triangles']:,} triangles, {source['blend_bytes'] / 1024:.0f} KiB when compressed",
        f"trained in {measured['training_seconds']:.0f} s to {network['levels']}: "
        f"{network['parameters']:,} parameters, {network['nsdf_bytes'] / 1024:.0f} KiB",
        *_levels(network["training"]),
        f"normal error {network['normal_error_degrees']:.2f} degrees, distance to the surface "
        f"{network['distance_percent_of_extent']:.3f} % of the extent",
        f"render {measured['render']['size']} x {measured['render']['size']} in {measured['render']['seconds']:.1f} s, "
        f"silhouette overlap {measured['silhouette_intersection_over_union']:.4f}",
    ]
    lines += [
        f"bake onto {bake['share']:.0%} ({bake['triangles']:,} triangles) in {bake['seconds']:.2f} s: error at the "
        f"vertices {bake['own_error']:.2f} -> {bake['baked_error']:.2f} degrees, over the surface "
        f"{bake['own_shaded_error']:.2f} -> {bake['baked_shaded_error']:.2f}"
        for bake in measured["bakes"]
    ]
    return "\n".join(lines)


def _levels(training: dict[str, Any]) -> list[str]:
    """The training record's levels; a record is free form, so that nothing of it is taken for granted."""
    lines = [
        f"  {level.get('name')}: {level.get('seconds')} s, {level.get('steps')} steps"
        for level in training.get("levels", [])
    ]
    if "nesting_violations" in training:
        found = training["nesting_violations"]
        shares = ", ".join("an unknown share" if share is None else f"{100.0 * share:.2f} %" for share in found)
        lines.append(f"  nesting violated by {shares} of fresh samples")
    return lines
