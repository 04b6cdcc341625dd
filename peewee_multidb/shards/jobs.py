"""What is done on one shard of a scatter: where, on whose connection, and how it is stopped."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import peewee

from .. import drivers
from ..drivers import connections
from ..drivers.cancelling import cancel
from ..errors import MultiDBError, ScatterTimeout, ShardFailed, ShardMoved

__all__ = ["Deadline", "Job", "Options", "Stopped", "failure"]


class Stopped(BaseException):
    """A job was stopped before it did anything; nobody but who stopped it sees this."""


class Options:
    """How a scatter is to be run, and which shards it did without.

    Attributes:
        limit: the most shards that are asked at the same time; None for all.
        timeout: seconds for the whole; None for ever.
        partial: rows of the shards that answer are wanted, even if others fail.
        missing: the database names of those that failed last time, with `partial`.
    """

    __slots__ = ("limit", "missing", "partial", "timeout")

    def __init__(self, limit: int | None = None, timeout: float | None = None, partial: bool = False) -> None:
        self.limit = limit
        self.timeout = timeout
        self.partial = partial
        self.missing: dict[str, BaseException] = {}


class Deadline:
    """The moment at which a scatter has to be over."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds left, at least 0; None for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def missed_by(self, names: list[str]) -> ScatterTimeout:
        """Return the error for shards that have not answered in time."""
        return ScatterTimeout(
            f"No answer from {', '.join(map(repr, names))} within {self.seconds:g} s, and what runs there "
            "was told to stop. Give the query more time with .scatter(timeout=seconds), or take what the "
            "other shards have with .scatter(partial=True).",
            shards=names,
        )


class Job:
    """A piece of work on one shard.

    Args:
        name: the database name of the shard.
        database: its Database object.
        work: called with the job.
    """

    def __init__(self, name: str, database: Any, work: Callable[[Job], Any]) -> None:
        self.name = name
        self.database = database
        self.work = work
        self.used: list[Any] = []
        self._lock = threading.Lock()
        # Set by another thread, perhaps in the middle of everything.
        self._stop = threading.Event()
        self._active: tuple[Any, Any] | None = None
        self._lent: tuple[Any, Any] | None = None

    def lend(self) -> None:
        """Keep the connection of this thread's or task's transaction for whoever does the work."""
        state = self.database._state
        self._lent = (state.conn, state.transactions)

    @property
    def stopped(self) -> bool:
        """Whether nobody wants the result any more."""
        return self._stop.is_set()

    @property
    def is_lent(self) -> bool:
        return self._lent is not None

    def must_stay(self) -> bool:
        """Whether only this thread can do it: a connection of SQLite belongs to the thread that opened it."""
        database = self.database
        if connections.is_async(database) or drivers.traits_of(database).engine != "sqlite":
            return False
        name = database.database
        private = not name or ":memory:" in name or ("mode=memory" in name and "cache=shared" not in name)
        return private or connections.has_transaction(database)

    @contextlib.contextmanager
    def on(self, server: Any) -> Iterator[None]:
        """Mark what is done inside as what has to be cancelled when the job is stopped."""
        connection = server.connection()
        if server not in self.used:
            self.used.append(server)
        with self._lock:
            if self.stopped:
                raise Stopped
            self._active = (server, connection)
        try:
            yield
        except BaseException:
            if not self.is_lent and not connections.has_transaction(server):
                # What a cancelled or broken statement leaves behind is not worth finding out.
                connections.drop(server)
            raise
        finally:
            with self._lock:
                self._active = None
        if self._stop.is_set() and not self.is_lent:
            # What told the server to stop may still arrive, and must not hit the next statement.
            connections.drop(server)

    def stop(self) -> None:
        """Do not begin, or tell the server to stop."""
        with self._lock:
            self._stop.set()
            if self._active is not None and not connections.is_async(self._active[0]):
                cancel(*self._active)

    def run(self) -> Any:
        """Do it, on the lent connection if there is one."""
        with self._lock:
            if self.stopped:
                raise Stopped
        if self._lent is None:
            return self.work(self)
        return _on_lent(self.database, self._lent, lambda: self.work(self))

    def give_back(self) -> None:
        """Return pooled connections; others are kept for the next job of the thread."""
        for server in self.used:
            if not self.is_lent and hasattr(server, "manual_close"):
                connections.give_back(server)


def _on_lent(database: Any, lent: tuple[Any, Any], work: Callable[[], Any]) -> Any:
    state = database._state
    if connections.is_async(database):
        state = state._current()
    before = (state.conn, state.closed, state.transactions)
    (state.conn, state.transactions), state.closed = lent, False
    try:
        return work()
    finally:
        state.conn, state.closed, state.transactions = before


def failure(name: str, error: BaseException) -> BaseException:
    """Return the error to raise for a shard that failed: it names the shard, and is what it was before."""
    if not isinstance(error, Exception) or isinstance(error, ShardMoved):
        return error
    if isinstance(error, MultiDBError) and not isinstance(error, peewee.OperationalError):
        return error
    cause: Any = type(error)
    kind: Any = _failed_as(cause) if isinstance(error, peewee.DatabaseError) else ShardFailed
    found = kind(
        f"Shard {name!r} failed, and the others were told to stop: {type(error).__name__}: {error}. "
        "Rows of the shards that answer come with .scatter(partial=True).",
        shard=name,
    )
    found.__cause__ = error
    return found  # type: ignore[no-any-return]


@functools.cache
def _failed_as(kind: Any) -> type[ShardFailed]:
    if issubclass(ShardFailed, kind):
        return ShardFailed
    # With the arguments of ours, whatever those of the other are.
    body = {"__init__": ShardFailed.__init__, "__module__": ShardFailed.__module__, "__reduce__": _reduce}
    return type("ShardFailed", (ShardFailed, kind), body)


def _reduce(error: ShardFailed) -> Any:
    return _rebuilt, (str(error), error.shard)


def _rebuilt(message: str, shard: str) -> ShardFailed:
    return ShardFailed(message, shard=shard)
