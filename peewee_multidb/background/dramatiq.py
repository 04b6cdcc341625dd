"""Dramatiq: each message is processed in the scope that it was enqueued in.

    from peewee_multidb.background.dramatiq import connect

    connect(broker)

The scope is among the message's options. A middleware sees a message off and notes which one a thread is at;
the functions of the actors are wrapped, so that each runs in a context of its own, of which nothing is left.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..errors import ConfigurationError, ScopeRefused
from ..registry import Databases
from .headers import HEADER, scope_headers
from .jobs import JobOptions, in_context

try:
    from dramatiq.middleware import Middleware, MiddlewareError
except ImportError:
    raise ConfigurationError(
        "peewee_multidb.background.dramatiq needs Dramatiq: pip install dramatiq"
    ) from None

__all__ = ["MessageRefused", "ScopeMiddleware", "connect"]


# Whether the function of an actor is running, and not what Dramatiq does before and after it.
_is_inside: ContextVar[bool] = ContextVar("peewee_multidb_inside_actor", default=False)


class MessageRefused(ScopeRefused, MiddlewareError):
    """A message whose scope cannot travel: it is not enqueued."""


def connect(
    broker: Any, registry: Databases | None = None, *, max_age: float | None = None, required: bool = True
) -> None:
    """Have the messages of a Dramatiq broker processed in the scope that they are enqueued in.

    Call it where the broker is made, in the programs that send and in the worker. Each message is a unit
    of work with connections of its own, which are given back when it is processed. A retry keeps the scope,
    and the next message of a pipeline gets that of the one before.

    Args:
        broker: the broker.
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        max_age: seconds after which a message's scope is refused; None for no limit.
        required: refuse messages that were sent by a program without this, such as an older one; else they
            run outside of every scope.
    """
    middleware = ScopeMiddleware(JobOptions(registry, max_age, required))
    if broker.middleware:
        # Around all the others, the one of pipelines for instance, which enqueues when a message is done.
        broker.add_middleware(middleware, before=type(broker.middleware[0]))
    else:
        broker.add_middleware(middleware)
    for actor in broker.actors.values():
        middleware.before_declare_actor(broker, actor)


class ScopeMiddleware(Middleware):
    """What `connect` adds to a broker.

    Args:
        options: what is asked of the scope of a message.
    """

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._here = threading.local()

    def before_declare_actor(self, broker: Any, actor: Any) -> None:
        """Have the function of an actor run in the scope of the message that it is called for."""
        actor.fn = self._scoped(actor.fn)

    def _scoped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def scoped(*args: Any, **kwargs: Any) -> Any:
            headers = self._here.__dict__.get("headers")
            if headers is None or _is_inside.get():
                return function(*args, **kwargs)  # called as a function, here
            return in_context(self._options, headers, functools.partial(_run, function, args, kwargs))

        return scoped

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Add the scope of this moment to a message that has none yet."""
        if HEADER in message.options:
            return
        headers = self._here.__dict__.get("headers")
        if headers and not _is_inside.get():
            message.options.update(headers)
            return
        try:
            message.options.update(scope_headers(self._options.registry))
        except ConfigurationError as error:
            # Dramatiq logs any other error and sends the message all the same.
            raise MessageRefused(str(error)) from error

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Note the scope of the message that this thread is at."""
        self._here.headers = {HEADER: message.options[HEADER]} if HEADER in message.options else {}

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        """Forget it."""
        self._here.__dict__.pop("headers", None)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Forget it: another middleware has decided that the message is not processed."""
        self._here.__dict__.pop("headers", None)


def _run(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    _is_inside.set(True)
    return function(*args, **kwargs)
