# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU's pictures against the CPU's: where both see something, how far away, facing which way.

`python -m benchmarks agreement` renders what the presets trained and a fitted shape from four cameras, on
the GPU that EGL offers; `python benchmarks/agreement.py FILE.nsdf...` renders any sequences.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import fitted, report, subjects, views
from kernels import nsdf, rendering
from kernels.cameras import Camera, pixel_rays
from kernels.gpu.device import Device, GpuError
from kernels.gpu.rendering import GpuRenderer
from kernels.level_of_detail import choose_levels, radius_in_pixels
from kernels.lighting import camera_rig
from kernels.scenes import BACKGROUND_DEPTH, NeuralInstance, RenderConfig, Scene, Tile
from kernels.sequence import NestedSequence
from kernels.shading import facing_normals
from kernels.tracing import TraceConfig, trace

SIDE = 256
# The depths of two pictures are the same within this share of the object's extent...
DEPTH_TOLERANCE = 1e-3
# ... and normals within this angle, in degrees.
NORMAL_TOLERANCE = 1.0


@dataclass(frozen=True)
class Agreement:
    """Shares of pixels, 0 to 1, on which two pictures agree.

    Attributes:
        masks: both see something or both see nothing, of all pixels.
        depths: within DEPTH_TOLERANCE of the extent, of the pixels on which both see something.
        normals: within NORMAL_TOLERANCE, of the same pixels.
        seen: share of pixels on which both see something.
    """

    masks: float
    depths: float
    normals: float
    seen: float


def agreement(first: Tile, second: Tile, extent: float) -> Agreement:
    """Compare two pictures of the same view.

    Args:
        extent: of what is seen, in world units.
    """
    seen = [tile.depth < 0.5 * BACKGROUND_DEPTH for tile in (first, second)]
    both = seen[0] & seen[1]
    cosines = (first.normal * second.normal).sum(axis=2)[both]
    return Agreement(
        float(np.mean(seen[0] == seen[1])),
        float(np.mean(np.abs(first.depth[both] - second.depth[both]) <= DEPTH_TOLERANCE * extent)),
        float(np.mean(cosines >= np.cos(np.radians(NORMAL_TOLERANCE)))),
        float(np.mean(both)),
    )


def whole_picture(tiles: list[Tile]) -> Tile:
    """Tiles that make up a rectangle, as one."""
    left, bottom = (min(tile.region[axis] for tile in tiles) for axis in (0, 1))
    right, top = (max(tile.region[axis] + tile.region[axis + 2] for tile in tiles) for axis in (0, 1))
    fields = ("combined", "depth", "normal", "object_index")
    joined = {
        name: np.zeros((top - bottom, right - left, *getattr(tiles[0], name).shape[2:]), dtype=np.float32)
        for name in fields
    }
    for tile in tiles:
        x, y, width, height = tile.region
        for name in fields:
            joined[name][y - bottom : y - bottom + height, x - left : x - left + width] = getattr(tile, name)
    return Tile((left, bottom, right - left, top - bottom), **joined)


def cameras(extent: float) -> dict[str, Camera]:
    """Four cameras around the origin that see an object of that extent: in front, above, near, and parallel."""
    eyes = {
        "front": ((1.6, -3.4, 1.2), 3.0, True),
        "above": ((-0.5, 0.6, 3.6), 3.0, True),
        "near": ((-1.1, -0.9, 0.3), 1.2, True),
        "parallel": ((-2.0, 1.0, -1.5), 0.85, False),
    }
    return {
        name: _camera(np.array(eye) * 0.5 * extent, zoom, perspective, extent)
        for name, (eye, zoom, perspective) in eyes.items()
    }


def _camera(eye: np.ndarray, zoom: float, perspective: bool, extent: float) -> Camera:
    """Looks from `eye` at the origin, z up. It sees 1 / zoom to each side, of the distance or of half the extent."""
    parallel = np.diag([2.0 * zoom / extent, 2.0 * zoom / extent, -1.0, 1.0])
    projection = views.perspective(zoom) if perspective else parallel
    return Camera(projection, views.looking_from(eye), 0.01 * extent, 100.0 * extent)


# What the longest side of an object that fills the cube [-1, 1]^3 with a margin is.
EXTENT = 1.8


def reference(sequence: NestedSequence, camera: Camera, config: RenderConfig) -> Tile:
    """What a picture of a sequence in its network space has to show, ray by ray, without shading.

    The CPU renderer starts its rays where cones take them. Where a network is no good distance, as beside thin walls, a
    ray that starts elsewhere may meet another surface: up to seven pixels in a thousand of those that see one.
    """
    size = (config.width, config.height)
    levels = choose_levels(sequence, radius_in_pixels(camera, np.eye(4), size), config.trace_finest)
    rays = pixel_rays(camera, size, config.rendered_region)
    result = trace(sequence, rays.origins, rays.directions, TraceConfig(levels.traced))
    normals = np.zeros_like(rays.directions)
    inward = np.where(result.inside[result.hit], -1.0, 1.0)[:, None]
    hit_normals = sequence.normals(result.positions[result.hit], levels.normals) * inward
    normals[result.hit] = facing_normals(hit_normals, -rays.directions[result.hit])
    depth = np.where(result.hit, rays.depth(np.where(result.hit, result.t, 0.0)), BACKGROUND_DEPTH)
    shape = size[::-1]
    nothing = np.zeros(shape)
    return Tile(
        config.rendered_region, np.zeros((*shape, 4)), depth.reshape(shape), normals.reshape(*shape, 3), nothing
    )


def measure(device: Device, sequence: NestedSequence, side: int = SIDE) -> dict[str, list[Agreement]]:
    """Compare the GPU's pictures of a sequence in its network space from all cameras.

    Returns:
        Under "reference" and "CPU renderer", what the pictures were compared with, one entry a camera.
    """
    renderer = GpuRenderer(device)
    found = {"reference": [], "CPU renderer": []}
    for camera in cameras(EXTENT).values():
        instance = NeuralInstance("object", sequence, np.eye(4))
        scene = Scene(camera, (instance,), (), camera_rig(camera.camera_to_world))
        config = RenderConfig(side, side, samples=1)
        gpu = whole_picture(list(renderer.render_tiles(scene, config)))
        found["reference"].append(agreement(gpu, reference(sequence, camera, config), EXTENT))
        found["CPU renderer"].append(agreement(gpu, rendering.render(scene, config), EXTENT))
    renderer.free()
    return found


# Of pixels, in percent: depths, normals, masks.
TARGETS = {"depths": 99.5, "normals": 99.0, "masks": 99.5}
WHAT = {
    "depths": f"depth within {DEPTH_TOLERANCE:g} of the extent",
    "normals": f"normals within {NORMAL_TOLERANCE:g} degree",
    "masks": "hit masks equal",
}


def rows_of(name: str, device: Device, sequence: NestedSequence, side: int = SIDE) -> list[report.Row]:
    """What `measure` found, the worst of the cameras, as rows of the report."""
    rows = []
    for other, found in measure(device, sequence, side).items():
        for figure, target in TARGETS.items():
            what = f"{name} {sequence.notation}, {side} x {side}, worst of {len(found)} views, {other}: {WHAT[figure]}"
            percent = 100.0 * min(getattr(each, figure) for each in found)
            is_asked = other == "reference"
            rows.append(report.at_least(what, percent, "%", target) if is_asked else report.Row(what, percent, "%"))
    return rows


def run(quick: bool = False, sequences: dict[str, NestedSequence] | None = None) -> Iterator[report.Row]:
    """Measure the sequences given, or those of the presets and a fitted one; no figure where EGL finds no driver."""
    # Imported here, so that what compares pictures needs no OpenGL.
    from benchmarks.egl_device import EglDevice

    try:
        device = EglDevice()
    except GpuError as error:
        yield report.not_measured("pictures of the GPU", str(error))
        return
    if sequences is None:
        trainings = () if quick else (subjects.BUNNY_BALANCED, subjects.IGEA_BALANCED)
        sequences = {"fitted torus": fitted.fitted_sequence()}
        sequences |= {subject.name: subject.sequence for subject in subjects.subjects(trainings)}
    for name, sequence in sequences.items():
        yield from rows_of(name, device, sequence, 32 if quick else SIDE)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/agreement.py FILE.nsdf...")
    named = {Path(argument).stem: nsdf.load(Path(argument)) for argument in sys.argv[1:]}
    print(report.table(list(run(sequences=named))))
