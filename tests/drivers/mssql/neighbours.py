"""What Peewee writes for the corpus on the engines that it knows; nothing of this package is imported."""

from __future__ import annotations

from typing import Any

import peewee

from tests.drivers.mssql import changes, conditions, models, shapes

ENGINES: dict[str, Any] = {
    "sqlite": lambda: peewee.SqliteDatabase(None),
    "postgresql": lambda: peewee.PostgresqlDatabase(None),
    "mysql": lambda: peewee.MySQLDatabase(None),
}


def statements() -> dict[str, dict[str, str]]:
    """Return what Peewee writes for each query of the corpus, for each engine."""
    found: dict[str, dict[str, str]] = {}
    for engine, make in ENGINES.items():
        database = make()
        m = models.define(peewee.Model, database)
        found[engine] = {}
        for name, build in {**conditions.QUERIES, **shapes.QUERIES, **changes.QUERIES}.items():
            try:
                sql, params = database.get_sql_context().sql(build(m)).query()
            except Exception as error:
                sql, params = type(error).__name__, []
            found[engine][name] = f"{sql} {[str(param) for param in params]}"
    return found
