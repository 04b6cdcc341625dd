"""Whose connection it is: a thread's own, or that of a piece of work, such as a request.

Peewee keeps one connection a thread and database, for as long as the thread lives. A server hands request
after request to the same threads, and one request to several of them, so inside of a piece of work a thread
finds connections that belong to that work alone, and that are given back when it ends:

* what the thread or task that began it has opened, by `Borrowed.end` or `Borrowed.aend`;
* what another thread has opened, to which the context was copied (``asyncio.to_thread``, the thread pool of
  Starlette), when that copy is dropped, which is when the function returned that ran in it. Nothing else
  tells: the thread may go on when the request is over.

A connection that the thread itself had open before is used as it is and stays open, so that a test can wrap a
request in its transaction. An event loop's thread serves many requests at once, so there only a transaction
that is open, and a database in private memory, which no other connection sees, are shared.

Connections of asynchronous databases belong to tasks already; of those, only what to give back is noted here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections import deque
from contextvars import ContextVar
from typing import Any

import peewee

__all__ = ["Borrowed", "Held", "ThreadState", "current", "disown", "forget", "held", "own", "switch", "watch_tasks"]

logger = logging.getLogger("peewee_multidb")


class Held:
    """A connection on hold: found by a weak reference, which connections do not all allow."""

    __slots__ = ("__weakref__", "connection", "state", "transactions")

    def __init__(self, connection: Any, state: Any, transactions: list[Any]) -> None:
        self.connection = connection
        #: Which Database's state it belongs to; the state itself is another one in each thread.
        self.state = id(state)
        #: The open transactions of whoever holds it.
        self.transactions = transactions


#: Every connection on hold, of any thread and any work, by the id of its `Held`.
held: weakref.WeakValueDictionary[int, Held] = weakref.WeakValueDictionary()

# Whose state it is, by the id of the state; and whose states tell nothing.
_owners: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_untold: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

# What was dropped where a lock was taken, for whoever comes next.
_dropped: deque[dict[int, tuple[Any, dict[str, Any]]]] = deque()

# Strong references: an event loop holds its tasks weakly.
_returning: set[asyncio.Task[None]] = set()


def _afresh() -> dict[str, Any]:
    """What Peewee's ``_ConnectionState`` keeps, as it is before there is a connection."""
    return {"closed": True, "conn": None, "ctx": [], "transactions": [], "commit_callbacks": [], "held": None}


class _Here(threading.local):
    """What this thread has connected for itself: the ids of the states of its Database objects.

    Not the states themselves: a connection of another thread ends with the last reference to its state.
    """

    def __init__(self) -> None:
        self.states: set[int] = set()


_here = _Here()


class Borrowed:
    """The connections of one piece of work, in one thread.

    Attributes:
        thread: the thread that they are of; None when the work is over.
        outer: the work that was under way in this context before.
    """

    __slots__ = ("_kept", "_process", "_states", "_task", "_tasks", "outer", "thread")

    def __init__(self, outer: Borrowed | None = None) -> None:
        self.thread: int | None = threading.get_ident()
        self.outer = outer
        self._process = os.getpid()
        # By the id of the state: its Database object, and what the state keeps for this work.
        self._states: dict[int, tuple[Any, dict[str, Any]]] = {}
        # What is shared with the thread, and how deep its transactions were.
        self._kept: list[tuple[Any, dict[str, Any], int]] = []
        is_async = asyncio._get_running_loop() is not None
        self._task: Any = asyncio.current_task() if is_async else None
        self._tasks: dict[int, tuple[Any, Any]] = {}

    @classmethod
    def begin(cls) -> Borrowed:
        """Begin a piece of work in this context; `end` or `aend` has to follow in this context."""
        if _kind is not ThreadState:
            _watch_work()
        if _dropped:
            _give_back_dropped()
        work = cls(current())
        _current.set(work)
        return work

    def of(self, state: ThreadState) -> dict[str, Any]:
        """Return what the state of a database keeps for this work."""
        if self.thread != threading.get_ident():
            # A copy of the context in another thread, or a task that outlived the request.
            work = Borrowed()
            _current.set(work)
            return work.of(state)
        found = self._states.get(id(state))
        return self._found(state) if found is None else found[1]

    def _found(self, state: ThreadState) -> dict[str, Any]:
        database = _owners[id(state)]
        around = self._around(state)
        if self._is_shared(database, around):
            self._kept.append((database, around, len(around["transactions"])))
            keeps = around
        else:
            keeps = _afresh()
        self._states[id(state)] = (database, keeps)
        return keeps

    def _around(self, state: ThreadState) -> dict[str, Any]:
        outer = self.outer
        if outer is not None and outer.thread == self.thread:
            return outer.of(state)
        return state.__dict__

    @staticmethod
    def _is_shared(database: Any, around: dict[str, Any]) -> bool:
        if around["closed"]:
            return False
        if around["transactions"] or asyncio._get_running_loop() is None:
            return True
        name = getattr(database, "database", None)
        return name in ("", ":memory:")

    def opened(self) -> list[Any]:
        """Return the databases that this work has a connection of."""
        return [database for database, keeps in self._states.values() if not keeps["closed"]]

    def note_task(self, database: Any, state: Any) -> None:
        """Note that a task has opened a connection of an asynchronous database.

        Args:
            database: the Database object.
            state: what `playhouse.pwasyncio` keeps for the task.
        """
        if state._task is self._task:
            self._tasks[id(database)] = (database, state)

    def end(self) -> None:
        """End the work: give back what it opened in this thread, and roll back what it left open."""
        if self.thread is None:
            return
        _leave(self)
        self.thread = None
        states, self._states = self._states, {}
        shared = {id(keeps) for _, keeps, _ in self._kept}
        if self._process != os.getpid():
            return
        self._roll_back_kept()
        for database, keeps in states.values():
            if id(keeps) not in shared:
                _give_back(database, keeps)

    def _roll_back_kept(self) -> None:
        kept, self._kept = self._kept, []
        for database, keeps, depth in kept:
            if not depth and keeps["transactions"]:
                _roll_back(database, keeps)

    async def aend(self) -> None:
        """End the work as `end` does, and give back what this task opened of asynchronous databases.

        They are given back in tasks of their own, so that a cancellation cannot come in between.
        """
        returning = [
            returned
            for database, state in self._tasks.values()
            if (returned := _return_later(database, state)) is not None
        ]
        self._tasks.clear()
        self.end()
        for task in returning:
            await asyncio.shield(task)

    def __del__(self) -> None:
        shared = {id(keeps) for _, keeps, _ in self._kept}
        if self.thread == threading.get_ident():
            self._roll_back_kept()
        states = {
            key: one for key, one in self._states.items() if not one[1]["closed"] and id(one[1]) not in shared
        }
        if not states or self._process != os.getpid():
            return
        if any(_is_locked(database) for database, _ in states.values()):
            # The collector of garbage may be at work in the middle of anything.
            _dropped.append(states)
            return
        for database, keeps in states.values():
            _give_back(database, keeps)


_current: ContextVar[Borrowed | None] = ContextVar("peewee_multidb_borrowed", default=None)

#: Return the piece of work that this context is in, or None.
current = _current.get

#: Make a piece of work the current one, without regard to the one before.
switch = _current.set


def _leave(work: Borrowed) -> None:
    if _current.get() is work:
        _current.set(work.outer)


def _is_locked(database: Any) -> bool:
    """Whether a lock of the Database object is taken, perhaps by this very thread."""
    if getattr(getattr(database, "_pool_lock", None), "_is_owned", bool)():
        return True
    if not database._lock.acquire(blocking=False):
        return True
    database._lock.release()
    return False


def _give_back_dropped() -> None:
    while True:
        try:
            states = _dropped.popleft()
        except IndexError:
            return
        for database, keeps in states.values():
            _give_back(database, keeps)


def _give_back(database: Any, keeps: dict[str, Any]) -> None:
    """Close a connection or return it to its pool, from any thread; what it says to that is logged."""
    if keeps["closed"]:
        return
    if keeps["transactions"]:
        _roll_back(database, keeps)
    conn = keeps["conn"]
    keeps.update(_afresh())
    try:
        with database._lock:
            database._close(conn)
    except Exception:
        # A dead connection, or one of SQLite that only its own thread may close: it is closed when the
        # last reference goes, which is here.
        logger.debug("giving back a connection failed", exc_info=True)


def _roll_back(database: Any, keeps: dict[str, Any]) -> None:
    """Undo a transaction that nobody ended; commit nothing."""
    _warn(database)
    keeps["transactions"].clear()
    keeps["commit_callbacks"].clear()
    with contextlib.suppress(Exception):  # a connection that is gone has nothing to undo
        keeps["conn"].rollback()


def _warn(database: Any) -> None:
    name = getattr(database, "session_name", "") or type(database).__name__
    logger.warning(
        "a transaction on database %r was still open at the end of a request: it is rolled back. "
        "Use `with atomic(...)`, which ends it.",
        name,
    )


def _return_later(database: Any, state: Any) -> asyncio.Task[None] | None:
    conn = state.conn
    if conn is None or state._task is not asyncio.current_task():
        return None
    if state.transactions:
        _warn(database)
    state.reset()
    task = asyncio.get_running_loop().create_task(_return(database, conn))
    _returning.add(task)
    task.add_done_callback(_returning.discard)
    return task


async def _return(database: Any, conn: Any) -> None:
    try:
        # The pools undo what is open in what they get back.
        await database._release_conn(conn)
    except Exception:
        logger.debug("giving back a connection failed", exc_info=True)


def _field(name: str) -> Any:
    def get(self: ThreadState) -> Any:
        work = _current.get()
        return (self.__dict__ if work is None else work.of(self))[name]

    def put(self: ThreadState, value: Any) -> None:
        work = _current.get()
        (self.__dict__ if work is None else work.of(self))[name] = value

    return property(get, put)


class WatchedState(peewee._ConnectionLocal):
    """Peewee's state of each thread, whose connections the forking thread can find as well."""

    held: Held | None

    def __init__(self) -> None:
        # In each thread, when it first looks; what is kept for a piece of work is not touched by that.
        self.__dict__.update(_afresh())

    def set_connection(self, conn: Any) -> None:
        super().set_connection(conn)
        self.held = one = Held(conn, self, self.transactions)
        held[id(one)] = one
        _here.states.add(id(self))

    def reset(self) -> None:
        super().reset()
        self.held = None
        _here.states.discard(id(self))


class ThreadState(WatchedState):
    """The same for each piece of work that a thread is at."""

    closed = _field("closed")
    conn = _field("conn")
    ctx = _field("ctx")
    transactions = _field("transactions")
    commit_callbacks = _field("commit_callbacks")

    def _now(self) -> dict[str, Any]:
        work = _current.get()
        return self.__dict__ if work is None else work.of(self)

    def set_connection(self, conn: Any) -> None:
        now = self._now()
        now.update(_afresh(), conn=conn, closed=False)
        now["held"] = one = Held(conn, self, now["transactions"])
        held[id(one)] = one
        if now is self.__dict__:
            _here.states.add(id(self))

    def reset(self) -> None:
        now = self._now()
        now.update(_afresh())
        if now is self.__dict__:
            _here.states.discard(id(self))


def disown() -> None:
    """Leave the piece of work that is under way, in a forked child: its connections are the parent's."""
    global _kind_lock
    _kind_lock = threading.Lock()  # another thread of the parent may have held it
    _current.set(None)
    _dropped.clear()


def forget(database: Any) -> None:
    """Drop the connection of this thread and of its work, and close neither."""
    state = database._state
    state.reset()
    if isinstance(state, ThreadState):
        state.__dict__.update(_afresh())
        _here.states.discard(id(state))


def own(database: Any) -> None:
    """Let the state of a synchronous Database object know whose it is.

    Threads that have a connection keep it.
    """
    state = database._state
    with _kind_lock:
        if type(state) is peewee._ConnectionLocal:
            state.__class__ = _kind
            conn = state.__dict__["conn"]
            one = None if conn is None else Held(conn, state, state.__dict__["transactions"])
            state.__dict__["held"] = one
            if one is not None:
                held[id(one)] = one
                _here.states.add(id(state))
        if isinstance(state, WatchedState):
            _owners[id(state)] = database
        else:
            _untold[id(database)] = database


def opened_here() -> list[Any]:
    """Return the synchronous databases that this thread, or its piece of work, may have a connection of."""
    found = [_owners.get(key) for key in list(_here.states)]
    work = _current.get()
    if work is not None and work.thread == threading.get_ident():
        found += work.opened()
    return [database for database in found if database is not None] + list(_untold.values())


#: What `own` makes of a state. Looking for a piece of work costs each query a microsecond or two, so that is
#: not done before the process has begun the first one.
_kind: type[WatchedState] = WatchedState
_kind_lock = threading.Lock()


def _watch_work() -> None:
    """Let every state ask from now on which piece of work its thread is at."""
    global _kind
    with _kind_lock:
        _kind = ThreadState
        for database in list(_owners.values()):
            if type(database._state) is WatchedState:
                database._state.__class__ = ThreadState


def watch_tasks(database: Any) -> None:
    """See to it that what tasks open of an asynchronous Database object is noted."""
    state = database._state
    kind = type(state)
    if not hasattr(kind, "noting"):
        state.__class__ = _noting(kind)
    _owners[id(state)] = database


def _noting(kind: Any) -> Any:
    """Return the class of an asynchronous state, with notes."""

    def set_connection(self: Any, conn: Any) -> None:
        kind.set_connection(self, conn)
        work = _current.get()
        if work is not None:
            work.note_task(_owners[id(self)], self._current())

    return type(kind.__name__, (kind,), {"noting": True, "set_connection": set_connection})
