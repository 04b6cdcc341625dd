"""PostgreSQL, through psycopg 3, psycopg2 or asyncpg.

Plain ``postgresql://`` prefers psycopg 3 and falls back on psycopg2; Peewee alone does the opposite.
"""

from __future__ import annotations

import functools
from typing import Any

import peewee
from playhouse.pool import _PooledPostgresqlDatabase  # type: ignore[import-untyped]

from ..config import DatabaseSettings, DatabaseURL
from . import base, schemas
from .session import AsyncPostgresqlSession, SessionStatements, Statement, start_session

__all__ = ["AsyncPostgresqlDriver", "PostgresqlDriver"]

PORT = 5432
READ_ONLY = Statement("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "make the session read-only")


class PostgresqlDatabase(SessionStatements, peewee.PostgresqlDatabase):
    traits = base.POSTGRESQL


class PooledPostgresqlDatabase(_PooledPostgresqlDatabase, PostgresqlDatabase):  # type: ignore[misc]
    pass


class SchemaPostgresqlDatabase(schemas.InSchema, PostgresqlDatabase):
    pass


class SharedPostgresqlDatabase(schemas.SharesPool, schemas.InSchema, PooledPostgresqlDatabase):
    pass


def all_addresses(address: dict[str, Any], url: DatabaseURL) -> dict[str, Any]:
    """Return the address with every host of the URL, as lists that libpq and asyncpg both try in turn."""
    if not url.alternatives:
        return address
    return {
        **address,
        "host": [host for host, _ in url.addresses],
        "port": [port or PORT for _, port in url.addresses],
    }


def _joined(address: dict[str, Any]) -> dict[str, Any]:
    """Write lists as libpq takes them, with commas."""
    return {
        key: ",".join(map(str, value)) if isinstance(value, list) else value for key, value in address.items()
    }


def set_role(url: DatabaseURL) -> list[Statement]:
    """The statement that takes on the role of the URL, if it names one."""
    if url.role is None:
        return []
    quoted = url.role.replace('"', '""')
    return [Statement(f'SET ROLE "{quoted}"', f"take on the role {url.role!r}")]


@base.register("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2")
class PostgresqlDriver(base.Driver):
    """psycopg 3 or psycopg2, as the scheme says or whichever is installed."""

    traits = base.POSTGRESQL

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        base.require_database_name(settings, url)
        module = url.module or ("psycopg2" if peewee_found("psycopg") is None else "psycopg")
        if peewee_found(module) is None:
            wanted = '"peewee-multidb[postgres]"' if url.module != "psycopg2" else "psycopg2-binary"
            raise base.missing_module(url.scheme, url.module or "psycopg", wanted)
        schemas.check_schema(settings, url)
        kind: Any = PooledPostgresqlDatabase if settings.pool else PostgresqlDatabase
        options = self.options(settings, url)
        if settings.schema is not None:
            kind = SharedPostgresqlDatabase if settings.pool else SchemaPostgresqlDatabase
            if module == "psycopg":
                # A prepared statement is a thing of the session, which a pooler may hand to somebody else.
                options.setdefault("prepare_threshold", None)
        if url.alternatives:
            # libpq tries them in turn; see "Specifying Multiple Hosts" in PostgreSQL's manual.
            options.setdefault("target_session_attrs", "any" if read_only else "read-write")
        database: PostgresqlDatabase = kind(
            url.database,
            **_joined(all_addresses(self.address(settings, url), url)),
            **options,
            **base.pool_options(settings),
            prefer_psycopg3=module == "psycopg",
        )
        if settings.schema is not None:
            return _in_schema(database, settings, url, read_only)
        return start_session(database, settings, [*set_role(url), *([READ_ONLY] if read_only else [])])


def _in_schema(
    database: Any, settings: DatabaseSettings, url: DatabaseURL, read_only: bool
) -> peewee.Database:
    """Return a Database object of a schema; nothing is set in its sessions."""
    database.schema = settings.schema
    if hasattr(database, "join"):
        database.join(schemas.pool_key(settings, url, read_only))
    ready: peewee.Database = start_session(database, settings, [])
    return ready


def peewee_found(module: str) -> Any:
    """The DB-API module as Peewee imported it, None if it could not."""
    return getattr(peewee, module)


@base.register("postgresql+asyncpg")
class AsyncPostgresqlDriver(base.Driver):
    """asyncpg, through `playhouse.pwasyncio`, which always pools."""

    traits = base.POSTGRESQL_ASYNC

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        base.require_database_name(settings, url)
        options = self.options(settings, url)
        if read_only:
            # Not a statement: the RESET ALL of asyncpg's pool would undo it; see AsyncPostgresqlSession.
            given = options.get("server_settings", {})
            options["server_settings"] = {**given, "default_transaction_read_only": "on"}
        if url.alternatives:
            options.setdefault("target_session_attrs", "any" if read_only else "read-write")
        schemas.check_schema(settings, url)
        kind: Any = async_class(url.scheme)
        if settings.schema is not None:
            kind = async_schema_class(url.scheme)
            options.setdefault("statement_cache_size", 0)
        database = kind(
            url.database,
            **all_addresses(self.address(settings, url), url),
            **options,
            **base.async_pool_options(settings, stale_timeout="max_inactive_connection_lifetime"),
        )
        if settings.schema is not None:
            return _in_schema(database, settings, url, read_only)
        ready: peewee.Database = start_session(database, settings, set_role(url))
        return ready


@functools.cache
def async_class(scheme: str) -> type[AsyncPostgresqlSession]:
    pwasyncio = base.pwasyncio(scheme, "asyncpg")
    bases = (AsyncPostgresqlSession, pwasyncio.AsyncPostgresqlDatabase)
    attributes = {
        "traits": AsyncPostgresqlDriver.traits,
        # Peewee would give asyncpg the Binary of psycopg, which it does not take.
        "get_binary_type": lambda self: bytes,
    }
    return type("AsyncPostgresqlDatabase", bases, attributes)


@functools.cache
def async_schema_class(scheme: str) -> type[Any]:
    kind = async_class(scheme)
    return type(kind.__name__, (schemas.SharesAsyncPool, schemas.InSchema, kind), {})
