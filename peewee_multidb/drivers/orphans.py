"""Connections of pools whose threads have ended without giving them back.

A pool keeps what is checked out, so nobody misses the thread that had it, and the connection would count, and
keep its transaction open, as long as the program runs. What tells is `held`, which knows of a connection for
as long as a thread, or a piece of work, does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from .keeping import held
from .states import WatchedState

__all__ = ["close_orphans"]


def close_orphans(databases: Iterable[Any], seen: dict[int, Any]) -> bool:
    """Close the connections that belong to nobody, now and when they were looked for before.

    Once is not enough: who has just been given a connection by the pool has yet to be noted as its owner.

    Args:
        databases: Database objects that a `Governor` governs.
        seen: what the look before this one has found; empty in the beginning.

    Returns:
        Whether one was closed.
    """
    found = {key: (one, item) for one in databases if _may_tell(one) for key, item in _ownerless(one)}
    closed = False
    for key, (database, item) in found.items():
        if seen.get(key) is item:
            closed = _close(database, key, item) or closed
    seen.clear()
    seen.update({key: item for key, (_, item) in found.items()})
    return closed


def _may_tell(database: Any) -> bool:
    return (
        isinstance(database, PooledDatabase)
        and bool(database.governed_open)
        and not getattr(database, "is_shared", False)
        and isinstance(database._state, WatchedState)
    )


def _ownerless(database: Any) -> list[tuple[int, Any]]:
    in_use = list(database._in_use.items())
    # Owners later than connections: what was given back meanwhile is not in use any more when it is closed.
    owned = {id(one.connection) for one in list(held.values())}
    return [
        (key, item)
        for key, item in in_use
        if item.checked_out >= database.governed_since and id(item.connection) not in owned
    ]


def _close(database: Any, key: int, item: Any) -> bool:
    # Whoever connects to a server that is silent holds this lock until it gives up.
    if not database._pool_lock.acquire(blocking=False):
        return False
    try:
        if database._in_use.get(key) is not item:
            return False
        del database._in_use[key]
        database._close_raw(item.connection)
        database._pool_available.notify()
    finally:
        database._pool_lock.release()
    return True
