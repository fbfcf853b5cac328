# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that compute something from the active neural object, in a thread where there is a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from ..kernels import nsdf
from ..kernels.cancelling import Cancelled
from ..kernels.sequence import NestedSequence
from . import background_work, neural_object
from .computation import Computation, IsCancelled, Progress
from .datablocks import object_by_uid
from .reporting import cancel


class OperatorError(Exception):
    """The operator cannot do its work. The message says why, in words for the artist."""


class ComputingOperator(background_work.BackgroundOperator):
    """A mixin for such operators: they prepare what is to be computed, and take its result in.

    What they work on is found again afterwards by its session identifier: the artist may have undone something.
    """

    def prepare(
        self, context: bpy.types.Context, source: bpy.types.Object, sequence: NestedSequence
    ) -> tuple[str, Callable[[Progress, IsCancelled], Any]]:
        """What is to be computed from the active object and the sequence that it carries.

        Returns:
            The arguments of `Computation`.

        Raises:
            OperatorError: it cannot be computed.
        """
        raise NotImplementedError

    def take_in(self, context: bpy.types.Context, source: bpy.types.Object, result: Any) -> set[str]:
        """Put a result into the scene, and say so.

        Returns:
            What an operator's `execute` returns.

        Raises:
            OperatorError: it has no place there any more.
        """
        raise NotImplementedError

    def begin(self, context: bpy.types.Context, in_background: bool) -> Computation | None:
        """See `BackgroundOperator.begin`."""
        source = context.active_object
        busy = background_work.running(Computation) if in_background else None
        try:
            if busy is not None:
                raise OperatorError(f"{busy.status()}: wait for it, or press Esc to cancel it")
            if not neural_object.is_neural(source):
                raise OperatorError("Make a neural object the active one")
            if context.mode != "OBJECT":
                raise OperatorError("Return to object mode first")
            sequence = neural_object.read_sequence(source.data)
            self._name, self._uid = source.name, source.session_uid
            self._bytes = neural_object.read_bytes(source.data)
            return Computation(*self.prepare(context, source, sequence))
        except (OperatorError, nsdf.NsdfError) as error:
            cancel(self, str(error))
            return None

    def conclude(self, context: bpy.types.Context, work: Computation) -> set[str]:
        """See `BackgroundOperator.conclude`."""
        try:
            result = work.result()
            source = object_by_uid(self._uid)
            if not (neural_object.is_neural(source) and source.users_collection):
                raise OperatorError(f"{self._name} was deleted meanwhile")
            return self.take_in(context, source, result)
        except Cancelled:
            self.report({"WARNING"}, f"{self.bl_label}: cancelled")
            return {"CANCELLED"}
        except OperatorError as error:
            return cancel(self, str(error))
        except ValueError as error:
            return cancel(self, f"{self._name}: {error}")
        except MemoryError:
            return cancel(self, f"{self._name}: there is not enough memory for this")

    def check_editable(self, source: bpy.types.Object) -> None:
        """Can the networks of `source` be replaced?

        Raises:
            OperatorError: no, its mesh is linked from another file. Blender would lose them, or crash.
        """
        if not source.data.is_editable:
            raise OperatorError(f"{source.name} is linked from a library and cannot be changed; make it local first")

    def check_unchanged(self, source: bpy.types.Object) -> None:
        """Have the networks of `source` been left alone since the operator read them?

        Raises:
            OperatorError: no, so what was computed from them must not replace them.
        """
        if neural_object.read_bytes(source.data) != self._bytes:
            raise OperatorError(f"The networks of {source.name} were changed meanwhile, so they are left as they are")
