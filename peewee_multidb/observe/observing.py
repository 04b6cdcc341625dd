"""`observe`: a function that is called with each query of a registry, from now on until it is closed."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import TracebackType

from ..drivers.watching import Sent, Watch, Writer, attach
from ..entry import Entry
from ..registry import Databases, databases
from ..server import Server
from .events import QueryEvent, event_of

__all__ = ["Observation", "observe"]


class Observation:
    """A function that observes the queries of a registry; made by `observe`.

    A context manager too: leaving the block ends it.
    """

    def __init__(
        self,
        registry: Databases,
        function: Callable[[QueryEvent], object] | None,
        *,
        params: bool = False,
        reasons: bool = False,
        housekeeping: bool = False,
        writer: Callable[[Server], Writer] | None = None,
    ) -> None:
        self._registry = registry
        self._function = function
        self._params = params
        self._reasons = reasons
        self._housekeeping = housekeeping
        self._writer = writer
        self._watched: weakref.WeakSet[Watch] = weakref.WeakSet()
        self._is_closed = False
        # First the hook: what is opened meanwhile is met twice and watched once.
        registry.on_open.append(self._attach)
        for name, entry in list(registry.entries.items()):
            if entry.database is not None:
                registry[name]
                self._attach(entry)

    def close(self) -> None:
        """Observe nothing any more; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._registry.on_open.remove(self._attach)
        for watch in list(self._watched):
            watch.leave(self)

    def _attach(self, entry: Entry) -> None:
        seen = set()
        for server in entry.servers():
            # A mirror has its primary's object, which tells of both.
            if id(server.database) in seen or self._is_closed:
                continue
            seen.add(id(server.database))
            listener = None if self._function is None else functools.partial(self._heard, server)
            writer = None if self._writer is None else self._writer(server)
            watch = attach(server.database, self, listener=listener, writer=writer)
            # Weakly: a database that is closed to make room for another must be free to go.
            self._watched.add(watch)

    def _heard(self, server: Server, sent: Sent) -> None:
        if sent.housekeeping and not self._housekeeping:
            return
        assert self._function is not None
        self._function(event_of(sent, server, params=self._params, reasons=self._reasons))

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def observe(
    function: Callable[[QueryEvent], object],
    *,
    registry: Databases = databases,
    params: bool = False,
    reasons: bool = False,
    housekeeping: bool = False,
) -> Observation:
    """Call a function with each query of a registry that is sent from now on, until it is closed.

    It is called where the query ran, in the same thread or task, when the server has answered; what it raises
    is logged and the query goes on. What it sends itself is not observed. While nobody observes, a query
    costs what it always did.

    Args:
        function: called with a `QueryEvent`.
        registry: whose databases are observed, those that are added later too.
        params: whether events hold the parameters, which are the data of the program.
        reasons: whether events hold the reasons of the route, which costs the decision once more.
        housekeeping: whether the package's own questions count too, such as that for the lag of a replica.

    Returns:
        A handle with ``close()``, and a context manager.
    """
    return Observation(registry, function, params=params, reasons=reasons, housekeeping=housekeeping)
