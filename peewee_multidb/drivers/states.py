"""The states that Database objects of this package have in place of Peewee's: they know whose they are."""

from __future__ import annotations

import threading
from typing import Any

import peewee

from .borrowing import before_first, current, forget_late, switch
from .keeping import Held, Transactions, afresh, held, owners

__all__ = ["ThreadState", "WatchedState", "connected", "forget", "leave_work", "own", "watch_tasks"]


class _Here(threading.local):
    """What this thread has connected for itself: the ids of the states of its Database objects.

    Not the states themselves: a connection of another thread ends with the last reference to its state.
    """

    def __init__(self) -> None:
        self.states: set[int] = set()


_here = _Here()


def _field(name: str) -> Any:
    def get(self: ThreadState) -> Any:
        work = current()
        return (self.__dict__ if work is None else work.of(self))[name]

    def put(self: ThreadState, value: Any) -> None:
        work = current()
        (self.__dict__ if work is None else work.of(self))[name] = value

    return property(get, put)


class WatchedState(peewee._ConnectionLocal):
    """Peewee's state of each thread, whose connections the forking thread can find as well."""

    held: Held | None

    def __init__(self) -> None:
        # In each thread, when it first looks; what is kept for a piece of work is not touched by that.
        self.__dict__.update(afresh(), slot=None)

    def set_connection(self, conn: Any) -> None:
        super().set_connection(conn)
        self.transactions = Transactions()
        self.held = one = Held(conn, self, self.transactions)
        held[id(one)] = one
        _here.states.add(id(self))

    def reset(self) -> None:
        super().reset()
        self.held = None
        _here.states.discard(id(self))


class ThreadState(WatchedState):
    """The same, for each piece of work that a thread is at."""

    closed = _field("closed")
    conn = _field("conn")
    ctx = _field("ctx")
    transactions = _field("transactions")
    commit_callbacks = _field("commit_callbacks")
    slot = _field("slot")

    def _now(self) -> dict[str, Any]:
        work = current()
        return self.__dict__ if work is None else work.of(self)

    def set_connection(self, conn: Any) -> None:
        now = self._now()
        now.update(afresh(), conn=conn, closed=False)
        now["held"] = one = Held(conn, self, now["transactions"])
        held[id(one)] = one
        if now is self.__dict__:
            _here.states.add(id(self))

    def reset(self) -> None:
        now = self._now()
        now.update(afresh())
        if now is self.__dict__:
            _here.states.discard(id(self))


def connected() -> list[Any]:
    """Return the Database objects that this thread, or its piece of work, has connected."""
    work = current()
    found = {key: database for key in list(_here.states) if (database := owners.get(key)) is not None}
    if work is not None:
        found.update(work.connected())
    return list(found.values())


def leave_work() -> None:
    """Leave the piece of work that is under way, in a forked child: its connections are the parent's."""
    global _kind_lock
    _kind_lock = threading.Lock()  # another thread of the parent may have held it
    switch(None)
    forget_late()


def forget(database: Any) -> None:
    """Drop the connection of this thread and of its work, and close neither."""
    state = database._state
    state.reset()
    if isinstance(state, ThreadState):
        state.__dict__.update(afresh(), slot=None)
        _here.states.discard(id(state))


def own(database: Any) -> bool:
    """Let the state of a synchronous Database object know whose it is; threads keep what they have.

    Args:
        database: the Database object.

    Returns:
        Whether it is of a kind that can know.
    """
    with _kind_lock:
        state = database._state
        if type(state) is peewee._ConnectionLocal:
            state = database._state = _with_class(state)
            conn = state.__dict__["conn"]
            state.__dict__["held"] = one = (
                None if conn is None else Held(conn, state, state.__dict__["transactions"])
            )
            if one is not None:
                held[id(one)] = one
                _here.states.add(id(state))
        if not isinstance(state, WatchedState):
            return False
        owners[id(state)] = database
    return True


#: What a state is made. To look for a piece of work costs each query a microsecond or two, so that is not
#: done before the process has begun its first one.
_kind: type[WatchedState] = WatchedState
_kind_lock = threading.Lock()


def _watch_work() -> None:
    """Let every state ask from now on which piece of work its thread is at."""
    global _kind
    with _kind_lock:
        _kind = ThreadState
        for key, database in list(owners.items()):
            if type(database._state) is WatchedState and id(database._state) == key:
                database._state.__class__ = ThreadState


before_first.append(_watch_work)


def _with_class(state: Any) -> Any:
    try:
        state.__class__ = _kind
        state.__dict__.setdefault("slot", None)
    except TypeError:
        # The locals of gevent keep their class, so only this greenlet's connection comes along, and the state
        # is at once what it may have to be later.
        kept = dict(state.__dict__)
        state = ThreadState()
        state.__dict__.update(kept)
    return state


def watch_tasks(database: Any) -> None:
    """See to it that what tasks open of an asynchronous Database object is noted."""
    state = database._state
    kind = type(state)
    if not hasattr(kind, "noting"):
        state.__class__ = _noting(kind)
    owners[id(state)] = database


def _noting(kind: Any) -> Any:
    """Return the class of an asynchronous state, with notes."""

    def set_connection(self: Any, conn: Any) -> None:
        kind.set_connection(self, conn)
        work = current()
        if work is not None:
            work.work.note_task(owners[id(self)], self._current())

    return type(kind.__name__, (kind,), {"noting": True, "set_connection": set_connection})
