"""retries=: a block that lost a race is run again, as a whole, while nothing is committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import peewee
import pytest

from peewee_multidb import ConfigurationError, PartialCommit, ShardMoved, UncoveredWrite, atomic, databases
from tests.engines import Lite, Maria, Post, counts


def race(n: int) -> Callable[[], int]:
    """A function that fails `n` times as SQLite does when another connection holds the lock."""
    calls: list[int] = []

    def lose() -> int:
        calls.append(1)
        if len(calls) <= n:
            raise peewee.OperationalError(f"database is locked {len(calls)}")
        return len(calls)

    return lose


def deadlock(first: Any, second: Any, retries: int) -> list[int]:
    """Two threads lock two rows in opposite order; return how often each ran."""
    runs = [0, 0]
    meet = threading.Barrier(2)

    def work(number: int, one: int, other: int) -> None:
        @atomic(first, second, retries=retries)
        def change() -> None:
            runs[number] += 1
            first.update(n=first.n + 1).where(first.id == one).execute()
            if runs[number] == 1:
                meet.wait(20)
            first.update(n=first.n + 1).where(first.id == other).execute()
            second.create(n=number)

        try:
            change()
        finally:
            databases.close()

    with ThreadPoolExecutor(2) as pool:
        for future in (pool.submit(work, 0, 1, 2), pool.submit(work, 1, 2, 1)):
            future.result(60)
    return runs


@pytest.mark.parametrize("model", [Post, Maria])
def test_a_real_deadlock_is_run_again(three: None, model: Any) -> None:
    other = Maria if model is Post else Post
    for n in range(2):
        model.create(n=n)
    first, second = (row.id for row in model.select().order_by(model.id))
    assert (first, second) == (1, 2)
    runs = deadlock(model, other, 5)
    assert sum(runs) >= 3, "one of the two was run again"
    assert sorted(row.n for row in model.select()) == [2, 3]
    assert counts(other) == [2], "what the attempt that failed had written elsewhere was undone"


def test_a_real_serialization_failure_is_run_again(three: None) -> None:
    Post.create(n=0)
    seen = []

    def elsewhere() -> None:
        Post.update(n=Post.n + 1).execute()
        databases.close()

    @atomic(retries=3)
    def work() -> None:
        databases["post"]
        Post.select().count()
        databases["post"].execute_sql("SAVEPOINT x")
        seen.append(Post.get().n)
        if len(seen) == 1:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(elsewhere).result(30)
        Post.update(n=seen[-1] + 10).execute()

    databases["post"].execute_sql("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    work()
    assert seen == [0, 1] and Post.get().n == 11


def test_a_real_snapshot_that_is_too_old_is_run_again_on_sqlite(two: None) -> None:
    lite: Any = databases["lite"]
    lite.execute_sql("PRAGMA journal_mode = wal")
    Lite.create(n=0)
    runs = []

    def elsewhere() -> None:
        Lite.update(n=Lite.n + 1).execute()
        databases.close()

    for attempt in atomic.attempts("lite", retries=2):
        with attempt:
            runs.append(Lite.get().n)
            if len(runs) == 1:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(elsewhere).result(30)
            Lite.update(n=Lite.n + 10).execute()
    assert runs == [0, 1] and Lite.get().n == 11


def test_there_are_no_more_attempts_than_said(two: None) -> None:
    lose = race(9)
    decorated = atomic("lite", retries=2)(lose)
    with pytest.raises(peewee.OperationalError, match="locked"):
        decorated()
    with pytest.raises(peewee.OperationalError, match="locked 4"):
        lose()  # so three attempts were made
    assert atomic("lite", retries=2)(race(2))() == 3


def test_other_errors_are_raised_at_once(two: None) -> None:
    calls = []

    @atomic("lite", retries=5)
    def work() -> None:
        calls.append(1)
        raise peewee.IntegrityError("UNIQUE")

    with pytest.raises(peewee.IntegrityError):
        work()
    assert calls == [1]


def test_rows_that_move_are_worth_another_try(two: None) -> None:
    calls = []

    @atomic("lite", retries=1)
    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ShardMoved("moved")

    work()
    assert calls == [1, 1]


def test_nothing_is_run_again_once_something_is_committed(two: None) -> None:
    lose = race(1)

    @atomic("lite", retries=3)
    def work() -> None:
        with atomic("post"):
            Post.create(n=1)
        lose()

    with pytest.raises(peewee.OperationalError, match="locked"):
        work()
    assert counts(Post) == [1]


def test_an_uncovered_write_counts_as_committed(two: None) -> None:
    lose = race(1)

    @atomic("lite", retries=3)
    def work() -> None:
        with pytest.warns(UncoveredWrite):
            Post.create(n=1)
        lose()

    with pytest.raises(peewee.OperationalError, match="locked"):
        work()
    assert counts(Post) == [1]


def test_a_partial_commit_is_not_run_again(two: None) -> None:
    calls = []

    @atomic("lite", retries=3)
    def work() -> None:
        calls.append(1)
        raise PartialCommit("some") from peewee.OperationalError("database is locked")

    with pytest.raises(PartialCommit):
        work()
    assert calls == [1]


def test_inside_a_block_or_a_transaction_only_the_outermost_is_run_again(two: None) -> None:
    lose = race(1)
    inner = atomic("lite", retries=5)(lose)
    outer = atomic("lite", retries=1)(inner)
    assert outer() == 2
    again = atomic("lite", retries=5)(race(1))
    with databases["lite"].atomic(), pytest.raises(peewee.OperationalError, match="locked"):
        again()


def test_a_with_statement_cannot_repeat(two: None) -> None:
    with pytest.raises(ConfigurationError, match=r"atomic\.attempts"):
        with atomic("lite", retries=3):
            raise AssertionError("not reached")
    for wrong in (lambda: atomic("lite", retries=-1), lambda: atomic.attempts("lite", retries=-1)):
        with pytest.raises(ConfigurationError, match="from 0"):
            wrong()


def test_attempts_end_when_one_succeeds_and_can_be_left(two: None) -> None:
    lose = race(2)
    made = 0
    for attempt in atomic.attempts("lite", retries=5):
        with attempt as block:
            made += 1
            assert block.databases == ("lite",)
            Lite.create(n=made)
            lose()
    assert made == 3 and [row.n for row in Lite.select()] == [3]
    for attempt in atomic.attempts(retries=5):
        with attempt:
            Lite.create(n=9)
        break
    assert counts(Lite) == [2]


def test_pauses_grow_are_random_and_bounded() -> None:
    from peewee_multidb.transactions.attempts import LONGEST_PAUSE, Attempt

    pauses = [[Attempt(None, (n, False)).pause() for _ in range(20)] for n in range(20)]
    assert len(set(pauses[3])) > 1
    assert max(pauses[0]) < max(pauses[5]) and max(map(max, pauses)) <= LONGEST_PAUSE


def test_coroutines_and_async_loops_are_run_again(three_async: None) -> None:
    async def main() -> None:
        await Lite._meta.database.acreate_tables([Lite])
        lose = race(1)

        @atomic("lite", retries=2)
        async def work() -> int:
            await Lite.acreate(n=1)
            return lose()

        assert await work() == 2
        lose = race(1)
        async for attempt in atomic.attempts("lite", retries=2):
            async with attempt:
                await Lite.acreate(n=2)
                lose()
        with pytest.raises(peewee.IntegrityError):
            async for attempt in atomic.attempts("lite", retries=2):
                async with attempt:
                    raise peewee.IntegrityError
        assert await Lite._meta.database.count(Lite.select()) == 2
        await databases.aclose_all()

    asyncio.run(main())
