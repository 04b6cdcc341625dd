"""A cursor of python-oracledb as Peewee expects one: names in lower case, a key after an INSERT."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from .names import unfolded

__all__ = ["Cursor", "input_sizes", "to_driver"]


class Cursor:
    """What ran, with its rows.

    Args:
        wrapped: the cursor of python-oracledb.
        fold_names: whether the names of columns come back in lower case.

    Attributes:
        last_id: the key that an INSERT gave its row, or None.
    """

    def __init__(self, wrapped: Any, *, fold_names: bool) -> None:
        self._wrapped = wrapped
        self._returned: Iterator[tuple[Any, ...]] | None = None
        self.last_id: Any = None
        self.description = _described(wrapped.description, fold_names)

    def returned(self, names: Sequence[str], columns: Sequence[Any]) -> None:
        """Take the output variables of RETURNING INTO for the rows of a result.

        Args:
            names: what the columns are called.
            columns: the variable of each column.
        """
        values = [column.getvalue() or [] for column in columns]
        rows = list(zip(*values, strict=True))
        self.description = [(name, None, None, None, None, None, None) for name in names]
        self._returned = iter(rows)
        if len(rows) == 1:
            self.last_id = rows[0][0]

    @property
    def rowcount(self) -> int:
        return int(self._wrapped.rowcount)

    @property
    def lastrowid(self) -> Any:
        return self.last_id

    def fetchone(self) -> tuple[Any, ...] | None:
        if self._returned is not None:
            return next(self._returned, None)
        row: tuple[Any, ...] | None = self._wrapped.fetchone()
        return row

    def fetchmany(self, size: int = 100) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        while len(rows) < size and (row := self.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        self._wrapped.close()


def _described(description: Any, fold_names: bool) -> list[tuple[Any, ...]]:
    return [
        (unfolded(column[0]) if fold_names else column[0], *tuple(column)[1:7])
        for column in description or ()
    ]


def to_driver(value: Any) -> Any:
    """Return what python-oracledb binds for a value: Oracle has neither booleans before 23ai nor times."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime.time):
        return datetime.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value


def input_sizes(rows: Sequence[Sequence[Any]], timestamp: Any) -> list[Any] | None:
    """Return the types to bind, None for those that the value decides; or None when all do.

    A datetime would be bound as a DATE, which has no fraction of a second. As a TIMESTAMP it would keep an
    index on a DATE column from being used, so only one with a fraction is bound that way.

    Args:
        rows: the parameters, of one row or of many.
        timestamp: python-oracledb's type.
    """
    width = len(rows[0]) if rows else 0
    precise = {
        position
        for row in rows
        for position, value in enumerate(row)
        if isinstance(value, datetime.datetime) and value.microsecond
    }
    return [timestamp if position in precise else None for position in range(width)] if precise else None
