"""What new connections run: once each, on plain, pooled and asynchronous SQLite databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers import Statement
from tests.drivers.test_sqlite import build

BROKEN = (Statement("SELECT * FROM missing", "look around"),)


def test_a_read_only_session_refuses_writes(tmp_path: Path) -> None:
    writable = build(f"sqlite:///{tmp_path}/a.db")
    with writable.connection_context():
        writable.execute_sql("CREATE TABLE t (n)")
    for pool in (None, 1):
        database = build({"url": f"sqlite:///{tmp_path}/a.db", "pool": pool}, read_only=True)
        with pytest.raises(peewee.OperationalError, match="readonly"):
            database.execute_sql("INSERT INTO t VALUES (1)")
        assert database.execute_sql("SELECT count(*) FROM t").fetchone() == (0,)
        database.close()


def test_statements_run_once_a_connection_and_not_once_a_checkout(tmp_path: Path) -> None:
    database = build({"url": f"sqlite:///{tmp_path}/a.db", "pool": 5})
    with database.connection_context():
        database.execute_sql("CREATE TABLE opened (thread)")
    database.close_all()
    insert = "INSERT INTO opened VALUES ('connection')"
    database.session_statements = (Statement(insert, "count the connection"),)
    for _ in range(3):
        with database.connection_context():
            pass
    assert database.execute_sql("SELECT count(*) FROM opened").fetchone() == (1,)
    thread = threading.Thread(target=database.connect)
    thread.start()
    thread.join()
    assert database.execute_sql("SELECT count(*) FROM opened").fetchone() == (2,)
    database.close_all()


@pytest.mark.parametrize("pool", [None, 1])
def test_a_failed_statement_names_the_database_and_closes_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: int | None
) -> None:
    opened: list[Any] = []
    connect = peewee.SqliteDatabase._connect

    def remember(self: Any) -> Any:
        opened.append(connect(self))
        return opened[-1]

    monkeypatch.setattr(peewee.SqliteDatabase, "_connect", remember)
    database = build({"url": f"sqlite:///{tmp_path}/a.db", "pool": pool})
    database.session_statements = BROKEN
    for _ in range(2):  # the second time would fail if the pool counted the first connection
        with pytest.raises(peewee.OperationalError, match="database 'shop': could not look around: no such"):
            database.connect()
    assert database.is_closed()
    for connection in opened:
        with pytest.raises(Exception, match="closed database"):
            connection.execute("SELECT 1")


def test_asynchronous_connections_run_the_statements_too(tmp_path: Path) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build({"url": f"sqlite+aiosqlite:///{tmp_path}/a.db", "pool": 2}, read_only=True)

    async def write() -> None:
        try:
            async with database:
                await database.aexecute_sql("CREATE TABLE t (n)")
        finally:
            await database.close_pool()

    with pytest.raises(peewee.OperationalError, match="readonly"):
        asyncio.run(write())


def test_a_failed_asynchronous_statement_closes_the_connection(tmp_path: Path) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build(f"sqlite+aiosqlite:///{tmp_path}/a.db")
    database.session_statements = BROKEN
    before = threading.enumerate()

    async def connect() -> None:
        await database.aconnect()

    with pytest.raises(peewee.OperationalError, match="database 'shop': could not look around: no such"):
        asyncio.run(connect())
    # aiosqlite keeps a thread for each open connection, which ends a moment after it is closed
    for thread in set(threading.enumerate()) - set(before):
        thread.join(5)
        assert not thread.is_alive()


def test_a_pool_of_aiomysql_wakes_who_waits_also_when_it_gets_back_what_is_closed(
    new_mariadb_url: Callable[[], str],
) -> None:
    url = f"mariadb+aiomysql://{new_mariadb_url().partition('://')[2]}"
    registry = Databases({"maria": {"url": url, "pool": 1}})

    async def scene() -> None:
        database: Any = registry["maria"]
        await database.aconnect()

        async def wait() -> Any:
            return await database.aexecute_sql("SELECT 1")

        waiting = asyncio.create_task(wait())
        while not database._pool._cond._waiters:
            await asyncio.sleep(0)
        # As a cancellation does it in the middle of a statement.
        database._state.conn.conn.close()
        await database.aclose()
        await asyncio.wait_for(waiting, 30)
        await registry.aclose_all()

    asyncio.run(scene())
