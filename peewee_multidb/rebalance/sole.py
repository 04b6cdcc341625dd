"""One rebalance of a map at a time, in whatever process: a lock that goes away with its process."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from ..drivers import traits_of
from ..errors import RebalanceError
from ..shards.stored import StoredMap

__all__ = ["sole"]


@contextlib.contextmanager
def sole(stored: StoredMap) -> Iterator[None]:
    """Hold the lock of a map.

    Raises:
        RebalanceError: another process holds it.
    """
    database: Any = stored.database
    engine = traits_of(database).engine
    # A connection of its own: the lock belongs to it, and is gone when the process is.
    if engine == "sqlite":
        connection: Any = _lock_file(database, stored)
    else:
        connection = _connect(database)
    try:
        if engine != "sqlite" and not _try_lock(connection, engine, f"multidb_rebalance_{stored.name}"):
            raise _taken(stored)
        yield
    finally:
        connection.close()


def _lock_file(database: Any, stored: StoredMap) -> Any:
    """Lock a database file beside the map's own. SQLite has no other lock that outlives a transaction."""
    path = database.database
    in_memory = ":memory:" in path or "mode=memory" in path or not path
    path = ":memory:" if in_memory else f"{path.removeprefix('file:').partition('?')[0]}-rebalance"
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        raise _taken(stored) from None
    return connection


def _connect(database: Any) -> Any:
    # Peewee's own method, which pools do not look into.
    kind = next(
        one for one in type(database).mro() if "_connect" in vars(one) and "pool" not in one.__module__
    )
    return vars(kind)["_connect"](database)


def _try_lock(connection: Any, engine: str, name: str) -> bool:
    cursor = connection.cursor()
    if engine == "postgresql":
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (name,))
    else:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
    locked = bool(cursor.fetchone()[0])
    if engine == "postgresql":
        connection.commit()  # an idle transaction would hold back VACUUM
    return locked


def _taken(stored: StoredMap) -> RebalanceError:
    return RebalanceError(
        f"Another process is rebalancing the shard map {stored.name!r} right now. Let it finish, or end it: "
        "the next run goes on where it stopped."
    )
