# SPDX-License-Identifier: GPL-3.0-or-later
"""A neural object and its source mesh in one picture, in each other's way: at every pixel, the nearer one is seen.

The mesh stands inside the object, around it, or across its surface. How far it is along each ray, libigl (Embree) says.
How far the object is, two say:

- the tracer, ray by ray in an empty scene;
- the source mesh as it was, by libigl: nothing of the product is in that. Where the two cross, however, an object that
  is off by its training's error is the nearer one at other pixels than its source, so it counts only elsewhere.

Only pixels whose rays meet both are counted: on all others nothing is in the way.

`python -m benchmarks occlusion` takes what the presets trained; `python benchmarks/occlusion.py FILE.nsdf
MESH` measures a sequence and the mesh it was trained on. The GPU is the one that EGL offers.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measures, metrics, report, subjects
from benchmarks.agreement import EXTENT, cameras, reference, whole_picture
from benchmarks.demo import sculpt
from benchmarks.egl_device import EglDevice
from kernels import nsdf, rendering
from kernels.cameras import pixel_rays
from kernels.gpu.device import GpuError
from kernels.gpu.rendering import GpuRenderer
from kernels.lighting import camera_rig
from kernels.scenes import BACKGROUND_DEPTH, Geometry, MeshInstance, NeuralInstance, RenderConfig, Scene, Tile
from kernels.sequence import NestedSequence

SIDE, SOFTWARE_SIDE = 256, 64
# How far the mesh stands from the source along its normals, in percent of the extent...
INSIDE, AROUND = (-4.0, -2.0), (2.0, 4.0)
# ... or its size about its middle, in percent, which leaves it inside at some places and outside at others.
ACROSS = (97.0, 103.0)
# What the pass of object indices has where each of them is seen.
NEURAL_INDEX, MESH_INDEX = 1, 2
LEAST_PERCENT = 99.5

Renderer = Callable[[Scene, RenderConfig], Tile]


@dataclass(frozen=True)
class Occlusion:
    """Who is seen in some pictures: shares of pixels, 0 to 1.

    Attributes:
        by_tracer: the nearer one is seen, of the pixels at which both are met as the tracer has the object.
        by_source: the same as the source has it.
    """

    by_tracer: float
    by_source: float


def standing(source: measures.Surface) -> dict[str, list[np.ndarray]]:
    """The source's vertices as the mesh has them, for all ways in which it stands in the object's way."""
    percent, normals = 0.01 * source.extent, source.vertex_normals
    middle = 0.5 * (source.vertices.min(axis=0) + source.vertices.max(axis=0))
    return {
        "inside": [source.vertices + offset * percent * normals for offset in INSIDE],
        "around": [source.vertices + offset * percent * normals for offset in AROUND],
        "across": [middle + 0.01 * scale * (source.vertices - middle) for scale in ACROSS],
    }


def measure(
    render: Renderer, sequence: NestedSequence, source: measures.Surface, moved: np.ndarray, side: int
) -> Occlusion:
    """Who is seen in the pictures of all cameras together.

    Args:
        render: gives the whole picture.
        sequence: trained on the source.
        source: in the sequence's local space.
        moved: (V, 3) the source's vertices where the mesh has them.
        side: of the pictures, in pixels.
    """
    original, vertices = sequence.to_network(source.vertices), sequence.to_network(moved)
    neural = NeuralInstance("object", sequence, np.eye(4), object_index=NEURAL_INDEX)
    mesh = MeshInstance("mesh", _geometry(vertices, source), np.eye(4), object_index=MESH_INDEX)
    config = RenderConfig(side, side, samples=1)
    by_tracer, by_source = [], []
    for camera in cameras(EXTENT).values():
        rays = pixel_rays(camera, (side, side), config.rendered_region)
        depth = reference(sequence, camera, config).depth.reshape(-1)
        traced = np.where(depth < 0.5 * BACKGROUND_DEPTH, (depth - rays.start_depth) / rays.cosines, np.inf)
        to_source, from_behind = metrics.first_hits(original, source.triangles, rays.origins, rays.directions)
        # That is through a hole of the source. The object has none.
        to_source[from_behind] = np.inf
        to_mesh, _ = metrics.first_hits(vertices, source.triangles, rays.origins, rays.directions)
        picture = render(Scene(camera, (neural,), (mesh,), camera_rig(camera.camera_to_world)), config)
        seen = picture.object_index.reshape(-1)
        for distances, found in ((traced, by_tracer), (to_source, by_source)):
            both = np.isfinite(distances) & np.isfinite(to_mesh)
            found.append((seen == np.where(distances < to_mesh, NEURAL_INDEX, MESH_INDEX))[both])
    return Occlusion(float(np.concatenate(by_tracer).mean()), float(np.concatenate(by_source).mean()))


def _geometry(vertices: np.ndarray, source: measures.Surface) -> Geometry:
    # Shading is not looked at: the source's normals are good enough for what was moved.
    normals, slots = source.corner_normals.astype(np.float32), np.zeros(len(source.triangles), np.int32)
    # Each is another mesh to a renderer, which keeps what it prepared by this key.
    key = uuid.uuid4().hex
    return Geometry(vertices.astype(np.float32), source.triangles.astype(np.int32), normals, slots, key)


def rows_of(sequence: NestedSequence, path: Path, device: EglDevice | None, cpu_side: int = SIDE) -> list[report.Row]:
    """What `measure` found on the CPU, and on the GPU where there is one, as rows of the report."""
    bpy.ops.wm.read_homefile(use_empty=True)
    source = measures.surface_of(sculpt.load(path).data)
    renderers: list[tuple[str, Renderer, int]] = [("CPU", rendering.render, cpu_side)]
    if device is not None:
        gpu = GpuRenderer(device)
        side = SOFTWARE_SIDE if device.is_software else SIDE
        renderers.append((device.name, lambda *scene: whole_picture(list(gpu.render_tiles(*scene))), side))
    rows = []
    for name, render, side in renderers:
        what = f"{path.stem} {sequence.notation}, {side} x {side}, {name}: the nearer wins, source mesh"
        for where, ways in standing(source).items():
            found = [measure(render, sequence, source, moved, side) for moved in ways]
            by_tracer = 100.0 * min(each.by_tracer for each in found)
            by_source = 100.0 * min(each.by_source for each in found)
            rows.append(report.at_least(f"{what} {where}", by_tracer, "%", LEAST_PERCENT))
            told = f"{what} {where}, by the source alone"
            is_asked = where != "across"
            rows.append(
                report.at_least(told, by_source, "%", LEAST_PERCENT) if is_asked else report.Row(told, by_source, "%")
            )
    if device is not None:
        gpu.free()
    return rows


def first_device() -> EglDevice | None:
    """The GPU that EGL offers; None where there is none, which is printed."""
    try:
        return EglDevice()
    except GpuError as error:
        print(error)
        return None


def run(quick: bool = False) -> Iterator[report.Row]:
    """Measure what the presets trained on bunny and igea."""
    device = None if quick else first_device()
    for subject in subjects.subjects([subjects.BUNNY_BALANCED, subjects.IGEA_BALANCED], quick):
        yield from rows_of(subject.sequence, subject.mesh, device, 24 if quick else SIDE)


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(prog="python benchmarks/occlusion.py", description=__doc__)
    parser.add_argument("sequence", type=Path, help="a .nsdf file")
    parser.add_argument("mesh", type=Path, help="the mesh that it was trained on")
    parsed = parser.parse_args()
    print(report.table(rows_of(nsdf.load(parsed.sequence), parsed.mesh, first_device())))


if __name__ == "__main__":
    main()
