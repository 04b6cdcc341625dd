"""Celery: each task runs in the scope that it was sent in.

    from peewee_multidb.background.celery import connect

    app = Celery("shop", broker="redis://")
    connect(app)

Not by signals alone: Celery logs what a handler raises and goes on, so that a task which must not be sent
would be sent, and one which must not run would run. The class of the tasks does it.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

from ..errors import ConfigurationError
from ..registry import Databases
from .headers import HEADER, scope_headers
from .jobs import JobOptions, in_context

__all__ = ["connect"]

# Whether the code of a task is running, and not what Celery does before and after it.
_is_inside: ContextVar[bool] = ContextVar("peewee_multidb_inside_celery_task", default=False)


def connect(
    app: Any, registry: Databases | None = None, *, max_age: float | None = None, required: bool = True
) -> None:
    """Have the tasks of a Celery application run in the scope that they are sent in.

    Call it where the application is made, in the programs that send and in the worker, before the first task
    is defined. Each task is a unit of work with connections of its own, which are given back when it ends. A
    retry keeps its scope; what Celery sends when a task is done, the next one of a chain, the body of a chord
    or a callback, gets that task's. In a prefork worker each process opens its own connections. A task that
    is called as a function, or eagerly, stays in the scope of its caller.

    A task with a ``base`` of its own takes part if that derives from ``app.Task``.

    Args:
        app: the ``celery.Celery``.
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        max_age: seconds after which a task's scope is refused; None for no limit.
        required: refuse tasks that were sent by a program without this, such as an older one; else they run
            outside of every scope.

    Raises:
        ConfigurationError: Celery is not installed, or the application has tasks already.
    """
    try:
        from celery import signals  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationError(
            "peewee_multidb.background.celery needs Celery: pip install celery"
        ) from None
    if any(not name.startswith("celery.") for name in app._tasks) or app._pending:
        raise ConfigurationError(f"connect({app!r}): call it before the first task is defined.")
    app.task_cls = _scoped(app.Task, JobOptions(registry, max_age, required), registry)
    # Celery keeps the class that it made of the one before.
    app.__dict__.pop("Task", None)

    def publish(headers: Any = None, **_: Any) -> None:
        # What is sent by name, without a task object: app.send_task(), and beat.
        if headers is not None and HEADER not in headers:
            headers.update(scope_headers(registry))

    signals.before_task_publish.connect(publish, weak=False, dispatch_uid=f"peewee_multidb-{id(app)}")


def _scoped(base: Any, options: JobOptions, registry: Databases | None) -> Any:
    class ScopedTask(base):  # type: ignore[misc]
        """A task that runs where it was sent."""

        abstract = True

        def apply_async(self, args: Any = None, kwargs: Any = None, task_id: Any = None, **rest: Any) -> Any:
            headers = {**(rest.pop("headers", None) or {}), **_to_send(task_id, registry)}
            return super().apply_async(args, kwargs, task_id=task_id, headers=headers, **rest)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            request = self.request
            if request.called_directly or request.is_eager:
                return super().__call__(*args, **kwargs)
            return in_context(options, _carried(request), functools.partial(_run, self.run, args, kwargs))

    return ScopedTask


def _run(function: Any, args: Any, kwargs: Any) -> Any:
    _is_inside.set(True)
    return function(*args, **kwargs)


def _to_send(task_id: Any, registry: Databases | None) -> dict[str, str]:
    """Return the headers for a task: those of the task that is running for its retry and its sequels."""
    from celery import current_task

    if current_task:
        request = current_task.request
        carried = _carried(request)
        if carried and (request.id == task_id or not _is_inside.get()):
            return carried
    return scope_headers(registry)


def _carried(request: Any) -> dict[str, str]:
    found = request.get(HEADER) or (request.get("headers") or {}).get(HEADER)
    return {HEADER: found} if found else {}
