"""The character set: what the server has, what was chosen, and texts that it cannot carry."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mysql.charset import check_text
from tests.drivers.mysql.old_server import OldMySQL
from tests.drivers.test_postgresql import with_scheme
from tests.drivers.test_sqlite import build


def names(server: OldMySQL) -> list[str]:
    return [sql.replace("'", "") for sql in server.statements if sql.startswith("SET NAMES")]


class LatinOnly(OldMySQL):
    def answer(self, sql: str) -> Any:
        if sql.replace("'", "") == "SET NAMES utf8":
            self.statements.append(sql)
            return 1115, "Unknown character set: 'utf8'"
        return super().answer(sql)


def run_async(url: str, body: Any) -> Any:
    pytest.importorskip("playhouse.pwasyncio")
    database = build({"url": with_scheme(url, "mysql+aiomysql"), "pool": 2})

    async def run() -> Any:
        try:
            return await body(database)
        finally:
            await database.close_pool()

    return asyncio.run(run())


@pytest.mark.parametrize("pool", [None, 2])
@pytest.mark.parametrize(
    ("server", "asked", "kept"),
    [
        (OldMySQL("4.1.22-standard"), ["utf8mb4", "utf8"], "utf8"),
        (OldMySQL("5.0.51a-log"), ["utf8mb4", "utf8"], "utf8"),
        (LatinOnly("4.1.22"), ["utf8mb4", "utf8", "latin1"], "latin1"),
        (OldMySQL("5.5.68-MariaDB"), ["utf8mb4"], "utf8mb4"),
    ],
)
def test_an_unknown_charset_leads_to_the_next_and_is_not_asked_for_again(
    server: OldMySQL, asked: list[str], kept: str, pool: int | None
) -> None:
    server.statements.clear()
    with server.running():
        database = build({"url": server.url, "pool": pool})
        for _ in range(2):
            database.connect()
            database.manual_close() if pool else database.close()
        assert names(server) == [f"SET NAMES {charset}" for charset in [*asked, kept]]
        assert database.charset == kept


@pytest.mark.parametrize("server", [OldMySQL("5.0.51"), LatinOnly("5.0.51")])
def test_aiomysql_is_asked_as_well(server: OldMySQL) -> None:
    server.statements.clear()

    async def body(database: Any) -> Any:
        conn = await database.aconnect()
        return conn.conn.charset, conn.conn.encoding, database.charset

    latin = isinstance(server, LatinOnly)
    with server.running():
        charset, encoding, kept = run_async(server.url, body)
    assert charset == kept == ("latin1" if latin else "utf8")
    assert encoding == ("cp1252" if latin else "utf8")
    assert names(server) == [f"SET NAMES {c}" for c in ["utf8mb4", "utf8", "latin1"][: 3 if latin else 2]]


def test_a_chosen_charset_is_never_changed() -> None:
    with OldMySQL("5.0.51").running() as server:
        with pytest.raises(peewee.OperationalError, match="1115"):
            build(f"{server.url}?charset=utf8mb4").connect()
        database = build(f"{server.url}?charset=latin1")
        database.connect()
        assert names(server) == ["SET NAMES utf8mb4", "SET NAMES latin1"]
        database.close()

        async def body(database: Any) -> None:
            with pytest.raises(peewee.OperationalError, match="1115"):
                await database.aconnect()

        run_async(f"{server.url}?charset=utf8mb4", body)


def test_another_error_at_connect_is_not_taken_for_a_charset() -> None:
    class Full(OldMySQL):
        def answer(self, sql: str) -> Any:
            self.statements.append(sql)
            return 1040, "Too many connections"

    with Full("5.0.51").running() as server:
        with pytest.raises(peewee.OperationalError, match="Too many connections"):
            build(server.url).connect()
        assert server.statements == ["SET NAMES utf8mb4"]


# Texts


@given(st.text(max_size=20))
def test_a_text_is_refused_exactly_when_the_charset_lacks_one_of_its_characters(text: str) -> None:
    for charset, lacks in (
        ("utf8", any(ord(character) > 0xFFFF for character in text)),
        ("latin1", not _in_cp1252(text)),
    ):
        try:
            check_text(charset, (1, None, b"\xff", text), "database 'shop'")
        except peewee.DataError as error:
            assert lacks
            assert f"speaks {charset}, which lacks the character" in str(error)
        else:
            assert not lacks


def _in_cp1252(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def test_a_text_that_would_be_cut_off_is_not_sent() -> None:
    with OldMySQL("5.0.51").running() as server:
        database = build(server.url)
        with pytest.raises(peewee.DataError, match=r"'shop' speaks utf8, which lacks .* \(U\+1F600\)"):
            database.execute_sql("INSERT INTO t VALUES (%s)", ("smile \U0001f600",))
        database.execute_sql("INSERT INTO t VALUES (%s)", ("smile ☺",))
        assert server.statements[-1] == "INSERT INTO t VALUES ('smile ☺')"
        database.close()

        async def body(database: Any) -> None:
            await database.aconnect()
            with pytest.raises(peewee.DataError, match="speaks utf8"):
                await database.aexecute_sql("INSERT INTO t VALUES (%s)", ("\U0001f600",))

        run_async(server.url, body)


@pytest.mark.parametrize("scheme", ["mysql", "mysql+aiomysql"])
@pytest.mark.parametrize("charset", [None, "utf8", "latin1"])
def test_texts_come_back_through_every_charset(mariadb_url: str, scheme: str, charset: str | None) -> None:
    text = {None: "dé ☺ \U0001f600", "utf8": "dé ☺", "latin1": "dé €"}[charset]
    url = mariadb_url + (f"?charset={charset}" if charset else "")
    statements = (
        "CREATE TABLE note (body VARCHAR(40) CHARACTER SET utf8mb4)",
        "INSERT INTO note VALUES (%s)",
        "SELECT body, CHAR_LENGTH(body) FROM note",
    )

    async def body(database: Any) -> Any:
        for sql in statements:
            cursor = await database.aexecute_sql(sql, (text,) if "%s" in sql else None)
        return cursor.fetchone()

    if scheme == "mysql":
        database = build(url)
        for sql in statements:
            cursor = database.execute_sql(sql, (text,) if "%s" in sql else None)
        row = cursor.fetchone()
        database.close()
    else:
        row = run_async(url, body)
    assert row == (text, len(text))
