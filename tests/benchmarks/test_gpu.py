# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU benchmark's device and its sequence. OpenGL without Blender runs in a process of its own.

Blender's context must stay the current one of the tests' process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import json, sys
import numpy as np
from benchmarks import egl_device, gpu
from kernels.cameras import pixel_rays
from kernels.gpu.device import ComputeShader, GpuError
from kernels.tracing import TraceConfig, trace
try:
    device = egl_device.EglDevice()
except GpuError as error:
    sys.exit(print(json.dumps({"missing": str(error)})))
side, sequence = 32, gpu.fitted_sequence()
tracer, buffers = gpu.NeuralTracer(device), gpu.SurfaceBuffers(device, side, side)
rays = gpu.sources.PixelRays(gpu.camera(), (side, side), (0, 0, side, side))
buffers.clear()
config = gpu.RenderConfig(side, side, ambient_occlusion=False)
levels = gpu.LevelChoice((0, 1), 1)
tracer.trace(gpu.NeuralInstance("", sequence, np.eye(4)), levels, rays, buffers, 0, config)
t = device.read(buffers.surface)[..., 3].ravel()
wanted = pixel_rays(gpu.camera(), (side, side), (0, 0, side, side))
result = trace(sequence, wanted.origins, wanted.directions, TraceConfig(levels=(0, 1)))
both = (t < 1e29) & result.hit
try:
    device.dispatch(ComputeShader("nonsense", "nonsense", (1, 1)), (1, 1), {}, {})
    refused = ""
except GpuError as error:
    refused = str(error)
print(json.dumps({
    "name": device.name,
    "hits": int(result.hit.sum()),
    "differing": int(((t < 1e29) != result.hit).sum()),
    "apart": float(np.quantile(np.abs(t - result.t)[both], 0.98)),
    "refused": refused,
}))
"""


def test_device_traces_as_the_cpu() -> None:
    pytest.importorskip("moderngl")
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(found["missing"])
    assert found["hits"] > 150
    assert found["differing"] <= 4
    assert found["apart"] < 2e-3
    assert "nonsense" in found["refused"]


def test_sequence_is_nested_and_of_the_measured_sizes() -> None:
    pytest.importorskip("moderngl")
    from benchmarks import gpu

    sequence = gpu.fitted_sequence()
    assert sequence.notation == "64x1 > 128x2 > 256x3"
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (4000, 3)).astype(np.float32)
    finest = sequence.distance(2, points)
    shape = gpu.bumpy_torus(points)
    assert np.abs(finest - shape)[np.abs(shape) < 0.1].max() < 0.03
    assert (sequence.place_in_bands(points[np.abs(finest) < 0.01]) <= 1.0).all()
