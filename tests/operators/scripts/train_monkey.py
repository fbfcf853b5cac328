# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a new Blender process: train on the monkey.

Prints a JSON object: which events of a resumed job were logged, whether torch was imported, and the objects.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

import bpy

ADDON = "bl_ext.user_default.neural_implicit"


def main() -> None:
    """Install, train, print."""
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["EXTENSION_ZIP"], repo="user_default", enable_on_install=True
    )
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.mesh.primitive_monkey_add()
    # The job's folder is gone when the training is done, so its log is followed meanwhile.
    session_class = importlib.import_module(f"{ADDON}.neural_implicit_addon.training_session").TrainingSession
    take_in = session_class._take_in
    events = []

    def followed(self: object, context: bpy.types.Context, event: dict[str, object]) -> None:
        events.append(event["event"])
        take_in(self, context, event)

    session_class._take_in = followed
    bpy.ops.neural_implicit.train(preset="PREVIEW", budget=0.6)
    found = {
        "events": [event for event in events if event == "resumed"],
        "torch": "torch" in sys.modules,
        "objects": sorted(obj.name for obj in bpy.data.objects),
    }
    print()
    print(json.dumps(found))


main()
