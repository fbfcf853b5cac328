# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU benchmark's device. OpenGL without Blender runs in a process of its own.

Blender's context must stay the current one of the tests' process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import json, sys
import numpy as np
from benchmarks import egl_device, fitted, gpu
from kernels.cameras import pixel_rays
from kernels.gpu.device import ComputeShader, GpuError
from kernels.tracing import TraceConfig, trace
try:
    device = egl_device.EglDevice()
except GpuError as error:
    sys.exit(print(json.dumps({"missing": str(error)})))
side, sequence = 32, fitted.fitted_sequence()
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
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        pytest.skip(found["missing"])
    assert found["hits"] > 150
    assert found["differing"] <= 4
    assert found["apart"] < 2e-3
    assert "nonsense" in found["refused"]
