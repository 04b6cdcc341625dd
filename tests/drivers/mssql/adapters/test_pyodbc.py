"""pyodbc: which ODBC driver is used, and what stands in its connection string."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import peewee
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.drivers.mssql.adapters.pyodbc import PyodbcAdapter, address_pairs, connection_string
from tests.scale import scaled
from tests.tds import TDSServer
from tests.tds.fixtures import WAYS, with_driver


@pytest.fixture
def adapter() -> PyodbcAdapter:
    return PyodbcAdapter("mssql+pyodbc")


def installed(adapter: PyodbcAdapter, monkeypatch: pytest.MonkeyPatch, *names: str) -> PyodbcAdapter:
    monkeypatch.setattr(adapter.module, "drivers", lambda: list(names))
    return adapter


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["FreeTDS"], "FreeTDS"),
        (["PostgreSQL", "freetds"], "freetds"),
        (["ODBC Driver 13 for SQL Server", "FreeTDS"], "ODBC Driver 13 for SQL Server"),
        (
            [
                "ODBC Driver 9 for SQL Server",
                "ODBC Driver 18 for SQL Server",
                "ODBC Driver 17 for SQL Server",
            ],
            "ODBC Driver 18 for SQL Server",
        ),
        (["SQL Server"], "SQL Server"),
    ],
)
def test_the_newest_driver_of_microsoft_is_used_and_else_freetds(
    adapter: PyodbcAdapter, monkeypatch: pytest.MonkeyPatch, names: list[str], chosen: str
) -> None:
    assert installed(adapter, monkeypatch, *names).driver(None) == chosen


def test_a_driver_that_is_asked_for_must_be_there(
    adapter: PyodbcAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(adapter, monkeypatch, "FreeTDS", "SQLite3")
    assert adapter.driver("FreeTDS") == "FreeTDS"
    assert adapter.driver("/opt/lib/libtdsodbc.so") == "/opt/lib/libtdsodbc.so"
    with pytest.raises(
        ConfigurationError, match="no ODBC driver 'ODBC Driver 18'; installed are: FreeTDS, SQLite3"
    ):
        adapter.driver("ODBC Driver 18")


@pytest.mark.parametrize(
    ("names", "said"), [((), "no ODBC driver is installed"), (("SQLite3",), "installed are: SQLite3")]
)
def test_without_a_driver_for_sql_server_the_error_says_what_there_is(
    adapter: PyodbcAdapter, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], said: str
) -> None:
    installed(adapter, monkeypatch, *names)
    with pytest.raises(ConfigurationError, match=f"{said}.*apt-get install tdsodbc"):
        adapter.driver(None)


def test_a_missing_driver_is_an_error_of_the_configuration_when_connecting(
    tds_server: TDSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Databases({"default": tds_server.url("app", "mssql+pyodbc") + "?driver=Nothing"})["default"]
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r"there is no ODBC driver 'Nothing'; installed are: .*FreeTDS"
        ):
            database.connect()
    assert database.is_closed()


def test_the_words_of_each_driver() -> None:
    given_options = {"user": "u", "password": "p;w", "host": "h", "port": 1444, "Encrypt": True, "APP": "a b"}
    freetds = connection_string(address_pairs("FreeTDS", "d", given_options))
    assert freetds == (
        "DRIVER={FreeTDS};SERVER=h;PORT=1444;ClientCharset=UTF-8;TDS_Version=auto;DATABASE=d;UID=u;PWD={p;w};"
        "Encrypt=yes;APP={a b};"
    )
    microsoft = connection_string(address_pairs("ODBC Driver 18 for SQL Server", "d}", given_options))
    assert microsoft == (
        "DRIVER={ODBC Driver 18 for SQL Server};SERVER={h,1444};DATABASE={d}}};UID=u;PWD={p;w};Encrypt=yes;"
        "APP={a b};"
    )


@pytest.mark.parametrize(
    ("driver", "key", "value"),
    [("FreeTDS", "PWD", "a};b"), ("FreeTDS", "PWD", "a\0b"), ("ODBC Driver 18 for SQL Server", "x=y;z", "1")],
)
def test_what_no_connection_string_can_say_is_refused(driver: str, key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written into a connection string") as caught:
        connection_string(address_pairs(driver, "d", {key: value}))
    assert "a}" not in str(caught.value)


def test_what_python_tds_cannot_put_into_a_login_is_refused(tds_server: TDSServer) -> None:
    url = tds_server.url("app", "mssql+pytds").replace("Passw0rd%21", quote("pass😀word"))
    with pytest.raises(ConfigurationError, match="cannot send the password") as caught:
        Databases({"default": url})["default"].connect()
    assert "😀" not in str(caught.value)


PASSWORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@pytest.mark.parametrize("scheme", WAYS)
@given(password=PASSWORDS)
@example(password="a;b=c{d}e'f\"g[h](i),j*k!l@m#n%o?p&q/r:s\\t")
@example(password="}")
@example(password="{x")
@example(password=" ; DRIVER=x ")
@settings(max_examples=scaled(8), deadline=None)
def test_any_password_arrives_through_every_module(tds_server: TDSServer, scheme: str, password: str) -> None:
    """It is the server that refuses it, and never the module that misreads it."""
    refused = {"mssql+pyodbc": "};" in password, "mssql+pytds": max(password) > "\uffff"}
    if refused.get(scheme):
        return  # as the other tests have it
    url = tds_server.url("app").replace("Passw0rd%21", quote(password, safe=""))
    before = len(tds_server.logins)
    database: Any = Databases({"default": with_driver(url, scheme)})["default"]
    with pytest.raises(peewee.OperationalError) as caught:
        database.connect()
    assert {login.password for login in tds_server.logins[before:]} == {password}
    assert len(password) < 4 or password not in str(caught.value)
