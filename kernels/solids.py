# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a mesh is inside: the solid that it bounds, as a signed distance, whatever the mesh is like.

The sign is that of the fast generalised winding number (Barill et al. 2018), which is defined for every triangle
soup. Three things come before it. Faces are turned so that they agree with their neighbours, and with the other
parts. Open parts that close in too little of the view to be solids (planes, terrains, shallow bowls) do not count in
it: they become sheets of a small thickness, so that no part of an open mesh vanishes. And faces inside the solid
(where parts pass through each other) bound nothing and are left out, as are sheets there.
"""

from __future__ import annotations

import igl
import numpy as np
from scipy import ndimage

from .mesh_parts import mesh_parts
from .meshes import FILLED_SHARE, TriangleMesh, doubled_areas
from .sheets import both_sides, rim_samples
from .surface_sampling import flat_corner_normals, smooth_corner_normals, surface_samples
from .training_config import SamplingConfig

# How far from a face the two sides of it are looked at, in network units: beyond float noise in the winding
# number and below the detail of any mesh worth training on.
_SIDE_OFFSET = 1e-3
# Points of the surface at which it is seen whether faces bound a solid.
_SELECTION = 10_000
# Above this share of the surface that bounds the solid, among these points, a mesh counts as a plain solid: the few
# others are folds, no reason to look at all faces.
_PLAIN_SOLID_SHARE = 0.995
# The mean of the winding numbers on the two sides of an open part: 0 for a plane, 0.3 for half a sphere, 0.5 for a
# whole one with a pinhole, 1 for a wall inside a solid. Between these bounds the part is taken to bound a solid.
_LEAST_CLOSED, _MOST_CLOSED = 0.22, 0.78
# A closed part turned inside out is a cavity where at least this share of it lies in other parts.
_CAVITY_SHARE = 0.95
# Edges of the pieces into which faces are cut where parts pass through each other, in network units.
_LONGEST_PIECE = 0.03
# Pieces that large faces are cut into at most, unless the mesh itself has about as many faces.
_MOST_PIECES = 100_000
# Network units: the side of the cells in which parts of a mesh touch, or are far apart.
_APART = 0.15
# Points of the surface that are looked at one by one at most, because their faces run through other parts.
_MOST_LOOKS = 100_000
# Points of a part that must bound the solid before all of it is taken to.
_FEWEST_POINTS = 50
# Shares of the surface below this are not worth a word to the artist.
_NOTEWORTHY = 0.002

# What a face is, by what lies on its two sides. Mixed faces run through another part.
_BURIED, _SHEET, _OUTWARD, _INWARD, _MIXED = range(5)


def split_large_triangles(corners: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Triangles cut into four, again and again, until no edge is longer than `longest`.

    Args:
        corners: (F, 3, 3).
        longest: the longest edge that is left.

    Returns:
        (G, 3, 3) corners of the pieces and (G,) the triangle each comes from.
    """
    origin = np.arange(len(corners))
    # There may be no triangles at all.
    finished, origins = [corners[:0]], [origin[:0]]
    while len(corners):
        large = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1) > longest
        finished.append(corners[~large])
        origins.append(origin[~large])
        a, b, c = np.moveaxis(corners[large], 1, 0)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        children = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        corners = np.concatenate([np.stack(child, axis=1) for child in children])
        origin = np.tile(origin[large], 4)
    return np.concatenate(finished), np.concatenate(origins)


def _affordable_length(corners: np.ndarray, longest: float) -> float:
    """`longest`, or as much more as keeps triangles (F, 3, 3) cut at that length within `_MOST_PIECES`."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    # Every cut halves the edges and makes four pieces of one.
    while (4.0 ** np.ceil(np.log2(edges / longest).clip(0.0))).sum() > max(_MOST_PIECES, 2 * len(edges)):
        longest *= 2.0
    return longest


def _in_order(points: np.ndarray) -> np.ndarray:
    """The order of points (N, 3) in which neighbours follow each other, which makes trees twice as fast."""
    return np.lexsort((points * 32.0).astype(np.int32).T)


class _Inside:
    """Whether points are inside the faces of a mesh; the tree for it is built once."""

    def __init__(self, mesh: TriangleMesh) -> None:
        self.tree = igl.FastWindingNumberBVH()
        self.tree.init(mesh.vertices, np.ascontiguousarray(mesh.faces))

    def winding_numbers(self, points: np.ndarray) -> np.ndarray:
        """Generalised winding numbers of points: (N, 3) -> (N,)."""
        order = _in_order(points)
        numbers = np.empty(len(points))
        numbers[order] = self.tree.winding_number(np.ascontiguousarray(points[order]))
        return numbers

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Whether points lie inside the solid: (N, 3) -> (N,). A solid turned inside out is the same solid."""
        return np.abs(self.winding_numbers(points)) > 0.5

    def sides(self, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether the side of the normal, and the side against it, lie inside: two (N,) arrays of booleans."""
        offset = _SIDE_OFFSET * normals
        return self(points + offset), self(points - offset)


class _Nowhere(_Inside):
    """The inside of a mesh that bounds no solid."""

    def __init__(self) -> None:
        pass

    def winding_numbers(self, points: np.ndarray) -> np.ndarray:
        """Zero everywhere."""
        return np.zeros(len(points))


class _Distance:
    """Unsigned distance to the faces of a mesh; the tree for it is built once."""

    def __init__(self, mesh: TriangleMesh) -> None:
        self.vertices, self.faces = mesh.vertices, np.ascontiguousarray(mesh.faces)
        self.tree = igl.AABB()
        self.tree.init(self.vertices, self.faces)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Distance to the nearest face: (N, 3) -> (N,)."""
        order = _in_order(points)
        squared = np.empty(len(points))
        nearest = self.tree.squared_distance(self.vertices, self.faces, np.ascontiguousarray(points[order]))
        squared[order] = nearest[0]
        return np.sqrt(squared)


class Solid:
    """The solid that a mesh bounds, with its sheets, as a signed distance.

    Args:
        mesh: clean triangles in network space.
        config: how thick sheets are, and which edges are creases.
        rng: source of randomness.
    """

    def __init__(self, mesh: TriangleMesh, config: SamplingConfig, rng: np.random.Generator) -> None:
        self.half_thickness = config.sheet_thickness / 2
        self.crease_degrees = config.crease_degrees
        self.parts = mesh_parts(mesh)
        self.inside = _Inside(self.parts.mesh)
        self.bounding = self._bounding_parts()
        if not self.bounding.all():
            self._rebuild_inside()
        self._look(rng)
        self.turned_share = 0.0
        self._turn_outward(rng)
        self._classify_faces()

    def _bounding_parts(self) -> np.ndarray:
        """Which parts bound a solid (P,): the closed ones, and open ones that close in enough of the view."""
        parts = self.parts
        bounding = parts.is_closed.copy()
        if not bounding.all():
            # Faces spread over all open parts, and the weight of each of them the area that it stands for.
            faces = np.flatnonzero(~parts.is_closed[parts.part])
            faces = faces[np.argsort(parts.part[faces], kind="stable")]
            faces = _thinned(faces, parts.part[faces], _SELECTION)
            points, normals, areas = self._centers(faces)
            offset = _SIDE_OFFSET * normals
            # Of open parts alone: a sheet that runs into a closed part is none the more closed.
            around = self.inside
            if parts.is_closed.any():
                around = _Inside(TriangleMesh(parts.mesh.vertices, parts.faces_of(~parts.is_closed)))
            middle = sum(around.winding_numbers(points + side * offset) for side in (0.5, -0.5)) / 2.0
            count = len(parts.areas)
            weight = np.bincount(parts.part[faces], areas, count)
            closed = np.abs(np.bincount(parts.part[faces], areas * middle, count)) / weight.clip(1e-30)
            bounding |= (closed >= _LEAST_CLOSED) & (closed <= _MOST_CLOSED)
        return bounding

    def _centers(self, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres (G, 3), unit normals (G, 3) and areas (G,) of faces given by their numbers."""
        mesh = self.parts.mesh
        chosen = mesh.faces[faces]
        normals = igl.per_face_normals(mesh.vertices, chosen)
        return mesh.vertices[chosen].mean(axis=1), normals, doubled_areas(mesh.vertices, chosen) / 2.0

    def _rebuild_inside(self) -> None:
        """What is inside, from the parts that bound a solid."""
        faces = self.parts.faces_of(self.bounding)
        self.inside = _Inside(TriangleMesh(self.parts.mesh.vertices, faces)) if len(faces) else _Nowhere()

    def _look(self, rng: np.random.Generator) -> None:
        """See at points all over the mesh what their faces are."""
        mesh = self.parts.mesh
        sampled = surface_samples(mesh, flat_corner_normals(mesh), _SELECTION, rng)
        self.seen_points, normals, self.seen_faces = sampled
        self.seen = _kinds(*self.inside.sides(self.seen_points, normals))

    def _turn_outward(self, rng: np.random.Generator) -> None:
        """Turn the mesh, or closed parts of it, where they are inside out."""
        everything = np.ones(len(self.parts.areas), dtype=bool)
        if self._share(_INWARD) > self._share(_OUTWARD):
            # As a whole it is the same solid: nothing needs another look.
            self.parts = self.parts.turned(everything)
            self.seen = np.choose(self.seen, [_BURIED, _SHEET, _INWARD, _OUTWARD])
            self.turned_share = 1.0
        wrong = self._inside_out_parts()
        if wrong.any():
            self.parts = self.parts.turned(wrong)
            self._rebuild_inside()
            self._look(rng)
            share = float(self.parts.areas[wrong].sum() / self.parts.areas.sum())
            self.turned_share = abs(self.turned_share - share)

    def _inside_out_parts(self) -> np.ndarray:
        """Which closed parts (P,) enclose a negative volume and are no cavities."""
        parts = self.parts
        wrong = parts.is_closed & (parts.volumes < -1e-9)
        if wrong.any():
            faces = np.flatnonzero(wrong[parts.part])
            faces = faces[np.argsort(parts.part[faces], kind="stable")]
            faces = _thinned(faces, parts.part[faces], _SELECTION)
            points, normals, areas = self._centers(faces)
            # The normals point into the part: against them is what it lies in.
            lies_in_others = self.inside(points - _SIDE_OFFSET * normals)
            count = len(parts.areas)
            within = np.bincount(parts.part[faces], areas * lies_in_others, count)
            wrong &= within < _CAVITY_SHARE * np.bincount(parts.part[faces], areas, count)
        return wrong

    def _share(self, kind: int) -> float:
        """Share of the surface, about, that is of a kind."""
        return float((self.seen == kind).mean())

    def _classify_faces(self) -> None:
        """What each face is; the boundary of the solid and the sheets, to measure distances to."""
        mesh, part = self.parts.mesh, self.parts.part
        self.is_plain = bool(self.bounding.all()) and self._share(_OUTWARD) >= _PLAIN_SOLID_SHARE
        self.kinds = np.full(len(mesh.faces), _OUTWARD)
        if self.is_plain:
            self.boundary, self.sheets = _Distance(mesh), None
            return
        self.kinds = self._uniform_kinds()[part]
        doubtful = np.flatnonzero(self.kinds == _MIXED)
        # A large face may run from the outside through another part: its pieces are looked at one by one.
        corners = mesh.vertices[mesh.faces[doubtful]]
        corners, origins = split_large_triangles(corners, _affordable_length(corners, _LONGEST_PIECE))
        pieces = TriangleMesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))
        normals = igl.per_face_normals(pieces.vertices, pieces.faces)
        piece_kinds = _kinds(*self.inside.sides(corners.mean(axis=1), normals))
        lowest = np.full(len(doubtful), _MIXED)
        highest = np.full(len(doubtful), _BURIED)
        np.minimum.at(lowest, origins, piece_kinds)
        np.maximum.at(highest, origins, piece_kinds)
        self.kinds[doubtful] = np.where(lowest == highest, lowest, _MIXED)
        # Faces whose pieces agree are measured to as a whole, the others by their pieces.
        in_pieces = self.kinds[doubtful][origins] == _MIXED
        self.boundary, self.sheets = (
            _distance_to(
                TriangleMesh(mesh.vertices, mesh.faces[np.isin(self.kinds, kinds)]),
                TriangleMesh(pieces.vertices, pieces.faces[in_pieces & np.isin(piece_kinds, kinds)]),
            )
            for kinds in ((_OUTWARD, _INWARD), (_SHEET,))
        )

    def _uniform_kinds(self) -> np.ndarray:
        """The kind of all faces of a part (P,) where enough of its points agree that they bound the solid."""
        count = len(self.parts.areas)
        part = self.parts.part[self.seen_faces]
        points = np.bincount(part, minlength=count)
        kinds = np.full(count, _MIXED)
        for kind in (_OUTWARD, _INWARD):
            agreeing = np.bincount(part[self.seen == kind], minlength=count)
            kinds[(agreeing == points) & (points >= _FEWEST_POINTS)] = kind
        return kinds

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance to the solid joined with its sheets: (N, 3) -> (N,)."""
        distance = np.full(len(points), np.inf)
        if self.boundary is not None:
            distance = self.boundary(points) * np.where(self.inside(points), -1.0, 1.0)
        if self.sheets is not None:
            distance = np.minimum(distance, self.sheets(points) - self.half_thickness)
        return distance

    def surface(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """Points on the solid's surface with outward normals, and the share of the mesh that became sheets.

        Args:
            count: points on the whole mesh; those that turn out to be inside the solid are left out, and more where
                most faces run through one another.
            rng: source of randomness.

        Returns:
            (N, 3) points, (N, 3) unit normals, in random order, and the share.
        """
        mesh = self.parts.mesh
        points, normals, faces = surface_samples(mesh, smooth_corner_normals(mesh, self.crease_degrees), count, rng)
        if self.is_plain:
            return points, normals, 0.0
        kinds = self.kinds[faces]
        mixed = np.flatnonzero(kinds == _MIXED)
        if len(mixed) > _MOST_LOOKS:
            # Fewer points all over, so that they stay uniform: they are in random order.
            count = mixed[_MOST_LOOKS]
            points, normals, kinds, mixed = points[:count], normals[:count], kinds[:count], mixed[:_MOST_LOOKS]
        kinds[mixed] = _kinds(*self.inside.sides(points[mixed], normals[mixed]))
        normals[kinds == _INWARD] *= -1.0
        boundary, sheet = (kinds == _OUTWARD) | (kinds == _INWARD), kinds == _SHEET
        if self.sheets is not None and boundary.any():
            # Where a sheet meets the solid, its thickness buries what lies beside it.
            boundary[boundary] = self.sheets(points[boundary]) > 0.8 * self.half_thickness
        thickened, thickened_normals = self._sheet_surface(points[sheet], normals[sheet], len(points), rng)
        joined = np.concatenate([points[boundary], thickened]), np.concatenate([normals[boundary], thickened_normals])
        order = rng.permutation(len(joined[0]))
        return joined[0][order], joined[1][order], float(sheet.mean())

    def _sheet_surface(
        self, points: np.ndarray, normals: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both sides and the rim of the sheets, without what lies inside something else.

        Args:
            points, normals: (S, 3) those of `count` points on the whole mesh that lie on sheets.
            count: how many points the whole mesh has.
            rng: source of randomness.
        """
        sides, outward = both_sides(points, normals, self.half_thickness)
        if not len(sides):
            return sides, outward
        is_sheet = (self.kinds == _SHEET) | (self.kinds == _MIXED)
        density = count / self.parts.areas.sum()
        rim, rim_normals = rim_samples(
            self.parts.mesh, is_sheet, self.crease_degrees, density, count, self.half_thickness, rng
        )
        moved, outward = np.concatenate([sides, rim]), np.concatenate([outward, rim_normals])
        on_surface = np.abs(self.distance(moved)) < 0.2 * self.half_thickness
        return moved[on_surface], outward[on_surface]

    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted where the mesh left it open, one sentence for the artist each."""
        parts, sentences = self.parts, []
        # Which way sheets point means nothing.
        if self.turned_share == 1.0 and self._share(_OUTWARD) > self._share(_SHEET):
            sentences.append("All faces pointed inwards: they were turned around")
        turned = parts.turned_share + (self.turned_share if self.turned_share < 1.0 else 0.0)
        if turned > 0.0:
            sentences.append(f"{_percent(turned)} of the surface was turned around, to point outwards like the rest")
        if parts.doubled_share > 0.0:
            sentences.append(f"{_percent(parts.doubled_share)} of the surface is there twice and counts once")
        if (self.bounding & ~parts.is_closed).any():
            holes = "a hole" if parts.holes == 1 else f"{parts.holes} holes" if parts.holes else "edges of many faces"
            sentences.append(f"The mesh has {holes}: what it encloses otherwise was taken to be solid")
        if (sheets := self._share(_SHEET)) > _NOTEWORTHY:
            thickness = self.half_thickness / FILLED_SHARE
            sentences.append(
                f"{_percent(sheets)} of the surface encloses nothing: it became a sheet {_percent(thickness)} of the "
                "size thick"
            )
        if (buried := self._share(_BURIED)) > _NOTEWORTHY:
            sentences.append(f"{_percent(buried)} of the surface lies inside other parts and was left out")
        if (largest := self._largest_apart()) < 0.5:
            sentences.append(
                f"The mesh consists of parts far apart, the largest {_percent(largest)} of the whole's size: trained "
                "one by one they get finer detail"
            )
        return tuple(sentences)

    def _largest_apart(self) -> float:
        """Extent of the largest part, in extents of the mesh, of those between which there is nothing for a while."""
        cells = ((self.seen_points + 1.0) / _APART).astype(int)
        occupied = np.zeros((int(2.0 / _APART) + 2,) * 3, dtype=bool)
        occupied[tuple(cells.T)] = True
        labels, _ = ndimage.label(occupied, structure=np.ones((3, 3, 3)))
        extents = [max(s.stop - s.start for s in slices) for slices in ndimage.find_objects(labels)]
        return max(extents) * _APART / (2.0 * FILLED_SHARE)


def _kinds(ahead: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """What surfaces are by whether the side of the normal and the one against it lie inside: (N,) -> (N,)."""
    return np.select([ahead & behind, ~ahead & ~behind, behind], [_BURIED, _SHEET, _OUTWARD], _INWARD)


def _thinned(faces: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """About `count` of faces (G,), which are sorted by their groups (G,), at least one of each group."""
    keep = np.zeros(len(faces), dtype=bool)
    keep[:: max(1, len(faces) // count)] = True
    keep[np.flatnonzero(np.diff(groups, prepend=-1))] = True
    return faces[keep]


def _distance_to(*meshes: TriangleMesh) -> _Distance | None:
    """Distance to the faces of several meshes together, None where there are none."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)])
    return _Distance(TriangleMesh(np.concatenate([mesh.vertices for mesh in meshes]), faces)) if len(faces) else None


def _percent(share: float) -> str:
    """A share as artists read it."""
    return "less than 0.1 %" if share < 0.001 else f"{100.0 * share:.{0 if share > 0.095 else 1}f} %"
