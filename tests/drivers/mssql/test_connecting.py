"""Opening a connection to SQL Server: the session, the version, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import peewee
import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.drivers.mssql import ServerVersion
from tests.drivers.mssql.opened import MODULES, numbers, opened
from tests.drivers.mssql.real import not_on_babelfish
from tests.tds import TDSServer
from tests.tds.fixtures import SCHEMES, with_driver


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


def test_the_version_comes_from_the_banner_where_the_server_tells_no_property(
    own_tds_server: TDSServer,
) -> None:
    own_tds_server.inject(195, "SERVERPROPERTY")
    database = opened(own_tds_server.url("banner"))
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
def test_the_protocol_can_be_chosen(
    own_tds_server: TDSServer, scheme: str, protocol: str, spoken: int
) -> None:
    url = with_driver(own_tds_server.url("app"), scheme)
    database = Databases({"default": {"url": url, "options": {"tds_version": protocol}}})["default"]
    assert database.execute_sql("SELECT N'ü'").fetchall() == [("ü",)]
    assert own_tds_server.logins[-1].tds == spoken
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
