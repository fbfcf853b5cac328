# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's command line with a training of about a second, which ends by its steps, in place of the presets'.

As a program it can be held: `HOLD_AT="0.80 1.90"` in the environment lets it wait before those steps, each
`level.step`, until a test has made the file `go.LEVEL.STEP` in the job folder. That it waits, `held.LEVEL.STEP` says.
What a test looks at then does not depend on how fast either process is.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())

from kernels import __main__ as command_line
from kernels import presets, worker
from kernels.nesting import BandConfig
from kernels.presets import Preset
from kernels.training import LevelTrainer
from kernels.training_config import LevelConfig, LossWeights, SamplingConfig, TrainingConfig

# Few steps, few samples, and rates and weights of its own, which no tuning of the presets changes.
TINY = TrainingConfig(
    levels=(LevelConfig((32, 32), 8.0, 100, 1e6, 0.1, 512), LevelConfig((40, 40), 10.0, 100, 1e6, 0.05, 512)),
    volume_share=0.25,
    vector_rate=1e-2,
    weights=LossWeights(
        surface_distance=300.0, volume_distance=30.0, normal=5.0, surface_eikonal=5.0, volume_eikonal=2.0
    ),
    warm_up_steps=10,
    bands=BandConfig(samples=2000),
)


def replacements(config: TrainingConfig = TINY) -> list[tuple[object, str, Any]]:
    """What to replace so that the preset PREVIEW is the training of `config`: objects, names, values."""
    preview = Preset("Tiny", "For tests", 1e6, presets.PRESETS["PREVIEW"].levels, SamplingConfig(4000, 2000, 1000))
    return [
        (worker, "PRESETS", {**presets.PRESETS, "PREVIEW": preview}),
        (worker, "training_config", lambda preset, traits: config),
    ]


def main() -> int:
    """`train FOLDER ...` as the command line has it, showing and saving every step."""
    folder, holds = Path(sys.argv[2]), os.environ.get("HOLD_AT", "").split()
    take_step = LevelTrainer._take_step

    def take_step_when_told(trainer: LevelTrainer) -> float:
        here = f"{trainer.level}.{trainer.step}"
        if here in holds:
            (folder / f"held.{here}").touch()
            while not (folder / f"go.{here}").exists():
                time.sleep(0.01)
        return take_step(trainer)

    every_step = [(worker, "PROGRESS_INTERVAL", 0.0), (worker, "STATE_INTERVAL", 0.0)]
    for target, name, value in [*replacements(), *every_step, (LevelTrainer, "_take_step", take_step_when_told)]:
        setattr(target, name, value)
    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
