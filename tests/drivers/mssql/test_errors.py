"""Error numbers of the server become Peewee's exceptions, the same through every module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers.mssql.errors import kind_of
from tests.drivers.mssql.real import not_on_babelfish
from tests.tds import TDSServer
from tests.tds.fixtures import WAYS, with_driver


@pytest.fixture(params=WAYS)
def database(request: pytest.FixtureRequest, mssql_url: str) -> Iterator[Any]:
    """An empty database through each of the modules."""
    registry = Databases({"default": with_driver(mssql_url, request.param)})
    yield registry["default"]
    registry.close_all()


CASES: list[tuple[str, type[Exception], int]] = [
    ("INSERT INTO [t] ([id]) VALUES (1)", peewee.IntegrityError, 2627),
    ("INSERT INTO [t] ([id], [u]) VALUES (2, 7)", peewee.IntegrityError, 2601),
    ("INSERT INTO [t] ([id]) VALUES (NULL)", peewee.IntegrityError, 515),
    ("INSERT INTO [c] ([t]) VALUES (99)", peewee.IntegrityError, 547),
    ("INSERT INTO [t] ([id], [s]) VALUES (3, N'too long')", peewee.DataError, 2628),
    ("SELECT CAST(N'x' AS INT)", peewee.DataError, 245),
    ("SELECT CAST(N'2020-13-45' AS DATETIME)", peewee.DataError, 241),
    ("SELECT CAST(99999999999 AS INT)", peewee.DataError, 8115),
    ("SELECT CAST(N'no guid' AS UNIQUEIDENTIFIER)", peewee.DataError, 8169),
    ("SELECT * FROM [nowhere]", peewee.ProgrammingError, 208),
    ("SELECT [nothing] FROM [t]", peewee.ProgrammingError, 207),
    ("SELECT FROM WHERE", peewee.ProgrammingError, 102),
    ("EXEC [no_such_procedure]", peewee.ProgrammingError, 2812),
    ("COMMIT TRANSACTION", peewee.OperationalError, 3902),
    ("ROLLBACK TRANSACTION", peewee.OperationalError, 3903),
]
#: What mssql-python, which does not tell the number, makes of these by their SQLSTATE.
WITHOUT_NUMBER: dict[int, type[Exception]] = {
    8169: peewee.DatabaseError,
    2628: peewee.DatabaseError,
}


@not_on_babelfish("the numbers of some errors")
def test_every_module_raises_the_exception_of_the_number(database: Any) -> None:
    database.execute_sql(
        "CREATE TABLE [t] ([id] INT NOT NULL PRIMARY KEY, [u] INT NULL, [s] NVARCHAR(3) NULL)"
    )
    database.execute_sql("CREATE UNIQUE INDEX [t_u] ON [t] ([u])")
    database.execute_sql("CREATE TABLE [c] ([t] INT NOT NULL REFERENCES [t] ([id]))")
    database.execute_sql("INSERT INTO [t] ([id], [u]) VALUES (1, 7)")
    has_numbers = database.adapter.module_name != "mssql_python"
    for sql, kind, number in CASES:
        with pytest.raises(peewee.DatabaseError) as caught:
            database.execute_sql(sql)
        error = caught.value
        if has_numbers:
            # SQL Server before 2019 calls a truncation 8152; both are DataErrors.
            assert error.args[0] in (number, *((8152,) if number == 2628 else ())), sql
        else:
            kind = WITHOUT_NUMBER.get(number, kind)
        assert isinstance(error, kind), (sql, error)
        assert (
            "[Microsoft]" not in str(error) and "DB-Lib" not in str(error) and "[FreeTDS]" not in str(error)
        )
        # The connection goes on, and nothing was written.
        assert database.execute_sql("SELECT COUNT(*) FROM [t]").fetchall() == [(1,)]


def test_a_deadlock_is_an_operational_error_through_every_module(
    tds_servers: Callable[[str], TDSServer], tds_server: TDSServer
) -> None:
    for scheme in WAYS:
        registry = Databases({"default": with_driver(tds_server.url("errors"), scheme)})
        tds_server.inject(1205, "42")
        with pytest.raises(peewee.OperationalError, match="asked for"):
            registry["default"].execute_sql("SELECT 42")
        assert registry["default"].execute_sql("SELECT 42").fetchall() == [(42,)]
        registry.close_all()


def test_a_number_that_nobody_knows_keeps_the_class_of_the_module() -> None:
    class OperationalError(Exception):
        pass

    class Own(OperationalError):
        pass

    assert kind_of(50000, Own()) is peewee.OperationalError
    assert kind_of(None, ValueError()) is peewee.OperationalError
    assert kind_of(2627, ValueError()) is peewee.IntegrityError
