"""Dates that are none: ``0000-00-00``, and ``2016-00-00`` of which only the year is known.

PyMySQL hands both over as text, in the place of a date. What the program gets is a choice:

* ``raw``, the default: that text. It goes back as it came.
* ``none``: None for a date that is all zero. In a column that is not nullable, None is written back as
  the zero date; in a nullable one as NULL. A date that is known in part stays text, since None would
  destroy what it says at the next `save()`.
* ``error``: `peewee.DataError`, after the whole result was read, so that the connection stays usable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import peewee

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["CHOICES", "AsyncZeroDates", "NotADate", "ZeroDates", "conversions"]

CHOICES = ("raw", "none", "error")
NOTHING = re.compile(r"0000-00-00( 00:00:00(\.0*)?)?")


class NotADate(str):
    """A text that stands in the place of a date, for as long as the result is being read."""

    __slots__ = ()


def conversions(choice: str) -> dict[Any, Any]:
    """Return the ``conv`` of PyMySQL and aiomysql for a choice other than ``raw``.

    Args:
        choice: ``none`` or ``error``.
    """
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions as stock
    from pymysql.converters import convert_date, convert_datetime

    found: dict[Any, Any] = dict(stock)
    reader = _none if choice == "none" else _marked
    found[FIELD_TYPE.DATE] = reader(convert_date)
    found[FIELD_TYPE.DATETIME] = found[FIELD_TYPE.TIMESTAMP] = reader(convert_datetime)
    return found


def _none(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(text: Any) -> Any:
        value = convert(text)
        return None if isinstance(value, str) and NOTHING.fullmatch(value) else value

    return read


def _marked(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    # Not an error yet: PyMySQL would leave the rest of the result unread on the connection.
    def read(text: Any) -> Any:
        value = convert(text)
        return NotADate(value) if isinstance(value, str) else value

    return read


class ZeroDatesBase(Base):
    """What the synchronous and asynchronous mixins share.

    Attributes:
        zero_dates: one of `CHOICES`.
    """

    session_name: str
    zero_dates: str = CHOICES[0]

    def _refuse_zero_dates(self, rows: Iterable[Any]) -> None:
        for row in rows:
            for value in row:
                if isinstance(value, NotADate):
                    raise peewee.DataError(
                        f"database {self.session_name!r} returned {str(value)!r}, which is no date. Mend the "
                        "row, or set the option zero_dates to 'none' or 'raw'."
                    )


class ZeroDates(ZeroDatesBase):
    """For PyMySQL, whose cursors hold the whole result."""

    def _execute_cursor(self, sql: str, params: Any, **options: Any) -> Any:
        cursor = super()._execute_cursor(sql, params, **options)  # type: ignore[misc]
        if self.zero_dates == "error" and cursor.description:
            rows = cursor.fetchall()
            self._refuse_zero_dates(rows)
            if rows:
                cursor.scroll(0, mode="absolute")
        return cursor


class AsyncZeroDates(ZeroDatesBase):
    """For aiomysql, whose results can also be streamed."""

    async def _pool_acquire(self, pool: Any) -> Any:
        acquired = await super()._pool_acquire(pool)  # type: ignore[misc]
        if self.zero_dates == "error":
            acquired._execute = self._checked(acquired._execute)
            acquired.execute_iter = self._streamed(acquired.execute_iter)
        return acquired

    def _checked(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        async def checked(sql: str, params: Any = None) -> Any:
            result = await execute(sql, params)
            self._refuse_zero_dates(result)
            return result

        return checked

    def _streamed(self, execute_iter: Callable[..., Any]) -> Callable[..., Any]:
        async def checked(sql: str, params: Any = None) -> Any:
            result = await execute_iter(sql, params)
            fetch_many = result._fetch_many

            async def fetch(count: int) -> Any:
                rows = await fetch_many(count)
                self._refuse_zero_dates(rows)
                return rows

            result._fetch_many = fetch
            return result

        return checked
