"""The schemes of SQL Server: which module, which options, what is refused before anything connects."""

from __future__ import annotations

import sys
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledDatabase

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.drivers import find, traits_of
from peewee_multidb.drivers.mssql import MSSQLDatabase, PooledMSSQLDatabase, ServerVersion
from tests.tds.fixtures import SCHEMES


def built(settings: Any) -> Any:
    return Databases({"shop": settings})["shop"]


def test_plain_mssql_is_pymssql() -> None:
    assert built("mssql://h/d").adapter.module_name == "pymssql"


@pytest.mark.parametrize(
    ("scheme", "module"),
    [
        ("mssql+pymssql", "pymssql"),
        ("mssql+pyodbc", "pyodbc"),
        ("mssql+pytds", "pytds"),
        ("mssql+mssqlpython", "mssql_python"),
    ],
)
def test_a_scheme_names_its_module(scheme: str, module: str) -> None:
    database = built(f"{scheme}://h/d")
    assert type(database) is MSSQLDatabase
    assert database.adapter.module_name == module
    assert database.is_closed()


def test_what_the_package_is_told_of_the_engine() -> None:
    traits = traits_of(built("mssql://h/d"))
    assert traits.engine == "mssql" and traits.ddl_in_transaction and not traits.is_async
    assert traits.max_rows == 1000 and not traits.read_only_session and traits.two_phase is None
    assert find("mssql://h/d").traits is traits


def test_settings_reach_the_database_and_the_module() -> None:
    database = built(
        {
            "url": "mssql+pyodbc://app:p%40w@old:1444/na%20me?tds_version=7.1&use_output=false",
            "server_version": "2000",
            "pool": {"max_connections": 5, "stale_timeout": 60},
        }
    )
    assert isinstance(database, PooledDatabase) and isinstance(database, PooledMSSQLDatabase)
    assert database.database == "na me"
    assert database.server_version == ServerVersion(8)
    assert database.use_output is False
    assert database.connect_params == {
        "user": "app",
        "password": "p@w",
        "host": "old",
        "port": 1444,
        "tds_version": 7.1,
    }


def test_only_where_parameters_travel_is_their_number_limited() -> None:
    assert built("mssql+pymssql://h/d").max_params is None
    assert built("mssql+pytds://h/d").max_params == 2050


@pytest.mark.parametrize("scheme", ["mssql", *SCHEMES])
def test_a_missing_module_says_what_to_install(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"mssqlpython": "mssql_python"}.get(
        scheme.partition("+")[2], scheme.partition("+")[2] or "pymssql"
    )
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigurationError, match=r'which is not installed: pip install "peewee-multidb\[mssql'
    ):
        built(f"{scheme}://h/d")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mssql://h", "'shop': the url names no database; write mssql://host/name"),
        ("mssql://u(role)@h/d", "'shop': SQL Server has no role"),
        ("mssql+nosuch://h/d", "unknown URL scheme 'mssql\\+nosuch'"),
        ({"url": "mssql://h/d", "server_version": "7.0"}, "'shop': server_version '7.0'"),
        ({"url": "mssql://h/d", "server_version": "two thousand"}, "'shop': .*no version of SQL Server"),
        ({"url": "mssql+pytds://h/d", "server_version": "2005"}, "cannot serve SQL Server 2005: python-tds"),
        ({"url": "mssql+mssqlpython://h/d", "server_version": "2008 R2"}, "cannot serve SQL Server 2008 R2"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_connects(settings: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        built(settings)


def test_sql_is_written_without_a_connection_for_the_version_that_is_set() -> None:
    class Item(peewee.Model):
        name = peewee.CharField()

    old, new = (built({"url": "mssql://h/d", "server_version": version}) for version in ("2000", "2019"))
    for database, wanted in ((old, "TOP 5"), (new, "OFFSET 3 ROWS FETCH NEXT 2 ROWS ONLY")):
        with database.bind_ctx([Item]):
            assert wanted in Item.select(Item.name).order_by(Item.name).limit(2).offset(3).sql()[0]
    assert old.is_closed() and new.is_closed()
