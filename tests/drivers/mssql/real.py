"""A real server for the tests of SQL Server, if MULTIDB_TEST_MSSQL_URL names one.

Its database is only where the first connection goes. Two databases, multidb_test_1 and multidb_test_2 with
the process in their names, are made for the session and dropped at its end; a test finds them empty.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import peewee
import pytest

from peewee_multidb import Databases

__all__ = ["VARIABLE", "RealServer", "not_on_babelfish", "on_babelfish"]

VARIABLE = "MULTIDB_TEST_MSSQL_URL"

F = TypeVar("F", bound=Callable[..., Any])


def not_on_babelfish(what: str) -> Callable[[F], F]:
    """Mark a test of something that Babelfish for PostgreSQL lacks; it is not run there."""
    return pytest.mark.not_on_babelfish(what)  # type: ignore[return-value]


@functools.cache
def on_babelfish() -> bool:
    """Whether the real server is no SQL Server but Babelfish."""
    url = os.environ.get(VARIABLE)
    if not url:
        return False
    registry = Databases({"default": url})
    try:
        return "Babelfish" in str(registry["default"].execute_sql("SELECT @@VERSION").fetchall()[0][0])
    finally:
        registry.close_all()


class RealServer:
    """The server of a URL.

    Args:
        url: with a user who may create databases.
    """

    def __init__(self, url: str) -> None:
        head, _, query = url.partition("?")
        self.base, self.options = head.rpartition("/")[0], f"?{query}" if query else ""
        self.admin = Databases({"default": url})
        self.names = [f"multidb_test_{number}_{os.getpid()}" for number in (1, 2)]
        self.is_babelfish = on_babelfish()
        for name in self.names:
            self.admin["default"].execute_sql(f"CREATE DATABASE [{name}]")

    def url(self, number: int) -> str:
        """The URL of database 1 or 2, emptied."""
        url = f"{self.base}/{self.names[number - 1]}{self.options}"
        registry = Databases({"default": url})
        try:
            empty(registry["default"])
        finally:
            registry.close_all()
        return url

    def close(self) -> None:
        """Drop the databases."""
        for name in self.names:
            self._drop(name)
        self.admin.close_all()

    def _drop(self, name: str) -> None:
        # The server learns of a closed connection a moment later than the client.
        for attempt in range(50):
            try:
                self.admin["default"].execute_sql(f"DROP DATABASE [{name}]")
                return
            except peewee.DatabaseError as error:
                if attempt == 49 or "in use" not in str(error):
                    raise
                time.sleep(0.1)


def empty(database: Any) -> None:
    """Drop everything that tests make."""
    schemas = database.execute_sql(
        "SELECT s.name, t.name, t.object_id FROM sys.tables AS t "
        "INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE t.is_ms_shipped = 0"
    ).fetchall()
    for view in database.get_views():
        database.execute_sql(f"DROP VIEW [{view.name}]")
    for schema, table, _ in schemas:
        for key in {one.name for one in database.get_foreign_keys(table, schema)}:
            database.execute_sql(f"ALTER TABLE [{schema}].[{table}] DROP CONSTRAINT [{key}]")
    for schema, table, _ in schemas:
        database.execute_sql(f"DROP TABLE [{schema}].[{table.replace(']', ']]')}]")
    for schema in {schema for schema, _, _ in schemas} - {"dbo"}:
        database.execute_sql(f"DROP SCHEMA [{schema}]")
