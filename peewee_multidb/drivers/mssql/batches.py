"""Running a query: in one statement, or, for many rows, in as many as the server's limits ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import peewee

from .rows import rows_of
from .stock import stock

if TYPE_CHECKING:
    from .dialect import Dialect

__all__ = ["Rows", "run"]


class Rows:
    """Stands for the cursors of several statements that say one thing.

    Args:
        cursors: of the statements.
        counts: how many rows each changed.
    """

    def __init__(self, cursors: list[Any], counts: list[int]) -> None:
        self.rowcount = sum(counts)
        self.description = cursors[-1].description if cursors else None
        self.lastrowid = getattr(cursors[-1], "lastrowid", None) if cursors else None
        self._rows = self._fetch(cursors)

    @staticmethod
    def _fetch(cursors: list[Any]) -> Iterator[Any]:
        for cursor in cursors:
            while cursor.description is not None and (row := cursor.fetchone()) is not None:
                yield row

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def close(self) -> None:
        """Nothing is left to close: the results were buffered."""


class Counted(Rows):
    """Stands for a cursor whose only row is the number of rows that were changed."""

    def __init__(self, cursor: Any) -> None:
        row = cursor.fetchone()
        super().__init__([], [row[0] if row else 0])


class InOrder(Rows):
    """Stands for a cursor with what many new rows give back, in the order in which they were given.

    The server numbers them in that order, and gives them back in any: in that of a clustered index that is
    not the key's, for one.

    Args:
        cursor: of the statement.
        place: of the number among the columns, from 0.
    """

    def __init__(self, cursor: Any, place: int) -> None:
        super().__init__([cursor], [cursor.rowcount])
        self._rows = iter(sorted(self._rows, key=lambda row: row[place]))


def run(database: Dialect, query: Any, options: dict[str, Any]) -> Any:
    """Compile and run a query on a database."""
    if isinstance(query, stock.Insert) and query._query_type == stock.Insert.MULTI:
        return _run_many(database, query, options)
    return _run_one(database, _compiled(database, query, options))


def _compiled(database: Dialect, query: Any, options: dict[str, Any]) -> Any:
    ctx = database.get_sql_context(**options)
    ctx.sql(query)
    return ctx


def _run_one(database: Any, ctx: Any) -> Any:
    sql, params = ctx.query()
    try:
        cursor = database.execute_sql(sql, params)
    except peewee.PeeweeException:
        if ctx.on_error is not None:
            database.restore(ctx.on_error)
        raise
    if ctx.counted:
        return Counted(cursor)
    if ctx.numbered is not None:
        return InOrder(cursor, ctx.numbered)
    for _ in range(ctx.skip):
        if cursor.fetchone() is None:
            break
    return cursor


def _run_many(database: Dialect, query: Any, options: dict[str, Any]) -> Any:
    rows = list(query._insert)
    chunks = list(_chunks(database, query, rows, options))
    if len(chunks) == 1:
        return _run_one(database, chunks[0])
    cursors = []
    with database.atomic():
        for ctx in chunks:
            cursors.append(_run_one(database, ctx))
    return Rows(cursors, [max(0, cursor.rowcount) for cursor in cursors])


def _chunks(database: Dialect, query: Any, rows: list[Any], options: dict[str, Any]) -> Iterator[Any]:
    """Compile the rows in as few statements as the limits allow.

    The first row says which columns there are, for all statements, and a default is asked for once a row.
    """
    whole = rows_of(_with_rows(query, rows))
    if whole is None:
        yield _compiled(database, _with_rows(query, rows), options)
        return
    most = database.max_params
    start, count = 0, len(whole.rows)
    size = min(database.max_rows, count)
    if most is not None and count > 1:
        first = len(_compiled(database, _with_rows(query, whole.part(0, 1)), options)._values)
        size = max(1, min(size, most // max(1, first)))
    while start < count:
        ctx = _compiled(database, _with_rows(query, whole.part(start, start + size)), options)
        if most is not None and len(ctx._values) > most and size > 1:
            size = max(1, size // 2)
            continue
        yield ctx
        start += size


def _with_rows(query: Any, rows: Any) -> Any:
    clone = query.clone()
    clone._insert = rows
    return clone
