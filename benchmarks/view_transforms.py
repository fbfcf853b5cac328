# SPDX-License-Identifier: GPL-3.0-or-later
"""The viewport against F12 of the same view, as an artist sees both: screenshots of a real window, saved pictures.

`python -m benchmarks view_transforms` puts what the presets trained among meshes, in three view transforms;
`python benchmarks/view_transforms.py FILE.nsdf...` puts any sequence there. The environment variable WINDOW_BLENDER is
the command that starts a Blender with a window. The renderer is the one that the preference Automatic chooses.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import make
from benchmarks import report, subjects, window_blender
from kernels import nsdf
from kernels.sequence import NestedSequence

BACKENDS = ("opengl", "vulkan")
MOST_DIFFERENCE = 1.0  # of 255
# A pixel whose grey differs by more than this, of 255, from one beside it belongs to an edge.
EDGE_STEP = 6.0
# The camera's frame is drawn over the picture's border.
BORDER = 4


@dataclass(frozen=True)
class Difference:
    """Two pictures of one view, compared where neither has an edge.

    Attributes:
        mean: absolute difference of the colours, of 255.
        compared: share of the pixels that were compared.
        spread: standard deviation of the compared colours, of 255; 0 for a picture of nothing.
    """

    mean: float
    compared: float
    spread: float


def difference(result: dict[str, Any], folder: Path) -> Difference:
    """Compare the pictures of one result of the scenario `compare_with_final`, which are in `folder`."""
    with (
        Image.open(folder / f"viewport {result['transform']}.png") as window,
        Image.open(folder / f"final {result['transform']}.png") as picture,
    ):
        final = np.asarray(picture.convert("RGB"), np.float32)
        left, top, _, height = result["region"]
        x, y = left + round(result["frame"][0]), top + height - round(result["frame"][3])
        shown = window.convert("RGB").crop((x, y, x + final.shape[1], y + final.shape[0]))
    inner = ~_edges(final)
    inner[:BORDER] = inner[-BORDER:] = inner[:, :BORDER] = inner[:, -BORDER:] = False
    apart = np.abs(np.asarray(shown, np.float32) - final).mean(-1)[inner]
    return Difference(float(apart.mean()), float(inner.mean()), float(final[inner].std()))


def _edges(pixels: np.ndarray) -> np.ndarray:
    """Where a picture (H, W, 3), 0 to 255, has edges or is next to one: (H, W) booleans."""
    steps = np.maximum(*map(np.abs, np.gradient(pixels.mean(-1))))
    return (
        np.asarray(Image.fromarray(((steps > EDGE_STEP) * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5))) > 0
    )


def rows_of(name: str, sequence: NestedSequence) -> list[report.Row]:
    """The differences in each view transform, drawn with each backend that there is, as rows of the report."""
    what = f"{name} {sequence.notation} among meshes, viewport against F12"
    try:
        command = window_blender.find()
    except window_blender.NoWindowError as error:
        return [report.not_measured(what, str(error))]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        extension_zip = make.build_zip(Path(sys.prefix), Path(temporary))
        for backend in BACKENDS:
            folder = Path(temporary) / backend
            folder.mkdir()
            # Where the scenario looks for what it calls its torus.
            nsdf.save(sequence, folder / "torus.nsdf")
            try:
                results = window_blender.run(command, "compare_with_final", extension_zip, folder, backend)
            except window_blender.NoWindowError as error:
                rows.append(report.not_measured(f"{what}, {backend}", str(error)))
                continue
            for result in results:
                found = difference(result, folder)
                size = "x".join(str(round(result["frame"][i + 2] - result["frame"][i])) for i in (0, 1))
                told = f"{what}, {backend}, {size}, {result['transform']}: mean difference"
                rows.append(report.at_most(told, found.mean, "of 255", MOST_DIFFERENCE))
                rows.append(report.Row(f"{told}, share of pixels without edges", found.compared))
    return rows


def run(quick: bool = False) -> list[report.Row]:
    """Measure what the presets trained on the bunny."""
    if quick:
        return [report.not_measured("viewport against F12", "a window takes its time")]
    found = subjects.subjects([subjects.BUNNY_PREVIEW])
    return [row for subject in found for row in rows_of(subject.name, subject.sequence)]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/view_transforms.py FILE.nsdf...")
    paths = [Path(argument) for argument in sys.argv[1:]]
    print(report.table([row for path in paths for row in rows_of(path.stem, nsdf.load(path))]))
