"""The journal of a run: which databases are done, on disk before anybody is told so.

An SQLite file, one row a database and run. SQLite's own journal makes a row whole or absent, however the
process ends, and ``synchronous=FULL`` has it on the disk before the commit returns. The process that has it
open keeps the file locked, so that two of them cannot do the same database; the lock goes with the process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from types import TracebackType

from ..errors import ConfigurationError

__all__ = ["Journal"]

#: "MDBJ": what tells our files from other people's databases.
APPLICATION_ID = 0x4D44424A
#: Seconds for which another process may still be letting go of the file.
PATIENCE = 2.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
    run TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, error TEXT, at TEXT NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID
"""
NOTE = "INSERT OR REPLACE INTO step (run, name, state, error, at) VALUES (?, ?, ?, ?, datetime('now'))"


class Journal:
    """What one run has done, in a file that outlives the process; a context manager, used by many threads.

    Args:
        path: the file; made if there is none.
        run: which run it is; a file may hold several.

    Raises:
        ConfigurationError: the file is another program's, cannot be written, or another process uses it.
    """

    def __init__(self, path: str | os.PathLike[str], run: str) -> None:
        self.run = run
        self._path = os.fspath(path)
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(
                self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._file.close()
            raise self._refusal(error) from error
        except BaseException:
            self._file.close()
            raise

    def _prepare(self) -> None:
        execute = self._file.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA synchronous = FULL")
        execute("BEGIN EXCLUSIVE")
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        (owner,) = execute("PRAGMA application_id").fetchone()
        if tables and owner != APPLICATION_ID:
            raise ConfigurationError(
                f"resume={self._path!r}: this is the SQLite database of another program, not a journal of "
                "for_each_database(); name a file of its own."
            )
        execute(f"PRAGMA application_id = {APPLICATION_ID}")
        execute(SCHEMA)
        execute("COMMIT")

    def _refusal(self, error: sqlite3.Error) -> ConfigurationError:
        if "locked" in str(error):
            return ConfigurationError(
                f"resume={self._path!r}: another process is using this journal; wait for it, or name "
                "another file."
            )
        return ConfigurationError(f"resume={self._path!r}: cannot be used as a journal: {error}.")

    def done(self) -> set[str]:
        """Return the names that this run has done."""
        return self._in_state("done")

    def under_way(self) -> set[str]:
        """Return the names that were started, and of which nobody knows whether they were finished."""
        return self._in_state("started")

    def _in_state(self, state: str) -> set[str]:
        with self._lock:
            rows = self._file.execute("SELECT name FROM step WHERE run = ? AND state = ?", (self.run, state))
            return {name for (name,) in rows}

    def started(self, name: str) -> None:
        """Note that a database is begun."""
        self._note(name, "started", None)

    def finished(self, name: str, error: Exception | None) -> None:
        """Note that a database is done, or what went wrong; it is on disk when this returns."""
        told = None if error is None else f"{type(error).__name__}: {error}"
        self._note(name, "done" if error is None else "failed", told)

    def _note(self, name: str, state: str, error: str | None) -> None:
        with self._lock:
            self._file.execute(NOTE, (self.run, name, state, error))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._file.close()
