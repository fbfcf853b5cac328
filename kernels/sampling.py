# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network is fitted to: points, normals and signed distances sampled from a triangle mesh by libigl.

The sign is that of the fast generalised winding number (Barill et al. 2018), which is defined for every triangle
soup. It decides which faces bound the solid: faces inside it (where closed parts pass through each other) are left
out, and faces with outside on both sides (open shells) become sheets of a small thickness, so that no part of an
open mesh vanishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import igl
import numpy as np

from .denoising import noise_assumption, without_noise
from .meshes import TriangleMesh
from .shape_traits import ShapeTraits, shape_traits
from .surface_sampling import smooth_corner_normals, surface_samples
from .training_config import SamplingConfig


@dataclass(frozen=True)
class Samples:
    """Points of a mesh in network space, float32.

    Attributes:
        surface_points, surface_normals: (S, 3) points of the zero set and the unit normals wanted there.
        volume_points, volume_distances: (M, 3) and (M,): the near points, then the uniform ones, and their signed
            distances.
        near_count: how many of the volume points are near points.
        components: connected components of the mesh.
        sheet_share: share of the surface that bounds no solid and was thickened to a sheet.
        traits: what the shape is like, by which networks are chosen.
        assumptions: sentences for the artist on what was taken for granted where the mesh left it open.
    """

    surface_points: np.ndarray
    surface_normals: np.ndarray
    volume_points: np.ndarray
    volume_distances: np.ndarray
    near_count: int
    components: int
    sheet_share: float
    traits: ShapeTraits
    assumptions: tuple[str, ...]

    def arrays(self) -> dict[str, np.ndarray]:
        """The samples as arrays by name, for a file."""
        arrays = {name: np.asarray(value) for name, value in vars(self).items() if name != "traits"}
        # Text needs a width even where there is none.
        arrays["assumptions"] = np.array(self.assumptions, dtype=np.str_)
        return arrays | {f"traits.{name}": np.asarray(value) for name, value in asdict(self.traits).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Samples:
        """The samples that `arrays` gave.

        Raises:
            ValueError: something is missing, unknown, or of another shape.
        """
        try:
            values = {field.name: arrays[field.name] for field in fields(cls) if field.name != "traits"}
            traits = ShapeTraits(*(float(arrays[f"traits.{field.name}"]) for field in fields(ShapeTraits)))
            samples = cls(
                **{
                    **values,
                    "near_count": int(values["near_count"]),
                    "components": int(values["components"]),
                    "sheet_share": float(values["sheet_share"]),
                    "assumptions": tuple(map(str, values["assumptions"])),
                    "traits": traits,
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"these arrays are no samples: {error}") from error
        surface, volume = len(samples.surface_points), len(samples.volume_distances)
        shapes = {
            "surface_points": (surface, 3),
            "surface_normals": (surface, 3),
            "volume_points": (volume, 3),
            "volume_distances": (volume,),
        }
        for name, shape in shapes.items():
            if values[name].shape != shape or values[name].dtype != np.float32:
                raise ValueError(f"these arrays are no samples: {name} has another shape or type")
        return samples


# How far from a face the two sides of it are looked at, in network units: beyond float noise in the winding
# number and below the detail of any mesh worth training on.
_SIDE_OFFSET = 1e-3
# Above this share of the surface that bounds the solid, among random points, a mesh counts as a plain solid.
_PLAIN_SOLID_SHARE = 0.995
_SELECTION = 20_000
# Edges of the pieces into which faces are cut where parts pass through each other, in network units.
_LONGEST_PIECE = 0.03
# Pieces that large faces are cut into at most, unless the mesh itself has about as many faces.
_MOST_PIECES = 1_000_000


def is_inside(mesh: TriangleMesh, points: np.ndarray) -> np.ndarray:
    """Whether points lie inside the solid: (N, 3) -> (N,) booleans.

    The absolute winding number counts, so that a mesh whose faces are turned inside out is the same solid.
    """
    return np.abs(igl.fast_winding_number(mesh.vertices, mesh.faces, points)) > 0.5


def split_large_triangles(corners: np.ndarray, longest: float) -> np.ndarray:
    """Triangles cut into four, again and again, until no edge is longer than `longest`: (F, 3, 3) -> (G, 3, 3)."""
    finished = []
    while len(corners):
        large = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1) > longest
        finished.append(corners[~large])
        a, b, c = np.moveaxis(corners[large], 1, 0)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        children = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        corners = np.concatenate([np.stack(child, axis=1) for child in children])
    return np.concatenate(finished)


def _affordable_length(corners: np.ndarray, longest: float) -> float:
    """`longest`, or as much more as keeps triangles (F, 3, 3) cut at that length within `_MOST_PIECES`."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    # Every cut halves the edges and makes four pieces of one.
    while (4.0 ** np.ceil(np.log2(edges / longest).clip(0.0))).sum() > max(_MOST_PIECES, 2 * len(edges)):
        longest *= 2.0
    return longest


def _sides(mesh: TriangleMesh, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether the side of the normal, and the side against it, lie inside the solid: two (N,) arrays of booleans."""
    offset = _SIDE_OFFSET * normals
    return is_inside(mesh, points + offset), is_inside(mesh, points - offset)


def _unsigned_distance(points: np.ndarray, triangles: TriangleMesh) -> np.ndarray:
    """Distance to the nearest of some triangles: (N, 3) -> (N,)."""
    return np.sqrt(igl.point_mesh_squared_distance(points, triangles.vertices, triangles.faces)[0])


class _Solid:
    """The solid that a mesh bounds, with its sheets, as a signed distance."""

    def __init__(self, mesh: TriangleMesh, config: SamplingConfig, rng: np.random.Generator) -> None:
        self.half_thickness = config.sheet_thickness / 2
        outward, inward = self._orientation(mesh, rng)
        # Turned inside out as a whole: the same solid, and none of its faces needs a look of its own.
        self.mesh = TriangleMesh(mesh.vertices, mesh.faces[:, ::-1]) if inward >= _PLAIN_SOLID_SHARE else mesh
        # Nearly all: the few others are folds, no reason to look at all faces.
        self.is_plain = max(outward, inward) >= _PLAIN_SOLID_SHARE
        self.boundary, self.sheets = (self.mesh, None) if self.is_plain else self._boundary_and_sheets()

    @staticmethod
    def _orientation(mesh: TriangleMesh, rng: np.random.Generator) -> tuple[float, float]:
        """Shares of the surface whose normals point out of the solid and into it; the rest bounds no solid."""
        face_normals = igl.per_face_normals(mesh.vertices, mesh.faces)
        corner_normals = np.repeat(face_normals[:, None], 3, axis=1)
        ahead, behind = _sides(mesh, *surface_samples(mesh, corner_normals, _SELECTION, rng))
        return float((behind & ~ahead).mean()), float((ahead & ~behind).mean())

    def _boundary_and_sheets(self) -> tuple[TriangleMesh | None, TriangleMesh | None]:
        """The parts of the mesh that bound the solid and those that are sheets, None where there are none."""
        # A large face may run from the outside through another part: its pieces are looked at one by one.
        corners = self.mesh.vertices[self.mesh.faces]
        corners = split_large_triangles(corners, _affordable_length(corners, _LONGEST_PIECE))
        pieces = TriangleMesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))
        ahead, behind = _sides(self.mesh, corners.mean(axis=1), igl.per_face_normals(pieces.vertices, pieces.faces))
        parts = (pieces.faces[mask] for mask in (ahead != behind, ~ahead & ~behind))
        boundary, sheets = (TriangleMesh(pieces.vertices, faces) if len(faces) else None for faces in parts)
        return boundary, sheets

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance to the solid joined with its sheets: (N, 3) -> (N,)."""
        distance = np.full(len(points), np.inf)
        if self.boundary is not None:
            distance = _unsigned_distance(points, self.boundary) * np.where(is_inside(self.mesh, points), -1.0, 1.0)
        if self.sheets is not None:
            distance = np.minimum(distance, _unsigned_distance(points, self.sheets) - self.half_thickness)
        return distance

    def surface(
        self, count: int, crease_degrees: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Points on the solid's surface with outward normals, and the share of the mesh that became sheets."""
        mesh = self.mesh
        points, normals = surface_samples(mesh, smooth_corner_normals(mesh, crease_degrees), count, rng)
        if self.is_plain:
            return points, normals, 0.0
        ahead, behind = _sides(mesh, points, normals)
        boundary = ahead != behind
        normals[boundary & ahead] *= -1.0
        sheet = ~ahead & ~behind
        if self.sheets is not None:
            # Where a sheet meets the solid, its thickness buries what lies beside it.
            boundary &= _unsigned_distance(points, self.sheets) > 0.8 * self.half_thickness
        thickened, thickened_normals = self._thickened(points[sheet], normals[sheet])
        joined = np.concatenate([points[boundary], thickened]), np.concatenate([normals[boundary], thickened_normals])
        order = rng.permutation(len(joined[0]))
        return joined[0][order], joined[1][order], float(sheet.mean())

    def _thickened(self, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both sides of a sheet, without the parts that lie inside something else."""
        moved = np.concatenate([points + self.half_thickness * normals, points - self.half_thickness * normals])
        outward = np.concatenate([normals, -normals])
        if not len(moved):
            return moved, outward
        on_surface = np.abs(self.distance(moved)) < 0.2 * self.half_thickness
        return moved[on_surface], outward[on_surface]


def sample(mesh: TriangleMesh, config: SamplingConfig) -> Samples:
    """Sample a clean mesh in network space (see `meshes.clean` and `meshes.in_network_space`)."""
    rng = np.random.default_rng(config.seed)
    mesh, noise = without_noise(mesh)
    solid = _Solid(mesh, config, rng)
    surface_points, surface_normals, sheet_share = solid.surface(config.surface_count, config.crease_degrees, rng)
    anchors = surface_points[rng.integers(0, len(surface_points), config.near_count)]
    near = anchors + rng.normal(0.0, config.near_deviation, anchors.shape) * rng.random((len(anchors), 1))
    uniform = rng.uniform(-1.0, 1.0, (config.uniform_count, 3))
    volume = np.concatenate([near.clip(-1.0, 1.0), uniform])
    return Samples(
        surface_points.astype(np.float32),
        surface_normals.astype(np.float32),
        volume.astype(np.float32),
        solid.distance(volume).astype(np.float32),
        config.near_count,
        int(igl.facet_components(mesh.faces)[0]),
        sheet_share,
        shape_traits(mesh, config.crease_degrees, noise),
        (noise_assumption(noise),) if noise else (),
    )
