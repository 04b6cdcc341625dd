"""The registry while other threads and tasks use it: add, remove, first look-ups, close and aclose."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, UnknownDatabase
from peewee_multidb.drivers import connections
from tests.scale import scaled
from tests.test_registry import note_model


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_databases_are_added_and_removed_while_threads_query(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if engine == "postgres":
        url = request.getfixturevalue("postgres_url")
        settings: dict[str, Any] = {"url": url, "pool": {"max_connections": 8, "timeout": 30}}
    else:
        settings = {"url": f"sqlite:///{tmp_path}/a.db", "pool": {"max_connections": 8, "timeout": 30}}
    registry = Databases({"default": settings})
    Note = note_model(registry)
    Note.create_table()
    Note.create(n=1)
    Extra = note_model(registry, db_name="extra")
    stop = threading.Event()
    ready = threading.Barrier(5)

    def query() -> tuple[int, int]:
        steady = moving = 0
        ready.wait(30)
        while not stop.is_set():
            assert Note.get().n == 1
            steady += 1
            try:
                assert Extra.get().n == 1
                moving += 1
            except UnknownDatabase:
                pass
            registry.close()
        return steady, moving

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(query) for _ in range(4)]
        ready.wait(30)
        try:
            for _ in range(scaled(60)):
                registry.add(
                    "extra", **{"url_or_database" if key == "url" else key: v for key, v in settings.items()}
                )
                # So that the threads are sure to meet it: one query of this thread while it is there.
                assert Extra.get().n == 1
                registry.remove("extra")
        finally:
            stop.set()
        counts = [thread.result(60) for thread in threads]
    assert all(steady > 0 for steady, _ in counts)
    assert sum(moving for _, moving in counts) > 0
    assert registry.names == ("default",)
    registry.close_all()


def test_the_first_lookup_in_many_threads_makes_one_object(tmp_path: Path) -> None:
    registry = Databases({"archive": f"sqlite:///{tmp_path}/archive.db"})
    for _ in range(scaled(50)):
        registry.remove("archive")
        registry.add("archive", "sqlite://")
        start = threading.Barrier(8)

        def look(start: threading.Barrier = start) -> Any:
            start.wait(30)
            return registry["archive"]

        with ThreadPoolExecutor(8) as pool:
            found = {id(thread.result(30)) for thread in [pool.submit(look) for _ in range(8)]}
        assert len(found) == 1


@pytest.mark.parametrize("scheme", ["sqlite", "postgres", "mariadb"])
def test_aclose_gives_back_and_aclose_all_ends_the_pool(
    scheme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    if scheme == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/a.db"
    else:
        module = {"postgres": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}[scheme]
        url = f"{module}://" + request.getfixturevalue(f"{scheme}_url").split("://")[1]
    registry = Databases({"default": {"url": url, "pool": 1}, "plain": "sqlite://"})
    Note = note_model(registry)

    async def use() -> None:
        # One connection: a task that did not give it back would keep the next one waiting.
        assert (await Note.aget()).n == 1
        assert registry["default"]._state.conn is not None
        registry["plain"].connect()
        await registry.aclose()
        assert registry["default"]._state.conn is None
        assert registry["plain"].is_closed()

    async def main() -> None:
        database = registry["default"]
        await database.acreate_tables([Note])
        await Note.acreate(n=1)
        registry.close()  # leaves asynchronous databases alone, in a running loop too
        assert database._state.conn is not None
        await registry.aclose()
        await asyncio.wait_for(asyncio.gather(*(use() for _ in range(10))), 30)
        await registry.aclose_all()
        assert database._pool is None
        assert (await Note.aget()).n == 1  # a new pool opens by itself
        async with database.atomic():
            registry["plain"].connect()
            with pytest.raises(peewee.OperationalError, match="transaction is open"):
                await registry.aclose()
            assert registry["plain"].is_closed()
        await registry.aclose_all()

    asyncio.run(main())
    registry.close()
    registry.close_all()  # outside of every loop, nothing to do
    assert not connections.has_transaction(registry["default"])
