"""Not one row in a wrong database: threads and tasks that share models, each with scopes of its own.

Every row says which database it was meant for, and afterwards plain driver connections, past the package,
look where each of them lies.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import Databases, Model, UnknownDatabase, current_db, database_of, use_db
from tests.scale import scaled, sized

NAMES = ("default", "north", "south", "west")
THREADS = 8

own = Databases()


class Owner(Model):
    meant_for = CharField()

    class Meta:
        registry = own


class Entry(Model):
    owner = ForeignKeyField(Owner, backref="entries")
    meant_for = CharField()
    number = IntegerField()

    class Meta:
        registry = own


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    own.close_all()
    own.configure({})


@pytest.fixture
def hostile() -> Iterator[None]:
    """Let threads take turns every microsecond: a switch between any two bytecodes is near."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def sqlite_files(folder: Path) -> dict[str, Path]:
    """Configure four shared files, with an owner in each, and return where they are."""
    files = {name: folder / f"{name}.db" for name in NAMES}
    # Writers wait for each other; what is measured is where a row goes.
    options = "journal_mode=wal&synchronous=0&busy_timeout=120000"
    own.configure({name: f"sqlite:///{path}?{options}" for name, path in files.items()})
    for name in NAMES:
        with use_db(name):
            own.create_tables([Owner, Entry])
            Owner.create(meant_for=name)
    return files


def rows_of(files: dict[str, Path]) -> dict[str, Counter[Any]]:
    """Return what the rows of each file were meant for, themselves and by their foreign key."""
    found = {}
    for name, path in files.items():
        connection = sqlite3.connect(path)
        sql = "SELECT e.meant_for, o.meant_for FROM entry e LEFT JOIN owner o ON o.id = e.owner_id"
        found[name] = Counter(connection.execute(sql).fetchall())
        connection.close()
    return found


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Run the work in eight threads that start at once; raise what any of them raised."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        start.wait()
        try:
            return work(number)
        finally:
            own.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


@pytest.mark.usefixtures("hostile")
def test_eight_threads_and_four_databases_put_no_row_in_a_wrong_one(tmp_path: Path) -> None:
    files = sqlite_files(tmp_path)
    each = sized(2_000, thorough=10_000) // THREADS

    def work(thread: int) -> int:
        dice = random.Random(thread)
        order = list(NAMES) * each
        dice.shuffle(order)
        for number, name in enumerate(order):
            with use_db(name):
                if number % 10:
                    Entry.insert(owner=1, meant_for=name, number=number).execute()
                    continue
                # Now and then a row by way of the instance, its foreign key, and reads that must agree.
                with use_db(dice.choice(NAMES)):
                    other = Owner.get()
                row = Entry.create(owner=Owner.get(), meant_for=name, number=number)
                assert Entry.select().where(Entry.id == row.id).get().meant_for == name
            # Outside the block the row still is where it was.
            assert (database_of(row), row.owner.meant_for) == (name, name)
            assert row.refresh().owner.meant_for == name
            assert database_of(other) == other.meant_for
            assert current_db(Entry) == "default"
        return len(order)

    total = sum(in_threads(work))
    assert total == THREADS * 4 * each
    assert rows_of(files) == {name: Counter({(name, name): THREADS * each}) for name in NAMES}


@pytest.mark.usefixtures("hostile")
def test_eight_threads_in_transactions_put_no_row_in_a_wrong_database(tmp_path: Path) -> None:
    files = sqlite_files(tmp_path)
    rounds, rows = scaled(25), 20

    def work(thread: int) -> None:
        for turn in range(rounds):
            name = NAMES[(thread + turn) % 4]
            with use_db(name), Entry._meta.database.atomic("IMMEDIATE") as block:
                for number in range(rows):
                    Entry.create(owner=1, meant_for=name, number=number)
                if turn % 5 == 4:
                    block.rollback()

    in_threads(work)
    kept = [
        NAMES[(thread + turn) % 4] for thread in range(THREADS) for turn in range(rounds) if turn % 5 != 4
    ]
    assert rows_of(files) == {name: Counter({(name, name): kept.count(name) * rows}) for name in NAMES}


@pytest.mark.usefixtures("hostile")
def test_bind_ctx_of_our_models_belongs_to_one_thread(tmp_path: Path) -> None:
    # Peewee's own binds the class itself: under these conditions hundreds of rows go astray.
    files = sqlite_files(tmp_path)
    each = scaled(250)

    def work(thread: int) -> None:
        for number in range(each):
            name = NAMES[(thread + number) % 4]
            models = [Owner, Entry]
            block = own[name].bind_ctx(models) if number % 2 else Entry.bind_ctx(own[name])
            with block:
                Entry.create(owner=1, meant_for=name, number=number)
                assert Owner.get().meant_for == name

    in_threads(work)
    placed = Counter(NAMES[(thread + number) % 4] for thread in range(THREADS) for number in range(each))
    assert rows_of(files) == {name: Counter({(name, name): placed[name]}) for name in NAMES}
    assert Entry._meta.database.obj is own["default"]


@pytest.mark.usefixtures("hostile")
def test_databases_come_and_go_while_eight_threads_are_querying(tmp_path: Path) -> None:
    files = sqlite_files(tmp_path)
    stop = threading.Event()
    written, met, missed = ([0] * THREADS for _ in range(3))

    def work(thread: int) -> None:
        while not stop.is_set():
            name = NAMES[(thread + written[thread]) % 4]
            with use_db(name):
                Entry.create(owner=1, meant_for=name, number=thread)
            written[thread] += 1
            try:
                with use_db("guest"):
                    Owner.raw("SELECT 1 AS id").get()
                met[thread] += 1
            except UnknownDatabase as error:
                assert "'guest'" in str(error)
                missed[thread] += 1

    def churn() -> None:
        turns = 0
        while turns < scaled(100) or not (sum(met) and sum(missed) and all(written)):
            own.add("guest", f"sqlite:///{tmp_path / 'guest.db'}?busy_timeout=120000")
            assert own["guest"].execute_sql("SELECT 1").fetchone() == (1,)
            own.remove("guest")
            turns += 1

    with ThreadPoolExecutor(1) as pool:
        workers = pool.submit(in_threads, work)
        try:
            churn()
        finally:
            stop.set()
        workers.result()
    found = rows_of(files)
    assert all(set(counter) <= {(name, name)} for name, counter in found.items())
    assert sum(sum(counter.values()) for counter in found.values()) == sum(written)


# Tasks

TASKS = 200


async def _insert_everywhere(task: int) -> None:
    """Insert and read one row in each database, with awaits inside every block."""
    order = random.Random(task).sample(NAMES, 4)
    for name in order:
        with use_db(name):
            await asyncio.sleep(0)
            row = await Entry.acreate(owner=1, meant_for=name, number=task)
            await asyncio.sleep(0)
            found = await Entry.aget(Entry.number == task)
            assert (found.meant_for, current_db(Entry)) == (name, name)
        assert (await row.afetch(Entry.owner)).meant_for == name
        assert current_db(Entry) == "default"
        # A connection belongs to a task until it is given back; the server has fewer than there are tasks.
        await own.aclose()


async def _insert_from_tasks() -> None:
    for name in NAMES:
        with use_db(name):
            await own[name].run(own.create_tables, [Owner, Entry])
            await Owner.acreate(meant_for=name)
    await own.aclose()
    try:
        await asyncio.gather(*(_insert_everywhere(task) for task in range(scaled(TASKS))))
    finally:
        await own.aclose_all()


def test_200_tasks_and_four_sqlite_databases_put_no_row_in_a_wrong_one(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.db" for name in NAMES}
    options = "journal_mode=wal&synchronous=0&busy_timeout=120000"
    own.configure(
        {name: {"url": f"sqlite+aiosqlite:///{path}?{options}", "pool": 5} for name, path in files.items()}
    )
    asyncio.run(_insert_from_tasks())
    assert rows_of(files) == {name: Counter({(name, name): scaled(TASKS)}) for name in NAMES}


def test_200_tasks_and_four_postgresql_databases_put_no_row_in_a_wrong_one(
    postgres_urls: Callable[[int], list[str]],
) -> None:
    urls = dict(zip(NAMES, postgres_urls(4), strict=True))
    own.configure(
        {n: {"url": u.replace("postgresql://", "postgresql+asyncpg://"), "pool": 5} for n, u in urls.items()}
    )
    asyncio.run(_insert_from_tasks())
    for name, url in urls.items():
        with psycopg.connect(url) as connection:
            sql = "SELECT e.meant_for, o.meant_for FROM entry e LEFT JOIN owner o ON o.id = e.owner_id"
            assert Counter(connection.execute(sql).fetchall()) == {(name, name): scaled(TASKS)}


def test_bind_ctx_of_our_models_belongs_to_one_task(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.db" for name in NAMES}
    own.configure({name: {"url": f"sqlite+aiosqlite:///{path}", "pool": 1} for name, path in files.items()})

    async def work(task: int) -> None:
        for number in range(20):
            name = NAMES[(task + number) % 4]
            with own[name].bind_ctx([Owner, Entry]):
                await asyncio.sleep(0)
                await Entry.acreate(owner=1, meant_for=name, number=task)
                await asyncio.sleep(0)
                assert (await Owner.aget()).meant_for == name
            await own.aclose()

    async def main() -> None:
        for name in NAMES:
            with use_db(name):
                await own[name].run(own.create_tables, [Owner, Entry])
                await Owner.acreate(meant_for=name)
        await own.aclose()
        await asyncio.gather(*map(work, range(40)))
        await own.aclose_all()

    asyncio.run(main())
    assert rows_of(files) == {name: Counter({(name, name): 200}) for name in NAMES}
