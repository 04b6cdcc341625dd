"""Results of SQL Server are read whole, whatever module they come through."""

from __future__ import annotations

import peewee
import pytest

from tests.drivers.mssql.opened import MODULES, add, opened
from tests.tds.fixtures import SCHEMES


@MODULES
def test_a_result_is_whole_before_the_next_statement(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    for n in range(3):
        add(database, n)
    first = database.execute_sql("SELECT [n] FROM [t] ORDER BY [n]")
    second = database.execute_sql("SELECT [n] + 100 FROM [t] ORDER BY [n]")
    assert first.fetchone() == (0,)
    assert second.fetchmany(2) == [(100,), (101,)]
    assert first.fetchall() == [(1,), (2,)]
    assert second.fetchone() == (102,) and second.fetchone() is None
    assert list(database.execute_sql("SELECT 1")) == [(1,)]
    first.close()
    assert first.fetchall() == []
    database.close()


@MODULES
def test_the_result_of_a_batch_is_its_first_set_of_rows(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    cursor = database.execute_sql(
        "SET NOCOUNT ON; INSERT INTO [t] ([n]) VALUES (1); SELECT 5 AS [a]; SELECT 6"
    )
    assert cursor.fetchall() == [(5,)]
    assert cursor.description[0][0] == "a"
    database.execute_sql("SET NOCOUNT OFF")
    assert database.execute_sql("UPDATE [t] SET [n] = [n] + 1 WHERE [n] = ?", (1,)).rowcount == 1
    assert database.execute_sql("DELETE FROM [t] WHERE [n] = ?", (77,)).rowcount == 0
    database.close()


@MODULES
def test_an_error_after_the_first_rows_of_a_batch_is_raised(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    with pytest.raises(peewee.IntegrityError):
        database.execute_sql("SELECT 1; INSERT INTO [t] ([n]) VALUES (NULL)")
    assert database.execute_sql("SELECT 2").fetchall() == [(2,)]
    database.close()


def test_a_percent_sign_is_one_through_every_module(mssql_url: str) -> None:
    for scheme in SCHEMES:
        database = opened(mssql_url, scheme)
        for parameters in ((), ("x%d%s%%",)):
            mark = ", ?" if parameters else ""
            row = database.execute_sql(f"SELECT N'100%', N'%s %d %%', N'?'{mark}", parameters).fetchone()
            assert row == ("100%", "%s %d %%", "?", *parameters), scheme
        database.close()
