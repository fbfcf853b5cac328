# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the worker: answers as a Python with torch would, and plays a training without training anything.

Called like a Python, with a folder before the usual arguments. The folder holds `sequence.nsdf` and `proxy.npz`, which
are the result of every training, and `behaviour.json`: what happens, by the name of the source:

- "done": a snapshot and two levels, then the end (also for sources that are not named);
- "wait": one snapshot, then nothing until it is ended; a test may go on in its place;
- "doubtful": as "done", and something was assumed about the mesh;
- "deaf": as "wait", and does not listen to requests to end;
- "error": reports an error;
- "die": prints a line and ends;
- "silent": ends without a word;
- "garbage": one snapshot whose files are damaged, then the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> int:
    """Answer a question (`-c`), or play the job whose folder is named after `-m kernels train`."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    if arguments[0] == "-c":
        packages = dict.fromkeys(arguments[2::2], "")
        print(json.dumps({"python": "3.11.0", "packages": packages}))
        return 0
    threading.Thread(target=end_with_parent, daemon=True).start()
    return play(folder, Path(arguments[3]))


def end_with_parent() -> None:
    """End as soon as the process that started this one is gone, as the worker does."""
    while os.read(0, 4096):
        pass
    os._exit(130)


def play(folder: Path, job: Path) -> int:
    """Play one training; returns the exit status."""
    behaviours = json.loads((folder / "behaviour.json").read_text())
    behaviour = behaviours.get(json.loads((job / "request.json").read_text())["source"], "done")
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "error":
        log(job, "error", message="Level 1 did not converge")
        return 1
    if behaviour in ("die", "silent"):
        print("a last word" if behaviour == "die" else "", file=sys.stderr)
        return 1
    if behaviour == "doubtful":
        log(job, "sampled", assumptions=["The faces were turned inside out", "a hole was closed"])
    log(job, "progress", level=0, levels=2, step=1, steps=10, share=0.1, loss=0.5, seconds_left=3.0)
    for name in ("sequence.nsdf", "proxy.npz"):
        shutil.copy(folder / name, job / name)
        if behaviour == "garbage":
            (job / name).write_bytes(b"garbage")
    log(job, "snapshot", level=0, finished=False, proxy=True)
    if behaviour in ("wait", "deaf"):
        time.sleep(600.0)
    log(job, "level", level=0)
    log(job, "snapshot", level=0, finished=True, proxy=True)
    log(job, "level", level=1)
    log(job, "done")
    return 0


def log(job: Path, event: str, **details: object) -> None:
    """Add a line to the job's log."""
    with (job / "log.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"event": event, **details}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
