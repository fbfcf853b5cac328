# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are saved with scenes and objects: `scene.neural_implicit` and `object.neural_implicit`."""

from __future__ import annotations

import bpy

from . import neural_object, studio_lights

LEVEL_OF_DETAIL = (
    ("AUTO", "Automatic", "As fine as each object's size in the picture asks for"),
    ("LOCKED", "Locked", "The same levels for all objects, however large they are in the picture"),
)
DISPLAYS = (
    ("SHADED", "Shaded", "The shaded picture"),
    ("LEVEL", "Level", "False colors: the level on which each ray ended"),
    ("ITERATIONS", "Iterations", "False colors: how often networks were evaluated for each ray"),
    ("BAND", "Band", "False colors: where in the band of the level before it each point of the surface lies"),
)
LIGHTINGS = (
    ("SCENE", "Scene", "The scene's own lights and world"),
    ("STUDIO", "Studio", "A studio light, as in Solid shading"),
    ("MATCAP", "MatCap", "A material capture, as in Solid shading: the color of a lit sphere for every normal"),
    ("FLAT", "Flat", "The materials' colors alone, as in Solid shading"),
)
DENSITIES = (
    ("RESOLUTION", "Resolution", "By the number of grid cells along the network's cube"),
    ("FACES", "Face Count", "By the number of faces wanted"),
)


# Operators that are not adjusted afterwards (Extract Mesh, Certify Bands) have the same properties as the scene, which
# keeps what their buttons pass on.


def density_property() -> bpy.props.EnumProperty:
    """How the density of an extracted mesh is chosen."""
    return bpy.props.EnumProperty(
        name="Density", description="How the number of faces is chosen", items=DENSITIES, default="RESOLUTION"
    )


def resolution_property() -> bpy.props.IntProperty:
    """The resolution of an extracted mesh."""
    return bpy.props.IntProperty(
        name="Resolution",
        description="Grid cells along each side of the network's cube; twice as many give four times the faces",
        min=8,
        max=512,
        default=128,
    )


def faces_property() -> bpy.props.IntProperty:
    """The number of faces of an extracted mesh."""
    return bpy.props.IntProperty(
        name="Faces",
        description="Number of quads wanted; the result comes within about a tenth of it",
        min=50,
        max=1_000_000,
        soft_max=200_000,
        default=20_000,
    )


def use_normals_property() -> bpy.props.BoolProperty:
    """Which normals an extracted mesh has."""
    return bpy.props.BoolProperty(
        name="Neural Normals",
        description="Give the mesh the normals of the finest level as custom normals; without, it is shaded smooth",
        default=True,
    )


def seconds_property() -> bpy.props.FloatProperty:
    """How long certifying bands may take, in seconds."""
    return bpy.props.FloatProperty(
        name="Time Limit",
        description="How long to try; bands that are not proven by then stay uncertified",
        min=1.0,
        soft_max=600.0,
        default=60.0,
        step=1000,
        subtype="TIME_ABSOLUTE",
    )


def _tell_viewports(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """Have viewports show a setting that was changed, also by a script, of which Blender would not tell them."""
    settings.id_data.update_tag()


def _lighting(settings: NeuralImplicitSceneSettings) -> int:
    """The place in LIGHTINGS of the lighting that is on."""
    names = [item[0] for item in LIGHTINGS]
    return names.index(settings.id_data.display.shading.light if settings.uses_solid_lighting else "SCENE")


def _set_lighting(settings: NeuralImplicitSceneSettings, place: int) -> None:
    settings.uses_solid_lighting = place > 0
    if place > 0:
        settings.id_data.display.shading.light = LIGHTINGS[place][0]
    studio_lights.prepare(settings.id_data)


class NeuralImplicitSceneSettings(bpy.types.PropertyGroup):
    """How the engine renders a scene, and what buttons pass on to their operators: `scene.neural_implicit`."""

    samples: bpy.props.IntProperty(
        name="Samples",
        description="Rays for each pixel of the final picture, against staircases at edges",
        default=4,
        min=1,
        soft_max=64,
        max=4096,
        update=_tell_viewports,
    )
    viewport_samples: bpy.props.IntProperty(
        name="Viewport Samples",
        description="Rays for each pixel of the viewport once it rests, against staircases at edges",
        default=8,
        min=1,
        soft_max=64,
        max=4096,
        update=_tell_viewports,
    )
    trace_finest: bpy.props.BoolProperty(
        name="Trace Finest Level",
        description="Follow rays down to the finest network, for exact outlines and depth. "
        "Otherwise it gives the normals alone, which is faster but may lose thin parts",
        default=True,
        update=_tell_viewports,
    )
    level_of_detail: bpy.props.EnumProperty(
        name="Levels",
        description="Which levels of the networks are traced, and which one gives the normals",
        items=LEVEL_OF_DETAIL,
        default="AUTO",
        update=_tell_viewports,
    )
    traced_level: bpy.props.IntProperty(
        name="Traced Level",
        description="The last level that rays are followed to; 0 is the coarsest. "
        "Objects with fewer levels take their finest",
        default=0,
        min=0,
        soft_max=4,
        max=64,
        update=_tell_viewports,
    )
    normal_level: bpy.props.IntProperty(
        name="Normal Level",
        description="The level that gives the normals; 0 is the coarsest. Objects with fewer levels take their finest",
        default=2,
        min=0,
        soft_max=4,
        max=64,
        update=_tell_viewports,
    )
    ambient_occlusion: bpy.props.BoolProperty(
        name="Ambient Occlusion",
        description="Darken folds of neural objects, by their distance field",
        default=True,
        update=_tell_viewports,
    )
    sun_shadows: bpy.props.BoolProperty(
        name="Sun Shadows",
        description="Let the brightest sun cast shadows; its own Shadow setting counts too",
        default=True,
        update=_tell_viewports,
    )
    display: bpy.props.EnumProperty(
        name="Display",
        description="What the viewport shows; the final picture is always shaded",
        items=DISPLAYS,
        default="SHADED",
        update=_tell_viewports,
    )
    # The kind of Solid mode's lighting, and which studio light or MatCap, are Blender's own settings of the scene's
    # display, with its own previews of them.
    lighting: bpy.props.EnumProperty(
        name="Lighting",
        description="What lights the viewport and the final picture, so that the two agree",
        items=LIGHTINGS,
        get=_lighting,
        set=_set_lighting,
        update=_tell_viewports,
    )
    uses_solid_lighting: bpy.props.BoolProperty(
        name="Solid Mode's Lighting",
        description="Light the scene as Solid shading does, by the scene's display settings",
        default=False,
        options={"HIDDEN"},
    )
    extract_density: density_property()
    extract_resolution: resolution_property()
    extract_faces: faces_property()
    extract_normals: use_normals_property()
    certify_seconds: seconds_property()


def _tell_viewports_of_object(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    """As `_tell_viewports`, without having the object's modifiers evaluated again."""
    settings.id_data.update_tag(refresh={"OBJECT"})


def _may_give_normals(settings: NeuralImplicitObjectSettings, source: bpy.types.Object) -> bool:
    """Whether an object can be the source of neural normals for the one that `settings` belongs to."""
    return neural_object.is_neural(source) and source != settings.id_data


class NeuralImplicitObjectSettings(bpy.types.PropertyGroup):
    """How the engine shows a mesh object: `object.neural_implicit`."""

    normals_source: bpy.props.PointerProperty(
        name="Source",
        description="The neural object whose normals this mesh is shaded with, pixel by pixel, "
        "where it lies close enough to that object's surface",
        type=bpy.types.Object,
        poll=_may_give_normals,
        update=_tell_viewports_of_object,
    )
    transition: bpy.props.FloatProperty(
        name="Transition",
        description="Share of the band, from its border inwards, over which the mesh's own normals turn into the "
        "neural ones",
        default=0.25,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_tell_viewports_of_object,
    )


CLASSES = (NeuralImplicitSceneSettings, NeuralImplicitObjectSettings)


def register() -> None:
    """Add `Scene.neural_implicit` and `Object.neural_implicit`."""
    bpy.types.Scene.neural_implicit = bpy.props.PointerProperty(
        type=NeuralImplicitSceneSettings, name="Neural Implicit", description="Settings of Neural Implicit"
    )
    bpy.types.Object.neural_implicit = bpy.props.PointerProperty(
        type=NeuralImplicitObjectSettings,
        name="Neural Implicit",
        description="How the Neural Implicit engine shows the object",
    )


def unregister() -> None:
    """Remove the settings; files keep their values."""
    del bpy.types.Object.neural_implicit
    del bpy.types.Scene.neural_implicit
