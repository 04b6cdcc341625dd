"""The Database classes of MySQL and MariaDB: a server that is known by its version, and all that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import peewee
from playhouse.pool import _PooledMySQLDatabase  # type: ignore[import-untyped]

from .. import base
from ..base import Traits
from ..session import AsyncMySQLSession, SessionStatements, Statement
from .charset import AsyncCharset, Charset
from .context import MySQLContext
from .engines import TableEngines
from .features import FEATURES, Gates
from .handshake import Handshake
from .hosts import AsyncHosts, Hosts
from .introspection import Introspection
from .tracking import TRACK, AsyncCommitTracking, CommitTracking
from .version import Version, parse_version
from .zero_dates import AsyncZeroDates, ZeroDates

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["READ_ONLY", "AsyncServer", "MySQLDatabase", "PooledMySQLDatabase"]

READ_ONLY = Statement("SET SESSION TRANSACTION READ ONLY", "make the session read-only")

#: Peewee's types and those of `fields`.
FIELD_TYPES = {
    **peewee.MySQLDatabase.field_types,
    "UTINYINT": "TINYINT UNSIGNED",
    "USMALLINT": "SMALLINT UNSIGNED",
    "UINT": "INTEGER UNSIGNED",
    "UBIGINT": "BIGINT UNSIGNED",
}


class Server(Introspection, TableEngines, Base):
    """What the synchronous and asynchronous classes share: the server's version, and what it lacks.

    Attributes:
        version: the server, None until a connection or the setting ``server_version`` has told.
    """

    field_types = FIELD_TYPES
    context_class = MySQLContext

    session_name: str = ""
    version: Version | None = None
    zero_dates: str
    tracks_commits: bool
    class_traits: ClassVar[Traits] = base.MYSQL
    traits: Traits = base.MYSQL

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.table_engines = {}
        self._gates: Gates | None = None
        super().__init__(*args, **kwargs)

    def be(self, version: Version) -> None:
        """Write SQL for a server.

        Args:
            version: what it is; a connection does not change it any more.
        """
        self.version = version
        self.mariadb = version.mariadb
        self.server_version = version.number
        self._gates = None
        self._set_csq_grouped(version.mariadb)  # type: ignore[attr-defined]
        traits: Traits = self.class_traits
        if FEATURES["xa"].missing_from(version):
            traits = replace(traits, two_phase=None)
        if FEATURES["read-only session"].missing_from(version):
            traits = replace(traits, read_only_session=False)
        self.traits = traits

    def execute(self, query: Any, **context_options: Any) -> Any:
        if self.server_version is None and self.autoconnect and self.is_closed():
            self.connect()
        if isinstance(query, peewee.BaseQuery):
            self.check_engine(query)
        else:
            self.forget_engines()  # DDL, which comes as a compiled context
        return super().execute(query, **context_options)  # type: ignore[no-untyped-call]

    def _set_server_version(self, conn: Any) -> None:
        raw = getattr(conn, "server_version", None) or conn.get_server_info()
        self.be(_version_of(raw, self.mariadb))

    def _extract_server_version(self, version: Any) -> Any:
        # What Peewee calls with the string that aiomysql got.
        self.be(_version_of(version, self.mariadb))
        return self.server_version

    def get_context_options(self) -> dict[str, Any]:
        if self._gates is None and self.version is not None:
            self._gates = Gates(self.version, f"database {self.session_name!r}")
        options: dict[str, Any] = super().get_context_options()
        options["gates"] = self._gates
        return options

    def savepoint(self) -> Any:
        made: Any = super().savepoint()
        if self.version is not None and FEATURES["release savepoint"].missing_from(self.version):
            made.commit = lambda begin=True: made._begin() if begin else None
        return made

    def _statements_for(self, conn: Any) -> Iterable[Statement]:
        version = self.version or _version_of(
            getattr(conn, "server_version", None) or conn.get_server_info(), self.mariadb
        )
        can_refuse_writes = not FEATURES["read-only session"].missing_from(version)
        statements: Iterable[Statement] = super()._statements_for(conn)  # type: ignore[misc]
        wanted = [one for one in statements if can_refuse_writes or one.purpose != READ_ONLY.purpose]
        if self.tracks_commits and not FEATURES["tracked commits"].missing_from(version):
            wanted.append(TRACK)
        return wanted


def _version_of(raw: Any, mariadb: bool) -> Version:
    if isinstance(raw, tuple):  # mysql-connector
        return Version((*raw[:3], 0, 0, 0)[:3], mariadb)
    return parse_version(str(raw), mariadb=mariadb)


class MySQLDatabase(
    Server, SessionStatements, CommitTracking, ZeroDates, Charset, Hosts, Handshake, peewee.MySQLDatabase
):
    """A MySQL or MariaDB server through PyMySQL."""


class PooledMySQLDatabase(_PooledMySQLDatabase, MySQLDatabase):  # type: ignore[misc]
    """The same with a pool of connections."""


class AsyncServer(AsyncCommitTracking, AsyncCharset, AsyncMySQLSession, AsyncZeroDates, AsyncHosts):
    """What stands behind `Server` and in front of ``AsyncMySQLDatabase``."""
