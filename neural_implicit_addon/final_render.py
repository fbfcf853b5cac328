# SPDX-License-Identifier: GPL-3.0-or-later
"""The final picture (F12): renders a depsgraph tile by tile into Blender's render result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import bpy

from ..kernels import rendering
from ..kernels.gpu.device import GpuError, UnsupportedNetworkError
from ..kernels.gpu.rendering import GpuRenderer
from ..kernels.scenes import Region, RenderConfig, Scene, Tile
from . import backends, picture_settings, studio_lights
from . import scene as scene_gathering
from .preferences import backend_preference

if TYPE_CHECKING:
    from .gpu_device import BlenderDevice

# As Blender's compositor and Cycles call it.
OBJECT_INDEX = "Object Index" if bpy.app.version >= (5, 0, 0) else "IndexOB"
# Name, channels and type of each pass, and the view layer's switch for it. Combined is always there.
PASSES = (
    ("Combined", "RGBA", "COLOR", None),
    ("Depth", "Z", "VALUE", "use_pass_z"),
    ("Normal", "XYZ", "VECTOR", "use_pass_normal"),
    (OBJECT_INDEX, "X", "VALUE", "use_pass_object_index"),
)


def list_passes(view_layer: bpy.types.ViewLayer) -> Iterator[tuple[str, str, str]]:
    """Name, channels and type of the passes that a view layer wants."""
    for name, channels, kind, switch in PASSES:
        if switch is None or getattr(view_layer, switch):
            yield name, channels, kind


def render(engine: bpy.types.RenderEngine, depsgraph: bpy.types.Depsgraph) -> None:
    """Render one view layer of one frame; Blender calls this for each of them."""
    scene = depsgraph.scene
    camera = engine.camera_override or scene.camera
    if camera is None:
        _refuse(engine, "The scene has no camera: add one, or choose one in the Scene properties")
        return
    if camera.type != "CAMERA":
        _refuse(engine, f"{camera.name!r} is not a camera: choose one in the Scene properties")
        return
    if bpy.app.background:
        # In the window it was prepared when it was chosen.
        studio_lights.prepare(scene)
    config = picture_settings.render_config(depsgraph.scene_eval)
    gathered = scene_gathering.gather(depsgraph)
    for problem in gathered.problems:
        engine.report({"WARNING"}, problem)
    if camera.data.type not in {"PERSP", "ORTHO"}:
        engine.report(
            {"WARNING"}, f"{camera.name!r} is panoramic, which is not supported: rendered as a perspective camera"
        )
    seen = gathered.seen_by(picture_settings.scene_camera(depsgraph, camera.evaluated_get(depsgraph), config))
    layer = depsgraph.view_layer_eval.name
    if not _render_on_gpu(engine, seen, config, layer):
        _take(engine, rendering.render_tiles(seen, config, engine.test_break), config, layer, "CPU")


# The renderer on the GPU and its device, which remember from one picture to the next how fast the GPU is and the
# compiled shaders.
_gpu: tuple[BlenderDevice, GpuRenderer] | None = None


def _render_on_gpu(engine: bpy.types.RenderEngine, scene: Scene, config: RenderConfig, layer: str) -> bool:
    """Render on the GPU, if there is one to be used; False when the CPU has to."""
    global _gpu
    # Without the context that Blender makes for an engine that wants one, there is nothing to ask.
    device = backends.device_for(backend_preference(bpy.context), "final") if engine.bl_use_gpu_context else None
    if device is None:
        return False
    try:
        if _gpu is None or _gpu[0] is not device:
            _gpu = device, GpuRenderer(device)
        _take(engine, _gpu[1].render_tiles(scene, config, engine.test_break), config, layer, device.name)
    except UnsupportedNetworkError as error:
        engine.report({"WARNING"}, backends.describe_refusal(error))
        return False
    except GpuError as error:
        message = backends.give_up_gpu(error)
        if message:
            engine.report({"WARNING"}, message)
        return False
    finally:
        # Networks and meshes are sent again with the next picture, which costs little; they may be gone by then.
        if _gpu is not None:
            _gpu[1].free()
    return True


def _take(
    engine: bpy.types.RenderEngine, tiles: Iterable[Tile], config: RenderConfig, layer: str, backend: str
) -> None:
    """Hand tiles to Blender as they come, and say how far the picture is."""
    whole, done = config.rendered_region[2] * config.rendered_region[3], 0
    for tile in tiles:
        _write(engine, tile, config.rendered_region, layer)
        done += tile.region[2] * tile.region[3]
        engine.update_progress(done / whole)
        engine.update_stats("", f"{layer}: {100 * done // whole} % on {backend}")


def _refuse(engine: bpy.types.RenderEngine, message: str) -> None:
    """Say in the render window why there is no picture, and to the caller.

    Without the report a script would hear nothing, and Blender 5.0 crashes when it writes the empty result as EXR.
    """
    engine.error_set(message)
    engine.report({"ERROR"}, message)


def _write(engine: bpy.types.RenderEngine, tile: Tile, rendered: Region, layer: str) -> None:
    """Hand a finished tile to Blender, whose result counts pixels from the border's corner."""
    x, y, width, height = tile.region
    result = engine.begin_result(x - rendered[0], y - rendered[1], width, height, layer=layer)
    rows = {
        "Combined": tile.combined,
        "Depth": tile.depth,
        "Normal": tile.normal,
        OBJECT_INDEX: tile.object_index,
    }
    for render_pass in result.layers[0].passes:
        if render_pass.name in rows:
            render_pass.rect.foreach_set(rows[render_pass.name].reshape(-1))
    engine.end_result(result)


CLASSES = ()


def unregister() -> None:
    """Let go of the renderer and its device, as `backends.unregister`."""
    global _gpu
    _gpu = None
