"""The states that Database objects of this package have in place of Peewee's: they know whose they are."""

from __future__ import annotations

from typing import Any

import peewee

from .borrowing import current, forget_late, switch
from .keeping import Held, afresh, held, owners

__all__ = ["ThreadState", "forget", "leave_work", "own", "watch_tasks"]


def _field(name: str) -> Any:
    def get(self: ThreadState) -> Any:
        work = current()
        return (self.__dict__ if work is None else work.of(self))[name]

    def put(self: ThreadState, value: Any) -> None:
        work = current()
        (self.__dict__ if work is None else work.of(self))[name] = value

    return property(get, put)


class ThreadState(peewee._ConnectionLocal):
    """Peewee's state of each thread, or of the piece of work that the thread is at."""

    closed = _field("closed")
    conn = _field("conn")
    ctx = _field("ctx")
    transactions = _field("transactions")
    commit_callbacks = _field("commit_callbacks")

    def __init__(self) -> None:
        # In each thread, when it first looks; what is kept for a piece of work is not touched by that.
        self.__dict__.update(afresh())

    def _now(self) -> dict[str, Any]:
        work = current()
        return self.__dict__ if work is None else work.of(self)

    def set_connection(self, conn: Any) -> None:
        now = self._now()
        now.update(afresh(), conn=conn, closed=False)
        now["held"] = one = Held(conn, self, now["transactions"])
        held[id(one)] = one

    def reset(self) -> None:
        self._now().update(afresh())


def leave_work() -> None:
    """Leave the piece of work that is under way, in a forked child: its connections are the parent's."""
    switch(None)
    forget_late()


def forget(database: Any) -> None:
    """Drop the connection of this thread and of its work, and close neither."""
    state = database._state
    state.reset()
    if isinstance(state, ThreadState):
        state.__dict__.update(afresh())


def own(database: Any) -> None:
    """Let the state of a synchronous Database object know whose it is.

    Threads that have a connection keep it.
    """
    state = database._state
    if type(state) is peewee._ConnectionLocal:
        state = database._state = _with_class(state)
        if state.__dict__["conn"] is not None:
            one = Held(state.__dict__["conn"], state, state.__dict__["transactions"])
            state.__dict__["held"] = held[id(one)] = one
    if isinstance(state, ThreadState):
        owners[id(state)] = database


def _with_class(state: Any) -> Any:
    try:
        state.__class__ = ThreadState
    except TypeError:
        # The locals of gevent keep their class, so only this greenlet's connection comes along.
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
