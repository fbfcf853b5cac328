# SPDX-License-Identifier: GPL-3.0-or-later
"""A training session: selected meshes trained one after another, each by a worker, each becoming a neural object.

At most one session runs in a Blender: a `background_work.Work` of the operator Train.

The worker leaves a snapshot of the sequence so far about twice a second, as long as that gets better. The first one
makes the neural object, later ones replace the networks it carries, and those that come with a new proxy its geometry
too. However the training ends, the object stays as it was shown last. Where the artist deletes it, undoes its making or
edits it, it is left alone: it comes back with the next finished level, and beside the edited one at the end.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import bpy
from mathutils import Matrix

from ..kernels import nsdf
from ..kernels.assumptions import sentences
from ..kernels.jobs import JobError, JobFolder, Request
from ..kernels.meshes import TriangleMesh
from . import neural_object
from .background_work import INTERVAL
from .datablocks import object_by_uid, view_layer_of
from .preferences import ADDON
from .worker_process import WorkerError, WorkerProcess

# Folders of stopped jobs that are kept to be resumed; older ones are removed.
KEPT_JOBS = 8


@dataclass
class Source:
    """One mesh to train on.

    Attributes:
        name: of the object.
        uid: its session identifier; a reference would not survive undo.
        matrix: local to world space, for the case that the object is deleted during the training.
        mesh: its triangles, local space; None from the moment its job is written or the session cancelled, for a mesh
            may be large.
    """

    name: str
    uid: int
    matrix: Matrix
    mesh: TriangleMesh | None


class _Snapshot(NamedTuple):
    """What the worker has left in the job's folder and nobody has shown yet."""

    new_proxy: bool
    """There is a new proxy too, not only a new sequence."""
    level_finished: bool
    """It is the end of a level, not the middle of one."""


def jobs_folder() -> Path:
    """The folder of all training jobs, in the user's folder of the extension.

    Raises:
        OSError: it cannot be made.
    """
    return Path(bpy.utils.extension_path_user(ADDON, path="jobs", create=True))


def _job_for(mesh: TriangleMesh, request: Request) -> JobFolder:
    """The folder for a mesh and a request: the same one every time, so that a job that was stopped goes on."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(mesh.vertices)
    digest.update(mesh.faces)
    digest.update(repr((request.preset, request.budget, request.seed)).encode())
    return JobFolder(jobs_folder() / digest.hexdigest())


def _remove_old_jobs() -> None:
    """Keep the folders of the newest stopped jobs."""
    folders = sorted((folder for folder in jobs_folder().iterdir() if folder.is_dir()), key=_last_used, reverse=True)
    for folder in folders[KEPT_JOBS:]:
        shutil.rmtree(folder, ignore_errors=True)


def _last_used(folder: Path) -> float:
    """When a job folder was last changed; the beginning of time for one that another Blender removes meanwhile."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class TrainingSession:
    """The state of one run of Train.

    Args:
        python: as `training_python.find_python` returned it.
        sources: the meshes, in order.
        request: what to ask of the worker; its source is filled in.
        hides_sources: hide each source in the viewports once its neural object stands in the same place: the two would
            show through one another. A source comes back when its training is cancelled or fails.
    """

    def __init__(self, python: str, sources: list[Source], request: Request, hides_sources: bool = False) -> None:
        self.python = python
        self.hides_sources = hides_sources
        self.sources = sources
        self.request = request
        self.problems: list[str] = []
        # What was taken for granted about each mesh, by its name: sentences for the artist.
        self.assumptions: dict[str, list[str]] = {}
        # Names of the neural objects that are finished.
        self.made: list[str] = []
        self.has_changed_scene = False
        self.cancelled = False
        self.progress: dict[str, Any] = {}
        self._index = -1
        self._worker: WorkerProcess | None = None
        self._offset = 0
        self._neural_uid: int | None = None
        # Where sources are hidden, by identifier and name: the artist may look at another scene when they come back.
        self._scene_uid, self._layer_name = bpy.context.scene.session_uid, bpy.context.view_layer.name
        # Of the source that is hidden: whether it was selected before. None while none is.
        self._hidden_was_selected: bool | None = None
        self._waiting: _Snapshot | None = None

    @property
    def running(self) -> bool:
        """Whether there is something left to do."""
        return not self.cancelled and self._index < len(self.sources)

    @property
    def source(self) -> Source:
        """The mesh being trained on."""
        return self.sources[min(max(self._index, 0), len(self.sources) - 1)]

    @property
    def share(self) -> float:
        """How much of the mesh being trained on is done, from 0 to 1, each level counted alike."""
        levels = max(1, int(self.progress.get("levels", 1)))
        return (int(self.progress.get("level", 0)) + float(self.progress.get("share", 0.0))) / levels

    def status(self) -> str:
        """One line for the status bar and the panel."""
        name = self.source.name
        if len(self.sources) > 1:
            name += f" ({self._index + 1}/{len(self.sources)})"
        if not self.progress:
            return f"Training {name}: sampling the mesh"
        values = self.progress
        left = math.ceil(values["seconds_left"])
        return (
            f"Training {name}: level {values['level'] + 1} of {values['levels']}, "
            f"step {values['step']:,} of {values['steps']:,}, loss {values['loss']:.4f}, "
            f"{left // 60}:{left % 60:02d} left"
        )

    def update(self, context: bpy.types.Context) -> bool:
        """Take in what the worker has done since the last call; True when there is something new to show."""
        if not self.running:
            return False
        if self._worker is None:
            self._start_next()
            return True
        # Asked before the log is read: what a worker wrote before it ended is then never missed.
        alive = self._worker.running
        events, self._offset = self._worker.job.events(self._offset)
        for event in events:
            # An event may end the work on this mesh.
            if self._worker is not None:
                self._take_in(context, event)
        if self._worker is not None:
            self._show_snapshot(context)
        if not alive and self._worker is not None:
            self._fail(f"the training process ended unexpectedly: {self._worker.why_it_ended()}")
        return bool(events) or not alive

    def finish(self, context: bpy.types.Context) -> None:
        """Train on all meshes and return."""
        while self.running:
            self.update(context)
            time.sleep(INTERVAL)

    def cancel(self) -> None:
        """End the worker. Neural objects stay as they are shown; the same training, if started again, goes on."""
        if self.running:
            self._show_source()
        self.cancelled = True
        for source in self.sources:
            source.mesh = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _start_next(self) -> None:
        self._index += 1
        if not self.running:
            return
        self.progress = {}
        self._neural_uid = None
        self._waiting = None
        request = Request(**{**vars(self.request), "source": self.source.name})
        mesh, self.source.mesh = self.source.mesh, None
        try:
            _remove_old_jobs()
            job = _job_for(mesh, request)
            job.create(request, mesh)
            _, self._offset = job.events()
            self._worker = WorkerProcess(self.python, job)
        except OSError as error:
            self.problems.append(f"{self.source.name}: the training job could not be written: {error}")
        except WorkerError as error:
            self.problems.append(f"{self.source.name}: {error}")

    def _fail(self, message: str) -> None:
        """Note what went wrong with this mesh and go on with the next one."""
        self.problems.append(f"{self.source.name}: {message}")
        self._show_source()
        self._worker.stop()
        self._worker = None

    def _hide_source(self, obj: bpy.types.Object) -> None:
        """Hide the source where the training began, unless the artist works on it or has hidden it already."""
        layer = view_layer_of(self._scene_uid, self._layer_name)
        if self.hides_sources and layer and obj.visible_get(view_layer=layer) and obj.mode == "OBJECT":
            self._hidden_was_selected = obj.select_get(view_layer=layer)
            obj.hide_set(True, view_layer=layer)

    def _show_source(self) -> None:
        """Take `_hide_source` back, as far as the artist has not done so."""
        was_selected, self._hidden_was_selected = self._hidden_was_selected, None
        if was_selected is None:
            return
        obj = object_by_uid(self.source.uid)
        layer = view_layer_of(self._scene_uid, self._layer_name)
        if obj is not None and layer is not None and obj.name in layer.objects:
            obj.hide_set(False, view_layer=layer)
            obj.select_set(was_selected, view_layer=layer)

    def _take_in(self, context: bpy.types.Context, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self.progress = event
        elif kind == "sampled":
            self.assumptions[self.source.name] = sentences(event.get("assumptions"))
        elif kind == "snapshot":
            # Shown when all events are read: of several, only the last one still lies in the folder.
            before = self._waiting or _Snapshot(new_proxy=False, level_finished=False)
            self._waiting = _Snapshot(
                before.new_proxy or bool(event.get("proxy")), before.level_finished or bool(event.get("finished"))
            )
        elif kind == "error":
            self._fail(str(event.get("message", "unknown error")))
        elif kind == "done":
            self._finish(context)

    def _show_snapshot(self, context: bpy.types.Context) -> None:
        """Show the sequence so far, unless the artist has removed the neural object or is editing it."""
        waiting = self._waiting
        if waiting is None:
            return
        is_made = self._neural_uid is not None
        if is_made and self._neural_object() is None and (self._is_edited() or not waiting.level_finished):
            return
        if self._show(context, waiting.new_proxy):
            self._waiting = None

    def _show(self, context: bpy.types.Context, new_proxy: bool) -> bool:
        """Make the neural object carry and show what lies in the job's folder; False when that failed."""
        job = self._worker.job
        obj = self._neural_object()
        try:
            data = nsdf.read_bytes(job.sequence_path)
            sequence = nsdf.loads(data)
            proxy = job.proxy() if new_proxy or obj is None else None
        except (OSError, nsdf.NsdfError, JobError) as error:
            self._fail(f"the result cannot be read: {error}")
            return False
        self.has_changed_scene = True
        if obj is not None:
            if proxy is None:
                neural_object.write_sequence(obj.data, data)
            else:
                neural_object.update_proxy(obj, sequence, data, quad_mesh=proxy)
            return True
        source = object_by_uid(self.source.uid)
        obj = neural_object.create(context, sequence, f"{self.source.name} Neural", source, data, quad_mesh=proxy)
        if source is None:
            obj.matrix_world = self.source.matrix
        else:
            self._hide_source(source)
        self._neural_uid = obj.session_uid
        return True

    def _neural_object(self) -> bpy.types.Object | None:
        """The object made for this mesh so far, unless the artist has removed it or is editing it."""
        obj = object_by_uid(self._neural_uid) if self._neural_uid is not None else None
        is_there = neural_object.is_neural(obj) and obj.users_collection
        return obj if is_there and not neural_object.is_being_edited(obj) else None

    def _is_edited(self) -> bool:
        """Whether the artist is editing, sculpting or painting the object made for this mesh."""
        obj = object_by_uid(self._neural_uid)
        return obj is not None and neural_object.is_being_edited(obj)

    def _finish(self, context: bpy.types.Context) -> None:
        if not self._show(context, new_proxy=True):
            return
        self._worker.stop()
        shutil.rmtree(self._worker.job.path, ignore_errors=True)
        self._worker = None
        obj = object_by_uid(self._neural_uid)
        # An artist who edits or sculpts something else meanwhile is not torn away from it.
        if context.mode == "OBJECT":
            neural_object.select_only(context, obj)
        self.made.append(obj.name)
        self._hidden_was_selected = None


# The session that runs in this Blender, or the last one that did.
_session: TrainingSession | None = None


def current() -> TrainingSession | None:
    """The session that is running, or None."""
    return _session if _session is not None and _session.running else None


def begin(session: TrainingSession) -> TrainingSession:
    """Make `session` the running one. There must be no other."""
    global _session
    assert current() is None
    _session = session
    return session
