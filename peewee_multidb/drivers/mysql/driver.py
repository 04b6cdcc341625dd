"""The schemes of MySQL and MariaDB, and the options that are ours and not PyMySQL's."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import Any

import peewee

from ...config import DatabaseSettings, DatabaseURL
from ...errors import ConfigurationError, nearest
from .. import base
from ..session import Statement, start_session
from . import engines, zero_dates
from .context import ZeroDateContext
from .database import READ_ONLY, AsyncServer, MySQLDatabase, PooledMySQLDatabase, Server
from .hosts import PORT
from .tracking import CLIENT_SESSION_TRACK
from .version import parse_version

__all__ = ["AsyncMySQLDriver", "MySQLDriver"]


@base.register("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql")
class MySQLDriver(base.Driver):
    """PyMySQL; for a scheme without a module, mysqlclient too if Peewee found no PyMySQL.

    Options of its own: ``charset`` fixes what is otherwise tried, ``sql_mode`` is set in every session,
    ``myisam`` and ``zero_dates`` are described in the modules `engines` and `zero_dates`.
    """

    traits = base.MYSQL

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        found = getattr(peewee, "mysql")  # noqa: B009 - the stubs of Peewee leave it out
        if found is None or url.module not in (None, found.__name__):
            raise base.missing_module(url.scheme, "PyMySQL", '"peewee-multidb[mysql]"')
        kind = PooledMySQLDatabase if settings.pool else MySQLDatabase
        return self.made(kind, settings, url, base.pool_options(settings), read_only)

    def made(
        self,
        kind: Any,
        settings: DatabaseSettings,
        url: DatabaseURL,
        pool_options: dict[str, Any],
        read_only: bool,
    ) -> peewee.Database:
        """Make a Database object of a class with all options in their places."""
        base.require_database_name(settings, url)
        where = f"database {settings.name!r}"
        options = self.options(settings, url)
        own = {
            name: _choice(where, name, options.pop(name, choices[0]), choices)
            for name, choices in (("myisam", engines.CHOICES), ("zero_dates", zero_dates.CHOICES))
        }
        sql_mode = options.pop("sql_mode", None)
        if own["zero_dates"] != "raw":
            module = getattr(getattr(peewee, "mysql"), "__name__", None)  # noqa: B009
            if module != "pymysql" and not self.traits.is_async:
                raise ConfigurationError(f"{where}: 'zero_dates' needs PyMySQL, and Peewee found {module}")
            options.setdefault("conv", zero_dates.conversions(own["zero_dates"]))
        # Only who reads from replicas wants to know how far a commit came.
        tracks = not read_only and any(replica.url is not None for replica in settings.replicas)
        if tracks:
            options["client_flag"] = options.get("client_flag", 0) | CLIENT_SESSION_TRACK
        database: Any = kind(url.database, **self.server(settings, url), **options, **pool_options)
        database.tracks_commits = tracks
        if url.alternatives:
            database.hosts = tuple((host, port or PORT) for host, port in url.addresses)
            database.wants_writes = not read_only
        database.myisam, database.zero_dates = own["myisam"], own["zero_dates"]
        if database.zero_dates == "none":
            database.context_class = ZeroDateContext
        if "charset" in options:
            database.charset_is_chosen, database.charset = True, options["charset"]
        start_session(database, settings, self.session(where, url, sql_mode, read_only))
        if settings.server_version is not None:
            try:
                version = parse_version(settings.server_version, mariadb=bool(database.mariadb))
            except ConfigurationError as error:
                raise ConfigurationError(f"{where}, server_version: {error}") from None
            database.be(version)
        return database  # type: ignore[no-any-return]

    def server(self, settings: DatabaseSettings, url: DatabaseURL) -> dict[str, Any]:
        """The address, and the flavour if the scheme tells it."""
        address = self.address(settings, url)
        if address.get("host", "").startswith("/"):
            address["unix_socket"] = address.pop("host")
        return {"mariadb": True if url.engine == "mariadb" else None, **address}

    @staticmethod
    def session(where: str, url: DatabaseURL, sql_mode: object, read_only: bool) -> list[Statement]:
        """What a new connection runs."""
        statements = []
        if url.role is not None:
            quoted = url.role.replace("`", "``")
            statements.append(Statement(f"SET ROLE `{quoted}`", f"take on the role {url.role!r}"))
        if sql_mode is not None:
            # Not by the drivers: aiomysql would write it without quotes.
            if not isinstance(sql_mode, str) or not re.fullmatch("[A-Za-z_0-9, ]*", sql_mode):
                raise ConfigurationError(
                    f"{where}: 'sql_mode' must be a list of modes, such as 'STRICT_ALL_TABLES,NO_ZERO_DATE'"
                )
            statement = f"SET SESSION sql_mode = '{sql_mode.replace(' ', '')}'"
            statements.append(Statement(statement, f"set the sql_mode {sql_mode!r}"))
        return [*statements, READ_ONLY] if read_only else statements


def _choice(where: str, name: str, value: object, choices: tuple[str, ...]) -> str:
    if value is None:
        value = "none"  # what a URL and the environment make of that word
    if value not in choices:
        raise ConfigurationError(f"{where}: {name!r} cannot be {value!r}; {nearest(str(value), choices)}")
    return str(value)


@base.register("mysql+aiomysql", "mariadb+aiomysql")
class AsyncMySQLDriver(MySQLDriver):
    """aiomysql, through `playhouse.pwasyncio`, which always pools."""

    traits = replace(base.MYSQL, is_async=True)

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        pool_options = base.async_pool_options(settings, stale_timeout="pool_recycle")
        return self.made(async_class(url.scheme), settings, url, pool_options, read_only)


@functools.cache
def async_class(scheme: str) -> type[Any]:
    pwasyncio = base.pwasyncio(scheme, "aiomysql")
    traits = AsyncMySQLDriver.traits
    bases = (Server, AsyncServer, pwasyncio.AsyncMySQLDatabase)
    return type("AsyncMySQLDatabase", bases, {"traits": traits, "class_traits": traits})
