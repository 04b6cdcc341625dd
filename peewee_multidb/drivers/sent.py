"""One statement that was sent, and the mark of those that the package sends for purposes of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["Sent", "housekeeping", "is_housekeeping"]

_housekeeping: ContextVar[bool] = ContextVar("peewee_multidb_housekeeping", default=False)

#: Whether what this thread or task sends now is a question of the package's own.
is_housekeeping: Callable[[], bool] = _housekeeping.get


class Sent:
    """One statement that was sent, or that could not be.

    Attributes:
        database: the Database object.
        query: the query that it was made of; None for plain SQL.
        sql: the statement, with placeholders.
        params: its parameters.
        started: the moment, in seconds since the epoch.
        duration: seconds until the server had answered.
        error: what it failed with, or None.
        rows: how many rows it gave or changed; None where the driver does not know by now.
        housekeeping: the package asked for a purpose of its own, such as the lag of a replica.
    """

    __slots__ = (
        "database",
        "duration",
        "error",
        "housekeeping",
        "params",
        "query",
        "rows",
        "sql",
        "started",
    )

    def __init__(self, database: Any, query: Any, sql: str, params: Any, duration: float, error: Any) -> None:
        self.database = database
        self.query = query
        self.sql = sql
        self.params = params
        self.started = time.time() - duration
        self.duration = duration
        self.error: BaseException | None = error
        self.rows: int | None = None
        self.housekeeping = _housekeeping.get()


@contextlib.contextmanager
def housekeeping() -> Iterator[None]:
    """What is sent inside is a question of the package's own, not of the program's."""
    before = _housekeeping.get()
    _housekeeping.set(True)
    try:
        yield
    finally:
        _housekeeping.set(before)
