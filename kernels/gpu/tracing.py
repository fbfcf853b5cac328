# SPDX-License-Identifier: GPL-3.0-or-later
"""Neural objects on the GPU: their nearest hits, normals and openness, their normals on meshes, their shadows.

Three passes write the surface buffers (`surfaces`), each over a rectangle of pixels that the caller may choose:
`trace`, `map_normals` and `shadow`. They are the twins of `tracing`, `normal_mapping` and `shadow_rays`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..ambient_occlusion import OPENNESS_HEIGHTS
from ..framing import pixel_bounds
from ..level_of_detail import LevelChoice
from ..scenes import Display, NeuralInstance, NeuralNormals, Region, RenderConfig
from ..sequence import NestedSequence
from ..shadow_rays import shadow_levels, shadow_lift
from ..trace_stages import arrival_tolerance, stages_of
from ..tracing import (
    ARRIVAL_TOLERANCES,
    CAUTIOUS,
    CERTAIN_SHARE,
    FIRST_SLOPE,
    LARGEST_GAP,
    LARGEST_STRETCH,
    LONGEST_ARRIVAL,
    SECANT_TOLERANCES,
    SHORTEST_CHECKED,
    STEEP,
)
from . import sources
from .device import ComputeDevice, ComputeShader, Texture, UnsupportedNetworkError
from .networks import (
    POINTS,
    SOFTWARE_TILE_TEXELS,
    THREADS,
    TILE_TEXELS,
    PackedSequence,
    pack,
    padded,
    parameter_count,
    summed_networks,
)
from .sources import PixelRays
from .surfaces import SurfaceBuffers

# Pixels of a work group, see placement.glsl.
GROUP_WIDTH = 16
GROUP_HEIGHT = POINTS // GROUP_WIDTH

# Rows of the parameters between those of the rays and the table of networks: what placement.glsl and the passes say,
# and one a level.
PASS_ROWS = 11
MOST_LEVELS = 16  # as many as STAGES_OF_LEVEL of tracing.glsl
NETWORKS_AT = sources.RAY_PARAMETERS + PASS_ROWS + MOST_LEVELS

# Software drivers end an invocation after so many iterations, summed over all its loops: llvmpipe after 65535.
SOFTWARE_ITERATIONS = 50000
# Those of a round of tracing.glsl that evaluate no network.
ROUND_ITERATIONS = 20
# A gradient takes less than so many evaluations do.
GRADIENT_EVALUATIONS = 2

# What all shaders of this module know: how their parameters are packed, and what the CPU's tracer shares with them.
SHADER_CONSTANTS = {
    "RAY_PARAMETERS": sources.RAY_PARAMETERS,
    "PASS_ROWS": PASS_ROWS,
    "GROUP_WIDTH": GROUP_WIDTH,
    "GROUP_HEIGHT": GROUP_HEIGHT,
    "HEIGHTS": len(OPENNESS_HEIGHTS),
    "ARRIVAL_TOLERANCES": float(ARRIVAL_TOLERANCES),
    "CAUTIOUS": float(CAUTIOUS),
    "CERTAIN_SHARE": float(CERTAIN_SHARE),
    "FIRST_SLOPE": float(FIRST_SLOPE),
    "LARGEST_GAP": float(LARGEST_GAP),
    "LARGEST_STRETCH": float(LARGEST_STRETCH),
    "LONGEST_ARRIVAL": float(LONGEST_ARRIVAL),
    "SECANT_TOLERANCES": float(SECANT_TOLERANCES),
    "SHORTEST_CHECKED": float(SHORTEST_CHECKED),
    "STEEP": float(STEEP),
}


@dataclass(frozen=True)
class _Pass:
    """A shader of this module.

    Attributes:
        name: for messages.
        files: of kernels/glsl, after rays.glsl.
        images, read_images: the surface buffers it uses.
        gradient: whether it needs the networks' gradient.
        shadow: whether SHADOW is defined.
        resumes: whether RESUMES is defined.
    """

    name: str
    files: tuple[str, ...]
    images: tuple[str, ...]
    read_images: tuple[str, ...]
    gradient: bool = False
    shadow: bool = False
    resumes: bool = False

    def resuming(self) -> _Pass:
        """The same pass in dispatches that go on where the one before ended."""
        more = ("progress", "unfinished")
        images, read_images = (*self.images, *more), (*self.read_images, "progress")
        return replace(self, images=images, read_images=read_images, resumes=True)


_TRACE = _Pass(
    "sphere tracing", ("network", "placement", "tracing"), ("surface", "owner", "relief"), ("surface", "owner")
)
_NORMALS = _Pass(
    "normals", ("network", "placement", "normals"), ("surface", "relief"), ("surface", "relief"), gradient=True
)
_MAPPED_NORMALS = _Pass(
    "neural normals",
    ("network", "placement", "mapped_normals"),
    ("surface", "relief"),
    ("surface", "relief"),
    gradient=True,
)
_SHADOW = _Pass(
    "neural shadow", ("network", "placement", "tracing"), ("surface", "relief"), ("surface", "relief"), shadow=True
)


@lru_cache(maxsize=64)
def _shader(which: _Pass, constants: tuple[tuple[str, int], ...], parameters: int) -> ComputeShader:
    defines = dict(constants)
    defines.update(SHADER_CONSTANTS, **({"SHADOW": 1} if which.shadow else {}))
    defines.update({"RESUMES": 1} if which.resumes else {})
    source = sources.join("rays", *which.files, constants=defines)
    return ComputeShader(
        which.name, source, (THREADS, 1), ("weights",), which.images, which.read_images, parameters=parameters
    )


@dataclass(frozen=True, eq=False)
class _Kept:
    """A sequence on the GPU."""

    sequence: NestedSequence
    packed: PackedSequence
    weights: Texture


class NeuralTracer:
    """Evaluates sequences on a GPU and keeps their networks there.

    Args:
        device: where to compute.
    """

    def __init__(self, device: ComputeDevice) -> None:
        self._device = device
        # By identity: sequences are arrays, which are not compared. Each is kept alive, so that its id stays its own.
        self._kept: dict[int, _Kept] = {}
        # The state of the rays of a picture between two dispatches, on software drivers.
        self._progress: Texture | None = None

    def trace(
        self,
        instance: NeuralInstance,
        levels: LevelChoice,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        owner_row: int,
        config: RenderConfig,
        rectangle: Region | None = None,
    ) -> None:
        """Merge an object's nearest hits into the surface buffers, with normals and openness.

        Args:
            levels: those to trace, and the one for the normals.
            rays: of the buffers' region.
            owner_row: row in the table of materials.
            config: `trace` and `ambient_occlusion` count.
            rectangle: the pixels of the buffers to work on: x, y, width, height. None for all.

        Raises:
            UnsupportedNetworkError: the networks are wider, deeper or larger than supported.
            GpuError: the driver refuses the shader.
        """
        matrix = np.asarray(instance.network_to_world, dtype=np.float64)
        covered = pixel_bounds(rays.region, rays.camera, matrix, rays.size)
        where = None if covered is None else _common(covered, _wanted(buffers, rectangle))
        if where is None:
            return
        sequence = instance.sequence
        world_to_network = np.linalg.inv(matrix)
        rows = _pass_rows(world_to_network, world_to_network[:3, :3].T, rays, where)
        rows[1, :3] = config.trace.tolerance, config.trace.relaxation, config.trace.max_steps
        rows[8] = (owner_row + 1, instance.object_index, float(sequence.kind == "residual"), 0.0)
        self._trace_rays(_TRACE, sequence, levels.traced, rows, rays, buffers, where)

        shades_folds = config.ambient_occlusion and config.display is Display.SHADED
        rows[1] = (*summed_networks(sequence, levels.normals), float(shades_folds), 0.0)
        rows[8, :3] = OPENNESS_HEIGHTS
        last = levels.traced[-1]
        evaluated = [levels.normals] * GRADIENT_EVALUATIONS
        evaluated += [0] * (1 + len(OPENNESS_HEIGHTS)) if shades_folds else []
        if config.display is Display.BAND and last > 0:
            rows[9, :3] = (*summed_networks(sequence, last - 1), sequence.bands[last - 1].delta)
            evaluated.append(last - 1)
        self._check_evaluations(sequence, evaluated)
        self._dispatch(_NORMALS, sequence, rows, rays, buffers, where)

    def map_normals(
        self,
        neural_normals: NeuralNormals,
        local_to_world: np.ndarray,
        mesh_number: int,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        rectangle: Region | None = None,
    ) -> None:
        """Turn the normals of the pixels that a mesh owns into neural ones, where they lie in the bands.

        Args:
            local_to_world: of the mesh.
            mesh_number: number of the mesh in the scene: its pixels have this plus 1 in `relief`.w.
            rays, rectangle: as for `trace`.

        Raises:
            GpuError: as for `trace`.
        """
        where = _wanted(buffers, rectangle)
        sequence = neural_normals.sequence
        to_local = np.linalg.inv(np.asarray(local_to_world, dtype=np.float64))
        world_to_network = np.asarray(neural_normals.local_to_network, dtype=np.float64) @ to_local
        rows = _pass_rows(world_to_network, world_to_network[:3, :3].T, rays, where)
        bands = [band.delta for band in sequence.bands]
        rows[1] = (len(bands), float(sequence.kind == "residual"), neural_normals.transition, mesh_number + 1)
        _check_levels(len(bands))
        rows[PASS_ROWS : PASS_ROWS + len(bands), 2] = np.maximum(bands, 1e-30)
        self._check_evaluations(sequence, [*range(len(bands)), *[len(bands)] * GRADIENT_EVALUATIONS])
        self._dispatch(_MAPPED_NORMALS, sequence, rows, rays, buffers, where)

    def shadow(
        self,
        instance: NeuralInstance,
        levels: LevelChoice,
        direction_to_sun: tuple[float, float, float],
        rays: PixelRays,
        buffers: SurfaceBuffers,
        config: RenderConfig,
        rectangle: Region | None = None,
    ) -> None:
        """Take the sun away, in `relief`.y, from the surface points whose way to it the object blocks.

        Points that face away from the sun are left as they are.

        Args:
            levels: those that the picture traces.
            direction_to_sun: unit vector in world space.
            rays, rectangle: as for `trace`.
            config: `trace` counts.

        Raises:
            GpuError: as for `trace`.
        """
        where = _wanted(buffers, rectangle)
        sequence = instance.sequence
        traced = shadow_levels(sequence, levels.traced)
        matrix = np.asarray(instance.network_to_world, dtype=np.float64)
        world_to_network = np.linalg.inv(matrix)
        rows = _pass_rows(world_to_network, matrix[:3, :3].T, rays, where)
        rows[1, :3] = config.trace.tolerance, config.trace.relaxation, config.trace.max_steps
        lift = shadow_lift(sequence, traced, config.trace.tolerance)
        rows[8] = (0.0, 0.0, float(sequence.kind == "residual"), lift)
        rows[9, :3] = world_to_network[:3, :3] @ np.asarray(direction_to_sun, dtype=np.float64)
        self._trace_rays(_SHADOW, sequence, traced, rows, rays, buffers, where)

    def _trace_rays(
        self,
        which: _Pass,
        sequence: NestedSequence,
        levels: tuple[int, ...],
        rows: np.ndarray,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        where: Region,
    ) -> None:
        """Run tracing.glsl through all levels, on software drivers in as many dispatches as it takes."""
        rows[1, 0] = arrival_tolerance(sequence, levels, rows[1, 0])
        stages = stages_of(sequence, levels, rows[1, 0])
        _check_levels(len(stages))
        rows[1, 3] = len(stages)
        rows[PASS_ROWS : PASS_ROWS + len(stages)] = [
            (*summed_networks(sequence, stage.level), stage.inflation, stage.push) for stage in stages
        ]
        if not self._device.is_software:
            # Every round answers a ray, which asks for its side on each level, and then for one or more levels a step.
            rows[10] = POINTS * (len(stages) + max(2, len(stages)) * rows[1, 2]), 0.0, 1.0, 0.0
            self._dispatch(which, sequence, rows, rays, buffers, where)
            return
        packed = self._on_gpu(sequence).packed
        of_levels = [packed.loop_iterations(*summed_networks(sequence, stage.level)) for stage in stages]
        of_round, of_ray = np.max(of_levels, axis=0)
        # The last round begins before the price is reached.
        longest = ROUND_ITERATIONS + of_round + POINTS * of_ray
        _check_iterations(sequence, longest)
        rows[10] = SOFTWARE_ITERATIONS - longest, 0.0, ROUND_ITERATIONS + of_round, of_ray
        unfinished = self._device.texture(np.zeros((1, 1, 4), dtype=np.float32))
        images = {"progress": self._progress_of(buffers), "unfinished": unfinished}
        try:
            # Every dispatch brings rays closer to their largest number of steps, so one is the last.
            while self._device.read(unfinished)[0, 0, 0] == rows[10, 1]:
                rows[10, 1] += 1
                self._dispatch(which.resuming(), sequence, rows, rays, buffers, where, images)
        finally:
            self._device.free(unfinished)

    def _check_evaluations(self, sequence: NestedSequence, levels: Iterable[int]) -> None:
        """Refuse what a software driver would end before all points of a work group have been evaluated on all levels.

        Raises:
            UnsupportedNetworkError: the networks are that large.
        """
        if self._device.is_software:
            packed = self._on_gpu(sequence).packed
            of_levels = [packed.loop_iterations(*summed_networks(sequence, level)) for level in levels]
            of_passes, of_points = np.sum(of_levels, axis=0)
            _check_iterations(sequence, of_passes + POINTS * of_points)

    def _progress_of(self, buffers: SurfaceBuffers) -> Texture:
        """The texture for the state of a picture's rays, three texels a pixel; one that is large enough is kept."""
        width, height = 3 * buffers.width, buffers.height
        if self._progress is not None and (self._progress.width < width or self._progress.height < height):
            self._free_progress()
        if self._progress is None:
            self._progress = self._device.empty_texture(width, height)
        return self._progress

    def _free_progress(self) -> None:
        if self._progress is not None:
            self._device.free(self._progress)
            self._progress = None

    def _dispatch(
        self,
        which: _Pass,
        sequence: NestedSequence,
        rows: np.ndarray,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        where: Region,
        more_images: Mapping[str, Texture] | None = None,
    ) -> None:
        kept = self._on_gpu(sequence)
        constants = tuple(kept.packed.constants(NETWORKS_AT, which.gradient).items())
        parameters = padded(np.concatenate([rays.parameters, rows, kept.packed.table(NETWORKS_AT)]))
        shader = _shader(which, constants, parameter_count(len(parameters)))
        _, _, width, height = where
        if not width:
            return
        groups = -(-width // GROUP_WIDTH), -(-height // GROUP_HEIGHT)
        given = {**buffers.textures, **(more_images or {})}
        images = {name: given[name] for name in which.images}
        self._device.dispatch(shader, groups, {"weights": kept.weights}, images, parameters)

    def _on_gpu(self, sequence: NestedSequence) -> _Kept:
        kept = self._kept.get(id(sequence))
        if kept is None:
            packed = pack(sequence, SOFTWARE_TILE_TEXELS if self._device.is_software else TILE_TEXELS)
            kept = self._kept[id(sequence)] = _Kept(sequence, packed, self._device.texture(packed.pixels))
        return kept

    def keep(self, sequences: Iterable[NestedSequence]) -> None:
        """Drop what is kept of all but these sequences."""
        wanted = {id(sequence) for sequence in sequences}
        for key in self._kept.keys() - wanted:
            self._device.free(self._kept.pop(key).weights)

    def free(self) -> None:
        """Drop all that is kept on the GPU."""
        self.keep(())
        self._free_progress()


def _check_iterations(sequence: NestedSequence, iterations: float) -> None:
    if iterations >= SOFTWARE_ITERATIONS:
        raise UnsupportedNetworkError(f"{sequence.notation} is larger than software graphics drivers can render")


def _wanted(buffers: SurfaceBuffers, rectangle: Region | None) -> Region:
    """The pixels of the buffers to work on."""
    whole = (0, 0, buffers.width, buffers.height)
    return whole if rectangle is None else _common(rectangle, whole) or (0, 0, 0, 0)


def _common(first: Region, second: Region) -> Region | None:
    """What lies in both of two rectangles; None for nothing."""
    left, bottom = max(first[0], second[0]), max(first[1], second[1])
    right = min(first[0] + first[2], second[0] + second[2])
    top = min(first[1] + first[3], second[1] + second[3])
    return (left, bottom, right - left, top - bottom) if left < right and bottom < top else None


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """A matrix times a number, its largest element one: float32 then holds those of very large and small objects."""
    return matrix / max(np.abs(matrix).max(), 1e-300)


def _pass_rows(world_to_network: np.ndarray, normals: np.ndarray, rays: PixelRays, where: Region) -> np.ndarray:
    """The rows of placement.glsl, (PASS_ROWS + MOST_LEVELS, 4) float64, those of the pass still zero.

    Args:
        world_to_network: (4, 4).
        normals: (3, 3) that takes normals, as columns, to the other space.
        where: the pixels to work on.
    """
    rows = np.zeros((PASS_ROWS + MOST_LEVELS, 4))
    x, y, width, height = where
    rows[0] = (x, y, x + width, y + height)
    rows[2:5] = (world_to_network @ np.asarray(rays.camera.camera_to_world, dtype=np.float64))[:3]
    rows[5:8, :3] = _scaled(normals)
    return rows


def _check_levels(count: int) -> None:
    if count > MOST_LEVELS:
        raise UnsupportedNetworkError(
            f"a sequence of {count} levels has more than supported on the GPU ({MOST_LEVELS})"
        )
