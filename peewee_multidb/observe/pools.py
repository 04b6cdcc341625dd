"""How many connections a Database object has of its own, in whatever kind of pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from ..drivers import connections

__all__ = ["PoolStatus", "pool_of"]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The pool of one server in this process.

    Attributes:
        size: the most connections that it opens.
        in_use: connections that a thread or task has.
        idle: open connections that nobody has.
        waiting: how many threads wait for one; None where that cannot be told.
    """

    size: int
    in_use: int
    idle: int
    waiting: int | None


def pool_of(database: Any) -> PoolStatus | None:
    """Return how the pool of a Database object is, or None if it has none that is open."""
    if isinstance(database, PooledDatabase):
        waiters = getattr(database._pool_available, "_waiters", ())
        return PoolStatus(
            database._max_connections or 0, len(database._in_use), len(database._connections), len(waiters)
        )
    if not connections.is_async(database) or database._pool is None:
        return None
    pool = database._pool
    size = database._pool_size
    if hasattr(pool, "get_idle_size"):  # asyncpg
        idle = pool.get_idle_size()
        return PoolStatus(size, pool.get_size() - idle, idle, None)
    if hasattr(pool, "freesize"):  # aiomysql
        return PoolStatus(size, pool.size - pool.freesize, pool.freesize, None)
    idle = pool._queue.qsize()
    return PoolStatus(size, max(0, size - idle), idle, None)
