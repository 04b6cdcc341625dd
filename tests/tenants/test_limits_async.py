"""The limits hold for the pools of asynchronous databases too, and nobody blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Model, TooManyConnections, databases, use_db, use_tenant
from tests.scale import scaled


class Note(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


NAMES = [f"t{number}" for number in range(6)]


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "sqlite":
        return [f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in NAMES]
    new_url: Callable[[], str] = request.getfixturevalue(f"new_{request.param}_url")
    scheme = {"postgres": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}[request.param]
    return [f"{scheme}://{new_url().partition('://')[2]}" for _ in NAMES]


@pytest.fixture
def limited(urls: list[str]) -> Iterator[None]:
    databases.max_open, databases.wait_open = 3, 30
    databases.configure({name: {"url": url, "pool": 5} for name, url in zip(NAMES, urls, strict=True)})
    yield
    databases.max_open = databases.max_databases = None
    databases.wait_open = 10
    databases.configure({})


def really_open() -> int:
    """What the pools say of themselves."""
    found = 0
    for database in databases.live.values():
        pool: Any = getattr(database, "_pool")  # noqa: B009
        if pool is not None:
            found += pool.get_size() if hasattr(pool, "get_size") else pool.size
    return found


async def make_tables() -> None:
    for name in NAMES:
        database: Any = databases[name]
        with use_db(name):
            await database.run(Note.create_table)
        await databases.aclose()


def test_tasks_that_visit_everything_never_have_more_open(limited: None) -> None:
    most = [0]

    async def visit(seed: int) -> None:
        for turn in range(scaled(8)):
            name = NAMES[(seed + turn) % len(NAMES)]
            with use_tenant(name):
                await Note.acreate(text=name)
                rows = await Note.select().aexecute()
                assert {row.text for row in rows} == {name}
                most[0] = max(most[0], really_open())
            await databases.aclose()

    async def everybody() -> None:
        await make_tables()
        await asyncio.gather(*(visit(seed) for seed in range(12)))
        assert databases._governor is not None
        assert databases._governor.open == really_open() <= 3
        await databases.aclose_all()
        assert databases._governor.open == 0

    asyncio.run(everybody())
    assert 0 < most[0] <= 3


def test_a_task_that_waits_lets_others_run_and_is_woken(limited: None) -> None:
    async def hold(name: str, held: asyncio.Event, go: asyncio.Event) -> None:
        with use_db(name):
            await Note.select().aexecute()
            held.set()
            await go.wait()
        await databases.aclose()

    async def scene() -> None:
        await make_tables()
        go, held = asyncio.Event(), [asyncio.Event() for _ in range(3)]
        holding = [asyncio.create_task(hold(NAMES[n], held[n], go)) for n in range(3)]
        for one in held:
            await one.wait()
        with use_db(NAMES[4]):
            waiting = asyncio.create_task(Note.select().aexecute())
        # The loop goes on: this is run while the task waits.
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        assert list(await waiting) == []
        await asyncio.gather(*holding)
        await databases.aclose_all()

    asyncio.run(scene())


def test_who_waits_in_vain_is_told(limited: None) -> None:
    async def scene() -> None:
        await make_tables()
        databases.wait_open = 0.05
        for name in NAMES[:3]:
            await databases[name].aconnect()  # type: ignore[attr-defined]
        with use_db(NAMES[4]), pytest.raises(TooManyConnections, match="'t4'"):
            await Note.select().aexecute()
        await databases.aclose()
        with use_db(NAMES[4]):
            assert list(await Note.select().aexecute()) == []
        await databases.aclose_all()

    asyncio.run(scene())


def test_database_objects_give_way_and_close_their_pools(limited: None) -> None:
    async def scene() -> None:
        await make_tables()
        databases.max_databases = 2
        for _ in range(2):
            for name in NAMES:
                with use_db(name):
                    await Note.acreate(text=name)
                await databases.aclose()
                assert len(databases.live) <= 2
        for name in NAMES:
            with use_db(name):
                assert len(list(await Note.select().aexecute())) == 2
            await databases.aclose()
        await databases.aclose_all()

    asyncio.run(scene())


async def visit(name: str) -> None:
    """Use a database, and leave its connection idle in its pool."""
    with use_db(name):
        assert len(list(await Note.select().aexecute())) == 0
    await databases.aclose()


def test_threads_get_what_is_idle_in_the_pools_of_an_event_loop(limited: None, tmp_path: Path) -> None:
    databases.add_all({f"s{number}": f"sqlite:///{tmp_path}/s{number}.db" for number in range(3)})

    def plain(name: str) -> None:
        with use_db(name):
            Note.create_table()
        databases.close()

    async def scene() -> None:
        await make_tables()
        await databases.aclose_all()
        databases.wait_open = 20
        for name in NAMES[:3]:
            await visit(name)
        assert really_open() == 3
        await asyncio.gather(*(asyncio.to_thread(plain, f"s{number}") for number in range(3)))
        await databases.aclose_all()

    asyncio.run(scene())


def test_an_event_loop_gets_what_is_idle_in_another_ones(limited: None) -> None:
    async def scene() -> None:
        for name in NAMES[:3]:
            await visit(name)
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, visit_and_close(name)) for name in NAMES[3:]))
        await databases.aclose_all()

    asyncio.run(make_and_close())
    asyncio.run(scene())


async def visit_and_close(name: str) -> None:
    await visit(name)
    await databases[name].close_pool()  # type: ignore[attr-defined]


async def make_and_close() -> None:
    await make_tables()
    await databases.aclose_all()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("urls", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("limit", ["max_open", "max_databases"])
def test_what_a_closed_event_loop_left_in_its_pools_does_not_count(limited: None, limit: str) -> None:
    asyncio.run(make_and_close())
    setattr(databases, limit, 2)
    for name in NAMES:
        asyncio.run(visit(name))


@pytest.mark.parametrize("urls", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("twice", [False, True])
def test_a_connection_that_comes_just_when_its_task_is_cancelled_is_not_lost(
    limited: None, twice: bool
) -> None:
    async def scene() -> None:
        await make_and_close()
        databases.max_open = 1
        loop: Any = asyncio.get_running_loop()
        connect = loop.create_connection
        made: list[Any] = []

        async def cancelling(*args: Any, **kwargs: Any) -> Any:
            made.append(await connect(*args, **kwargs))
            task.cancel()
            if twice:  # when it waits for what it cancelled to end
                loop.call_soon(loop.call_soon, task.cancel)
            return made[-1]

        before = asyncio.all_tasks()
        task = asyncio.create_task(visit(NAMES[0]))
        loop.create_connection = cancelling
        with pytest.raises(asyncio.CancelledError):
            await task
        loop.create_connection = connect
        assert made
        database: Any = databases.live[NAMES[0]]
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)
        assert databases._governor is not None
        assert databases._governor.open == really_open() == 0
        await visit(NAMES[0])
        assert databases._governor.open == really_open() == 1
        assert database is databases.live[NAMES[0]]
        await visit(NAMES[1])
        await databases.aclose_all()
        assert databases._governor.open == 0

    asyncio.run(asyncio.wait_for(scene(), 8))
