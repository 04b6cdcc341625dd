"""The URL schemes of SQL Server, and the Database classes behind them."""

from __future__ import annotations

from typing import Any

import peewee
from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from ...config import DatabaseSettings, DatabaseURL
from ...errors import ConfigurationError, nearest
from .. import base
from ..session import start_session
from .adapters import ADAPTERS
from .buffered import BufferedConnection
from .database import MSSQLDatabase

__all__ = ["MSSQLDriver", "PooledMSSQLDatabase"]


class PooledMSSQLDatabase(PooledDatabase, MSSQLDatabase):  # type: ignore[misc]
    """`MSSQLDatabase` with a pool of `playhouse.pool`; before it is reused, a connection has to answer."""

    def _is_closed(self, conn: BufferedConnection) -> bool:
        if conn.is_alive():
            return False
        conn.close()
        return True

    def _can_reuse(self, conn: BufferedConnection) -> bool:
        if conn.dead:
            return False
        if conn.in_transaction or conn.lost is not None:
            conn.lost, conn.in_transaction = None, False
            try:
                conn.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
            except peewee.PeeweeException:
                return False
        return True

    def _drop(self, conn: BufferedConnection) -> None:
        self._close(conn, close_conn=True)  # type: ignore[call-arg]


@base.register("mssql", *(f"mssql+{name}" for name in ADAPTERS))
class MSSQLDriver(base.Driver):
    """SQL Server; ``mssql://`` is pymssql."""

    traits = MSSQLDatabase.traits

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        base.require_database_name(settings, url)
        if url.role is not None:
            raise ConfigurationError(
                f"database {settings.name!r}: SQL Server has no role that a session takes on; "
                "log in as another user instead of 'user(role)'"
            )
        name = url.module or "pymssql"
        if name not in ADAPTERS:
            raise ConfigurationError(f"unknown module {name!r}; {nearest(name, ADAPTERS)}")
        adapter = ADAPTERS[name](url.scheme)
        options = self.options(settings, url)
        version = options.pop("server_version", None) or settings.server_version
        keywords: dict[str, Any] = {
            **self.address(settings, url),
            **options,
            **base.pool_options(settings),
            "server_version": None if version is None else str(version),
        }
        kind = PooledMSSQLDatabase if settings.pool else MSSQLDatabase
        try:
            database: MSSQLDatabase = kind(url.database, adapter=adapter, read_only=read_only, **keywords)
        except ConfigurationError as error:
            raise ConfigurationError(f"database {settings.name!r}: {error}") from None
        if database.server_version is not None:
            adapter.check_version(database.server_version)
        database.max_params = adapter.max_params
        return start_session(database, settings, [])
