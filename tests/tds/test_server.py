"""The TDS server of the tests: every protocol, the grammar of the version, and what only it can do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pymssql
import pyodbc
import pytds
import pytest

from tests.tds import TDSServer
from tests.tds.fixtures import VERSIONS


@pytest.fixture
def server() -> Iterator[TDSServer]:
    started = TDSServer()
    yield started
    started.close()


def by_pymssql(server: TDSServer, **options: Any) -> Any:
    return pymssql.connect(
        server="127.0.0.1",
        port=str(server.port),
        user=server.user,
        password=server.password,
        database="master",
        autocommit=True,
        **options,
    )


def by_pyodbc(server: TDSServer, version: str) -> Any:
    return pyodbc.connect(
        f"DRIVER={{FreeTDS}};SERVER=127.0.0.1;PORT={server.port};UID=sa;PWD={{{server.password}}};"
        f"DATABASE=master;TDS_Version={version};ClientCharset=UTF-8;",
        autocommit=True,
    )


TYPES = (
    "SELECT CAST(1 AS INT), CAST(2 AS TINYINT), CAST(N'ü' AS NVARCHAR(5)), CAST('a' AS VARCHAR(5)), "
    "CAST(1.25 AS DECIMAL(10, 2)), CAST(2.5 AS FLOAT), CAST(0x01FF AS VARBINARY(5)), CAST(3.5 AS MONEY), NULL"
)


@pytest.mark.parametrize("protocol", ["7.0", "7.1", "7.2", "7.3", "7.4"])
@pytest.mark.parametrize("version", ["2000", "2005", "2008", "2019"])
def test_every_protocol_on_every_version(
    tds_servers: Callable[[str], TDSServer], protocol: str, version: str
) -> None:
    """A server that knows no newer one answers in its own, as SQL Server does."""
    server = tds_servers(version)
    rows = []
    for conn in (by_pymssql(server, tds_version=protocol), by_pyodbc(server, protocol)):
        cursor = conn.cursor()
        cursor.execute(TYPES)
        rows.append([tuple(row) for row in cursor.fetchall()])
        conn.close()
    assert rows[0] == rows[1]
    assert [str(value) for value in rows[0][0]] == [
        "1",
        "2",
        "ü",
        "a",
        "1.25",
        "2.5",
        r"b'\x01\xff'",
        "3.5000",
        "None",
    ]


@pytest.mark.parametrize(
    ("version", "accepted", "refused"),
    [
        ("2000", "SELECT TOP 1 1 AS [a]", "SELECT TOP (1) 1 AS [a]"),
        ("2005", "SELECT TOP (1) 1 AS [a]", "SELECT 1 AS [a] ORDER BY 1 OFFSET 0 ROWS"),
        ("2008", "SELECT [a] FROM (VALUES (1)) AS [v] ([a])", "SELECT 1 AS [a] ORDER BY 1 OFFSET 0 ROWS"),
        ("2012", "SELECT 1 AS [a] ORDER BY 1 OFFSET 0 ROWS", "DROP TABLE IF EXISTS [t]"),
        ("2019", "SELECT 1 AS [a]", "SELECT 1 AS [a] LIMIT 1"),
    ],
)
def test_the_grammar_of_the_version_stands_in_front(
    tds_servers: Callable[[str], TDSServer], version: str, accepted: str, refused: str
) -> None:
    conn = by_pymssql(tds_servers(version))
    cursor = conn.cursor()
    cursor.execute(accepted)
    assert cursor.fetchall() == [(1,)]
    with pytest.raises(pymssql.Error, match="Incorrect syntax"):
        cursor.execute(refused)
    cursor.execute(f"DECLARE @v INT; SET @v = {VERSIONS[version][0]}; SELECT @v")
    assert cursor.fetchall() == [(VERSIONS[version][0],)]
    conn.close()


def test_round_trips_are_counted(server: TDSServer) -> None:
    conn = by_pymssql(server)
    cursor = conn.cursor()
    with server.counting() as sent:
        for n in range(3):
            cursor.execute(f"SELECT {n}")
            cursor.fetchall()
    assert sent == ["SELECT 0", "SELECT 1", "SELECT 2"]
    conn.close()


def test_an_error_that_is_asked_for_happens_once_and_1205_undoes_the_transaction(server: TDSServer) -> None:
    conn = by_pymssql(server)
    cursor = conn.cursor()
    cursor.execute("CREATE TABLE [t] ([n] INT)")
    cursor.execute("BEGIN TRANSACTION")
    cursor.execute("INSERT INTO [t] VALUES (1)")
    server.inject(1205, "VALUES (2)")
    with pytest.raises(pymssql.Error, match="1205"):
        cursor.execute("INSERT INTO [t] VALUES (2); INSERT INTO [t] VALUES (3)")
    cursor.execute("SELECT @@TRANCOUNT, COUNT(*) FROM [t]")
    assert cursor.fetchall() == [(0, 0)]
    cursor.execute("INSERT INTO [t] VALUES (2)")
    conn.close()


def test_connections_are_cut_as_by_a_fallen_server(server: TDSServer) -> None:
    conns = [by_pymssql(server) for _ in range(2)]
    assert server.connections == 2
    assert server.disconnect() == 2
    for conn in conns:
        with pytest.raises(pymssql.Error):
            conn.cursor().execute("SELECT 1")


def test_an_error_of_a_statement_does_not_end_the_batch_but_some_do(server: TDSServer) -> None:
    conn = pytds.connect("127.0.0.1", "master", "sa", server.password, port=server.port, autocommit=True)
    cursor = conn.cursor()
    cursor.execute("CREATE TABLE [t] ([n] INT NOT NULL)")
    for statement, count in (("INSERT INTO [t] VALUES (NULL)", 1), ("SELECT * FROM [nowhere]", 1)):
        with pytest.raises(pytds.Error):
            cursor.execute(f"{statement}; INSERT INTO [t] VALUES (1)")
            while cursor.nextset():
                pass
        cursor = conn.cursor()
        cursor.execute("SELECT COUNT(*) FROM [t]")
        assert cursor.fetchall() == [(count,)], statement
    conn.close()


def test_identities_are_not_given_again_after_a_rollback(server: TDSServer) -> None:
    conn = by_pymssql(server)
    cursor = conn.cursor()
    cursor.execute("CREATE TABLE [t] ([id] INT IDENTITY(10, 5) PRIMARY KEY, [n] INT)")
    cursor.execute("BEGIN TRANSACTION; INSERT INTO [t] ([n]) VALUES (1); ROLLBACK TRANSACTION")
    cursor.execute("INSERT INTO [t] ([n]) OUTPUT INSERTED.[id] VALUES (2)")
    assert cursor.fetchall() == [(15,)]
    conn.close()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\x01\x00\x10" + b"\0" * 12, b""])
def test_a_client_that_speaks_something_else_is_cut_off(server: TDSServer, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    conn = by_pymssql(server)
    conn.close()
