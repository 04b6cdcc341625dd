"""The `SchemaMigrator` of a database, of whichever engine."""

from __future__ import annotations

from typing import Any

import peewee
from playhouse import migrate  # type: ignore[import-untyped]

from ..drivers import traits_of
from ..errors import ConfigurationError

__all__ = ["migrator_of"]


def migrator_of(database: Any, name: str) -> Any:
    """Return the migrator of a Database object.

    Args:
        database: a Database object, which may be SQL Server's.
        name: its name, for messages.

    Raises:
        ConfigurationError: the database is asynchronous, or Peewee has no migrator for its engine.
    """
    if isinstance(database, peewee.Proxy):
        database = database.obj
    traits = traits_of(database)
    if traits.is_async:
        raise ConfigurationError(
            f"database {name!r} is asynchronous, and migrations are not: configure it with a synchronous "
            "URL for them, postgresql:// in place of postgresql+asyncpg:// for instance"
        )
    if traits.engine == "mssql":
        from ..drivers.mssql.migrate import MSSQLMigrator

        return MSSQLMigrator.from_database(database)
    try:
        return migrate.SchemaMigrator.from_database(database)
    except ValueError:
        raise ConfigurationError(
            f"database {name!r}: playhouse.migrate knows nothing of {traits.engine}; "
            "it knows sqlite, postgresql, mysql and mssql"
        ) from None
