"""The life of connections, for every kind of Database object: give back, close, forget.

Peewee's Database classes each know how to do this for themselves; what they lack is one way that
serves plain, pooled and asynchronous ones, and that is safe in a forked child.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import peewee
from playhouse.pool import PooledDatabase

__all__ = [
    "aclose_everything",
    "agive_back",
    "close_everything",
    "close_idle",
    "each",
    "forget",
    "give_back",
    "is_async",
]

# What a forked child inherited. Never finalized there: a driver may say goodbye on the parent's socket.
_inherited: list[Any] = []


def is_async(database: Any) -> bool:
    """Whether the database is one of ``playhouse.pwasyncio``."""
    return hasattr(database, "aexecute_sql")


def give_back(database: Any) -> None:
    """Close this thread's connection, or return it to its pool. Asynchronous databases are left alone."""
    if not is_async(database) and not database.is_closed():
        database.close()


async def agive_back(database: Any) -> None:
    """Give back this task's connection of an asynchronous database, or this thread's of another."""
    if is_async(database):
        await database.aclose()
    else:
        give_back(database)


def close_idle(database: Any) -> None:
    """Close the connections that wait in a pool."""
    if isinstance(database, PooledDatabase):
        database.close_idle()


def close_everything(database: Any) -> None:
    """Close the connections of every thread."""
    if is_async(database):
        return
    if isinstance(database, PooledDatabase):
        database.close_all()
        return
    give_back(database)
    state = database._state
    if isinstance(state, threading.local):
        # The other threads' connections are reachable only by themselves: with a new state they
        # find theirs closed, and the drivers close the old ones when the last reference goes.
        database._state = type(state)()


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
        _inherited.append((database._pool, state))
        database._pool = None
        database._pool_lock = asyncio.Lock()
        database._state = type(state)(release=database._release_conn)
        return
    _inherited.append(state.conn)
    if database.thread_safe:
        database._lock = threading.Lock()
    if isinstance(database, PooledDatabase):
        _inherited.append((database._connections, database._in_use))
        database._pool_lock = threading.RLock()
        database._pool_available = threading.Condition(database._pool_lock)
    database.dispose()


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
