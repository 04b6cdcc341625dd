"""Dramatiq: each message is processed in the scope that it was enqueued in.

    from peewee_multidb.background.dramatiq import connect

    connect(broker)

The scope is among the message's options.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

from ..errors import ConfigurationError, ScopeRefused
from ..registry import Databases
from .headers import HEADER, scope_headers
from .jobs import JobOptions

try:
    from dramatiq.middleware import Middleware, MiddlewareError
except ImportError:
    raise ConfigurationError(
        "peewee_multidb.background.dramatiq needs Dramatiq: pip install dramatiq"
    ) from None

__all__ = ["MessageRefused", "ScopeMiddleware", "connect"]


class MessageRefused(ScopeRefused, MiddlewareError):
    """A message whose scope is not to be trusted: it fails, and its actor is not called."""


def connect(
    broker: Any, registry: Databases | None = None, *, max_age: float | None = None, required: bool = True
) -> None:
    """Have the messages of a Dramatiq broker processed in the scope that they are enqueued in.

    Call it in the programs that send and in the worker. Each message is a unit of work with connections of its
    own, which are given back when it is processed. A retry keeps the scope, and the next message of a pipeline
    gets that of the one before.

    Args:
        broker: the broker.
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        max_age: seconds after which a message's scope is refused; None for no limit.
        required: refuse messages that were sent by a program without this, such as an older one; else they run
            outside of every scope.
    """
    middleware = ScopeMiddleware(JobOptions(registry, max_age, required))
    if broker.middleware:
        # Around all the others, the one of pipelines for instance, which enqueues when a message is done.
        broker.add_middleware(middleware, before=type(broker.middleware[0]))
    else:
        broker.add_middleware(middleware)


class ScopeMiddleware(Middleware):
    """What `connect` adds to a broker.

    Args:
        options: what is asked of the scope of a message.
    """

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._here = threading.local()

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Add the scope of this moment to a message that has none yet."""
        if HEADER not in message.options:
            try:
                message.options.update(scope_headers(self._options.registry))
            except ConfigurationError as error:
                # Dramatiq logs any other error and sends the message all the same.
                raise MessageRefused(str(error)) from error

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Enter the scope of the message."""
        stack = ExitStack()
        try:
            stack.enter_context(self._options.entered({HEADER: message.options.get(HEADER)}))
        except (ScopeRefused, ConfigurationError) as error:
            raise MessageRefused(str(error)) from error
        self._here.stack = stack

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        """Leave it, and give back the connections."""
        stack = self._here.__dict__.pop("stack", None)
        if stack is not None:
            stack.close()

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """Leave it; another middleware has decided that the message is not processed."""
        self.after_process_message(broker, message)
