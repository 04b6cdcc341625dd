"""Connections to SQL Server: whole results, transactions that the server undoes, cut connections, pools."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.drivers.mssql import MSSQLDatabase, ServerVersion
from peewee_multidb.errors import ReadOnlyDatabase
from tests.drivers.mssql.real import not_on_babelfish
from tests.tds import TDSServer
from tests.tds.fixtures import SCHEMES, WAYS, with_driver

MODULES = pytest.mark.parametrize("scheme", WAYS)


@pytest.fixture
def server() -> Iterator[TDSServer]:
    """A server that the test may disturb."""
    started = TDSServer()
    yield started
    started.close()


def opened(url: str, scheme: str = "mssql+pymssql", **settings: Any) -> Any:
    """A database of its own registry, with the table ``t`` of one column ``n``."""
    database = Databases({"default": {"url": with_driver(url, scheme), **settings}})["default"]
    if not settings.get("read_only"):
        database.execute_sql("IF OBJECT_ID(N't', N'U') IS NULL CREATE TABLE [t] ([n] INT NOT NULL)")
    return database


def numbers(database: Any) -> list[int]:
    return [n for (n,) in database.execute_sql("SELECT [n] FROM [t] ORDER BY [n]").fetchall()]


def add(database: Any, n: int) -> None:
    database.execute_sql("INSERT INTO [t] ([n]) VALUES (?)", (n,))


# Results


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


# Transactions


@MODULES
def test_blocks_commit_and_roll_back(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    with database.atomic():
        add(database, 1)
        with pytest.raises(KeyError), database.atomic():
            add(database, 2)
            raise KeyError
        with database.atomic() as inner:
            add(database, 3)
            inner.rollback()
            add(database, 4)
    with pytest.raises(KeyError), database.atomic():
        add(database, 5)
        raise KeyError
    assert numbers(database) == [1, 4]
    database.close()


def test_a_savepoint_has_at_most_32_characters(mssql_url: str) -> None:
    database = opened(mssql_url)
    with database.atomic():
        add(database, 1)
        point = database.savepoint()
        assert len(point.sid) == 32
        with pytest.raises(KeyError), point:
            add(database, 2)
            raise KeyError
    assert numbers(database) == [1]
    database.close()


@not_on_babelfish("names with ] in them")
def test_a_savepoint_may_have_any_name(mssql_url: str) -> None:
    database = opened(mssql_url)
    with database.atomic():
        odd = type(database.savepoint())(database, "we]ird")
        with pytest.raises(KeyError), odd:
            add(database, 1)
            raise KeyError
    assert numbers(database) == []
    database.close()


def test_an_isolation_level_is_set_for_a_transaction(tds_server: TDSServer) -> None:
    database = opened(tds_server.url("isolation"))
    with tds_server.counting() as sent, database.atomic("SERIALIZABLE"):
        pass
    assert sent[0] == "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    with pytest.raises(ValueError, match="no isolation level"), database.atomic("x; DROP TABLE t"):
        pass
    database.close()


@MODULES
def test_an_error_of_a_statement_leaves_the_transaction_as_it_is(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    with database.atomic():
        add(database, 1)
        with pytest.raises(peewee.IntegrityError):
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        add(database, 2)
    assert numbers(database) == [1, 2]
    database.close()


@MODULES
def test_after_the_server_undid_the_transaction_nothing_of_the_block_is_written(
    server: TDSServer, scheme: str
) -> None:
    """Without that, what follows in the block would be committed statement by statement."""
    database = opened(server.url("lost"), scheme)
    with pytest.raises(peewee.OperationalError, match="rolled the transaction back") as caught:
        with database.atomic():
            add(database, 1)
            server.inject(1205, "INSERT")
            with pytest.raises(peewee.OperationalError, match="asked for"):
                add(database, 2)
            add(database, 3)
    assert "'default'" in str(caught.value)
    assert numbers(database) == []
    # And the connection is as good as new.
    with database.atomic():
        add(database, 4)
    assert numbers(database) == [4]
    database.close()


def test_an_error_that_undid_the_transaction_comes_through_savepoints_unchanged(server: TDSServer) -> None:
    database = opened(server.url("lost"))
    server.inject(1205, "INSERT")
    with pytest.raises(peewee.OperationalError) as caught, database.atomic(), database.atomic():
        add(database, 1)
    assert caught.value.args[0] == 1205
    assert numbers(database) == [] and not database.in_transaction()
    database.close()


def test_a_transaction_that_can_only_be_rolled_back_is_sent_nothing_more(server: TDSServer) -> None:
    database = opened(server.url("doomed"))
    with pytest.raises(peewee.OperationalError, match="can only be rolled back"), database.atomic():
        add(database, 1)
        server.doomed = True
        with server.counting() as sent, pytest.raises(peewee.IntegrityError), database.atomic():
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        assert not any(sql.startswith("ROLLBACK TRANSACTION [") for sql in sent)  # Msg 3931
        add(database, 2)
    server.doomed = False
    assert numbers(database) == []
    database.close()


def test_a_connection_that_is_cut_while_it_fails_is_not_used_again(server: TDSServer) -> None:
    database = opened(server.url("failing"))
    with pytest.raises(peewee.PeeweeException), database.atomic():
        add(database, 1)
        server.inject(4060, "XACT_STATE")
        with pytest.raises(peewee.IntegrityError):
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        add(database, 2)  # nobody knows whether the transaction is still there
    assert numbers(database) == []
    database.close()


def test_a_commit_of_what_the_server_undid_is_an_error(server: TDSServer) -> None:
    database = opened(server.url("lost"))
    with pytest.raises(peewee.OperationalError, match="rolled the transaction back"), database.atomic():
        add(database, 1)
        server.inject(1205, "INSERT")
        with pytest.raises(peewee.OperationalError):
            add(database, 2)
    assert numbers(database) == []
    database.close()


@not_on_babelfish("an error that undoes the whole transaction")
def test_a_conversion_error_undoes_the_transaction_as_on_the_server(mssql_url: str) -> None:
    """Msg 245 ends the batch and the transaction, unlike an error of a constraint."""
    database = opened(mssql_url)
    with pytest.raises(peewee.OperationalError, match="transaction"), database.atomic():
        add(database, 1)
        with pytest.raises(peewee.DataError):
            database.execute_sql("SELECT CAST(N'x' AS INT)")
        add(database, 2)
    assert numbers(database) == []
    database.close()


# Cut connections


@MODULES
def test_a_cut_connection_is_an_operational_error_and_the_next_statement_connects_again(
    server: TDSServer, scheme: str
) -> None:
    database = opened(server.url("cut"), scheme)
    add(database, 1)
    assert database.is_connection_usable()
    server.disconnect()
    with pytest.raises(peewee.PeeweeException) as caught:
        numbers(database)
    assert isinstance(caught.value, (peewee.OperationalError, peewee.InterfaceError))
    assert database.is_closed()
    assert numbers(database) == [1]
    database.close()


@MODULES
def test_a_transaction_on_a_cut_connection_fails_as_a_whole(server: TDSServer, scheme: str) -> None:
    database = opened(server.url("cut"), scheme)
    with pytest.raises(peewee.PeeweeException):
        with database.atomic():
            add(database, 1)
            server.disconnect()
            with pytest.raises(peewee.PeeweeException):
                add(database, 2)
            add(database, 3)  # on a new connection, it would be committed alone
    assert not database.in_transaction()
    assert numbers(database) == []
    database.close()


@MODULES
def test_a_pool_gives_out_no_cut_connection(server: TDSServer, scheme: str) -> None:
    database = opened(server.url("pool"), scheme, pool=2)
    database.close()
    server.disconnect()
    add(database, 1)
    database.close()
    assert numbers(database) == [1]
    database.close_all()


def test_a_pool_takes_back_no_connection_that_was_cut_or_has_a_transaction(server: TDSServer) -> None:
    database = opened(server.url("pool"), pool=2)
    database.begin()
    add(database, 1)
    database.close()
    assert numbers(database) == []
    server.disconnect()
    with pytest.raises(peewee.PeeweeException):
        add(database, 2)
    assert database.is_closed()
    add(database, 3)
    assert numbers(database) == [3]
    database.close_all()


def test_each_thread_has_a_connection_and_a_pool_has_no_more_than_it_may(server: TDSServer) -> None:
    database = opened(server.url("threads"), pool={"max_connections": 3, "timeout": 30})
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
    assert server.connections <= 3
    database.close_all()


# Opening


def test_the_session_is_set_up_whatever_the_login_defaults_are(tds_server: TDSServer) -> None:
    for scheme in SCHEMES:
        with tds_server.counting() as sent:
            opened(tds_server.url("session"), scheme).close()
        (session,) = [sql for sql in sent if "SET DATEFORMAT ymd" in sql]
        for wanted in ("XACT_ABORT OFF", "DATEFIRST 7", "QUOTED_IDENTIFIER ON", "IMPLICIT_TRANSACTIONS OFF"):
            assert f"SET {wanted}" in session


@pytest.mark.parametrize(
    ("version", "found"),
    [("2000", (8, 0)), ("2005", (9, 0)), ("2008", (10, 0)), ("2012", (11, 0)), ("2022", (16, 0))],
)
def test_the_version_of_the_server_is_found(
    tds_servers: Callable[[str], TDSServer], version: str, found: tuple[int, int]
) -> None:
    database = opened(tds_servers(version).url("version"))
    assert database.server_version == ServerVersion(*found)
    assert database.version.name == f"SQL Server {version}"
    database.close()


def test_a_database_of_an_older_server_speaks_that_servers_language() -> None:
    server = TDSServer(level=100)
    try:
        database = opened(server.url("level"))
        assert database.server_version.major == 10
        database.close()
    finally:
        server.close()


def test_a_version_that_is_given_is_not_asked_for(tds_server: TDSServer) -> None:
    with tds_server.counting() as sent:
        database = opened(tds_server.url("given"), server_version="2008 R2")
    assert database.server_version == ServerVersion(10, 50)
    assert not any("SERVERPROPERTY" in sql for sql in sent)
    database.close()


def test_the_version_comes_from_the_banner_where_the_server_tells_no_property(server: TDSServer) -> None:
    server.inject(195, "SERVERPROPERTY")
    database = opened(server.url("banner"))
    assert database.server_version.major == 15
    database.close()


@pytest.mark.parametrize(("scheme", "version"), [("mssql+pytds", "2005"), ("mssql+mssqlpython", "2008")])
@pytest.mark.parametrize("said", [True, False])
def test_a_server_that_a_module_cannot_serve_is_refused_with_the_reason(
    tds_servers: Callable[[str], TDSServer], scheme: str, version: str, said: bool
) -> None:
    url = with_driver(tds_servers(version).url("old"), scheme)
    settings = {"url": url, **({"server_version": version} if said else {})}
    with pytest.raises(ConfigurationError, match=rf"cannot serve SQL Server {version}: .*mssql\+pymssql://"):
        Databases({"default": settings})["default"].connect()


@pytest.mark.parametrize("scheme", ["mssql+pytds", "mssql+mssqlpython"])
def test_sql_server_2000_is_refused_by_the_modules_that_cannot_talk_to_it(
    tds_servers: Callable[[str], TDSServer], scheme: str
) -> None:
    url = with_driver(tds_servers("2000").url("old"), scheme)
    with pytest.raises((ConfigurationError, peewee.OperationalError), match=r"SQL Server 200[05]"):
        Databases({"default": url})["default"].connect()


@MODULES
@pytest.mark.parametrize("pool", [None, 2])
def test_a_wrong_password_is_an_operational_error_that_names_the_server(
    tds_server: TDSServer, scheme: str, pool: int | None
) -> None:
    url = with_driver(tds_server.url("app").replace("Passw0rd%21", "Wr0ngPassw0rd"), scheme)
    database = Databases({"default": {"url": url, "pool": pool}})["default"]
    for _ in range(3):
        with pytest.raises(
            peewee.OperationalError, match=rf"'default': .*127.0.0.1:{tds_server.port}.*Login failed"
        ):
            database.connect()
    assert database.is_closed()


@MODULES
def test_a_database_that_there_is_not_is_named(tds_server: TDSServer, scheme: str) -> None:
    tds_server.url("app")
    url = with_driver(tds_server.url("app").replace("/app", "/nowhere"), scheme)
    settings = {"url": url, "options": {"login_timeout": 1}}
    with pytest.raises(peewee.OperationalError, match="nowhere"):
        Databases({"default": settings})["default"].connect()


@MODULES
def test_a_port_where_nobody_listens_is_an_operational_error(scheme: str) -> None:
    settings = {"url": with_driver("mssql://sa:pw@127.0.0.1:1/app", scheme), "options": {"login_timeout": 1}}
    with pytest.raises(peewee.OperationalError, match=r"cannot connect to SQL Server at 127\.0\.0\.1:1,"):
        Databases({"default": settings})["default"].connect()


@pytest.mark.parametrize(
    ("scheme", "protocol", "spoken"),
    [
        ("mssql+pymssql", "7.0", 0x70000000),
        ("mssql+pymssql", "7.1", 0x71000001),
        ("mssql+pyodbc", "7.2", 0x72090002),
        ("mssql+pytds", "7.3", 0x730B0003),
    ],
)
def test_the_protocol_can_be_chosen(server: TDSServer, scheme: str, protocol: str, spoken: int) -> None:
    url = with_driver(server.url("app"), scheme)
    database = Databases({"default": {"url": url, "options": {"tds_version": protocol}}})["default"]
    assert database.execute_sql("SELECT N'ü'").fetchall() == [("ü",)]
    assert server.logins[-1].tds == spoken
    database.close()


def test_a_protocol_that_there_is_not_is_named(tds_server: TDSServer) -> None:
    url = with_driver(tds_server.url("app"), "mssql+pytds") + "?tds_version=7.1"
    with pytest.raises(ConfigurationError, match=r"tds_version '7\.1' is none of 7\.3, 7\.4"):
        Databases({"default": url})["default"].connect()


@pytest.mark.parametrize("scheme", ["mssql+pymssql", "mssql+pytds"])
def test_an_option_that_the_module_does_not_take_is_named(tds_server: TDSServer, scheme: str) -> None:
    database = Databases({"default": f"{with_driver(tds_server.url('app'), scheme)}?no_such_option=1"})[
        "default"
    ]
    with pytest.raises(peewee.InterfaceError, match=r"does not take an option: .*no_such_option"):
        database.connect()


@not_on_babelfish("names with ] in them")
def test_a_name_with_brackets_quotes_a_semicolon_and_an_emoji_is_one_name(mssql_url: str) -> None:
    for scheme in SCHEMES:
        database = opened(mssql_url, scheme)
        table = "we]ird \"t'; DROP TABLE t; -- 😀"

        class Odd(peewee.Model):
            text = peewee.CharField(column_name="a]b;'\"?%s")

            class Meta:
                table_name = table

        with database.bind_ctx([Odd]):
            Odd.create_table()
            Odd.create(text="x")
            assert Odd.get(Odd.text == "x").text == "x"
            assert table in database.get_tables()
            Odd.drop_table()
        assert numbers(database) == []
        database.close()


# Reading only


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


def test_the_server_is_told_that_nothing_will_be_written(server: TDSServer) -> None:
    for scheme in SCHEMES:
        database = opened(server.url("intent"), scheme, read_only=True)
        database.connect()
        database.close()
        assert server.logins[-1].read_only, scheme


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


# Waiting


@MODULES
def test_a_statement_that_takes_longer_than_it_may_is_an_operational_error(
    server: TDSServer, scheme: str
) -> None:
    """The next one connects again, or goes on; a pool does not keep a connection that hangs."""
    database = opened(server.url("slow"), scheme, options={"query_timeout": 1}, pool=1)
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
