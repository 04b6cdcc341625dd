"""At most so many connections, over all databases of a registry together.

Each connection to a server has a slot for as long as it exists: in use, or idle in its pool. A database that
needs a slot when there is none left takes that of an idle connection, of the database that was used least
recently, and else waits for one, outside of the locks that Peewee and its pools hold while they connect, so
that nobody is kept from giving a connection back meanwhile.

A slot is tied to what keeps the connection alive, the state of a thread or a pool; it comes back with it,
also when a thread ends without a word, when a server was killed, or when a pool is forgotten.
"""

from __future__ import annotations

import functools
import heapq
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import peewee
from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from ..errors import TooManyConnections
from . import connections
from .orphans import close_orphans

__all__ = ["Governor", "Slot", "is_idle"]


#: Seconds after which who waits looks by himself for an idle connection: a pool may have been busy before.
AGAIN = 0.5


class NoneFree(Exception):
    """There is no slot for a new connection right now."""


class Tokens:
    """What there is to take: one token for each connection that may still be opened.

    Everything here may be called by a finalizer, in the middle of anything: SimpleQueue and deque are safe
    for that, and locks are not.
    """

    def __init__(self, limit: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        #: Tokens that are to vanish when they come back, after the limit was lowered.
        self._surplus: deque[None] = deque()
        #: One for each thread or task that waits.
        self.waiting: deque[None] = deque()
        #: What wakes a task that waits.
        self.wakers: deque[Callable[[], object]] = deque()
        self.add(limit)

    def add(self, number: int) -> None:
        """Let so many more be taken, or fewer if the number is negative."""
        for _ in range(number):
            self.give()
        for _ in range(-number):
            if not self.take():
                self._surplus.append(None)

    def take(self, timeout: float = 0) -> bool:
        """Take one, waiting for some seconds if there is none."""
        try:
            self._free.get(timeout > 0, timeout or None)
        except Empty:
            return False
        return True

    def give(self) -> None:
        """Put one back."""
        try:
            self._surplus.pop()
        except IndexError:
            self._free.put(None)
            self.wake()

    def wake(self) -> None:
        """Let one of the tasks that wait look again."""
        try:
            waker = self.wakers.popleft()
        except IndexError:
            return
        waker()


class Slot:
    """The right to one connection to a server of a database.

    Args:
        governor: whose limit it counts towards.
        opened: the connections of the database, one item each.
    """

    __slots__ = ("_epoch", "_governor", "_opened")

    def __init__(self, governor: Governor, opened: deque[None]) -> None:
        self._governor = governor
        self._epoch = governor.epoch
        self._opened: deque[None] | None = opened
        opened.append(None)

    def release(self) -> None:
        """Give it back; once is enough."""
        opened, self._opened = self._opened, None
        # What a forked child inherited is none of its own.
        if opened is not None and self._governor.epoch is self._epoch:
            if opened:
                opened.pop()
            tokens = self._governor.tokens
            if tokens is not None:
                tokens.give()

    __del__ = release


class Governor:
    """The limits of one registry.

    Args:
        limit: the most connections; None for any number.
        wait: seconds to wait for one when all are in use.

    Attributes:
        idle: the databases nothing of which is in use, by their id, the least recently used first.
        spare: the databases whose pool has idle connections, in the same order.
        readmit: called with an evicted database that is used again.
    """

    def __init__(self, limit: int | None, wait: float) -> None:
        self.wait = wait
        self.readmit: Callable[[Any], None] = lambda database: None
        self._known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._limit = limit
        self.start_afresh()

    def start_afresh(self) -> None:
        """Know of no connection: in the beginning, and in a forked child."""
        #: Another object in each process.
        self.epoch = object()
        self.idle: dict[int, Any] = {}
        self.spare: dict[int, Any] = {}
        self.tokens = None if self._limit is None else Tokens(self._limit)
        self.rest = threading.Condition(threading.Lock())
        self.reserved = threading.local()
        for database in self.databases():
            database.governed_open.clear()
            database.governed_slots = {}
            database.governed_held = []
            self.idle[id(database)] = database

    def databases(self) -> list[Any]:
        """Return every Database object that keeps to these limits."""
        return list(self._known.values())

    @property
    def limit(self) -> int | None:
        """The most connections; None for any number."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        before, self._limit = self._limit, limit
        if limit is None:
            self.tokens = None
        elif self.tokens is None or before is None:
            self.tokens = Tokens(limit - self.open)
        else:
            self.tokens.add(limit - before)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return sum(len(database.governed_open) for database in self.databases())

    def govern(self, database: Any, name: str) -> None:
        """See to it that a database keeps to the limits.

        Args:
            database: a Database object; connections that it has count.
            name: what messages call it.
        """
        if getattr(database, "governor", None) is self:
            return
        kind: Any = type(database)
        database.__class__ = _governed(kind)
        database.governor = self
        database.governed_name = name
        database.governed_since = time.time()
        # One item for each connection to the server, and the slots of a pool's by the id of the connection.
        database.governed_open = deque()
        if not getattr(database, "is_shared", False):
            database.governed_slots = {}
            database.governed_held = []
        # Whether it left the registry's live databases, to be made anew on request.
        database.is_evicted = False
        if isinstance(database, PooledDatabase):
            for key in (*(id(item[-1]) for item in database._connections), *database._in_use):
                if key not in database.governed_slots:
                    database.governed_slots[key] = self._forced(database)
        elif not connections.is_async(database) and database._state.conn is not None:
            database._state.slot = self._forced(database)
        self._known[id(database)] = database
        self.rested(database)

    def _forced(self, database: Any) -> Slot:
        if self.tokens is not None:
            self.tokens.add(-1)
        return Slot(self, database.governed_open)

    def take(self, database: Any) -> Slot | None:
        """Return a slot for a new connection: the one that this thread has waited for, if it has."""
        slot: Slot | None = getattr(self.reserved, "slot", None)
        if slot is not None:
            self.reserved.slot = None
            return slot
        return self._new_slot(database)

    def _new_slot(self, database: Any, timeout: float = 0) -> Slot | None:
        if self.tokens is None or self.tokens.take(timeout):
            return Slot(self, database.governed_open)
        return None

    def used(self, database: Any) -> None:
        """Note that a connection of a database is in use."""
        self.idle.pop(id(database), None)
        if database.is_evicted:
            self.readmit(database)

    def rested(self, database: Any) -> None:
        """Note that a connection of a database was given back."""
        key = id(database)
        if has_spare(database):
            self.spare.pop(key, None)
            self.spare[key] = database
            tokens = self.tokens
            if tokens is not None and tokens.waiting:
                self.reclaim()
        if is_idle(database) and not database.is_evicted:
            self.idle.pop(key, None)
            self.idle[key] = database
            with self.rest:
                self.rest.notify()

    def forget(self, database: Any) -> None:
        """Think of a database no more when one to evict or to take a connection from is looked for."""
        self.idle.pop(id(database), None)
        self.spare.pop(id(database), None)

    def reclaim(self) -> bool:
        """Close one idle connection, of the least recently used database that has any."""
        for key, database in list(self.spare.items()):
            if not isinstance(database, PooledDatabase):
                continue
            connection = _take_spare(database)
            if not has_spare(database):
                self.spare.pop(key, None)
            if connection is not None:
                database._close_raw(connection)
                return True
        return False

    def _reclaim_elsewhere(self) -> bool:
        if not any(connections.is_async(database) for database in list(self.spare.values())):
            return False
        from .governing_async import reclaim_elsewhere

        return reclaim_elsewhere(self)

    def connect_when_free(self, database: Any, connect: Callable[[], Any]) -> Any:
        """Wait for a slot, and connect.

        Args:
            database: what is to be connected.
            connect: connects it.

        Raises:
            TooManyConnections: no slot became free in time.
        """
        deadline = time.monotonic() + self.wait
        tokens = self.tokens
        if tokens is None:
            return connect()
        # First say that somebody waits, then look: what is given back after the look knows.
        tokens.waiting.append(None)
        try:
            slot = None
            seen: dict[int, Any] = {}
            while slot is None:
                if self.reclaim() or self._reclaim_elsewhere() or close_orphans(self.databases(), seen):
                    slot = self._new_slot(database)
                remaining = deadline - time.monotonic()
                if slot is None:
                    slot = self._new_slot(database, max(0.0, min(AGAIN, remaining)))
                if remaining <= 0:
                    break
        finally:
            tokens.waiting.pop()
        if slot is None:
            raise self.full(database)
        self.reserved.slot = slot
        try:
            return connect()
        finally:
            # Not taken: the database's own pool had a connection by now, or it was no use.
            if getattr(self.reserved, "slot", None) is not None:
                self.reserved.slot = None
                slot.release()

    def full(self, database: Any) -> TooManyConnections:
        """The error for a database that got no connection."""
        where: dict[str, int] = {}
        for one in self.databases():
            if one.governed_open:
                where[one.governed_name] = where.get(one.governed_name, 0) + len(one.governed_open)
        most = sorted(where.items(), key=lambda item: -item[1])[:10]
        listed = ", ".join(f"{name}: {number}" for name, number in most)
        more = f" and {len(where) - 10} other databases" if len(where) > 10 else ""
        return TooManyConnections(
            f"Database {database.governed_name!r}: all {self._limit} connections (max_open) are in use, and "
            f"none became free in {self.wait:g} s (wait_open). Open now: {listed}{more}. Give connections "
            "back with databases.close() at the end of each request or job, or raise max_open."
        )


def _release(database: Any, connection: Any) -> None:
    slot = database.governed_slots.pop(id(connection), None)
    if slot is None and not isinstance(database, PooledDatabase):
        slot = getattr(database._state, "slot", None)
        database._state.slot = None
    if slot is not None:
        slot.release()


def is_idle(database: Any) -> bool:
    """Whether no thread or task has a connection of a governed database."""
    if isinstance(database, PooledDatabase):
        return not getattr(database, "checked_out", database._in_use)
    if connections.is_async(database):
        return not database.governed_claims and len(database.governed_open) == _idle_of(database._pool)
    return not database.governed_open


def has_spare(database: Any) -> bool:
    """Whether a pool has a connection that nobody uses."""
    if isinstance(database, PooledDatabase):
        return bool(database._connections)
    return connections.is_async(database) and _idle_of(database._pool) > 0


def _idle_of(pool: Any) -> int:
    """How many connections of an asynchronous pool nobody uses."""
    if pool is None:
        return 0
    return int(pool.get_idle_size() if hasattr(pool, "get_idle_size") else pool.freesize)


def _take_spare(database: Any) -> Any:
    """Take the oldest idle connection out of a pool; None if it has none, or is busy connecting."""
    # Whoever connects to a server that is silent holds this lock until it gives up.
    if not database._pool_lock.acquire(blocking=False):
        return None
    try:
        return heapq.heappop(database._connections)[-1] if database._connections else None
    finally:
        database._pool_lock.release()


@functools.cache
def _governed(kind: Any) -> Any:
    """Return a Database class that keeps to the limits of a `Governor`."""
    if hasattr(kind, "aexecute_sql"):
        from .governing_async import governed_async

        return governed_async(kind)
    if not issubclass(kind, PooledDatabase):
        return _waiting(_counted(kind))
    # Between the pool class and what connects: a pool opens connections by the class after it.
    order = kind.__mro__
    return _waiting(kind, _counted(order[order.index(PooledDatabase) + 1]))


# Classes of their own for each kind, with that as their first base: only such a one can become the class of
# an object that there is already.


def _waiting(kind: Any, *below: Any) -> Any:
    """Return a class on top of a Database class: it waits for a slot when there is none.

    Args:
        kind: the class of the objects.
        below: what is put behind the pool class, if it is one.
    """

    class Governed(kind, *below):  # type: ignore[misc]
        def connect(self, reuse_if_open: bool = False) -> Any:
            connect = functools.partial(super().connect, reuse_if_open)
            try:
                done = connect()
            except NoneFree:
                done = self.governor.connect_when_free(self, connect)
            self.governor.used(self)
            return done

        def close(self) -> Any:
            try:
                return super().close()
            finally:
                self.governor.rested(self)

        def begin(self, *args: Any, **kwargs: Any) -> Any:
            if self.is_evicted:
                self.governor.readmit(self)
            if self.is_evicted:
                raise peewee.OperationalError(
                    f"This Database object of {self.governed_name!r} was evicted, and another one serves the "
                    "name now: a transaction here would cover no query of a model. Ask databases[name] again."
                )
            return super().begin(*args, **kwargs)

        def dispose(self) -> Any:
            here: Any = self
            slots = list(here.governed_slots.values())
            here.governed_slots = {}
            for slot in slots:
                slot.release()
            here._state.slot = None
            return super().dispose()

        def _is_closed(self, conn: Any) -> bool:
            # A pool that finds a connection dead lets go of it without closing it.
            closed: bool = super()._is_closed(conn)
            if closed:
                _release(self, conn)
            return closed

    return _named(Governed, kind)


def _counted(kind: Any) -> Any:
    """Return a class on top of one that connects: each connection to the server takes a slot."""

    class Counted(kind):  # type: ignore[misc]
        def _connect(self) -> Any:
            slot = self.governor.take(self)
            if slot is None:
                raise NoneFree
            try:
                connection = super()._connect()
            except BaseException:
                slot.release()
                raise
            if isinstance(self, PooledDatabase):
                self.governed_slots[id(connection)] = slot
            else:
                # With the state of the thread, and so for as long as its connection.
                self._state.slot = slot
            return connection

        def _close(self, conn: Any) -> Any:
            try:
                return super()._close(conn)
            finally:
                _release(self, conn)

    return _named(Counted, kind)


def _named(made: type, kind: type) -> type:
    """Let messages show the name of the class that the user knows."""
    made.__name__, made.__qualname__, made.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return made
