"""Several hosts in a url of MariaDB: which one is taken, and what is left alone meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model
from peewee_multidb.testing.servers import MariaDBServer


def note_model(own: Databases) -> Any:
    class Note(Model):
        number = peewee.IntegerField()

        class Meta:
            registry = own

    return Note


def several(url: str, *others: str, scheme: str = "mariadb") -> str:
    """The url of a server with other addresses in front of its own."""
    account, _, rest = url.partition("://")[2].rpartition("@")
    address, _, name = rest.partition("/")
    return f"{scheme}://{account}@{','.join((*others, address))}/{name}"


def test_a_host_that_refuses_is_passed_over_and_tried_last_afterwards(mariadb_url: str) -> None:
    registry = Databases({"default": several(mariadb_url, "127.0.0.1:1", "127.0.0.1:2")})
    database: Any = registry["default"]
    assert [port for _, port in database.hosts[:2]] == [1, 2]
    assert database.execute_sql("SELECT 1").fetchone() == (1,)
    assert [port for _, port in database.hosts[1:]] == [1, 2]
    registry.close_all()


def test_a_read_only_host_is_passed_over_by_who_writes_and_taken_by_who_reads(
    mariadb_server: MariaDBServer, mariadb_url: str
) -> None:
    url = several(mariadb_url, "127.0.0.1:1")
    registry = Databases({"writer": url, "reader": {"url": url, "read_only": True}})
    mariadb_server.set_read_only()
    try:
        with pytest.raises(peewee.OperationalError) as info:
            registry["writer"].connect()
        message = str(info.value)
        assert "none of the hosts of its url takes writes" in message
        assert f"127.0.0.1:{mariadb_server.port} is read-only" in message and "127.0.0.1:1: " in message
        assert mariadb_server.password not in message
        assert registry["reader"].execute_sql("SELECT 1").fetchone() == (1,)
    finally:
        mariadb_server.set_read_only(False)
    assert registry["writer"].execute_sql("SELECT 1").fetchone() == (1,)
    registry.close_all()


def test_a_full_pool_makes_nobody_lose_his_transaction(mariadb_url: str) -> None:
    url = several(mariadb_url, "127.0.0.1:1", scheme="mariadb+aiomysql")
    registry = Databases({"default": {"url": url, "pool": {"max_connections": 1, "timeout": 0.3}}})
    database: Any = registry["default"]
    note = note_model(registry)

    async def main() -> None:
        await database.acreate_tables([note])
        await database.aclose()
        written, refused = asyncio.Event(), asyncio.Event()

        async def holder() -> None:
            async with database.atomic():
                await note.acreate(number=1)
                written.set()
                await refused.wait()
                await note.acreate(number=2)

        task = asyncio.create_task(holder())
        await written.wait()

        async def late() -> None:
            with pytest.raises(peewee.OperationalError, match="pool"):
                await note.acreate(number=3)

        await asyncio.create_task(late())
        refused.set()
        await task
        assert [row.number for row in await database.list(note.select())] == [1, 2]
        await registry.aclose_all()

    asyncio.run(main())
