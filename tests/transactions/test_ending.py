"""The end of a block: what is committed, what is rolled back with the rest, and what is not run again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import peewee
import pytest

from peewee_multidb import after_commit, atomic, databases
from tests.engines import MODELS, Lite, Maria, Post, acounts, counts


def locked() -> None:
    raise peewee.OperationalError("database is locked")


@pytest.mark.parametrize("names", [["lite"], ["lite", "post"]])
def test_a_callback_that_fails_like_a_race_does_not_repeat_what_is_committed(
    two: None, names: list[str]
) -> None:
    runs = []

    @atomic(*names, retries=3)
    def work() -> None:
        runs.append(1)
        Lite.create(n=1)
        after_commit(locked)

    with pytest.raises(peewee.OperationalError, match="locked"):
        work()
    assert len(runs) == 1 and counts(Lite) == [1]


@pytest.mark.parametrize("names", [("post", "maria"), ("maria", "post"), ("lite", "post", "maria")])
def test_a_transaction_that_failed_inside_is_noticed_before_anything_commits(
    three: None, names: tuple[str, ...]
) -> None:
    """PostgreSQL answers its COMMIT with a ROLLBACK, whichever place it has in the order."""
    with pytest.raises(peewee.InternalError, match="The transaction on 'post' had failed"):
        with atomic(*names):
            for model in MODELS:
                if model._meta.home.name in names:
                    model.create(n=1)
            with contextlib.suppress(peewee.PeeweeException):
                databases["post"].execute_sql("SELECT 1 / 0")
    assert counts() == [0, 0, 0]


def test_a_savepoint_is_released_only_when_the_others_have_committed(two: None) -> None:
    """Else its work would stay in the block around it, and theirs would not."""
    databases["post"].execute_sql("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    databases["post"].execute_sql(
        "CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    databases["post"].execute_sql("PRAGMA foreign_keys = ON")
    with atomic("lite"):
        Lite.create(n=1)
        with pytest.raises(peewee.IntegrityError), atomic("post", "lite"):
            Lite.create(n=2)
            databases["post"].execute_sql("INSERT INTO b VALUES (99)")  # checked at the commit
    assert [row.n for row in Lite.select()] == [1]


def test_threads_share_one_object_and_each_ends_its_own_block(three: None) -> None:
    unit = atomic("post", "maria", two_phase=True)
    both = threading.Barrier(2, timeout=30)
    left = threading.Event()
    seen: list[str] = []
    errors: list[BaseException] = []

    def first() -> None:
        with unit as block:
            block.after_commit(lambda: seen.append("first"))
            Post.create(n=1)
            Maria.create(n=1)
            both.wait()
        left.set()

    def second() -> None:
        with contextlib.suppress(ZeroDivisionError), unit as block:
            block.after_commit(lambda: seen.append("second"))
            Post.create(n=2)
            Maria.create(n=2)
            both.wait()
            assert left.wait(30)
            _ = 1 / 0

    def run(function: Any) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            left.set()
            databases.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == [] and seen == ["first"] and counts(Post, Maria) == [1, 1]


def test_tasks_share_one_object_and_each_ends_its_own_block(three_async: None) -> None:
    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        unit = atomic("post", "maria")
        entered, left = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with unit:
                await Post.acreate(n=1)
                await entered.wait()
            left.set()

        async def second() -> None:
            with contextlib.suppress(ZeroDivisionError):
                async with unit:
                    await Post.acreate(n=2)
                    await Maria.acreate(n=2)
                    entered.set()
                    await left.wait()
                    _ = 1 / 0

        await asyncio.gather(first(), second())
        assert await acounts() == [0, 1, 0]
        await databases.aclose_all()

    asyncio.run(main())
