# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes drawn into the surface buffers, against rays that meet boxes and balls in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import shapes
from views import flat_geometry, looking_at, placed, round_geometry

from kernels.cameras import Camera, pixel_rays
from kernels.scenes import Geometry, MeshInstance
from kernels.shading import Material
from kernels.tracing import cube_interval

SIZE, REGION, OFFSET = (72, 60), (7, 4, 48, 40), (0.3, -0.2)
ROTATION = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
ROTATION *= np.sign(np.linalg.det(ROTATION))
TRANSFORMS = {
    "turned": 0.5 * ROTATION,
    "stretched": ROTATION @ np.diag([0.9, 0.3, 0.6]),
    "mirrored": ROTATION @ np.diag([-0.6, 0.4, 0.5]),
    "sheared": np.array([[0.5, 0.3, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.6]]),
}
CAMERAS = {
    "perspective": looking_at((0.0, 0.0, 0.0), (1.5, -3.0, 1.2), shift=(0.1, -0.05)),
    "parallel": looking_at((0.0, 0.0, 0.0), (1.5, -3.0, 1.2), 0.8, perspective=False, shift=(0.1, -0.05)),
}
BOX = flat_geometry(shapes.box_mesh(), "box")
BALL = round_geometry(shapes.sphere_mesh(5), "ball")


class Drawing:
    """Draws meshes and reads what came of it, as arrays of (rows, columns, 4)."""

    def __init__(self, device: Any, addon_module: Callable[[str], ModuleType]) -> None:
        self.device = device
        self.meshes, self.framing = addon_module("kernels.gpu.meshes"), addon_module("kernels.framing")
        self.sources, self.surfaces = addon_module("kernels.gpu.sources"), addon_module("kernels.gpu.surfaces")
        self.drawer = self.meshes.MeshDrawer(device)

    def draw(self, camera: Camera, *instances: MeshInstance, region: tuple[int, int, int, int] = REGION) -> None:
        """Draw with clip planes moved close to the meshes, as the renderer does."""
        boxes = [instance.local_to_world @ self.framing.geometry_box(instance.geometry) for instance in instances]
        self.camera = self.framing.close_camera(camera, boxes)
        first_rows = np.cumsum([0, *(max(1, len(instance.materials)) for instance in instances)])
        listed = [
            self.meshes.PlacedMesh(instance, int(row), number)
            for number, (instance, row) in enumerate(zip(instances, first_rows, strict=False))
        ]
        buffers = self.surfaces.SurfaceBuffers(self.device, *region[2:])
        rays = self.sources.PixelRays(self.camera, SIZE, region, OFFSET)
        self.drawer.draw(listed, rays, buffers)
        self.surface = self.device.read(buffers.surface)
        self.owner = self.device.read(buffers.owner)
        self.relief = self.device.read(buffers.relief)
        buffers.free()
        self.rays = pixel_rays(self.camera, SIZE, region, OFFSET)
        self.seen = self.owner[..., 0] > 0.5
        self.t = np.where(self.seen, self.surface[..., 3], np.inf)


@pytest.fixture
def drawing(device: Any, addon_module: Callable[[str], ModuleType]) -> Iterator[Drawing]:
    drawing = Drawing(device, addon_module)
    yield drawing
    drawing.drawer.free()


def box_hits(drawing: Drawing, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t of entry (rows, columns), infinite for a miss; the normals there; t of exit. Origins lie outside."""
    inverse = np.linalg.inv(matrix)
    origins = drawing.rays.origins @ inverse[:3, :3].T + inverse[:3, 3]
    directions = drawing.rays.directions @ inverse[:3, :3].T
    near, far = cube_interval(origins, directions)
    entry = origins + near[:, None] * directions
    side = np.abs(entry).argmax(axis=1)
    normals = np.sign(entry[np.arange(len(side)), side])[:, None] * np.eye(3)[side] @ inverse[:3, :3]
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    shape = drawing.seen.shape
    met = near < far
    return np.where(met, near, np.inf).reshape(shape), normals.reshape(*shape, 3), far.reshape(shape)


@pytest.mark.parametrize("view", CAMERAS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_box_is_where_rays_meet_it(drawing: Drawing, view: str, transform: str) -> None:
    matrix = placed(TRANSFORMS[transform], (0.1, 0.0, -0.1))
    drawing.draw(CAMERAS[view], MeshInstance("box", BOX, matrix, object_index=5))
    t, normals, _ = box_hits(drawing, matrix)
    assert 0.1 < drawing.seen.mean() < 0.9
    # Rasterisers round corners to 1/256 of a pixel: a few rays along an outline may go either way.
    assert (np.isfinite(t) != drawing.seen).sum() <= 3
    both = np.isfinite(t) & drawing.seen
    assert np.mean(np.abs(drawing.t[both] - t[both]) < 1e-4) > 0.995
    np.testing.assert_allclose(np.linalg.norm(drawing.surface[both][:, :3], axis=1), 1.0, atol=1e-5)
    assert np.mean(np.abs(drawing.surface[..., :3] - normals)[both].max(axis=1) < 1e-3) > 0.99
    np.testing.assert_array_equal(drawing.owner[both], np.broadcast_to([1.0, 5.0, -1.0, 0.0], (both.sum(), 4)))
    np.testing.assert_array_equal(drawing.relief[both], np.broadcast_to([1.0, 1.0, -1.0, 1.0], (both.sum(), 4)))


@pytest.mark.parametrize("view", CAMERAS)
def test_nothing_seen_is_said_so(drawing: Drawing, view: str) -> None:
    drawing.draw(CAMERAS[view], MeshInstance("box", BOX, placed(0.4)))
    around = ~drawing.seen
    np.testing.assert_allclose(drawing.surface[around], np.broadcast_to([0, 0, 0, 1e30], (around.sum(), 4)), rtol=1e-6)
    np.testing.assert_array_equal(drawing.owner[around], np.broadcast_to([0, 0, -1, 0], (around.sum(), 4)))
    np.testing.assert_array_equal(drawing.relief[around], np.broadcast_to([1, 1, -1, 0], (around.sum(), 4)))
    drawing.draw(CAMERAS[view])
    assert not drawing.seen.any()
    np.testing.assert_allclose(drawing.surface[..., 3], 1e30, rtol=1e-6)


@pytest.mark.parametrize("view", CAMERAS)
def test_ball_of_smooth_normals(drawing: Drawing, view: str) -> None:
    matrix = placed(ROTATION @ np.diag([0.7, 0.4, -0.5]))
    drawing.draw(CAMERAS[view], MeshInstance("ball", BALL, matrix))
    inverse = np.linalg.inv(matrix)
    points = drawing.rays.origins + np.where(drawing.seen, drawing.t, 0.0).reshape(-1, 1) * drawing.rays.directions
    local = (points @ inverse[:3, :3].T + inverse[:3, 3])[drawing.seen.reshape(-1)]
    np.testing.assert_allclose(np.linalg.norm(local, axis=1), 1.0, atol=3e-3)
    normals = local @ inverse[:3, :3]
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    cosines = (normals * drawing.surface[drawing.seen][:, :3]).sum(axis=1)
    # At the outline a triangle's normals turn away, and are bent back.
    assert np.mean(cosines > np.cos(np.radians(1.0))) > 0.98


@pytest.mark.parametrize("view", CAMERAS)
def test_nothing_jitters_far_away(drawing: Drawing, view: str) -> None:
    near = CAMERAS[view]
    distance = 3e5
    to_world = near.camera_to_world.copy()
    to_world[:3, 3] += distance * to_world[:3, 2]
    projection = near.projection.copy()
    if near.is_perspective:
        projection[0, 0], projection[1, 1] = distance * 0.5, distance * 0.5
    far = Camera(projection, to_world, 0.1, 10.0 * distance)
    matrix = placed(TRANSFORMS["turned"])
    drawing.draw(far, MeshInstance("box", BOX, matrix))
    t, _, _ = box_hits(drawing, matrix)
    both = np.isfinite(t) & drawing.seen
    assert both.mean() > 0.1
    assert (np.isfinite(t) != drawing.seen).sum() <= 3
    assert np.mean(np.abs(drawing.t[both] - t[both]) < 2e-4) > 0.995


@pytest.mark.parametrize("view", CAMERAS)
def test_clip_planes_cut_meshes_open(drawing: Drawing, view: str) -> None:
    matrix = placed(0.5 * ROTATION)
    camera = replace(CAMERAS[view], clip_start=3.4, clip_end=3.9)
    drawing.draw(camera, MeshInstance("box", BOX, matrix))
    outside = pixel_rays(camera, SIZE, REGION, OFFSET)
    near, _, far = box_hits(drawing, matrix)
    depths = {
        "entry": drawing.rays.depth(near.reshape(-1)).reshape(near.shape),
        "exit": drawing.rays.depth(far.reshape(-1)).reshape(near.shape),
    }
    found = drawing.rays.depth(drawing.t.reshape(-1)).reshape(near.shape)
    crossing = np.isfinite(near)
    before = crossing & (depths["entry"] < camera.clip_start - 1e-3)
    inside = crossing & (depths["entry"] > camera.clip_start + 1e-3) & (depths["entry"] < camera.clip_end - 1e-3)
    behind = before & (depths["exit"] > camera.clip_start + 1e-3) & (depths["exit"] < camera.clip_end - 1e-3)
    assert before.any()
    assert inside.any()
    assert behind.any()
    assert np.mean(np.abs(found[inside] - depths["entry"][inside]) < 1e-3) > 0.99
    # Where the near part is cut away the far side is seen from within, and faces the viewer.
    assert np.mean(np.abs(found[behind] - depths["exit"][behind]) < 1e-3) > 0.99
    facing = (drawing.surface[..., :3].reshape(-1, 3) * outside.directions).sum(axis=1).reshape(near.shape)
    assert (facing[drawing.seen] < 0.0).all()


def test_camera_within_a_box(drawing: Drawing) -> None:
    camera = looking_at((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, clip_start=0.01)
    drawing.draw(camera, MeshInstance("box", BOX, placed(2.0)))
    assert drawing.seen.all()
    points = drawing.rays.origins + drawing.t.reshape(-1, 1) * drawing.rays.directions
    np.testing.assert_allclose(np.abs(points).max(axis=1), 2.0, atol=1e-4)


def test_ground_of_kilometres_hides_nothing_near(drawing: Drawing) -> None:
    camera = looking_at((0.0, 0.0, 0.0), (0.0, -0.6, 0.2), 1.0, clip_start=0.01, clip_end=1e6)
    ground = MeshInstance("ground", BOX, placed(np.diag([3e5, 3e5, 0.0]), (0.0, 0.0, -0.3)), object_index=1)
    near = placed(0.1 * ROTATION)
    drawing.draw(camera, ground, MeshInstance("box", BOX, near, object_index=2))
    t, _, _ = box_hits(drawing, near)
    assert np.isfinite(t).mean() > 0.03
    assert np.mean((drawing.owner[..., 1] == 2.0) == np.isfinite(t)) > 0.998


def test_nearest_of_several_meshes(drawing: Drawing) -> None:
    first, second = placed(0.5 * ROTATION), placed(0.4, (0.3, -0.2, 0.1))
    instances = MeshInstance("a", BOX, first, object_index=1), MeshInstance("b", BOX, second, object_index=2)
    drawing.draw(CAMERAS["perspective"], *instances)
    hits = np.stack([box_hits(drawing, matrix)[0] for matrix in (first, second)])
    clear = np.isfinite(hits).any(axis=0) & (np.abs(np.subtract(*np.nan_to_num(hits, posinf=1e9))) > 1e-3)
    np.testing.assert_array_equal(np.unique(drawing.owner[..., 1]), [0.0, 1.0, 2.0])
    assert np.mean((drawing.owner[..., 1] == hits.argmin(axis=0) + 1)[clear]) > 0.995


def test_materials_by_slot(drawing: Drawing) -> None:
    slots = np.arange(12, dtype=np.int32) % 6
    sides = Geometry(BOX.positions, BOX.triangles, BOX.normals, slots, "sides")
    materials = (Material(), Material(), Material())
    before = MeshInstance("before", BOX, placed(0.1, (5.0, 0.0, 0.0)), materials)
    drawing.draw(CAMERAS["perspective"], before, MeshInstance("sides", sides, placed(0.5), materials))
    # The sides by their normals: -x has slot 0, +x 1, -y 2; beyond the last slot its material goes on.
    # Seen from +x, -y and +z; rows count from 1 and follow the three of the mesh before.
    normal, row = drawing.surface[..., :3], drawing.owner[..., 0]
    assert set(row[normal[..., 0] > 0.9]) == {3.0 + 2.0}
    assert set(row[normal[..., 1] < -0.9]) == {3.0 + 3.0}
    assert set(row[normal[..., 2] > 0.9]) == {3.0 + 3.0}
    assert set(drawing.relief[..., 3][drawing.seen]) == {2.0}


def test_flat_transform_keeps_its_surface(drawing: Drawing) -> None:
    drawing.draw(CAMERAS["perspective"], MeshInstance("sheet", BOX, placed(np.diag([0.5, 0.5, 0.0]))))
    rays = drawing.rays
    t = -rays.origins[:, 2] / rays.directions[:, 2]
    points = rays.origins + t[:, None] * rays.directions
    on_sheet = (np.abs(points[:, :2]) < 0.5).all(axis=1).reshape(drawing.seen.shape)
    assert (on_sheet != drawing.seen).sum() <= 3
    both = on_sheet & drawing.seen
    np.testing.assert_allclose(drawing.t[both], t.reshape(on_sheet.shape)[both], atol=1e-4)
    assert np.isfinite(drawing.surface).all()
    np.testing.assert_allclose(np.abs(drawing.surface[both][:, 2]), 1.0, atol=1e-5)


def test_triangles_are_kept_by_key_and_dropped(drawing: Drawing) -> None:
    first = drawing.drawer.batch(BOX)
    assert drawing.drawer.batch(replace(BOX)) is first
    drawing.drawer.keep([BALL])
    assert drawing.drawer.batch(BOX) is not first
