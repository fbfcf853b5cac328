# SPDX-License-Identifier: GPL-3.0-or-later
"""The final picture (F12): renders a depsgraph tile by tile into Blender's render result."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ..kernels.rendering import render_tiles, tile_regions
from ..kernels.scenes import Region, Tile
from . import scene as scene_gathering
from . import studio_lights

# Name, channels and type of each pass, and the view layer's switch for it. Combined is always there.
PASSES = (
    ("Combined", "RGBA", "COLOR", None),
    ("Depth", "Z", "VALUE", "use_pass_z"),
    ("Normal", "XYZ", "VECTOR", "use_pass_normal"),
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
    config = scene_gathering.render_config(depsgraph.scene_eval)
    gathered = scene_gathering.gather(depsgraph)
    for problem in gathered.problems:
        engine.report({"WARNING"}, problem)
    scene = gathered.seen_by(scene_gathering.scene_camera(depsgraph, camera.evaluated_get(depsgraph), config))
    layer = depsgraph.view_layer_eval.name
    count = len(tile_regions(scene, config))
    for done, tile in enumerate(render_tiles(scene, config, engine.test_break), start=1):
        _write(engine, tile, config.rendered_region, layer)
        engine.update_progress(done / count)
        engine.update_stats("", f"{layer}: tile {done}/{count}")


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
    rows = {"Combined": tile.combined, "Depth": tile.depth, "Normal": tile.normal}
    for render_pass in result.layers[0].passes:
        if render_pass.name in rows:
            render_pass.rect.foreach_set(rows[render_pass.name].reshape(-1))
    engine.end_result(result)
