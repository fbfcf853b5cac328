# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU tracer through EGL: frames a second, how much of the GPU it uses, and what it is faster than.

Everything is measured in one run on one machine, at 512 x 512, on `64x1 > 128x2 > 256x3 (NM)`:

- multiply-adds a second of whole networks, beside the largest number that the same GPU does in a loop of them alone;
- multiscale tracing with normal mapping, beside the finest network alone: traced by the same work groups, and with
  the paper's 40 steps for every pixel;
- the loop of the authors' renderer (arXiv 2201.09147; as later measured, 20 steps of the first level for every pixel
  and 5 of each further one, normals by three passes in forward mode), one matrix product in half precision a layer,
  by torch where it has CUDA.

`python -m benchmarks gpu` builds a sequence by least squares; `python benchmarks/gpu.py FILE.nsdf` measures a trained
one. On a software driver the picture is small, and only ratios mean anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.egl_device import EglDevice
from benchmarks.fitted import fitted_sequence
from benchmarks.views import camera
from kernels import nsdf
from kernels.cameras import pixel_rays
from kernels.gpu import networks, sources
from kernels.gpu.device import ComputeShader, GpuError
from kernels.gpu.surfaces import SurfaceBuffers
from kernels.gpu.tracing import NeuralTracer
from kernels.level_of_detail import LevelChoice
from kernels.scenes import NeuralInstance, RenderConfig
from kernels.sequence import NestedSequence

SIDE, SOFTWARE_SIDE = 512, 32
BASELINE_STEPS = 40
FIRST_STEPS, FURTHER_STEPS = 20, 5
# Seconds for which each figure is measured, and in how many turns; the shortest time counts.
SECONDS, TURNS = 0.5, 3

# Where the fixed steps begin along the rays: before the bounds' nearest corner.
START = 2.5

# Every invocation does FMA_STEPS * 16 * 4 multiply-adds with nothing to wait for.
FMA_STEPS = 4096
FMA_SOURCE = """
void main()
{
  float seed = float(gl_LocalInvocationIndex) * 1e-6;
  vec4 factor = vec4(0.999 + seed);
  vec4 sums[16];
  for (int i = 0; i < 16; ++i) {
    sums[i] = vec4(seed) + float(i);
  }
  for (int step_number = 0; step_number < FMA_STEPS; ++step_number) {
    for (int i = 0; i < 16; ++i) {
      sums[i] = sums[i] * factor + factor;
    }
  }
  vec4 total = vec4(0.0);
  for (int i = 0; i < 16; ++i) {
    total += sums[i];
  }
  imageStore(result, ivec2(gl_WorkGroupID.x, gl_LocalInvocationIndex), total);
}
"""

# A network at all points of a work group, STEPS times, each time a step along a ray: the paper's baseline.
STEPS_SOURCE = """
void main()
{
  for (int i = invocation(); i < POINTS; i += THREADS) {
    points[i] = texelFetch(starts, ivec2(i, gl_WorkGroupID.x), 0);
  }
  int steps = int(parameters.values[0].x), network = int(parameters.values[0].y);
  for (int step_number = 0; step_number < steps; ++step_number) {
    for (int i = invocation(); i < POINTS; i += THREADS) {
      vec3 unit = texelFetch(units, ivec2(i, gl_WorkGroupID.x), 0).xyz;
      points[i] = vec4(clamp(points[i].xyz + points[i].w * unit, -1.0, 1.0), 0.0);
    }
    add_values(network, network, POINTS);
  }
#ifdef GRADIENT_LAYERS
  set_gradients(network, network, POINTS);
  for (int i = invocation(); i < POINTS; i += THREADS) {
    imageStore(result, ivec2(i, gl_WorkGroupID.x), gradients[i]);
  }
#else
  for (int i = invocation(); i < POINTS; i += THREADS) {
    imageStore(result, ivec2(i, gl_WorkGroupID.x), points[i]);
  }
#endif
}
"""


def shortest(work: Callable[[], None], finish: Callable[[], None], measured_for: float = SECONDS) -> float:
    """Seconds that `work` takes: the least of some turns, in each of which it is done many times in a row.

    Args:
        finish: waits until all work is done.
        measured_for: seconds that all turns take together, unless the work takes longer.
    """
    work()
    finish()
    started = time.perf_counter()
    work()
    finish()
    once = time.perf_counter() - started
    count = max(1, int(measured_for / TURNS / max(once, 1e-6)))
    found = []
    for _ in range(TURNS):
        started = time.perf_counter()
        for _ in range(count):
            work()
        finish()
        found.append((time.perf_counter() - started) / count)
    return min(found)


def peak(device: EglDevice, measured_for: float = SECONDS) -> float:
    """Multiply-adds a second, in single precision, that the GPU does with nothing to fetch."""
    groups, threads = (64, 64) if device.is_software else (16_384, 128)
    shader = ComputeShader("peak", f"#define FMA_STEPS {FMA_STEPS}\n{FMA_SOURCE}", (threads, 1), images=("result",))
    result = device.empty_texture(groups, threads)
    seconds = shortest(
        lambda: device.dispatch(shader, (groups, 1), {}, {"result": result}), device.finish, measured_for
    )
    return groups * threads * FMA_STEPS * 64 / seconds


class Steps:
    """STEPS_SOURCE for the rays of a picture."""

    def __init__(self, device: EglDevice, sequence: NestedSequence, side: int) -> None:
        self._device = device
        self._packed = networks.pack(
            sequence, networks.SOFTWARE_TILE_TEXELS if device.is_software else networks.TILE_TEXELS
        )
        self._weights = device.texture(self._packed.pixels)
        rays = pixel_rays(camera(), (side, side), (0, 0, side, side))
        self._groups = side * side // networks.POINTS
        starts, units = rays.origins + START * rays.directions, rays.directions
        self._inputs = {
            name: device.texture(np.pad(values, [(0, 0), (0, 1)]).reshape(self._groups, -1, 4).astype(np.float32))
            for name, values in (("starts", starts), ("units", units))
        }
        self._result = device.empty_texture(networks.POINTS, self._groups)

    def run(self, network: int, steps: int, gradient: bool = False) -> None:
        """`steps` evaluations of a network for every pixel, and one of its gradient if asked for."""
        parameters = networks.padded(np.concatenate([[[steps, network, 0.0, 0.0]], self._packed.table(1)]))
        source = sources.join("network", constants=self._packed.constants(1, gradient)) + STEPS_SOURCE
        textures = ("weights", "starts", "units")
        shader = ComputeShader(
            "steps", source, (networks.THREADS, 1), textures, ("result",), parameters=len(parameters)
        )
        inputs = {"weights": self._weights, **self._inputs}
        self._device.dispatch(shader, (self._groups, 1), inputs, {"result": self._result}, parameters)


def reference_frame(sequence: NestedSequence, side: int, device: str, precision: str) -> tuple[Callable[[], None], Any]:
    """The authors' loop in torch: a function that computes a frame, and the (pixels, 3) gradients that it writes.

    Each layer is one matrix product over all pixels with its bias and sine; nothing ends early.

    Args:
        device, precision: as torch names them.
    """
    import torch

    kind = {"dtype": getattr(torch, precision), "device": device}
    rays = pixel_rays(camera(), (side, side), (0, 0, side, side))
    starts = torch.as_tensor(rays.origins + START * rays.directions, **kind)
    units = torch.as_tensor(rays.directions, **kind)
    layers = [
        [
            (torch.as_tensor(w, **kind).T.contiguous(), torch.as_tensor(b, **kind))
            for w, b in zip(network.weights, network.biases, strict=True)
        ]
        for network in sequence.networks
    ]
    result = torch.empty_like(starts)

    def value(level: int, points: Any) -> Any:
        h = points
        for weight, bias in layers[level][:-1]:
            h = torch.addmm(bias, h, weight).sin_()
        return torch.addmm(layers[level][-1][1], h, layers[level][-1][0])

    def slope(level: int, points: Any, axis: int) -> Any:
        # One column of the gradient in forward mode, the activations computed anew for each.
        h, column = points, None
        for weight, bias in layers[level][:-1]:
            a = torch.addmm(bias, h, weight)
            moved = weight[axis] if column is None else column @ weight
            h, column = a.sin(), moved * a.cos()
        return column @ layers[level][-1][0]

    def frame() -> None:
        points = starts
        traced = len(layers) - 1
        for level in range(traced):
            inflation = sequence.bands[level].delta if level + 1 < traced else 0.0
            for _ in range(FIRST_STEPS if level == 0 else FURTHER_STEPS):
                points = (points + (value(level, points) - inflation) * units).clamp(-1.0, 1.0)
        for axis in range(3):
            result[:, axis : axis + 1] = slope(traced, points, axis)

    return frame, result


def reference_seconds(sequence: NestedSequence, side: int) -> float | None:
    """Seconds a frame of the authors' loop in half precision on CUDA; None where there is none.

    As in the authors' renderer, the whole frame is recorded once and then replayed (a CUDA graph).
    """
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    frame, _ = reference_frame(sequence, side, "cuda", "float16")
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            frame()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            frame()
        return shortest(graph.replay, torch.cuda.synchronize)


def rows_of(device: EglDevice, sequence: NestedSequence, measured_for: float = SECONDS) -> list[report.Row]:
    """All figures for one sequence, each measured for some seconds."""
    side = SOFTWARE_SIDE if device.is_software else SIDE
    pixels = side * side
    where = f"{device.name}, {side} x {side}"

    def seconds_of(work: Callable[[], None]) -> float:
        return shortest(work, device.finish, measured_for)

    limit = peak(device, measured_for)
    rows = [report.Row(f"{where}: multiply-adds with nothing to fetch", limit / 1e12, "T/s")]
    steps = Steps(device, sequence, side)
    for level, network in enumerate(sequence.networks):
        weights = sum(weight.size for weight in network.weights)
        for what, gradient, cost in (("values", False, 10), ("gradients", True, 2)):
            count = 0 if gradient else 10
            seconds = seconds_of(lambda n=level, c=count, g=gradient: steps.run(n, c, g))
            share = pixels * cost * weights / seconds / limit
            rows.append(report.Row(f"{where}: {network.name} {what}, share of that", 100.0 * share, "%"))

    def judged(what: str, ratio: float, least: float) -> report.Row:
        return report.Row(what, ratio, "x") if device.is_software else report.at_least(what, ratio, "x", least)

    tracer, buffers = NeuralTracer(device), SurfaceBuffers(device, side, side)
    instance = NeuralInstance("measured", sequence, np.eye(4))
    config = RenderConfig(side, side, ambient_occlusion=False)
    rays = sources.PixelRays(camera(), (side, side), (0, 0, side, side))

    def frame(levels: LevelChoice) -> None:
        buffers.clear()
        tracer.trace(instance, levels, rays, buffers, 0, config)

    finest = sequence.finest
    multiscale = LevelChoice(tuple(range(max(1, finest))), finest)
    traced = f"{where}: {sequence.notation}"
    ours = seconds_of(lambda: frame(multiscale))
    evaluations = device.read(buffers.owner)[..., 3].mean()
    everything = seconds_of(lambda: frame(LevelChoice(tuple(range(finest + 1)), finest)))
    alone = seconds_of(lambda: frame(LevelChoice((finest,), finest)))
    fixed = seconds_of(lambda: steps.run(finest, BASELINE_STEPS, True))
    rows += [
        report.Row(f"{traced} (NM)", 1.0 / ours, "frames/s"),
        report.Row(f"{traced} (NM), steps of a ray, mean", float(evaluations)),
        report.Row(f"{traced}", 1.0 / everything, "frames/s"),
        report.Row(f"{where}: {sequence.networks[-1].name} alone, rays alive", 1.0 / alone, "frames/s"),
        report.Row(
            f"{where}: {sequence.networks[-1].name} alone, {BASELINE_STEPS} steps a pixel", 1.0 / fixed, "frames/s"
        ),
        report.Row(f"{traced} (NM), faster than it alone, rays alive", alone / ours, "x"),
        # Software drivers compute all invocations of a group, those without work as well.
        judged(f"{traced} (NM), faster than it alone, {BASELINE_STEPS} steps a pixel", fixed / ours, 10.0),
    ]
    reference = None if device.is_software else reference_seconds(sequence, side)
    if reference is not None:
        loop = f"{where}: {FIRST_STEPS} + {FURTHER_STEPS} steps a pixel and NM, half precision, a product a layer"
        rows.append(report.Row(loop, 1.0 / reference, "frames/s"))
        rows.append(report.at_least(f"{traced} (NM), faster than these", reference / ours, "x", 2.0))
    tracer.free()
    buffers.free()
    return rows


def run(quick: bool = False, sequence: NestedSequence | None = None) -> list[report.Row]:
    """Measure the sequence given or a fitted one; no row where EGL finds no driver."""
    try:
        device = EglDevice()
    except GpuError as error:
        return [report.not_measured("frames a second", str(error))]
    return rows_of(device, sequence or fitted_sequence(), 0.0 if quick else SECONDS)


if __name__ == "__main__":
    found = [nsdf.load(Path(argument)) for argument in sys.argv[1:]] or [None]
    print(report.table([row for sequence in found for row in run(sequence=sequence)]))
