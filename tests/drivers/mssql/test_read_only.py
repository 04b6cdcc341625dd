"""A read-only database on SQL Server: the server is told, and what writes is not sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from peewee_multidb.errors import ReadOnlyDatabase
from tests.drivers.mssql.opened import add, numbers, opened
from tests.tds import TDSServer
from tests.tds.fixtures import SCHEMES


@pytest.fixture
def reading(mssql_url: str) -> Iterator[Any]:
    """A database that may only be read, with a table of one row."""
    writer = opened(mssql_url)
    add(writer, 1)
    writer.close()
    database = opened(mssql_url, read_only=True)
    yield database
    database.close()
    check = opened(mssql_url)
    assert numbers(check) == [1]
    check.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO [t] ([n]) VALUES (2)",
        "/* SELECT */ UPDATE [t] SET [n] = 2",
        "SELECT 1; DELETE FROM [t]",
        "WITH [x] AS (SELECT 1 AS [a]) DELETE FROM [t]",
        "SELECT * INTO [u] FROM [t]",
        "DROP TABLE [t]",
        "CREATE TABLE [u] ([n] INT)",
        "EXEC [anything]",
        "sp_rename N't', N'u'",
        "MERGE INTO [t] USING [t] AS [s] ON 1 = 0 WHEN NOT MATCHED THEN INSERT ([n]) VALUES (1);",
    ],
)
def test_a_statement_that_writes_is_not_sent_to_a_read_only_database(reading: Any, sql: str) -> None:
    with pytest.raises(ReadOnlyDatabase, match="'default' is configured read_only"):
        reading.execute_sql(sql)


def test_a_read_only_database_can_be_read(reading: Any) -> None:
    with reading.atomic():
        assert numbers(reading) == [1]
        assert reading.execute_sql("SELECT N'INSERT', [n] AS [update] FROM [t] -- DROP").fetchall() == [
            ("INSERT", 1)
        ]


def test_the_server_is_told_that_nothing_will_be_written(own_tds_server: TDSServer) -> None:
    for scheme in SCHEMES:
        database = opened(own_tds_server.url("intent"), scheme, read_only=True)
        database.connect()
        database.close()
        assert own_tds_server.logins[-1].read_only, scheme
