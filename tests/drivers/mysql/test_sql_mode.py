"""The sql_mode of a session is what was asked for, and values survive the modes that change quoting."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_postgresql import with_scheme
from tests.drivers.test_sqlite import build

#: ANSI_QUOTES makes "x" a name, NO_BACKSLASH_ESCAPES makes \ a character, and ORACLE and ANSI imply more.
MODES = ["", "TRADITIONAL", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "ANSI"]
TEXT = "a'b\"c\\d\\'e%f`g\n\x00\x1a"


class Note(peewee.Model):
    body = peewee.TextField()
    raw = peewee.BlobField()

    class Meta:
        table_name = "no`te"


def opened(url: str, mode: str, scheme: str = "mysql") -> Any:
    return build({"url": with_scheme(url, scheme), "options": {"sql_mode": mode}})


@pytest.mark.parametrize("scheme", ["mysql", "mysql+aiomysql"])
@pytest.mark.parametrize("mode", MODES)
def test_texts_and_bytes_survive_every_mode(mariadb_url: str, mode: str, scheme: str) -> None:
    raw = TEXT.encode() + bytes(range(256))

    def work(database: Any) -> Any:
        with database.bind_ctx([Note]):
            database.create_tables([Note])
            Note.create(body=TEXT, raw=raw)
            assert Note.get(Note.body == TEXT).raw == raw
            assert Note.get(Note.body.contains("'b\"c\\d\\'e%")).body == TEXT
            assert Note.get(Note.raw == raw).body == TEXT
            return database.execute_sql("SELECT @@sql_mode").fetchone()[0]

    database = opened(mariadb_url, mode, scheme)
    if scheme == "mysql":
        found = work(database)
        database.close()
    else:
        pytest.importorskip("playhouse.pwasyncio")

        async def run() -> Any:
            try:
                return await database.run(work, database)
            finally:
                await database.close_pool()

        found = asyncio.run(run())
    assert set(mode.split(",")) <= set(found.split(",")) | {""}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=20), mode=st.sampled_from(MODES[2:]))
@example(text="\\' OR 1=1 -- ", mode="NO_BACKSLASH_ESCAPES")
@example(text="' OR 1=1 -- ", mode="ANSI_QUOTES,NO_BACKSLASH_ESCAPES")
def test_no_text_escapes_from_its_quotes(mariadb_url: str, text: str, mode: str) -> None:
    database = _open.setdefault((mariadb_url, mode), opened(mariadb_url, mode))
    assert database.execute_sql("SELECT %s, %s", (text, text.encode())).fetchone() == (text, text.encode())


_open: dict[tuple[str, str], Any] = {}


def test_without_the_option_the_session_has_the_mode_of_the_server(mariadb_url: str) -> None:
    database = build(mariadb_url)
    session, server = database.execute_sql("SELECT @@SESSION.sql_mode, @@GLOBAL.sql_mode").fetchone()
    assert session == server
    database.close()


@pytest.mark.parametrize("mode", ["ANSI'; DROP TABLE t; --", "a-b", 7])
def test_what_is_no_list_of_modes_is_refused(mode: object) -> None:
    with pytest.raises(ConfigurationError, match="database 'shop': 'sql_mode' must be a list of modes"):
        build({"url": "mysql://host/name", "options": {"sql_mode": mode}})


def test_a_mode_that_the_server_does_not_know_is_named(mariadb_url: str) -> None:
    with pytest.raises(peewee.DatabaseError, match="'shop': could not set the sql_mode 'NO_SUCH_MODE'"):
        opened(mariadb_url, "NO_SUCH_MODE").connect()
