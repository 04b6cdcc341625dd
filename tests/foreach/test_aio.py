"""`afor_each_database`: as `for_each_database`, in tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from peewee import CharField

from peewee_multidb import ConfigurationError, Databases, Model, atomic, current_db
from peewee_multidb.foreach import afor_each_database
from tests.conftest import NewUrl

own = Databases()


class Mark(Model):
    text = CharField()

    class Meta:
        registry = own
        db_name = None


NAMES = ("p1", "p2", "p3", "l1", "l2", "l3")


@pytest.fixture
def urls(new_postgres_url: NewUrl, tmp_path: Path) -> dict[str, str]:
    urls = {name: new_postgres_url() for name in NAMES[:3]}
    own.configure(
        {
            **{name: url.replace("postgresql://", "postgresql+asyncpg://") for name, url in urls.items()},
            **{name: f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in NAMES[3:]},
        }
    )
    return urls


async def create(name: str) -> str:
    await own[name].run(Mark.create_table)
    await asyncio.sleep(0)
    await Mark.acreate(text=name)
    return current_db(Mark)  # type: ignore[return-value]


def sessions(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as other:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return other.execute(sql).fetchone()[0]  # type: ignore[index,no-any-return]


def test_each_database_is_visited_and_its_row_lies_there(urls: dict[str, str]) -> None:
    async def main() -> Any:
        report = await afor_each_database(create, registry=own, limit=2)
        free = [len(own[name]._state._states) for name in NAMES]  # type: ignore[attr-defined]
        await own.aclose_all()
        return report, free

    report, states = asyncio.run(main())
    report.raise_for_failures()
    assert report.results == {name: name for name in NAMES}
    assert states == [0] * 6, "every task gave its connection back"
    for name, url in urls.items():
        with psycopg.connect(url) as other:
            assert other.execute("SELECT text FROM mark").fetchall() == [(name,)]
        assert sessions(url) == 0


def test_no_more_than_the_limit_are_under_way() -> None:
    registry = Databases({str(number): "sqlite://" for number in range(20)})
    now, most = 0, 0

    async def work(name: str) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    report = asyncio.run(afor_each_database(work, registry=registry, limit=3))
    assert report.ok and len(report.results) == 20 and most == 3


def test_failures_are_reported_and_stop_stops() -> None:
    registry = Databases({name: "sqlite://" for name in "abcd"})

    async def work(name: str) -> None:
        if name == "b":
            raise ValueError(name)

    report = asyncio.run(afor_each_database(work, registry=registry))
    assert list(report.failed) == ["b"] and sorted(report.results) == ["a", "c", "d"]
    report = asyncio.run(afor_each_database(work, registry=registry, limit=1, on_error="stop"))
    assert (list(report.results), list(report.failed), report.not_started) == (["a"], ["b"], ["c", "d"])


@pytest.mark.parametrize("kind", ["iterable", "generator", "coroutine", "function"])
def test_names_may_be_awaited(kind: str) -> None:
    registry = Databases({name: "sqlite://" for name in "abcd"})

    async def generator() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def coroutine() -> list[str]:
        return ["a", "b"]

    names: Any = {"iterable": generator(), "generator": generator, "coroutine": coroutine, "function": lambda: "ab"}
    if kind == "function":
        names["function"] = lambda: ["a", "b"]

    async def work(name: str) -> None:
        pass

    report = asyncio.run(afor_each_database(work, names[kind], registry=registry))
    assert sorted(report.results) == ["a", "b"]


def test_being_cancelled_rolls_back_what_is_under_way_and_the_journal_has_the_rest(
    urls: dict[str, str], tmp_path: Path
) -> None:
    waits = set(NAMES[:2])

    async def work(name: str) -> None:
        await own[name].run(Mark.create_table)
        async with atomic(Mark):
            await Mark.acreate(text=name)
            if name in waits:
                reached.set()
                await asyncio.Event().wait()

    async def first() -> None:
        task = asyncio.create_task(
            afor_each_database(work, registry=own, limit=1, resume=tmp_path / "j.db", run="x")
        )
        waiting = asyncio.create_task(reached.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task.result()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await own.aclose_all()

    async def second() -> Any:
        report = await afor_each_database(work, registry=own, resume=tmp_path / "j.db", run="x")
        await own.aclose_all()
        return report

    for skipped in ([], ["p1"]):
        reached = asyncio.Event()
        asyncio.run(first())
        waits.discard(NAMES[len(skipped)])
        for url in list(urls.values())[len(skipped) : 2]:
            with psycopg.connect(url) as other:
                if other.execute("SELECT to_regclass('mark') IS NOT NULL").fetchone() == (True,):
                    assert other.execute("SELECT count(*) FROM mark").fetchone() == (0,)
    report = asyncio.run(second())
    assert report.ok and report.skipped == ["p1"] and report.repeated == ["p2"]
    for name, url in urls.items():
        with psycopg.connect(url) as other:
            assert other.execute("SELECT text FROM mark").fetchall() == [(name,)]


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a coroutine function: use for_each_database"):
        asyncio.run(afor_each_database(lambda name: None, registry=Databases()))  # type: ignore[arg-type,return-value]
