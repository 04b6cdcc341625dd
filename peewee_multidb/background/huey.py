"""Huey: each task runs in the scope that it was enqueued in.

    from peewee_multidb.background.huey import connect

    huey = RedisHuey("shop")
    connect(huey)

A Huey task has nothing but its arguments, so the scope travels as one more, which the function does not get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..registry import Databases
from .headers import HEADER, scope_headers
from .jobs import JobOptions, in_context

__all__ = ["connect"]


def connect(
    huey: Any, registry: Databases | None = None, *, max_age: float | None = None, required: bool = True
) -> None:
    """Have the tasks of a Huey run in the scope that they are enqueued in.

    Call it where the Huey is made, in the programs that send and in the consumer. Each task is a unit of work
    with connections of its own, which are given back when it ends. A retry keeps the scope; what
    follows a task by ``then`` or ``error`` gets the scope of the task. Periodic tasks run outside of every
    scope.

    Args:
        huey: the ``huey.Huey``.
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        max_age: seconds after which a task's scope is refused; None for no limit.
        required: refuse tasks that were sent by a program without this, such as an older one; else they run
            outside of every scope.
    """
    options = JobOptions(registry, max_age, required)
    enqueue = huey.enqueue

    def scoped_enqueue(task: Any) -> Any:
        # The members of groups and chords come here one by one; what a chord ends with does not.
        one = getattr(task, "callback", task)
        if hasattr(one, "on_complete"):
            _carry(one, one.kwargs.get(HEADER) or scope_headers(registry)[HEADER])
        return enqueue(task)

    huey.enqueue = scoped_enqueue

    @huey.pre_execute(name="peewee_multidb")  # type: ignore[untyped-decorator]
    def prepare(task: Any) -> None:
        task.execute = _scoped(task, options, task.execute)


def _carry(task: Any, scope: str) -> None:
    while task is not None:
        task.kwargs.setdefault(HEADER, scope)
        if task.on_error is not None:
            _carry(task.on_error, scope)
        task = task.on_complete


def _scoped(task: Any, options: JobOptions, execute: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        carried = task.kwargs
        scope = {HEADER: carried[HEADER]} if HEADER in carried else {}
        task.kwargs = {name: value for name, value in carried.items() if name != HEADER}
        try:
            return in_context(options, scope, execute)
        finally:
            # A retry is sent with it again.
            task.kwargs = carried

    return run
