"""Results that are read while they are made, a chunk at a time, where the engine can do that.

The DB-API modules of PostgreSQL and MySQL fetch a whole result before they hand out its first row, unless
told otherwise.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import peewee

from . import connections, watching
from .base import traits_of

__all__ = ["opened"]

#: Makes Peewee's errors of those of a DB-API module; its type stubs leave it out.
_peewees_errors: Any = getattr(peewee, "__exception_wrapper__")  # noqa: B009


class Opened:
    """A result that is being read.

    Attributes:
        description: of its columns, as DB-API cursors have it.
    """

    def __init__(self, cursor: Any, size: int, opening: watching.opening) -> None:
        self._cursor = cursor
        self._size = size
        self._opening = opening
        self.description = cursor.description

    def chunk(self) -> Sequence[Any]:
        """Return the next rows; none at the end."""
        with _peewees_errors:
            rows = self._fetched()
        self._opening.rows += len(rows)
        return rows

    def _fetched(self) -> Sequence[Any]:
        # At the end PyMySQL gives an empty tuple.
        return self._cursor.fetchmany(self._size) or []


class OpenedAsync(Opened):
    """The same on a database of the asyncio bridge."""

    def _fetched(self) -> Sequence[Any]:
        from playhouse.pwasyncio import await_  # type: ignore[import-untyped]

        rows = await_(self._cursor._fetch_many(self._size)) or []
        return [tuple(row) for row in rows] if rows and not isinstance(rows[0], tuple) else rows


@contextlib.contextmanager
def opened(database: Any, query: Any, size: int) -> Iterator[Opened]:
    """Run a query whose rows are then read in chunks.

    Args:
        database: the Database object to run it on.
        query: the query.
        size: rows of a chunk.
    """
    sql, params = database.get_sql_context().sql(query).query()
    opening = watching.opening(database, query)
    try:
        yield from _opened(database, opening, sql, params, size)
    finally:
        opening.close()


def _opened(
    database: Any, opening: watching.opening, sql: str, params: Any, size: int
) -> Iterator[Opened]:
    if connections.is_async(database):
        yield from _async(database, opening, sql, params, size)
        return
    engine = traits_of(database).engine
    connection = database.connection()
    if hasattr(database, "leading_comment"):
        # A wire puts a comment in front of each statement, which only its own cursors do.
        engine = "wired"
    if engine == "postgresql":
        yield from _postgresql(database, opening, connection, sql, params, size)
    elif engine == "mysql" and not connections.has_transaction(database):
        yield from _mysql(database, opening, connection, sql, params, size)
    else:
        # SQLite makes the rows as they are asked for. In a transaction of MySQL the connection must stay
        # free for what else is done in it, so the result is fetched at once.
        with opening:
            cursor = database.execute_sql(sql, params)
        try:
            yield Opened(cursor, size, opening)
        finally:
            cursor.close()


def _postgresql(
    database: Any, opening: watching.opening, connection: Any, sql: str, params: Any, size: int
) -> Iterator[Opened]:
    # Outside of a transaction the server would store the whole result when the cursor is opened.
    around = contextlib.nullcontext() if database.in_transaction() else database.transaction()
    with around:
        cursor = database._adapter.server_side_cursor(connection)
        cursor.itersize = size
        try:
            with opening:
                _run(database, cursor, sql, params)
            yield Opened(cursor, size, opening)
        finally:
            with contextlib.suppress(Exception):  # of a connection that is gone
                cursor.close()


def _mysql(
    database: Any, opening: watching.opening, connection: Any, sql: str, params: Any, size: int
) -> Iterator[Opened]:
    module = sys.modules[type(connection).__module__.partition(".")[0]]
    kind: Any = sys.modules[f"{module.__name__}.cursors"]
    cursor = connection.cursor(kind.SSCursor)
    finished = False
    try:
        with opening:
            _run(database, cursor, sql, params)
        result = Opened(cursor, size, opening)
        yield result
        finished = True
    finally:
        if finished:
            cursor.close()
        else:
            # Closing the cursor would read all that is left.
            connections.drop(database)


def _async(
    database: Any, opening: watching.opening, sql: str, params: Any, size: int
) -> Iterator[Opened]:
    from playhouse.pwasyncio import await_

    connection = database.connection() if database.is_closed() else database._state.conn
    start = time.perf_counter()
    with opening:
        try:
            cursor = await_(connection.execute_iter(sql, params or ()))
        except Exception as error:
            opening.note(sql, params, start, error)
            raise
        opening.note(sql, params, start, None)
    try:
        yield OpenedAsync(cursor, size, opening)
    finally:
        await_(cursor.aclose())


def _run(database: Any, cursor: Any, sql: str, params: Any) -> None:
    """Execute as ``Database.execute_sql`` does, which has no say in the kind of cursor."""
    database._log_query(sql, params)
    start = time.perf_counter() if database.query_hooks else None
    try:
        with _peewees_errors:
            cursor.execute(watching.written(database, sql, params), params or ())
    except Exception as error:
        if start is not None:
            database._notify_hooks(sql, params, start, error)
        raise
    if start is not None:
        database._notify_hooks(sql, params, start, None)
