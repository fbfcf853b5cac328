# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried with viewports in Rendered shading, in the real window. Generators as in scenarios.py.

The scene is known in closed form: a neural torus (its network is `torus.nsdf` in the session's folder) among a cube
and a sphere, each of one color, lit flatly. So a test knows what every pixel of a picture must show: closed_form.py.
"""

from __future__ import annotations

import ctypes
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import gpu
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Euler, Vector

if TYPE_CHECKING:
    from session import Session

ENGINE = "NEURAL_IMPLICIT"
PROPERTY = "neural_implicit"
COLORS = {"Torus": (0.0, 0.7, 0.0), "Cube": (0.9, 0.0, 0.0), "Sphere": (0.0, 0.0, 0.9)}
WINDOW = (960, 640)
# How long a viewport may take to show its best picture, in seconds, on a machine that is busy.
PATIENCE = 240.0
# Blender 5.2 itself grows at every switch on software Vulkan, with Cycles just as much, and ends after about 150.
SWITCHES = {"OPENGL": 100, "VULKAN": 60}


def look_around(session: Session) -> Iterator[float]:
    """Open a file, switch to Rendered, orbit, pan, zoom, select, move, hide, undo, split, resize, F12, close."""
    session.install()
    make_scene(session)
    # Every picture is rendered to its end, on the CPU: of a small window.
    session.resize(*WINDOW)
    path = str(session.folder / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_homefile(app_template="")
    yield 0.5
    bpy.ops.wm.open_mainfile(filepath=path)
    yield 0.5
    _, _, space = session.view()
    assert space.shading.type == "SOLID"
    draws = time_draws(session)
    space.shading.type = "RENDERED"
    yield from look(session, "opened")

    yield from session.drag(2, 150, -60)
    yield from look(session, "orbited")
    yield from session.drag(2, -60, 40, "shift")
    yield from look(session, "panned")
    yield from session.drag(2, 0, 50, "ctrl")
    yield from look(session, "zoomed")
    # A moving view is drawn too, in the resolution that the machine keeps fluid.
    before = draws.count
    for turn in range(10):
        space.region_3d.view_rotation = Euler((1.0, 0.0, 0.4 + 0.02 * turn)).to_quaternion()
        yield 0.03
    session.record(drawn_while_moving=draws.count - before)
    yield from look(session, "turned")

    session.click(*on_region(session, bpy.data.objects["Cube"].location))
    yield from session.wait(lambda: bpy.context.selected_objects, PATIENCE, "something is selected")
    session.record(selected=[obj.name for obj in bpy.context.selected_objects])

    def cube() -> bpy.types.Object:
        """Undo replaces objects."""
        return bpy.data.objects["Cube"]

    before = cube().location.x
    session.press("g", "x", "minus", "1", "Return")
    yield from session.wait(lambda: round(cube().location.x - before, 3) == -1.0, PATIENCE, "the cube is moved")
    yield from look(session, "moved")
    session.press("h")
    yield from session.wait(lambda: cube().hide_get(), PATIENCE, "the cube is hidden")
    yield from look(session, "hidden")
    session.press("ctrl+z")
    yield from session.wait(lambda: not cube().hide_get(), PATIENCE, "the cube is shown again")
    yield from look(session, "shown again")
    session.press("ctrl+z")
    yield from session.wait(lambda: cube().location.x == before, PATIENCE, "the cube is back")
    yield from look(session, "moved back")

    with session.in_view():
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.4)
    window = session.view()[0]
    # Blender gives the new one of two viewports Solid shading.
    (second,) = (
        area for area in window.screen.areas if area.type == "VIEW_3D" and area.spaces.active.shading.type != "RENDERED"
    )
    second.spaces.active.shading.type = "RENDERED"
    second.spaces.active.region_3d.view_rotation = Euler((0.3, 0.0, 1.2)).to_quaternion()
    yield from look(session, "split")
    with bpy.context.temp_override(window=window, area=second):
        bpy.ops.screen.area_close()
    session.resize(800, 600)
    yield from look(session, "resized")
    session.resize(*WINDOW)
    space.shading.type = "SOLID"
    yield from session.wait(lambda: not viewports(session)._entries, PATIENCE, "the viewports are freed")
    space.shading.type = "RENDERED"
    space.overlay.show_overlays = space.show_gizmo = True
    yield from settle(session)
    session.screenshot("with overlays")
    draws.record()


def compare_with_final(session: Session) -> Iterator[float]:
    """The camera's view beside F12's picture of it, shaded, in three view transforms."""
    session.install()
    make_scene(session)
    scene, space = bpy.context.scene, session.view()[2]
    scene.neural_implicit.lighting = "SCENE"
    scene.neural_implicit.samples = scene.neural_implicit.viewport_samples = 4
    bpy.data.objects["Light"].data.type = "SUN"
    bpy.data.objects["Light"].data.energy = 2.0
    space.shading.type = "RENDERED"
    with session.in_view():
        bpy.ops.view3d.view_camera()
    # The frame is to have as many pixels as the picture.
    scene.render.resolution_x, scene.render.resolution_y = 480, 270
    region_3d = space.region_3d
    region_3d.view_camera_zoom, region_3d.view_camera_offset = 0.0, (0.0, 0.0)
    yield from settle(session)
    left, bottom, right, top = camera_frame(session)
    scene.render.resolution_x = round(right - left)
    scene.render.resolution_y = round(top - bottom)
    scene.render.image_settings.color_mode = "RGB"
    # Blender adds noise to the colours of viewports and of saved pictures, so that 8 bits show no steps.
    scene.render.dither_intensity = 0.0
    for transform in ("Raw", "Standard", "AgX"):
        scene.view_settings.view_transform = transform
        yield from settle(session)
        session.screenshot(f"viewport {transform}")
        scene.render.filepath = str(session.folder / f"final {transform}.png")
        bpy.ops.render.render(write_still=True)
        session.record(transform=transform, frame=camera_frame(session), region=rectangle(session.region(), session))


def switch_engines(session: Session) -> Iterator[float]:
    """To other engines and shadings and back, again and again, half of it on each backend: nothing must grow."""
    session.install()
    make_scene(session)
    # So often, in a small window.
    session.resize(640, 480)
    yield 0.5
    space = session.view()[2]
    space.shading.type = "RENDERED"
    draws = time_draws(session)
    times = SWITCHES[gpu.platform.backend_type_get()] // 2
    for renderer in ("CPU", "GPU"):
        preferences(session).backend = renderer
        for number in range(times):
            if number % 2:
                space.shading.type = "SOLID"
            else:
                bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
            yield 0.04
            space.shading.type = "RENDERED"
            bpy.context.scene.render.engine = ENGINE
            before = draws.count
            while draws.count == before:
                yield 0.01
            if number in (times // 5, times - 1):
                yield from settle(session)
                session.record(renderer=renderer, switches=number + 1, **resources())
    yield from look(session, "after switching")
    space.shading.type = "SOLID"
    # Viewports that are gone are looked for from time to time.
    yield from session.wait(lambda: not viewports(session)._entries, PATIENCE, "the viewport is freed")
    session.record(idle=True, **resources())


def on_the_gpu(session: Session) -> Iterator[float]:
    """The same scene by the shaders, though the GPU is one that its driver computes on the CPU."""
    session.install()
    preferences(session).backend = "GPU"
    make_scene(session)
    session.resize(640, 480)
    yield 0.5
    session.view()[2].shading.type = "RENDERED"
    yield from look(session, "on the GPU")
    bpy.data.objects["Cube"].location.x -= 1.0
    yield from look(session, "on the GPU, moved")
    session.record(backends=[type(e.viewport._backend).__name__ for e in viewports(session)._entries.values()])


def trouble(session: Session) -> Iterator[float]:
    """A driver that refuses shaders, damaged bytes, a view from inside: said in the viewport, the rest is drawn."""
    session.install()
    make_scene(session)
    _, _, space = session.view()
    space.shading.type = "RENDERED"

    device = session.module("neural_implicit_addon.gpu_device").BlenderDevice
    refuse = session.module("kernels.gpu.device").GpuError
    compiled = device._compiled

    def refused(*_arguments: object, **_options: object) -> None:
        raise refuse("the driver refuses the shader")

    device._compiled = refused
    preferences(session).backend = "GPU"
    yield from look(session, "refused shader")
    device._compiled = compiled
    preferences(session).backend = "AUTO"

    torus = bpy.data.objects["Torus"]
    data = bytes(torus.data[PROPERTY])
    del torus.data[PROPERTY]
    torus.data[PROPERTY] = data[: len(data) // 2]
    torus.data.update_tag()
    yield from look(session, "damaged bytes")
    del torus.data[PROPERTY]
    torus.data[PROPERTY] = data
    torus.data.update_tag()
    yield from look(session, "mended bytes")

    # From the middle of the tube, through the cube at the far side of the ring.
    look_from(space.region_3d, torus.matrix_world @ Vector((0.55, 0.0, 0.0)), (1.4, 0.0, 0.8), 0.2)
    space.clip_start = 0.01
    yield from look(session, "inside")


# The scene.


def make_scene(session: Session) -> None:
    """A torus, a cube and a sphere that cover parts of each other, each flat in its color, seen from the side."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    bpy.ops.neural_implicit.import_network(filepath=str(session.folder / "torus.nsdf"))
    torus = bpy.context.active_object
    torus.name = "Torus"
    torus.scale = (3.0, 3.0, 3.0)
    torus.rotation_euler = (0.4, 0.2, 0.0)
    with session.in_view():
        bpy.ops.mesh.primitive_cube_add(size=1.6, location=(1.4, 0.6, 0.9))
        bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=48, radius=0.9, location=(-1.2, -0.4, -0.5))
    for name, color in COLORS.items():
        material = bpy.data.materials.new(name)
        material.diffuse_color = (*color, 1.0)
        if bpy.app.version < (5, 0, 0):
            material.use_nodes = True
        material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*color, 1.0)
        bpy.data.objects[name].data.materials.append(material)
    scene = bpy.context.scene
    scene.render.engine = ENGINE
    scene.neural_implicit.lighting = "FLAT"
    scene.neural_implicit.ambient_occlusion = False
    scene.neural_implicit.viewport_samples = 1
    scene.view_settings.view_transform = "Standard"
    # Only what the engine draws is to be in the pictures.
    bpy.context.preferences.system.use_region_overlap = False
    _, _, space = session.view()
    space.overlay.show_overlays = space.show_gizmo = False
    look_from(space.region_3d, (0.0, 0.0, 0.0), (2.0, -5.0, 2.5), 7.5)
    bpy.ops.object.select_all(action="DESELECT")
    bpy.ops.ed.undo_push(message="Scene")


def look_from(region_3d: bpy.types.RegionView3D, target: Any, side: Any, distance: float) -> None:
    """Look at `target` from a distance on a side."""
    region_3d.view_location = target
    region_3d.view_rotation = Vector(side).to_track_quat("Z", "Y")
    region_3d.view_distance = distance


def on_region(session: Session, place: Vector) -> tuple[float, float]:
    """Where a place in the world is seen in the first viewport, in pixels from its lower left corner."""
    return tuple(location_3d_to_region_2d(session.region(), session.view()[2].region_3d, place))


def camera_frame(session: Session) -> list[float]:
    """The camera's frame in the first viewport: left, bottom, right, top in pixels from its lower left corner."""
    camera = bpy.context.scene.camera
    corners = [
        on_region(session, camera.matrix_world @ corner) for corner in camera.data.view_frame(scene=bpy.context.scene)
    ]
    (left, right), (bottom, top) = ((min(axis), max(axis)) for axis in zip(*corners, strict=True))
    return [left, bottom, right, top]


# Looking.


def viewports(session: Session) -> Any:
    """The add-on's own account of the viewports."""
    return session.module("neural_implicit_addon.viewport")._viewports


def preferences(session: Session) -> Any:
    """The add-on's preferences."""
    return bpy.context.preferences.addons[session.addon].preferences


def settle(session: Session) -> Iterator[float]:
    """Leave Blender alone until all viewports show the best they can."""
    yield 0.6
    yield from session.wait(lambda: not viewports(session).is_working, PATIENCE, "the viewports are finished")
    # The last news are drawn.
    yield 0.15


def look(session: Session, name: str) -> Iterator[float]:
    """Take a picture once the viewports have settled, and record all that one must know to say what is in it."""
    yield from settle(session)
    session.screenshot(name)
    objects = {
        obj.name: [list(row) for row in obj.matrix_world]
        for obj in bpy.data.objects
        if obj.name in COLORS and obj.visible_get()
    }
    views = []
    for area in session.view()[0].screen.areas:
        if area.type == "VIEW_3D" and area.spaces.active.shading.type == "RENDERED":
            region = next(region for region in area.regions if region.type == "WINDOW")
            matrix = area.spaces.active.region_3d.perspective_matrix
            views.append({"region": rectangle(region, session), "matrix": [list(row) for row in matrix]})
    messages = [message for entry in viewports(session)._entries.values() for message in entry.viewport.messages]
    session.record(look=name, objects=objects, views=views, messages=messages)


def rectangle(region: bpy.types.Region, session: Session) -> list[int]:
    """Left, top, width and height of a region on the screen."""
    return [region.x, session.view()[0].height - region.y - region.height, region.width, region.height]


class time_draws:
    """Times the engine's draw calls from now on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seconds: list[float] = []
        # What the calls themselves computed, without the waits for a core of a machine that is busy.
        self._computed: list[float] = []
        module = session.module("neural_implicit_addon.viewport")
        draw = module.draw

        def timed(*arguments: object) -> None:
            began, computed_before = time.perf_counter(), time.thread_time()
            draw(*arguments)
            self._seconds.append(time.perf_counter() - began)
            self._computed.append(time.thread_time() - computed_before)

        module.draw = timed

    @property
    def count(self) -> int:
        """Draw calls so far."""
        return len(self._seconds)

    def record(self) -> None:
        """Record how many there were and how long they took, in seconds."""
        self._session.record(
            draws=self.count,
            longest_draw=max(self._seconds),
            median_draw=statistics.median(self._seconds),
            longest_computed=max(self._computed),
        )


def resources() -> dict[str, Any]:
    """Threads, memory in bytes, and with OpenGL the GPU's objects of each kind."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found: dict[str, Any] = {"threads": threading.active_count(), "memory": pages * 4096}
    if gpu.platform.backend_type_get() == "OPENGL":
        library = ctypes.CDLL("libGL.so.1")
        for kind in ("Texture", "Buffer", "Framebuffer", "Program"):
            exists = getattr(library, f"glIs{kind}")
            exists.restype = ctypes.c_ubyte
            found[kind.lower()] = sum(exists(name) for name in range(1, 20_000))
    return found


SCENARIOS = {
    scenario.__name__: scenario for scenario in (look_around, compare_with_final, switch_engines, on_the_gpu, trouble)
}
