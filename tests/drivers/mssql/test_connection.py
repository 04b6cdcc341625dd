"""Connections to SQL Server that are cut or hang, pools of them, and the Database class by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.drivers.mssql import MSSQLDatabase
from tests.drivers.mssql.opened import MODULES, add, numbers, opened
from tests.tds import TDSServer
from tests.tds.fixtures import with_driver

# Cut connections


@MODULES
def test_a_cut_connection_is_an_operational_error_and_the_next_statement_connects_again(
    own_tds_server: TDSServer, scheme: str
) -> None:
    database = opened(own_tds_server.url("cut"), scheme)
    add(database, 1)
    assert database.is_connection_usable()
    own_tds_server.disconnect()
    with pytest.raises(peewee.PeeweeException) as caught:
        numbers(database)
    assert isinstance(caught.value, (peewee.OperationalError, peewee.InterfaceError))
    assert database.is_closed()
    assert numbers(database) == [1]
    database.close()


@MODULES
def test_a_transaction_on_a_cut_connection_fails_as_a_whole(own_tds_server: TDSServer, scheme: str) -> None:
    database = opened(own_tds_server.url("cut"), scheme)
    with pytest.raises(peewee.PeeweeException):
        with database.atomic():
            add(database, 1)
            own_tds_server.disconnect()
            with pytest.raises(peewee.PeeweeException):
                add(database, 2)
            add(database, 3)  # on a new connection, it would be committed alone
    assert not database.in_transaction()
    assert numbers(database) == []
    database.close()


@MODULES
def test_a_pool_gives_out_no_cut_connection(own_tds_server: TDSServer, scheme: str) -> None:
    database = opened(own_tds_server.url("pool"), scheme, pool=2)
    database.close()
    own_tds_server.disconnect()
    add(database, 1)
    database.close()
    assert numbers(database) == [1]
    database.close_all()


def test_a_pool_takes_back_no_connection_that_was_cut_or_has_a_transaction(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("pool"), pool=2)
    database.begin()
    add(database, 1)
    database.close()
    assert numbers(database) == []
    own_tds_server.disconnect()
    with pytest.raises(peewee.PeeweeException):
        add(database, 2)
    assert database.is_closed()
    add(database, 3)
    assert numbers(database) == [3]
    database.close_all()


def test_each_thread_has_a_connection_and_a_pool_has_no_more_than_it_may(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("threads"), pool={"max_connections": 3, "timeout": 30})
    database.close()
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for step in range(5):
                with database.connection_context(), database.atomic():
                    add(database, n * 10 + step)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # SQLite has one writer at a time: whoever loses is a deadlock's victim, as on SQL Server.
    assert all("deadlock" in str(error) for error in failures), failures
    assert len(numbers(database)) >= 5
    assert own_tds_server.connections <= 3
    database.close_all()


# Waiting


@pytest.fixture
def timeout_of_pymssql_restored(own_tds_server: TDSServer) -> Iterator[None]:
    """DB-Library, below pymssql, has one timeout for the whole process."""
    yield
    database = opened(own_tds_server.url("slow"), "mssql+pymssql")
    database.connection().raw._conn.query_timeout = 0
    database.close()


@MODULES
@pytest.mark.usefixtures("timeout_of_pymssql_restored")
def test_a_statement_that_takes_longer_than_it_may_is_an_operational_error(
    own_tds_server: TDSServer, scheme: str
) -> None:
    """The next one connects again, or goes on; a pool does not keep a connection that hangs."""
    database = opened(own_tds_server.url("slow"), scheme, options={"query_timeout": 1}, pool=1)
    with pytest.raises(peewee.OperationalError):
        database.execute_sql("WAITFOR DELAY '00:00:10'")
    add(database, 1)
    assert numbers(database) == [1]
    database.close_all()


@MODULES
def test_a_host_that_there_is_not_is_an_operational_error(scheme: str) -> None:
    url = with_driver("mssql://sa:pw@nowhere.invalid/app", scheme)
    settings = {"url": url, "options": {"login_timeout": 1}}
    with pytest.raises(
        peewee.OperationalError, match=r"cannot connect to SQL Server at nowhere\.invalid:1433"
    ):
        Databases({"default": settings})["default"].connect()


# Without a registry


def test_the_database_class_can_be_used_as_it_is(tds_server: TDSServer) -> None:
    tds_server.url("plain")
    database = MSSQLDatabase(
        "plain", host="127.0.0.1", port=tds_server.port, user="sa", password="Passw0rd!", adapter="pytds"
    )
    with database:
        assert database.execute_sql("SELECT 1").fetchall() == [(1,)]
    assert database.is_closed()
    with pytest.raises(peewee.InterfaceError, match="Cannot commit"):
        database.commit()
    with pytest.raises(peewee.InterfaceError, match="Cannot roll back"):
        database.rollback()


def test_an_unknown_adapter_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'nosuch'"):
        MSSQLDatabase("x", adapter="nosuch")


def test_hooks_hear_of_statements_and_their_errors(tds_server: TDSServer) -> None:
    database = opened(tds_server.url("hooks"))
    heard: list[Any] = []
    database.query_hooks.append(heard.append)
    database.execute_sql("SELECT ?", (1,))
    with pytest.raises(peewee.ProgrammingError):
        database.execute_sql("SELECT nothing")
    assert [(event.sql, event.exception is None) for event in heard] == [
        ("SELECT ?", True),
        ("SELECT nothing", False),
    ]
    database.close()
