"""What happens on a connection: opening it, its session settings, transactions, errors."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import peewee

from ...errors import ConfigurationError, MultiDBError, nearest
from .adapters import ADAPTERS, Adapter
from .buffered import BufferedConnection, BufferedCursor
from .version import ServerVersion, effective

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Connection"]

#: What the modules set differently, or leave to the server's and the login's defaults.
SESSION = (
    "SET QUOTED_IDENTIFIER ON; SET ANSI_NULLS ON; SET ANSI_WARNINGS ON; SET ANSI_PADDING ON; "
    "SET ANSI_NULL_DFLT_ON ON; SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; "
    "SET NUMERIC_ROUNDABORT OFF; SET CURSOR_CLOSE_ON_COMMIT OFF; SET IMPLICIT_TRANSACTIONS OFF; "
    "SET XACT_ABORT OFF; SET DATEFORMAT ymd; SET DATEFIRST 7; SET TEXTSIZE 2147483647"
)
PRODUCT = (
    "SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR(32)), "
    "CAST(SERVERPROPERTY('EngineEdition') AS INT)"
)
LEVEL = "SELECT compatibility_level FROM sys.databases WHERE name = DB_NAME()"
LEVEL_2000 = "SELECT cmptlevel FROM master.dbo.sysdatabases WHERE name = DB_NAME()"
#: SQL Database and managed instances always run the newest engine, whatever product version they tell.
AZURE = {5, 8}
NEWEST = ServerVersion(17)
LONGEST_SAVEPOINT = 32


class Connection(Base):
    """Mixin of `MSSQLDatabase`: all that needs a server.

    Args:
        adapter: what follows ``mssql+`` in a URL, or an `Adapter`.
        read_only: whether statements that write are refused on its connections.
    """

    #: What error messages call the database.
    session_name = ""
    server_version: Any
    if TYPE_CHECKING:
        _state: Any

    def __init__(
        self,
        database: Any,
        *args: Any,
        adapter: str | Adapter = "pymssql",
        read_only: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(adapter, str) and adapter not in ADAPTERS:
            raise ConfigurationError(f"unknown adapter {adapter!r}; {nearest(adapter, ADAPTERS)}")
        self._adapter = adapter if isinstance(adapter, Adapter) else None
        self._adapter_name = adapter if isinstance(adapter, str) else ""
        self.read_only = read_only
        super().__init__(database, *args, **kwargs)

    @property
    def adapter(self) -> Adapter:
        """What knows the DB-API module; it is imported when it is first asked for."""
        if self._adapter is None:
            self._adapter = ADAPTERS[self._adapter_name](f"mssql+{self._adapter_name}")
        return self._adapter

    # Opening and closing

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open this thread's connection.

        Args:
            reuse_if_open: whether it is no error that it is open already.

        Raises:
            peewee.OperationalError: nobody answers there, or the login is refused.
            ConfigurationError: the module cannot serve such a server.
        """
        try:
            return bool(super().connect(reuse_if_open))
        except peewee.PeeweeException as error:
            # Peewee wraps what has one of its names already.
            inner = _unwrapped(error)
            raise inner from inner.__cause__
        finally:
            if self._state.conn is not None and not self._state.closed:
                self._state.conn.version = self.server_version or self._state.conn.version

    def _connect(self) -> BufferedConnection:
        settings = {key: value for key, value in self.connect_params.items() if value is not None}
        try:
            raw = self.adapter.open(self.database, settings, read_only=self.read_only)
        except MultiDBError:
            raise
        except TypeError as error:
            raise peewee.InterfaceError(
                f"database {self._shown!r}: {self.adapter.distribution} does not take an option: {error}"
            ) from None
        except Exception as error:
            raise self._refused(error, settings) from None
        conn = BufferedConnection(raw, self.adapter, self._shown, read_only=self.read_only)
        if self.server_version is not None:
            conn.version = self.server_version
        try:
            conn.execute(SESSION)
        except BaseException:
            conn.close()
            raise
        return conn

    @property
    def _shown(self) -> str:
        return self.session_name or str(self.database)

    def _refused(self, error: Exception, settings: Mapping[str, Any]) -> peewee.PeeweeException:
        """The error of a connection that could not be opened; with the address and without the password."""
        number, text = self.adapter.number_and_text(error)
        password = str(settings.get("password") or "")
        if len(password) > 2:
            text = text.replace(password, "***")
        address = f"{settings.get('host', 'localhost')}:{settings.get('port', 1433)}"
        message = (
            f"database {self._shown!r}: cannot connect to SQL Server at {address}, database "
            f"{str(self.database)!r}: {text or type(error).__name__}"
        )
        return peewee.OperationalError(*((message,) if number is None else (number, message)))

    def _set_server_version(self, conn: BufferedConnection) -> None:
        try:
            server, edition = self._product(conn)
            self.adapter.check_version(server)
            level = None
            try:
                row = conn.execute(LEVEL_2000 if server.major < 9 else LEVEL).fetchone()
                level = int(row[0]) if row else None
            except peewee.DatabaseError:
                if conn.dead:
                    raise
        except BaseException:
            # Peewee would keep it as the thread's connection.
            self._discard()
            raise
        self.server_version = effective(NEWEST if edition in AZURE else server, level)
        conn.version = self.server_version

    @staticmethod
    def _product(conn: BufferedConnection) -> tuple[ServerVersion, int]:
        try:
            product, edition = conn.execute(PRODUCT).fetchall()[0]
            return ServerVersion.parse(product), int(edition)
        except (peewee.DatabaseError, TypeError):
            if conn.dead:
                raise
        text = str(conn.execute("SELECT @@VERSION").fetchall()[0][0])
        found = re.search(r"- (\d+\.\d+\.\d+)", text)
        if found is None:
            raise peewee.InterfaceError(
                f"the server does not tell its version ({text[:60]!r}); set server_version, such as '2008'"
            )
        return ServerVersion.parse(found[1]), 0

    def _close(self, conn: BufferedConnection) -> None:
        conn.close()

    def is_connection_usable(self) -> bool:
        """Whether this thread has a connection that is not known to be cut."""
        return not self.is_closed() and not self._state.conn.closed

    def _discard(self) -> None:
        """Forget this thread's connection, which is of no use any more."""
        conn = self._state.conn
        if conn is not None:
            conn.dead = True
            self._drop(conn)
        self._state.reset()

    def _drop(self, conn: BufferedConnection) -> None:
        """Close a connection that does not go back to a pool."""
        conn.close()

    def get_binary_type(self) -> type:
        """Return what a BlobField hands over; each adapter makes of it what its module takes."""
        return bytes

    # Statements

    def _execute_cursor(self, sql: str, params: Any, **cursor_options: Any) -> BufferedCursor:
        self._log_query(sql, params)  # type: ignore[attr-defined]
        start = time.perf_counter() if self.query_hooks else None
        failure: Exception | None = None
        try:
            cursor: BufferedCursor = self.cursor(**cursor_options)  # type: ignore[no-untyped-call]
            return cursor.execute(sql, params or ())
        except Exception as error:
            failure = error
            raise
        finally:
            if start is not None:
                self._notify_hooks(sql, params, start, failure)  # type: ignore[attr-defined]
            if failure is not None:
                self._after_failure()

    def _after_failure(self) -> None:
        # A transaction's connection stays until its block is left, so that nothing slips out of the block.
        conn = self._state.conn
        # That a commit has failed is still to be followed by a rollback, which then discards it.
        if conn is not None and conn.dead and not (self.in_transaction() or conn.in_transaction):
            self._discard()

    # Transactions

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction.

        Args:
            isolation_level: for this and the following transactions of the connection, such as ``SNAPSHOT``.
        """
        if isolation_level:
            if not re.fullmatch(r"[A-Za-z ]+", isolation_level):
                raise ValueError(f"{isolation_level!r} is no isolation level")
            self._run(f"SET TRANSACTION ISOLATION LEVEL {isolation_level}")
        self._run("BEGIN TRANSACTION")
        self._state.conn.in_transaction = True

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            peewee.OperationalError: the server has rolled it back already, or will not commit it.
        """
        self._require_open("commit")
        self._run("COMMIT TRANSACTION")
        self._state.conn.in_transaction = False

    def rollback(self) -> None:
        """Roll the transaction back; one that the server has undone itself counts as rolled back."""
        self._require_open("roll back")
        conn = self._state.conn
        conn.lost = None
        conn.in_transaction = False
        if conn.dead:
            # The server rolls back what was open on a connection that is gone.
            self._discard()
            return
        self._run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")

    def savepoint(self) -> Savepoint:
        """Return a savepoint of the open transaction, to be used as a context manager."""
        return Savepoint(self)

    def restore(self, sql: str) -> None:
        """Set the session right after a failed batch; a connection that is cut has nothing to be set right.

        Args:
            sql: what the batch would have ended with.
        """
        conn = self._state.conn
        if conn is not None:
            with contextlib.suppress(peewee.PeeweeException):
                conn.restore(sql)

    def _run(self, sql: str) -> None:
        self._execute_cursor(sql, ())

    def _require_open(self, what: str) -> None:
        if self.is_closed():
            raise peewee.InterfaceError(f"Cannot {what}, database connection not open.")


class Savepoint(peewee._savepoint):
    """A savepoint: its name has 32 characters at most, it is never released, and it may be gone already."""

    def __init__(self, db: Any, sid: str | None = None) -> None:
        super().__init__(db, sid)
        self.sid = self.sid[:LONGEST_SAVEPOINT]
        self.quoted_sid = "[" + self.sid.replace("]", "]]") + "]"

    def _begin(self) -> None:
        self.db._run(f"SAVE TRANSACTION {self.quoted_sid}")

    def commit(self, begin: bool = True) -> None:
        """Keep what was done since; T-SQL has no RELEASE."""
        if begin:
            self._begin()

    def rollback(self, begin: bool = True) -> None:
        """Undo what was done since, unless the server has undone the whole transaction."""
        conn = self.db._state.conn
        if conn is not None and not conn.dead and conn.lost is None:
            self.db._run(f"ROLLBACK TRANSACTION {self.quoted_sid}")
        if begin:
            self._begin()


def _unwrapped(error: peewee.PeeweeException) -> BaseException:
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, peewee.PeeweeException) else error
