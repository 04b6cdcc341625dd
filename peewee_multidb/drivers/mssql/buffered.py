"""Connections and cursors around those of a DB-API module: results are read whole, errors are Peewee's.

A connection to SQL Server has one result at a time. Peewee fetches lazily, and a second query meanwhile
makes one module mix up the rows of both and the others fail; so each result is fetched when its statement
is executed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import peewee

from ...errors import ReadOnlyDatabase
from . import placeholders

if TYPE_CHECKING:
    from .adapters.base import Adapter
    from .version import ServerVersion

__all__ = ["BufferedConnection", "BufferedCursor"]

#: What makes a statement more than reading; ``SELECT ... INTO`` makes a table.
WRITING = {
    *(
        "INSERT",
        "UPDATE",
        "DELETE",
        "MERGE",
        "CREATE",
        "ALTER",
        "DROP",
        "TRUNCATE",
        "INTO",
        "EXEC",
        "EXECUTE",
    ),
    *("GRANT", "REVOKE", "DENY", "BULK", "WRITETEXT", "UPDATETEXT", "BACKUP", "RESTORE", "DBCC", "KILL"),
    *("SHUTDOWN", "RECONFIGURE", "OPENROWSET", "OPENQUERY"),
}
#: What reading may begin with; anything else could be the name of a procedure.
READING = {
    *(
        "SELECT",
        "WITH",
        "SET",
        "DECLARE",
        "IF",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVE",
        "PRINT",
        "WAITFOR",
        "USE",
    ),
    "",
}


class BufferedConnection:
    """A connection of a DB-API module, in autocommit mode.

    Args:
        raw: the module's connection.
        adapter: of the module.
        name: of the database, for messages.
        read_only: whether statements that write are refused.

    Attributes:
        version: of the server, once it is known; values are sent by it.
        dead: whether it is known to be cut; nothing is sent on it any more.
        lost: why the server has undone the transaction that Peewee believes to be open, or None.
    """

    def __init__(self, raw: Any, adapter: Adapter, name: str, *, read_only: bool = False) -> None:
        self.raw = raw
        self.adapter = adapter
        self.name = name
        self.read_only = read_only
        self.version: ServerVersion = adapter.assumed_version
        self.dead = False
        self.lost: str | None = None
        self.in_transaction = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.dead

    def cursor(self) -> BufferedCursor:
        """Return a new cursor."""
        return BufferedCursor(self)

    def close(self) -> None:
        """Close the connection; what is cut already closes without a word."""
        was_dead, self.dead = self.dead, True
        try:
            self.raw.close()
        except Exception as error:
            if not was_dead and not self.adapter.is_dead(error):
                raise self.adapter.translated(error) from error

    def execute(self, sql: str) -> BufferedCursor:
        """Run a statement that has no parameters."""
        cursor = BufferedCursor(self)
        cursor.execute(sql)
        return cursor

    def restore(self, sql: str) -> None:
        """Run what sets the session right after a failed batch, although the transaction may be lost."""
        lost, self.lost = self.lost, None
        try:
            self.execute(sql)
        finally:
            self.lost = lost or self.lost

    def is_alive(self) -> bool:
        """Ask the server for an answer."""
        if self.dead:
            return False
        try:
            self.execute("SELECT 1")
        except peewee.PeeweeException:
            self.dead = True
            return False
        return True

    def failed(self, error: Exception) -> Exception:
        """Return what to raise for an error of the module, after looking at what it left behind."""
        translated = self.adapter.translated(error)
        if isinstance(error, peewee.PeeweeException):
            return error
        if self.adapter.is_dead(error):
            self.dead = True
            if not isinstance(translated, peewee.OperationalError):
                translated = peewee.OperationalError(*translated.args)
        elif self.in_transaction and self.lost is None:
            self._look_after_the_transaction(str(translated.args[-1]) if translated.args else "")
        return translated

    def _look_after_the_transaction(self, reason: str) -> None:
        """See whether the server has undone the transaction, or will not let it be committed any more.

        Without this, the next statements of the block would each be committed on their own.
        """
        sql = "SELECT @@TRANCOUNT, 1" if self.version.major < 9 else "SELECT @@TRANCOUNT, XACT_STATE()"
        cursor = self.raw.cursor()
        try:
            cursor.execute(sql)
            count, state = cursor.fetchall()[0]
        except Exception:
            self.dead = True
            return
        finally:
            with contextlib.suppress(Exception):
                cursor.close()
        if count == 0:
            self.lost = f"the server has rolled the transaction back ({reason})"
        elif state == -1:
            self.lost = f"the transaction can only be rolled back ({reason})"

    def check(self, sql: str) -> None:
        """Refuse what must not be sent now.

        Raises:
            peewee.OperationalError: the connection is cut, or the transaction is lost.
            ReadOnlyDatabase: the statement writes, and the database is read-only.
        """
        if self.dead:
            raise peewee.OperationalError(
                f"database {self.name!r}: the connection is closed or was cut; connect again"
            )
        if self.lost is not None:
            raise peewee.OperationalError(
                f"database {self.name!r}: {self.lost}; nothing more is sent until the block is left"
            )
        if self.read_only:
            found = sorted(placeholders.words(sql) & WRITING)
            begins = placeholders.first_word(sql)
            if found or begins not in READING:
                raise ReadOnlyDatabase(
                    f"database {self.name!r} is configured read_only: a statement with "
                    f"{found[0] if found else begins} was not sent"
                )


class BufferedCursor:
    """A cursor whose rows are all here once `execute` returns.

    Attributes:
        description: as in PEP 249: of the first result set, or None.
        rowcount: how many rows were changed, or given; -1 if the module does not know.
    """

    arraysize = 1
    lastrowid = None

    def __init__(self, connection: BufferedConnection) -> None:
        self.connection = connection
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self._rows: list[Any] = []
        self._at = 0

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> BufferedCursor:
        """Run a batch and fetch its first result set; errors of all its statements are raised.

        Args:
            sql: with ``?`` for the parameters.
            parameters: their values.

        Raises:
            peewee.DatabaseError: of the class that goes with the server's error number.
        """
        connection, adapter = self.connection, self.connection.adapter
        connection.check(sql)
        sql, parameters = adapter.prepare(sql, parameters, connection.version)
        self.description, self._rows, self._at, self.rowcount = None, [], 0, -1
        try:
            raw = connection.raw.cursor()
            try:
                adapter.execute(raw, sql, parameters)
                self._read(raw)
            finally:
                with contextlib.suppress(Exception):
                    raw.close()
        except Exception as error:
            raise connection.failed(error) from error
        return self

    def _read(self, raw: Any) -> None:
        counts = []
        while True:
            if raw.description is not None and self.description is None:
                self.description = [tuple(column)[:7] for column in raw.description]
                self._rows = self.connection.adapter.rows(raw)
            elif raw.description is None and raw.rowcount > 0:
                counts.append(raw.rowcount)
            elif raw.description is None and raw.rowcount == 0:
                counts.append(0)
            # The errors of later statements come with their results.
            if not raw.nextset():
                break
        self.rowcount = sum(counts) if counts and self.description is None else len(self._rows)
        if self.description is None and not counts:
            self.rowcount = -1

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self._at >= len(self._rows):
            return None
        self._at += 1
        return self._rows[self._at - 1]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to `size` of the next rows."""
        start, self._at = self._at, min(self._at + (size or self.arraysize), len(self._rows))
        return self._rows[start : self._at]

    def fetchall(self) -> list[Any]:
        """Return the rest of the rows."""
        start, self._at = self._at, len(self._rows)
        return self._rows[start:]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)

    def close(self) -> None:
        """Forget the rows; the module's own cursor is closed already."""
        self._rows = []
        self._at = 0
