# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes described without Blender, and how pictures of them are rendered: what every renderer is given and gives back.

The renderers are `rendering`, on the CPU, and `gpu.rendering`; both take the same scene and hand out the same tiles.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from .cameras import Camera
from .lighting import Light, Matcap, StudioLighting, World
from .sequence import NestedSequence
from .shading import Material
from .tracing import TraceConfig

Region = tuple[int, int, int, int]  # x, y, width, height in pixels; y counts from the bottom

# View depth where nothing is seen, the value that Cycles writes.
BACKGROUND_DEPTH = 1e10


@dataclass(frozen=True)
class NeuralInstance:
    """A nested sequence placed in the world.

    Attributes:
        name: for messages.
        sequence: its networks as numpy arrays.
        network_to_world: (4, 4) affine transform: shear, non-uniform and mirrored scale are welcome.
        material: of the whole object.
        object_index: the number that the Object Index pass writes.
    """

    name: str
    sequence: NestedSequence
    network_to_world: np.ndarray
    material: Material = Material()
    object_index: int = 0


@dataclass(frozen=True, eq=False)
class Geometry:
    """The triangles of a mesh in its local space; one for all instances that show the same mesh.

    Attributes:
        positions: (V, 3) float32.
        triangles: (T, 3) int32 indices of positions.
        normals: (T, 3, 3) float32 unit normals at the corners, as the mesh is shaded: flat, smooth, sharp, custom.
        material_slots: (T,) int32 index into the materials of whoever shows it.
        key: the same key means the same arrays; what is prepared from them is kept by it.
    """

    positions: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    material_slots: np.ndarray
    key: str


@dataclass(frozen=True)
class NeuralNormals:
    """A neural object's normals on a mesh: neural normal mapping at every pixel, with no bake (arXiv 2201.09147).

    Attributes:
        sequence: whose finest level gives the normals, within its bands.
        local_to_network: (4, 4) affine map from the mesh's local space to the sequence's network space.
        transition: share of the band, from its border inwards, over which the mesh's own normals turn into the
            neural ones.
    """

    sequence: NestedSequence
    local_to_network: np.ndarray
    transition: float = 0.25


@dataclass(frozen=True)
class MeshInstance:
    """A mesh placed in the world.

    Attributes:
        name: for messages.
        geometry: its triangles.
        local_to_world: (4, 4) affine transform.
        materials: one a slot; a slot beyond them takes the last, and no materials at all the default one.
        object_index: the number that the Object Index pass writes.
        neural_normals: shade it with a neural object's normals; None for its own.
    """

    name: str
    geometry: Geometry
    local_to_world: np.ndarray
    materials: tuple[Material, ...] = ()
    object_index: int = 0
    neural_normals: NeuralNormals | None = None


@dataclass(frozen=True)
class Scene:
    """All that a picture shows.

    Attributes:
        camera: where it is seen from.
        instances: neural objects.
        meshes: all other surfaces.
        lights: may be empty: `lighting.camera_rig` makes a pleasant set.
        world: what is around it.
        lighting: Solid mode's ready-made lighting instead of `lights` and `world`, which is then seen as background
            only; None for the scene's own.
        film_transparent: leave the background out of Combined and give it alpha 0.
    """

    camera: Camera
    instances: tuple[NeuralInstance, ...] = ()
    meshes: tuple[MeshInstance, ...] = ()
    lights: tuple[Light, ...] = ()
    world: World = World()
    lighting: StudioLighting | Matcap | None = None
    film_transparent: bool = False


class Display(enum.Enum):
    """What Combined shows."""

    SHADED = "SHADED"
    """The shaded picture."""
    LEVEL = "LEVEL"
    """False colours: the level on which each ray ended."""
    ITERATIONS = "ITERATIONS"
    """False colours: the evaluations that each ray took."""
    BAND = "BAND"
    """False colours: where in the band of the level before it each surface point lies."""


@dataclass(frozen=True)
class RenderConfig:
    """How a picture is rendered.

    Attributes:
        width, height: of the whole picture, in pixels.
        region: the part of it to render; None for all of it.
        samples: rays a pixel, for antialiasing. The first goes through the pixel's centre.
        first_sample: samples left out before them, for a picture refined over several renders: the mean of one render
            with `samples` 1 for each `first_sample` from 0 to N - 1 is the picture of N samples.
        trace_finest: trace the finest level too, for exact outlines. Otherwise it is used for the normals alone, which
            is faster, and thin parts that coarser levels have lost are missing.
        traced_level: the last level traced, for all objects; None: as fine as each object's size on screen asks for,
            within what `trace_finest` allows.
        normal_level: the level that gives the normals, for all objects; None: as for `traced_level`.
        ambient_occlusion: darken folds of neural objects, by their signed distance.
        sun_shadows: let the brightest sun cast shadows.
        display: the shaded picture, or false colours.
        trace: tolerance and steps of the tracer; its `levels` are set for each object.
        threads: tiles rendered at the same time on the CPU; None for one a core.
    """

    width: int
    height: int
    region: Region | None = None
    samples: int = 4
    first_sample: int = 0
    trace_finest: bool = True
    traced_level: int | None = None
    normal_level: int | None = None
    ambient_occlusion: bool = True
    sun_shadows: bool = False
    display: Display = Display.SHADED
    trace: TraceConfig = field(default_factory=TraceConfig)
    threads: int | None = None

    @property
    def rendered_region(self) -> Region:
        """`region`, or the whole picture."""
        return self.region or (0, 0, self.width, self.height)


@dataclass(frozen=True)
class Tile:
    """A finished part of the picture, rows from the bottom up.

    Attributes:
        region: where it belongs in the whole picture.
        combined: (height, width, 4) scene-linear colour, premultiplied by alpha.
        depth: (height, width) view depth along the camera's axis, of the sample in the pixel's centre.
        normal: (height, width, 3) unit normal in world space of that sample; zero where nothing is seen.
        object_index: (height, width) the index of the object seen by that sample; zero where nothing is seen.
    """

    region: Region
    combined: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    object_index: np.ndarray
