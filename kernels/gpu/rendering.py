# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPU renderer: the pictures of `kernels.rendering`, in pieces of work that are short on any GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from weakref import WeakSet

import numpy as np

from ..cameras import pixel_rays
from ..false_colors import COLORS, palette
from ..rendering import sample_offsets
from ..scenes import BACKGROUND_DEPTH, Display, Region, RenderConfig, Scene, Tile
from . import shading, sources
from .device import ComputeShader, Device, Texture
from .frames import Frame, frame_of
from .meshes import MeshDrawer
from .pacing import Pace, pieces
from .shadow_maps import MeshShadows
from .sources import PixelRays
from .surfaces import GROUP_SIDE, NAMES, SurfaceBuffers, groups
from .tracing import NeuralTracer

# Largest side of the tiles that pictures are cut into: a bound on the memory that the surface buffers take.
TILE_SIDE = 512

# Rows of the parameters of composite.glsl after those of the rays, and what it calls the displays.
COMPOSITE_PARAMETERS = 3 + COLORS
_DISPLAYS = {Display.SHADED: 0.0, Display.LEVEL: 1.0, Display.ITERATIONS: 2.0, Display.BAND: 3.0}


@cache
def _composite_shader() -> ComputeShader:
    constants = {"RAY_PARAMETERS": sources.RAY_PARAMETERS, "COLORS": COLORS, **shading.CONSTANTS}
    return ComputeShader(
        "composite",
        sources.join("rays", *shading.GLSL, "composite", constants=constants),
        (GROUP_SIDE, GROUP_SIDE),
        textures=(*NAMES, *shading.TEXTURES),
        images=("picture",),
        read_images=("picture",),
        parameters=sources.RAY_PARAMETERS + COMPOSITE_PARAMETERS,
    )


class GpuRenderer:
    """Renders scenes on a GPU, and keeps there what the next picture may need again.

    Networks and triangles stay until a picture is begun without them while no other unfreed picture has them. All
    methods raise GpuError where the GPU cannot do what is asked; the CPU renderer can.

    Args:
        device: where to render. All calls, those to pictures as well, happen where its context is.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._drawer = MeshDrawer(device)
        self._tracer = NeuralTracer(device)
        self._shading = shading.SceneShading(device)
        self._shadows = MeshShadows(device, self._drawer)
        self._pace = Pace()
        self._shaded: Frame | None = None  # the one that the shading's textures are of
        self._shading_textures: dict[str, Texture] = {}
        self._pictures: WeakSet[GpuPicture] = WeakSet()

    def render_tiles(
        self, scene: Scene, config: RenderConfig, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Tile]:
        """As `kernels.rendering.render_tiles`: a picture's tiles, each as it is done, from the top down.

        Args:
            cancelled: asked after every short piece of work; when true, no more tiles come. Closing the iterator has
                the same effect.
        """
        frame = self._begin_frame(scene, config)
        side_x, side_y = _tile_sides(config)
        buffers = SurfaceBuffers(self._device, side_x, side_y)
        picture = None
        try:
            picture = self._device.empty_texture(side_x, side_y)
            for region in _tile_regions(config):
                passes: dict[str, np.ndarray] = {}
                for _ in self._tile_pieces(frame, region, buffers, picture, passes):
                    if cancelled():
                        return
                yield Tile(region, **passes)
        finally:
            buffers.free()
            if picture is not None:
                self._device.free(picture)

    def begin(self, scene: Scene, config: RenderConfig) -> GpuPicture:
        """Start a picture that is worked on little by little. Nothing is on the GPU but what earlier pictures left."""
        frame = self._begin_frame(scene, config)
        picture = GpuPicture(self, frame)
        self._pictures.add(picture)
        return picture

    def _begin_frame(self, scene: Scene, config: RenderConfig) -> Frame:
        """Make a scene ready, and drop what neither it nor an unfreed picture needs."""
        frame = frame_of(scene, config)
        frames = [frame, *(picture.frame for picture in self._pictures)]
        self._drawer.keep(geometry for each in frames for geometry in each.geometries)
        self._tracer.keep([sequence for each in frames for sequence in each.sequences])
        if all(each.sun is None for each in frames):
            self._shadows.free()
        return frame

    def _tile_pieces(
        self, frame: Frame, region: Region, buffers: SurfaceBuffers, picture: Texture, passes: dict[str, np.ndarray]
    ) -> Iterator[None]:
        """Render a tile with all its samples, in pieces; `passes` has the fields of the Tile afterwards."""
        offsets = sample_offsets(frame.config.samples, frame.config.first_sample)
        for number, offset in enumerate(offsets):
            rays = PixelRays(frame.camera, frame.size, _filling(region, buffers), tuple(offset))
            yield from self.sample_pieces(frame, rays, buffers, region)
            self.composite(frame, rays, buffers, picture, region, (0, 0), number)
            yield
            if number == 0:
                passes.update(_read_surfaces(self._device, frame, region, buffers))
        _, _, width, height = region
        passes["combined"] = self._device.read(picture)[:height, :width].copy()

    def sample_pieces(self, frame: Frame, rays: PixelRays, buffers: SurfaceBuffers, region: Region) -> Iterator[None]:
        """Fill the surface buffers with what rays see, in pieces of work; each is done when it is handed out.

        Args:
            rays: of the buffers' size.
            region: the part of the picture that is wanted, from the rays' corner on.
        """
        visible = frame.meshes_in(region)
        self._drawer.draw([mesh for mesh, _ in visible], rays, buffers)
        self._device.finish()
        yield
        for item, covered in frame.objects_in(region):
            for piece in pieces(covered, self._pace.piece_side(item.work_per_pixel)):
                started = time.perf_counter()
                self._tracer.trace(item.instance, item.levels, rays, buffers, item.row, frame.config, piece)
                self._device.finish()
                work = item.work_per_pixel * piece[2] * piece[3]
                self._pace.measured(item.kind, work, time.perf_counter() - started)
                yield
        yield from self._mapped_normals(frame, rays, buffers, region)
        if frame.sun is not None:
            yield from self._cast_shadows(frame, rays, buffers, region)

    def _mapped_normals(self, frame: Frame, rays: PixelRays, buffers: SurfaceBuffers, region: Region) -> Iterator[None]:
        for mesh, covered in frame.meshes_in(region):
            instance = mesh.instance
            mapped = instance.neural_normals
            if mapped is None:
                continue
            # Distances on all levels for the place in the bands, and the gradient of the finest.
            work_per_pixel = 3.0 * mapped.sequence.parameter_count
            for piece in pieces(covered, self._pace.piece_side(work_per_pixel)):
                self._tracer.map_normals(mapped, instance.local_to_world, mesh.number, rays, buffers, piece)
                self._device.finish()
                yield

    def _cast_shadows(self, frame: Frame, rays: PixelRays, buffers: SurfaceBuffers, region: Region) -> Iterator[None]:
        if frame.meshes:
            self._shadows.prepare(frame.meshes, frame.sun)
            self._shadows.cast(rays, buffers)
            self._device.finish()
            yield
        for item in frame.objects:
            for piece in pieces((0, 0, *region[2:]), self._pace.piece_side(item.work_per_pixel)):
                self._tracer.shadow(item.instance, item.levels, frame.sun, rays, buffers, frame.config, piece)
                self._device.finish()
                yield

    def composite(
        self,
        frame: Frame,
        rays: PixelRays,
        buffers: SurfaceBuffers,
        picture: Texture,
        region: Region,
        corner: tuple[int, int],
        number: int,
    ) -> None:
        """Shade the surface buffers and average the colours into a picture.

        Args:
            rays: those that filled the buffers.
            region: the part of it that is wanted, from the same corner.
            corner: pixel of `picture` where the region begins.
            number: of samples that the picture has already.
        """
        if self._shaded is not frame:
            self._shading_textures = self._shading.prepare(frame.scene, frame.materials)
            self._shaded = frame
        rows = np.zeros((COMPOSITE_PARAMETERS, 4), dtype=np.float32)
        rows[0] = (*corner, region[2], region[3])
        rows[1, :3] = 1.0 / (number + 1), float(frame.scene.film_transparent), _DISPLAYS[frame.config.display]
        if frame.config.display is not Display.SHADED:
            rows[2:] = palette(frame.config.display)
        self._device.dispatch(
            _composite_shader(),
            groups(region[2], region[3]),
            {**buffers.textures, **self._shading_textures},
            {"picture": picture},
            np.concatenate([rays.parameters, rows]),
        )
        self._device.finish()

    @property
    def device(self) -> Device:
        """Where it renders."""
        return self._device

    def forget(self, picture: GpuPicture) -> None:
        """Keep nothing for the sake of a picture."""
        self._pictures.discard(picture)

    def free(self) -> None:
        """Give back all that is kept on the GPU, pictures included. The renderer can be used again."""
        for picture in list(self._pictures):
            picture.free()
        for part in (self._drawer, self._tracer, self._shading, self._shadows):
            part.free()
        self._shaded, self._shading_textures = None, {}


class GpuPicture:
    """A picture that is worked on little by little, made by `GpuRenderer.begin`.

    Attributes:
        frame: what it shows.
        texture: of the size of the rendered region, premultiplied scene-linear; undefined until `samples` is 1.
        samples: rays a pixel that every pixel has.
    """

    def __init__(self, renderer: GpuRenderer, frame: Frame) -> None:
        self.frame = frame
        self.samples = 0
        self._renderer = renderer
        self._device = renderer.device
        _, _, width, height = frame.config.rendered_region
        self._buffers: SurfaceBuffers | None = None
        self.texture: Texture | None = self._device.empty_texture(max(width, 1), max(height, 1))
        self._work: Iterator[None] | None = self._pieces()

    @property
    def finished(self) -> bool:
        """Whether it has all its samples, or was freed."""
        return self._work is None

    def advance(self, seconds: float) -> None:
        """Work for that long, and until the piece of work is done that is then worked on; one piece at least."""
        end = time.perf_counter() + seconds
        while self._work is not None:
            if next(self._work, self) is self:
                self._end_work()
            if time.perf_counter() >= end:
                return

    def _pieces(self) -> Iterator[None]:
        frame = self.frame
        left, bottom, _, _ = frame.config.rendered_region
        self._buffers = SurfaceBuffers(self._device, *_tile_sides(frame.config))
        for number, offset in enumerate(sample_offsets(frame.config.samples, frame.config.first_sample)):
            for region in _tile_regions(frame.config):
                rays = PixelRays(frame.camera, frame.size, _filling(region, self._buffers), tuple(offset))
                yield from self._renderer.sample_pieces(frame, rays, self._buffers, region)
                corner = region[0] - left, region[1] - bottom
                self._renderer.composite(frame, rays, self._buffers, self.texture, region, corner, number)
                yield
            self.samples = number + 1

    def _end_work(self) -> None:
        self._work = None
        if self._buffers is not None:
            self._buffers.free()
            self._buffers = None

    def free(self) -> None:
        """Give the textures back. Freeing twice is fine."""
        self._end_work()
        self._renderer.forget(self)
        if self.texture is not None:
            self._device.free(self.texture)
            self.texture = None


def _tile_sides(config: RenderConfig) -> tuple[int, int]:
    """Width and height of the surface buffers."""
    _, _, width, height = config.rendered_region
    return min(TILE_SIDE, max(width, 1)), min(TILE_SIDE, max(height, 1))


def _tile_regions(config: RenderConfig) -> list[Region]:
    """The rendered region cut into tiles, from the top down."""
    x, y, width, height = config.rendered_region
    side_x, side_y = _tile_sides(config)
    return [
        (left, max(y, top - side_y), min(side_x, x + width - left), top - max(y, top - side_y))
        for top in range(y + height, y, -side_y)
        for left in range(x, x + width, side_x)
    ]


def _filling(region: Region, buffers: SurfaceBuffers) -> Region:
    """A tile's region made as large as the buffers: tiles at borders use a part of them."""
    return region[0], region[1], buffers.width, buffers.height


def _read_surfaces(device: Device, frame: Frame, region: Region, buffers: SurfaceBuffers) -> dict[str, np.ndarray]:
    """The passes that come from the surface buffers, by their names in Tile."""
    _, _, width, height = region
    surface = device.read(buffers.surface)[:height, :width]
    owner = device.read(buffers.owner)[:height, :width]
    seen = owner[..., 0] > 0.5
    rays = pixel_rays(frame.camera, frame.size, region, tuple(sample_offsets(1, frame.config.first_sample)[0]))
    depth = rays.depth(surface[..., 3].reshape(-1).astype(np.float64)).reshape(height, width)
    return {
        "depth": np.where(seen, depth, BACKGROUND_DEPTH).astype(np.float32),
        "normal": np.where(seen[..., None], surface[..., :3], 0.0).astype(np.float32),
        "object_index": np.where(seen, owner[..., 1], 0.0).astype(np.float32),
    }
