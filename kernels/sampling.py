# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network is fitted to: points, normals and signed distances sampled from a triangle mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from .denoising import noise_assumption, without_noise
from .meshes import MeshError, TriangleMesh
from .shape_traits import ShapeTraits, shape_traits
from .solids import Solid
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


def sample(mesh: TriangleMesh, config: SamplingConfig) -> Samples:
    """Sample a clean mesh in network space (see `meshes.clean` and `meshes.in_network_space`).

    Raises:
        MeshError: the mesh has no surface that could be seen from outside.
    """
    rng = np.random.default_rng(config.seed)
    mesh, noise = without_noise(mesh)
    solid = Solid(mesh, config, rng)
    surface_points, surface_normals, sheet_share = solid.surface(config.surface_count, rng)
    if not len(surface_points):
        raise MeshError("No face of the mesh can be seen from outside: remove faces that lie inside one another")
    anchors = surface_points[rng.integers(0, len(surface_points), config.near_count)]
    is_wide = np.arange(len(anchors)) < config.wide_share * len(anchors)
    # Each point spreads by a random share of the deviation: they crowd at the surface, where the detail is.
    deviations = np.where(is_wide, config.wide_deviation, config.near_deviation) * rng.random(len(anchors))
    near = anchors + rng.normal(0.0, 1.0, anchors.shape) * deviations[:, None]
    uniform = rng.uniform(-1.0, 1.0, (config.uniform_count, 3))
    volume = np.concatenate([near.clip(-1.0, 1.0), uniform])
    return Samples(
        surface_points.astype(np.float32),
        surface_normals.astype(np.float32),
        volume.astype(np.float32),
        solid.distance(volume).astype(np.float32),
        config.near_count,
        len(solid.parts.areas),
        sheet_share,
        shape_traits(solid.parts.mesh, config.crease_degrees, noise),
        (*((noise_assumption(noise),) if noise else ()), *solid.assumptions()),
    )
