# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: runs the training job in a folder, from wherever an earlier run of it was stopped."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from . import blas, nsdf
from .cores import available_cores, thread_count
from .extraction import MAX_RESOLUTION, QuadMesh, box_proxy, extract
from .files import read_arrays, write_arrays
from .jobs import JobFolder, Request
from .meshes import TriangleMesh, clean, in_network_space, network_space
from .nesting import bounded_bands, estimate_bands, nesting_violations
from .networks import Network
from .presets import PRESETS, Preset, training_config
from .sampling import Samples, sample
from .sequence import Band, NestedSequence
from .snapshots import LevelSnapshots, Snapshot, mean_offset, with_snapshot
from .training import LevelTrainer, Progress, TrainingError
from .training_config import with_budget
from .training_set import TrainingSet

# Seconds between two lines of progress, each with a snapshot of the sequence so far where there is a better one, and
# between two states from which the job can resume.
PROGRESS_INTERVAL = 0.5
STATE_INTERVAL = 3.0
# Seconds of a preset's time for starting this process before, and for the last proxy after training.
RESERVED_SECONDS = 5.0
# More of them where all of a mesh became sheets, whose last proxy takes a finer grid.
SHEET_SECONDS = 5.0
# Samples with which the bands of finished levels are estimated while others are still to come.
_PREVIEW_BAND_SAMPLES = 4_000
# Quads of the proxy of a level in training, which takes a tenth of a second to make.
_PREVIEW_PROXY_FACES = 3_000
# Before the last level is done, the surface may be in pieces that finer cells would not join.
_PREVIEW_RESOLUTION = 128
# Network units that the surface may have moved away from its proxy in the mean before it gets a new one.
_PROXY_TOLERANCE = 0.01


def requested_preset(request: Request) -> Preset:
    """The preset that a request asks for.

    Raises:
        TrainingError: there is no such preset, or the budget or the seed is none.
    """
    if request.preset not in PRESETS:
        raise TrainingError(f"Unknown preset {request.preset!r}: choose one of {', '.join(PRESETS)}")
    if not 0.0 < request.budget < math.inf:
        raise TrainingError("The budget must be a number greater than zero")
    if request.seed < 0:
        raise TrainingError("The seed must not be negative")
    return PRESETS[request.preset]


def compute_device(requested: str) -> torch.device:
    """The device to train on.

    Raises:
        TrainingError: torch knows no such device here.
    """
    if requested == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=requested).device
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"The device {requested!r} cannot be used: {error}") from error


class Worker:
    """One run of one job.

    Args:
        job: the folder, locked by the caller.
        threads: CPU threads to use; 0 for as many as the request says.
    """

    def __init__(self, job: JobFolder, threads: int = 0) -> None:
        self.job = job
        self.request = job.request()
        self.threads = thread_count(threads or self.request.threads or available_cores())
        self.preset = requested_preset(self.request)
        self.started = time.monotonic()
        # Levels that are finished, with the record of each.
        self.networks: list[Network] = []
        self.records: list[dict[str, Any]] = []
        self.center, self.radius = (0.0, 0.0, 0.0), 1.0
        # Vertices of the proxy that lies in the folder, in local space.
        self.proxy_vertices: np.ndarray | None = None

    def run(self) -> NestedSequence:
        """Train all levels and leave the sequence in the folder.

        Raises:
            MeshError: the mesh cannot be trained on.
            TrainingError: a level did not converge.
            JobError: the folder is not a job.
            OSError: the folder cannot be written.
        """
        # Minibatches are cut into pieces, one a thread: torch must not cut the pieces again.
        torch.set_num_threads(1)
        self.device = compute_device(self.request.device)
        self.job.log("started", preset=self.request.preset, device=str(self.device), threads=self.threads)
        with blas.limited_threads(self.threads):
            return self._run()

    def _run(self) -> NestedSequence:
        mesh = clean(self.job.mesh())
        self.center, self.radius = network_space(mesh)
        self.samples = self._samples(mesh)
        self._say_what_was_sampled(mesh)
        config = with_budget(training_config(self.preset, self.samples.traits), self.request.budget)
        self.config = replace(config, seed=self.request.seed, threads=self.threads)
        # What the levels were meant to take, where `config` says what they are given.
        self.planned = self.config.levels
        self.training_set = TrainingSet(self.samples, self.config, self.device)
        state = self._restored_state()
        for network in self.networks:
            self._add_to_base(network)
        for level in range(len(self.networks), len(self.config.levels)):
            self._train_level(level, state)
            state = {}
        sequence = self._finished_sequence()
        proxy = self._extract(sequence, self.request.proxy_faces)
        if proxy is None:
            sequence = self._without_surface(sequence)
        nsdf.save(sequence, self.job.sequence_path)
        if proxy is not None:
            self.job.write_proxy(proxy)
        elif not self.job.proxy_path.exists():
            self.job.write_proxy(box_proxy(sequence))
        self.job.log("done", wall_seconds=round(time.monotonic() - self.started, 2), **sequence.training)
        return sequence

    def _samples(self, mesh: TriangleMesh) -> Samples:
        """The samples of an earlier run, or new ones, kept for a later run."""
        if self.job.samples_path.exists():
            try:
                return Samples.from_arrays(read_arrays(self.job.samples_path))
            except (OSError, ValueError, EOFError):
                self.job.log("note", message="The samples of an earlier run are damaged and are made again")
        samples = sample(in_network_space(mesh), replace(self.preset.sampling, seed=self.request.seed))
        write_arrays(self.job.samples_path, samples.arrays())
        return samples

    def _say_what_was_sampled(self, mesh: TriangleMesh) -> None:
        samples = self.samples
        self.job.log(
            "sampled",
            seconds=round(time.monotonic() - self.started, 2),
            triangles=len(mesh.faces),
            components=samples.components,
            sheet_share=samples.sheet_share,
            assumptions=list(samples.assumptions),
        )

    def _restored_state(self) -> dict[str, np.ndarray]:
        """Take up the finished levels of an earlier run; what is left is the state of the level it was at."""
        if not self.job.state_path.exists():
            return {}
        try:
            state = read_arrays(self.job.state_path)
            if "finished" in state:
                finished = nsdf.loads(state.pop("finished").tobytes())
                records = finished.training["levels"]
                is_ours = finished.kind == self.config.kind and len(finished.networks) <= len(self.config.levels)
                if not is_ours or not isinstance(records, list) or len(records) != len(finished.networks):
                    raise ValueError("its levels are not those of this training")
                self.records = list(records)
                self.networks = list(finished.networks)
        except (OSError, ValueError, EOFError, KeyError):
            self.job.log("note", message="The state of an earlier run is damaged; training starts again")
            return {}
        self.job.log("resumed", level=len(self.networks), step=int(state.get("step", 0)))
        return state

    def _add_to_base(self, network: Network) -> None:
        """Let the next level be a residual of the finished ones, `network` the last of them, where it is to be one."""
        if self.config.kind == "residual":
            self.training_set.add_level(network)

    def _give_time(self, level: int) -> None:
        """Share what is left of the preset's time among a level and those after it.

        Whatever took longer than planned before is made up for; a level never gets less than a third of its time.
        """
        planned = self.planned[level:]
        reserved = RESERVED_SECONDS + SHEET_SECONDS * self.samples.sheet_share
        left = self.preset.seconds * self.request.budget - reserved - (time.monotonic() - self.started)
        factor = max(1.0 / 3.0, left / sum(later.seconds for later in planned))
        given = tuple(replace(later, seconds=later.seconds * factor) for later in planned)
        self.config = replace(self.config, levels=(*self.config.levels[:level], *given))

    def _trainer(self, level: int, state: dict[str, np.ndarray]) -> LevelTrainer:
        """The trainer of a level, going on from `state` where there is one."""
        self._give_time(level)
        trainer = LevelTrainer(self.config, level, self.training_set)
        if state:
            try:
                trainer.restore(state)
            except (KeyError, ValueError, TypeError, RuntimeError):
                self.job.log("note", message=f"The state of level {level + 1} is damaged; the level starts again")
                return LevelTrainer(self.config, level, self.training_set)
        return trainer

    def _train_level(self, level: int, state: dict[str, np.ndarray]) -> None:
        finished = self._show_finished()
        trainer = self._trainer(level, state)
        snapshots = LevelSnapshots(trainer, self.networks[-1] if self.networks else None)
        reported = saved = time.monotonic()
        restarts = trainer.restarts
        for progress in trainer.run():
            now = time.monotonic()
            if trainer.restarts != restarts:
                restarts = trainer.restarts
                self.job.log("restarted", level=level, omega=trainer.omega)
            if now - reported >= PROGRESS_INTERVAL:
                reported = now
                self._show_snapshot(finished, snapshots.take())
                self._log_progress(level, progress)
            if now - saved >= STATE_INTERVAL:
                self._save_state(trainer)
                saved = time.monotonic()
        assert trainer.best is not None
        assert trainer.best_errors is not None
        self.networks.append(trainer.best)
        self.records.append(
            {
                "name": trainer.best.name,
                "omega": trainer.omega,
                "seconds": round(trainer.seconds, 2),
                "steps": trainer.step,
                "restarts": trainer.restarts,
                **asdict(trainer.best_errors),
            }
        )
        self._save_state(None)
        self.job.log("level", level=level, **self.records[-1])
        if level + 1 < len(self.config.levels):
            self._add_to_base(trainer.best)

    def _show_finished(self) -> NestedSequence | None:
        """Leave the finished levels in the folder, for whoever watches; returns them, None where there are none."""
        if not self.networks:
            return None
        sequence = self._with_bands(self._record(), _PREVIEW_BAND_SAMPLES)
        proxy = self._extract(sequence, self.request.proxy_faces, _PREVIEW_RESOLUTION)
        # Without a surface there is nothing to see, and a later level may have one.
        if proxy is not None:
            self._show(sequence, proxy, finished=True)
        return sequence

    def _show_snapshot(self, finished: NestedSequence | None, snapshot: Snapshot | None) -> None:
        """Leave the finished levels and the one in training in the folder, where they are better with it."""
        if snapshot is None:
            return
        sequence = with_snapshot(finished, snapshot, self.config.bands, self.config.kind)
        sequence = replace(sequence, center=self.center, radius=self.radius, training=self._record())
        proxy = None
        # Later levels are shown only when they are better than the one before, whose proxy is then near enough.
        if self.proxy_vertices is None or (finished is None and not self._proxy_is_near(sequence)):
            faces = min(self.request.proxy_faces, _PREVIEW_PROXY_FACES)
            proxy = self._extract(sequence, faces, _PREVIEW_RESOLUTION)
            if proxy is None:
                # So early in a training there may be no surface yet.
                return
        self._show(sequence, proxy, finished=False, **asdict(snapshot.errors))

    def _proxy_is_near(self, sequence: NestedSequence) -> bool:
        """Whether the proxy in the folder lies about where the surface is by now."""
        assert self.proxy_vertices is not None
        return mean_offset(sequence, self.proxy_vertices) <= _PROXY_TOLERANCE

    def _show(self, sequence: NestedSequence, proxy: QuadMesh | None, finished: bool, **details: float) -> None:
        """Replace the sequence so far and, where there is a new one, its proxy; then say so."""
        nsdf.save(sequence, self.job.sequence_path)
        if proxy is not None:
            self.job.write_proxy(proxy)
            self.proxy_vertices = proxy.vertices
        level = len(sequence.networks) - 1
        self.job.log("snapshot", level=level, finished=finished, proxy=proxy is not None, **details)

    def _log_progress(self, level: int, progress: Progress) -> None:
        levels = self.config.levels
        # What the schedule still allows; at the pace so far it may be done with its steps sooner.
        this = progress.seconds * (1.0 / max(progress.share, 1e-3) - 1.0)
        pace = min(1.0, (progress.seconds + this) / levels[level].seconds)
        later = sum(other.seconds * pace for other in levels[level + 1 :])
        self.job.log(
            "progress",
            level=level,
            levels=len(levels),
            step=progress.step,
            steps=max(progress.step, round(progress.step / max(progress.share, 1e-3))),
            share=round(progress.share, 4),
            loss=float(f"{progress.loss:.6g}"),
            seconds_left=round(this + later, 1),
        )

    def _save_state(self, trainer: LevelTrainer | None) -> None:
        """Keep what an interrupted job resumes from: finished levels, and the state of the one in training."""
        state = trainer.state() if trainer is not None else {}
        if self.networks:
            finished = nsdf.dumps(self._sequence(self.networks, self._record()))
            state["finished"] = np.frombuffer(finished, dtype=np.uint8)
        write_arrays(self.job.state_path, state)

    def _extract(self, sequence: NestedSequence, faces: int, max_resolution: int = MAX_RESOLUTION) -> QuadMesh | None:
        """The proxy of a sequence; None where no surface is found."""
        try:
            return extract(sequence, target_faces=faces, max_resolution=max_resolution)
        except ValueError:
            return None

    def _without_surface(self, sequence: NestedSequence) -> NestedSequence:
        """`sequence` with a word to the artist about why its proxy is not its surface."""
        sentence = "No surface was found on any grid: the proxy is an earlier one or a box"
        self.job.log("note", message=sentence)
        assumptions = [*sequence.training["assumptions"], sentence]
        return replace(sequence, training={**sequence.training, "assumptions": assumptions})

    def _sequence(self, networks: list[Network], training: dict[str, Any]) -> NestedSequence:
        bands = (Band(self.config.bands.narrowest, "given"),) * (len(networks) - 1)
        return NestedSequence(tuple(networks), bands, self.center, self.radius, self.config.kind, training=training)

    def _with_bands(self, training: dict[str, Any], samples: int) -> NestedSequence:
        """The finished levels with their bands: certified where their weights say so, from `samples` elsewhere."""
        sequence = self._sequence(self.networks, training)
        config = replace(self.config.bands, samples=samples)
        return bounded_bands(sequence, config) or estimate_bands(sequence, config, self.config.seed)

    def _record(self) -> dict[str, Any]:
        """Provenance of the sequence so far."""
        return {
            "source": self.request.source,
            "preset": self.request.preset,
            "seed": self.request.seed,
            "device": str(self.device),
            "components": self.samples.components,
            "sheet_share": self.samples.sheet_share,
            "noise": self.samples.traits.noise,
            "assumptions": list(self.samples.assumptions),
            "levels": list(self.records),
        }

    def _finished_sequence(self) -> NestedSequence:
        sequence = self._with_bands({}, self.config.bands.samples)
        finest = self.records[-1]
        training = {
            **self._record(),
            "normal_error_degrees": finest["normal_degrees"],
            "normal_error_rms_degrees": finest["normal_rms_degrees"],
            "surface_distance": finest["surface_distance"],
            "seconds": round(sum(record["seconds"] for record in self.records), 2),
        }
        if any(band.evidence == "sampled" for band in sequence.bands):
            training["nesting_violations"] = nesting_violations(sequence, seed=self.config.seed + 1)
        return replace(sequence, training=training)
