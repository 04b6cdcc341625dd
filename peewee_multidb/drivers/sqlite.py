"""SQLite, through the standard library or aiosqlite.

Foreign keys are enforced unless told otherwise, since the two other engines cannot do without them and
one model may live on all three. The journal mode stays the user's choice: it is a property of the file.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import peewee
from playhouse.pool import _PooledSqliteDatabase  # type: ignore[import-untyped]

from ..config import DatabaseSettings, DatabaseURL
from ..errors import ConfigurationError
from . import base
from .session import AsyncSqliteSession, SessionStatements, Statement, start_session

__all__ = ["AsyncSqliteDriver", "SqliteDriver"]

#: Pragmas that may stand among the options, as in ``?foreign_keys=0``; any other goes under ``pragmas``.
PRAGMAS = (
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "foreign_keys",
    "journal_mode",
    "journal_size_limit",
    "mmap_size",
    "page_size",
    "recursive_triggers",
    "secure_delete",
    "synchronous",
    "temp_store",
    "wal_autocheckpoint",
)
READ_ONLY = Statement("PRAGMA query_only = ON", "make the session read-only")


class SqliteDatabase(SessionStatements, peewee.SqliteDatabase):
    traits = base.SQLITE


class PooledSqliteDatabase(_PooledSqliteDatabase, SqliteDatabase):  # type: ignore[misc]
    pass


@base.register("sqlite", "sqlite+sqlite3")
class SqliteDriver(base.Driver):
    """`sqlite3` of the standard library."""

    traits = base.SQLITE

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        kind = PooledSqliteDatabase if settings.pool else SqliteDatabase
        options = {**self.sqlite_options(settings, url), **base.pool_options(settings)}
        # A pool, and a request, hand a connection from thread to thread, to one at a time.
        options.setdefault("check_same_thread", False)
        return start_session(kind(url.database, **options), settings, [READ_ONLY] if read_only else [])

    def sqlite_options(self, settings: DatabaseSettings, url: DatabaseURL) -> dict[str, Any]:
        """The options with every pragma in its place.

        Raises:
            ConfigurationError: there is a password, or ``pragmas`` is not a table.
        """
        where = f"database {settings.name!r}"
        if settings.password is not None:
            raise ConfigurationError(f"{where}: SQLite takes no password; remove 'password'")
        options = self.options(settings, url)
        pragmas = options.pop("pragmas", {})
        if not isinstance(pragmas, Mapping):
            raise ConfigurationError(f"{where}: the option 'pragmas' must be a table of names and values")
        lifted = {name: options.pop(name) for name in PRAGMAS if name in options}
        options["pragmas"] = {
            name: int(value) if isinstance(value, bool) else value
            for name, value in {"foreign_keys": 1, **pragmas, **lifted}.items()
        }
        if url.database.startswith("file:"):
            options["uri"] = True
        return options


@base.register("sqlite+aiosqlite")
class AsyncSqliteDriver(SqliteDriver):
    """aiosqlite, through `playhouse.pwasyncio`, which always pools."""

    traits = replace(base.SQLITE, is_async=True)

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        options = {
            **self.sqlite_options(settings, url),
            **base.async_pool_options(settings, stale_timeout=None),
        }
        if url.is_private_memory:
            options["pool_size"] = 1  # each connection would have an empty database of its own
        database = async_class(url.scheme)(url.database, **options)
        return start_session(database, settings, [READ_ONLY] if read_only else [])


@functools.cache
def async_class(scheme: str) -> type[AsyncSqliteSession]:
    pwasyncio = base.pwasyncio(scheme, "aiosqlite")
    bases = (AsyncSqliteSession, pwasyncio.AsyncSqliteDatabase)
    return type("AsyncSqliteDatabase", bases, {"traits": AsyncSqliteDriver.traits})
