# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiscale sphere tracing with normal mapping against the paper's baseline, in one run on one picture.

The baseline takes 40 steps of the finest level for every pixel. Both are timed from rays to shaded picture, and both
take their normals from the finest level, so what differs is the tracing. Both use one core, as each tile of the
renderer does.

`python -m benchmarks tracing` measures what the presets trained; `python benchmarks/tracing.py FILE.nsdf...` measures
any sequence.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measures, report, subjects
from benchmarks.views import camera
from kernels import blas, nsdf
from kernels.cameras import PixelRays, pixel_rays
from kernels.lighting import World, camera_rig
from kernels.sequence import NestedSequence
from kernels.shading import Material, facing_normals, shade
from kernels.tracing import TraceConfig, TraceResult, default_levels, trace, trace_single_level

SIDE = 512
BASELINE_STEPS = 40
RUNS = 2  # of each tracer, after one on a strip of the picture to warm up


def picture(sequence: NestedSequence, rays: PixelRays, result: TraceResult) -> np.ndarray:
    """(N, 3) colours as a screen shows them, 0 to 1, of what the rays met; black elsewhere."""
    hit = result.hit
    views = -rays.directions[hit]
    normals = facing_normals(sequence.normals(result.positions[hit]), views)
    lights = camera_rig(camera().camera_to_world)
    color = np.zeros_like(rays.directions)
    color[hit] = shade(result.positions[hit], normals, views, Material(), lights, World())
    color = color.clip(0.0, 1.0)
    return np.where(color < 0.0031308, 12.92 * color, 1.055 * color ** (1.0 / 2.4) - 0.055)


def timed(
    sequence: NestedSequence, rays: PixelRays, tracer: Callable[[np.ndarray, np.ndarray], TraceResult]
) -> tuple[float, np.ndarray, TraceResult]:
    """Seconds from rays to picture, the picture, and where the rays ended."""
    started = time.perf_counter()
    result = tracer(rays.origins, rays.directions)
    image = picture(sequence, rays, result)
    return time.perf_counter() - started, image, result


def measure(sequence: NestedSequence, side: int = SIDE) -> dict[str, float]:
    """Times in seconds and agreement of the pictures of `side` x `side` pixels.

    All tracers run the same number of times, in turns; the speedups are ratios of their shortest times.
    """
    rays = pixel_rays(camera(), (side, side), (0, 0, side, side))
    finest = TraceConfig(levels=default_levels(sequence, trace_finest=True))
    tracers = (
        lambda o, d: trace_single_level(sequence, sequence.finest, o, d, BASELINE_STEPS),
        lambda o, d: trace(sequence, o, d, shape=(len(o) // side, side)),
        lambda o, d: trace(sequence, o, d, finest, shape=(len(o) // side, side)),
    )
    warm_up = pixel_rays(camera(), (side, side), (0, side // 2, side, min(32, side // 2)))
    with blas.limited_threads(1):
        for tracer in tracers:
            timed(sequence, warm_up, tracer)
        # In turns, so that whatever else the machine does meets all alike; the shortest time is the least disturbed.
        turns = [[timed(sequence, rays, tracer) for tracer in tracers] for _ in range(RUNS)]
    (baseline_seconds, reference, reference_result), (seconds, image, result), (all_seconds, all_image, _) = (
        min(runs, key=lambda run: run[0]) for runs in zip(*turns, strict=True)
    )
    return {
        "baseline_seconds": baseline_seconds,
        "multiscale_seconds": seconds,
        "all_levels_seconds": all_seconds,
        "speedup": baseline_seconds / seconds,
        "all_levels_speedup": baseline_seconds / all_seconds,
        "psnr": measures.psnr(image, reference),
        "all_levels_psnr": measures.psnr(all_image, reference),
        "silhouette_iou": measures.intersection_over_union(result.hit, reference_result.hit),
        "mean_steps": float(result.steps.mean()),
        "covered": float(reference_result.hit.mean()),
    }


def rows_of(name: str, sequence: NestedSequence, side: int = SIDE) -> list[report.Row]:
    """What `measure` found, as rows of the report."""
    figures = measure(sequence, side)
    what = f"{name} {sequence.notation} (NM), {side} x {side}"
    return [
        report.Row(f"{what}: {BASELINE_STEPS} steps of the finest level", figures["baseline_seconds"], "s"),
        report.Row(f"{what}: multiscale with normal mapping", figures["multiscale_seconds"], "s"),
        report.Row(f"{what}: multiscale, all levels traced", figures["all_levels_seconds"], "s"),
        report.at_least(f"{what}: faster by", figures["speedup"], "x", 10.0),
        report.at_least(f"{what}: PSNR", figures["psnr"], "dB", 30.0),
        report.Row(f"{what}: faster by, all levels traced", figures["all_levels_speedup"], "x"),
        report.Row(f"{what}: PSNR, all levels traced", figures["all_levels_psnr"], "dB"),
        report.Row(f"{what}: silhouettes, intersection over union", figures["silhouette_iou"]),
        report.Row(f"{what}: steps of a ray, mean", figures["mean_steps"]),
        report.Row(f"{what}: share of pixels covered", figures["covered"]),
    ]


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained on bunny and igea."""
    trainings = (subjects.BUNNY_BALANCED, subjects.BUNNY_FINE, subjects.IGEA_BALANCED)
    for subject in subjects.subjects(trainings, quick):
        yield from rows_of(subject.name, subject.sequence, 32 if quick else SIDE)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/tracing.py FILE.nsdf...")
    paths = [Path(argument) for argument in sys.argv[1:]]
    print(report.table([row for path in paths for row in rows_of(path.stem, nsdf.load(path))]))
