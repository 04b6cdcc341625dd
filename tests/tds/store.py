"""One database of the test server: an SQLite file, and the counters that a rollback does not turn back."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from pathlib import Path

from .catalog import Column, quoted

__all__ = ["Store"]

BUSY_SECONDS = 5
_numbers = itertools.count(1)


class Store:
    """A database by its name.

    Attributes:
        level: its compatibility level, 80 to 170.
        rowversion: the last one given out.
    """

    def __init__(self, name: str, folder: Path, level: int) -> None:
        self.name = name
        self.level = level
        self.rowversion = 2000
        self._path = folder / f"{next(_numbers)}.db"
        self._identities: dict[str, int] = {}
        self._lock = threading.Lock()
        self._keeper = self.connect()
        self._keeper.execute("PRAGMA journal_mode = WAL")

    def connect(self) -> sqlite3.Connection:
        conn = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
        )
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA synchronous = OFF")
        return conn

    def close(self) -> None:
        self._keeper.close()

    def next_identity(self, table: str, column: Column, conn: sqlite3.Connection) -> int:
        """Count on, from what the table holds if nobody has counted yet."""
        seed, step = column.identity or (1, 1)
        with self._lock:
            last = self._identities.get(table.lower())
            if last is None:
                aggregate = "MAX" if step > 0 else "MIN"
                (last,) = conn.execute(
                    f"SELECT {aggregate}({quoted(column.name)}) FROM {quoted(table)}"
                ).fetchone()
            found = seed if last is None else last + step
            self._identities[table.lower()] = found
            return found

    def seen_identity(self, table: str, value: int) -> None:
        """An explicit value was stored: the count goes on behind it."""
        with self._lock:
            last = self._identities.get(table.lower())
            self._identities[table.lower()] = value if last is None else max(last, value)

    def current_identity(self, table: str) -> int | None:
        return self._identities.get(table.lower())

    def forget_identity(self, table: str) -> None:
        with self._lock:
            self._identities.pop(table.lower(), None)
