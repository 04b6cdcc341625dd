"""MySQL and MariaDB, through PyMySQL or aiomysql.

The two differ in their JSON functions and in what Peewee writes for an upsert, and Peewee learns which
one it talks to, and its version, only from a connection. So the first query connects before it is
compiled, and the server's own version string decides, unless the scheme is ``mariadb``.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import peewee
from playhouse.pool import _PooledMySQLDatabase  # type: ignore[import-untyped]

from ..config import DatabaseSettings, DatabaseURL
from . import base
from .session import AsyncMySQLSession, SessionStatements, Statement, start_session

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["AsyncMySQLDriver", "MySQLDriver"]

READ_ONLY = Statement("SET SESSION TRANSACTION READ ONLY", "make the session read-only")


class ServerFlavour(Base):
    """Mixin: sets ``mariadb`` by the server's version string, before any SQL is compiled."""

    def execute(self, query: Any, **context_options: Any) -> Any:
        if self.server_version is None and self.autoconnect and self.is_closed():
            self.connect()
        return super().execute(query, **context_options)  # type: ignore[no-untyped-call]

    def _extract_server_version(self, version: Any) -> Any:
        # The one method that Peewee calls with the server's string for both PyMySQL and aiomysql.
        if "maria" in str(version).lower():
            self.mariadb = True
        return super()._extract_server_version(version)  # type: ignore[misc]


class MySQLDatabase(ServerFlavour, SessionStatements, peewee.MySQLDatabase):
    traits = base.MYSQL


class PooledMySQLDatabase(_PooledMySQLDatabase, MySQLDatabase):  # type: ignore[misc]
    pass


@base.register("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
class MySQLDriver(base.Driver):
    """PyMySQL; for a scheme without a module, mysqlclient too if Peewee found no PyMySQL."""

    traits = base.MYSQL

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        found = getattr(peewee, "mysql")  # noqa: B009 - the stubs of Peewee leave it out
        if found is None or url.module not in (None, found.__name__):
            raise base.missing_module(url.scheme, "PyMySQL", '"peewee-multidb[mysql]"')
        kind = PooledMySQLDatabase if settings.pool else MySQLDatabase
        options = {**self.mysql_options(settings, url), **base.pool_options(settings)}
        return start_session(kind(url.database, **options), settings, self.session(url, read_only))

    def mysql_options(self, settings: DatabaseSettings, url: DatabaseURL) -> dict[str, Any]:
        base.require_database_name(settings, url)
        address = self.address(settings, url)
        if address.get("host", "").startswith("/"):
            address["unix_socket"] = address.pop("host")
        return {
            **address,
            "mariadb": True if url.engine == "mariadb" else None,
            **self.options(settings, url),
        }

    @staticmethod
    def session(url: DatabaseURL, read_only: bool) -> list[Statement]:
        statements = [READ_ONLY] if read_only else []
        if url.role is not None:
            quoted = url.role.replace("`", "``")
            statements.insert(0, Statement(f"SET ROLE `{quoted}`", f"take on the role {url.role!r}"))
        return statements


@base.register("mysql+aiomysql", "mariadb+aiomysql")
class AsyncMySQLDriver(MySQLDriver):
    """aiomysql, through `playhouse.pwasyncio`, which always pools."""

    traits = replace(base.MYSQL, is_async=True)

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        options = {
            **self.mysql_options(settings, url),
            **base.async_pool_options(settings, stale_timeout="pool_recycle"),
        }
        database = async_class(url.scheme)(url.database, **options)
        return start_session(database, settings, self.session(url, read_only))


@functools.cache
def async_class(scheme: str) -> type[AsyncMySQLSession]:
    pwasyncio = base.pwasyncio(scheme, "aiomysql")
    bases = (ServerFlavour, AsyncMySQLSession, pwasyncio.AsyncMySQLDatabase)
    return type("AsyncMySQLDatabase", bases, {"traits": AsyncMySQLDriver.traits})
