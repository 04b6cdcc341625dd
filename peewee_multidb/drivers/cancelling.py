"""Stopping a statement that another thread is waiting for.

Each engine has its own way, and none of them is the statement's own connection: that is busy.
"""

from __future__ import annotations

import logging
from typing import Any

from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from .base import traits_of

__all__ = ["cancel"]

logger = logging.getLogger("peewee_multidb")


def cancel(database: Any, connection: Any) -> None:
    """Tell the server to stop what a connection is doing; whoever waits for it gets an error.

    It may come too late, when there is nothing to stop any more, and it never raises: the statement then
    runs to its end.

    Args:
        database: the Database object that the connection belongs to.
        connection: the DB-API connection, in use by another thread.
    """
    try:
        if hasattr(connection, "cancel_safe"):  # psycopg 3.2
            connection.cancel_safe(timeout=5)
        elif hasattr(connection, "cancel"):  # psycopg2
            connection.cancel()
        elif hasattr(connection, "interrupt"):  # sqlite3
            connection.interrupt()
        elif traits_of(database).engine == "mysql":
            _kill_query(database, connection.thread_id())
    except Exception:
        logger.debug("cancelling a statement failed", exc_info=True)


def _kill_query(database: Any, number: int) -> None:
    other = database._connect()
    try:
        other.cursor().execute(f"KILL QUERY {int(number)}")
    finally:
        # Closed for good: a pool would go on counting it as in use.
        database._close(other, *([True] if isinstance(database, PooledDatabase) else []))
