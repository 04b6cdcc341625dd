"""The life of connections, for every kind of Database object: give back, close, forget.

Peewee's Database classes each know how to do this for themselves; what they lack is one way that
serves plain, pooled and asynchronous ones, and that is safe in a forked child.

A forked child may neither use nor close what it inherits. Some drivers would say goodbye on the
parent's socket, and SQLite would undo the parent's open transaction in the file; see "fork" in
https://sqlite.org/howtocorrupt.html. Python finalizes the connections of the threads that the child
lacks as soon as it forks, and all others when the child exits, so the child is made to keep them for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import peewee
from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from . import keeping, states

__all__ = [
    "aclose_everything",
    "adrop",
    "aeach",
    "agive_back",
    "close_everything",
    "close_idle",
    "connected_here",
    "drop",
    "each",
    "forget",
    "give_back",
    "has_transaction",
    "in_background",
    "is_async",
    "is_left",
    "is_lost",
    "leave",
    "pause",
    "watch",
]


logger = logging.getLogger("peewee_multidb")


# By id: Database objects need be neither hashable nor comparable.
_watched: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
#: Those whose state does not tell whose it is.
_unwatched: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

# What a forked child inherited, and what the one that this thread is about to fork will inherit.
_inherited: list[Any] = []
_forking = threading.local()

# Strong references: an event loop holds its tasks weakly.
_background: set[asyncio.Task[None]] = set()


def watch(database: Any) -> None:
    """See to it that a forked child of this process finds the database without a connection."""
    _watched[id(database)] = database
    if is_async(database):
        states.watch_tasks(database)
    elif not states.own(database):
        _unwatched[id(database)] = database


def is_async(database: Any) -> bool:
    """Whether the database is one of ``playhouse.pwasyncio``."""
    return hasattr(database, "aexecute_sql")


def has_transaction(database: Any) -> bool:
    """Whether a transaction is open in this thread or task."""
    try:
        return bool(database.in_transaction())
    except RuntimeError:
        return False  # an asynchronous database, outside of every task


def is_lost(database: Any) -> bool:
    """Whether the driver knows that the connection of this thread or task is gone."""
    conn = database._state.conn
    if is_async(database):
        return conn is None or bool(conn.stale())
    # What psycopg and what the MySQL drivers call it; SQLite has no server to lose.
    return bool(getattr(conn, "closed", False)) or not getattr(conn, "open", True)


def pause(database: Any, seconds: float) -> None:
    """Sleep; code that runs in the bridge of an asynchronous database lets other tasks go on meanwhile."""
    if is_async(database):
        from playhouse.pwasyncio import await_  # type: ignore[import-untyped]

        await_(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def in_background(
    databases: Sequence[Any], action: Callable[[], object], done: Callable[[], object]
) -> None:
    """Do something with databases in a thread of its own, or in a task if they are asynchronous.

    Args:
        databases: all of one kind; the connections that it opens to them are given back at the end.
        action: what to do.
        done: called in any case, also when there is no time left to begin.
    """
    if is_async(databases[0]):
        from playhouse.pwasyncio import greenlet_spawn

        async def run() -> None:
            try:
                await greenlet_spawn(action)
            finally:
                await aeach(databases, agive_back)

        # A context of its own: the unit of work that came by has no part in this.
        task = contextvars.Context().run(asyncio.get_running_loop().create_task, run())
        _background.add(task)
        task.add_done_callback(_background.discard)
        task.add_done_callback(lambda _: done())
        return

    def run_and_close() -> None:
        try:
            action()
        finally:
            done()
            each(databases, give_back)

    try:
        threading.Thread(target=run_and_close, name="multidb-probe", daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down, or there are too many threads
        done()


def connected_here() -> list[Any]:
    """Return the databases that this thread may have a connection of, without a look at all the others."""
    return states.connected() + list(_unwatched.values())


def give_back(database: Any) -> None:
    """Close this thread's connection, or return it to its pool. Asynchronous databases are left alone."""
    if not is_async(database) and not database.is_closed():
        database.close()


async def agive_back(database: Any) -> None:
    """Give back this task's connection of an asynchronous database, or this thread's of another."""
    if not is_async(database):
        give_back(database)
    elif id(asyncio.current_task()) in database._state._states:
        await database.aclose()


def drop(database: Any) -> None:
    """Close this thread's or task's connection, which may be dead; it does not go back into a pool."""
    try:
        if database.is_closed():
            return
        if is_async(database):
            from playhouse.pwasyncio import await_

            await_(adrop(database))
        elif isinstance(database, PooledDatabase):
            database.manual_close()
        else:
            database.close()
    except Exception:
        # Whatever a dead connection says when it is closed; the state is reset in any case.
        logger.debug("closing a dead connection failed", exc_info=True)


def leave(database: Any) -> None:
    """Drop the connection of this thread or task, now or before the next transaction if one is open.

    The connections that wait in a pool are dropped too.
    """
    close_idle(database)
    if is_async(database) and hasattr(database._pool, "expire_connections"):
        from playhouse.pwasyncio import await_

        await_(database._pool.expire_connections())
    if has_transaction(database):
        # Not every driver's connection takes an attribute; then the user has to reconnect.
        with contextlib.suppress(AttributeError):
            database._state.conn.is_left = True
    else:
        drop(database)


def is_left(database: Any) -> bool:
    """Whether the connection of this thread or task should have been dropped, but for a transaction."""
    return getattr(database._state.conn, "is_left", False) is True


async def adrop(database: Any) -> None:
    """Drop this task's connection of an asynchronous database."""
    conn = database._state.conn
    database._state.reset()
    # Its pool drops what it gets back closed. Where there is a way to close without a goodbye, which
    # a silent peer would never answer, it is taken.
    raw = conn.conn
    closing = getattr(raw, "terminate", raw.close)()
    if closing is not None:
        await closing
    await database._release_conn(conn)


def close_idle(database: Any) -> None:
    """Close the connections that wait in a pool."""
    if isinstance(database, PooledDatabase):
        database.close_idle()


def close_everything(database: Any) -> None:
    """Close the connections of every thread.

    Raises:
        peewee.OperationalError: a transaction is open in this thread; or in another one, and the database
            is not pooled, so that its thread would go on outside of the transaction.
    """
    if is_async(database):
        return
    if isinstance(database, PooledDatabase):
        database.close_all()
        return
    give_back(database)
    state = database._state
    if isinstance(state, threading.local):
        if any(held.state == id(state) and held.transactions for held in list(keeping.held.values())):
            raise peewee.OperationalError(
                "close_all() while a transaction is open in another thread: let it end first, "
                "or give the database a pool, whose connections can be cut."
            )
        # The other threads' connections are reachable only by themselves: with a new state they
        # find theirs closed, and the drivers close the old ones when the last reference goes.
        database._state = type(state)()
        states.own(database)


async def aclose_everything(database: Any) -> None:
    """Close the pool of an asynchronous database, or the connections of another."""
    if is_async(database):
        await database.close_pool()
    else:
        close_everything(database)


def forget(database: Any) -> None:
    """Drop every connection without closing it, and every lock, which another thread may have held."""
    state = database._state
    if is_async(database):
        _keep((database._pool, state))
        database._pool = None
        database._pool_lock = asyncio.Lock()
        database._state = type(state)(release=database._release_conn)
        states.watch_tasks(database)
        return
    _keep(state.conn)
    states.forget(database)
    if database.thread_safe:
        database._lock = threading.Lock()
    if isinstance(database, PooledDatabase):
        _keep((database._connections, database._in_use))
        database._pool_lock = threading.RLock()
        database._pool_available = threading.Condition(database._pool_lock)
    database.dispose()


def _keep(connection: Any) -> None:
    """Keep it for ever, also past the interpreter's own clean-up at the end of the process."""
    if not _inherited:
        # One reference too many, on purpose: no clean-up ever gets at the list and what is in it.
        with contextlib.suppress(ImportError, AttributeError):
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(_inherited))
    _inherited.append(connection)


def _before_fork() -> None:
    # Strong references: before any hook runs in the child, it has dropped what other threads held.
    _forking.connections = [held.connection for held in list(keeping.held.values())]


def _after_fork_in_parent() -> None:
    _forking.connections = []


def _after_fork_in_child() -> None:
    _keep(_forking.connections)
    states.leave_work()
    for database in list(_watched.values()):
        forget(database)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )


def each(databases: Iterable[peewee.Database], action: Callable[[Any], None]) -> None:
    """Do it for each, also after one failed; raise the first failure at the end."""
    failure: Exception | None = None
    for database in databases:
        try:
            action(database)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


async def aeach(databases: Iterable[peewee.Database], action: Callable[[Any], Awaitable[None]]) -> None:
    """Await it for each, also after one failed; raise the first failure at the end."""
    failure: Exception | None = None
    for database in databases:
        try:
            await action(database)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
