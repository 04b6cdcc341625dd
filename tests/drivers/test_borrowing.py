"""Whose connection it is: the thread's, or that of a piece of work."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers.borrowing import Borrowed, current


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[Any]:
    registry = Databases({"a": {"url": f"sqlite:///{tmp_path}/a.db", "pool": 8}})
    registry["a"].execute_sql("CREATE TABLE t (n)")
    registry.close()
    yield registry["a"]
    registry.close_all()


def count(database: Any) -> int:
    return int(database.execute_sql("SELECT count(*) FROM t").fetchone()[0])


def elsewhere(function: Any, *args: Any) -> Any:
    """Call it in another thread, in a copy of this context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, function, *args).result()


def test_what_the_work_opens_is_given_back_and_what_the_thread_had_is_not(pooled: Any) -> None:
    work = Borrowed.begin()
    count(pooled)
    assert len(pooled._in_use) == 1
    work.end()
    work.end()
    assert current() is None and not pooled._in_use and pooled.is_closed()
    count(pooled)
    mine = pooled.connection()
    work = Borrowed.begin()
    assert pooled.connection() is mine
    work.end()
    assert pooled.connection() is mine
    pooled.close()


def test_work_inside_of_work_gives_back_only_its_own(pooled: Any) -> None:
    outer = Borrowed.begin()
    inner = Borrowed.begin()
    count(pooled)
    inner.end()
    assert pooled.is_closed()
    count(pooled)
    inner = Borrowed.begin()
    assert not pooled.is_closed()
    inner.end()
    assert len(pooled._in_use) == 1
    outer.end()
    assert not pooled._in_use


def test_a_transaction_that_is_open_at_the_end_is_undone(
    pooled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Borrowed.begin()
    pooled.atomic().__enter__()
    pooled.execute_sql("INSERT INTO t VALUES (1)")
    called: list[int] = []
    pooled.after_commit(lambda: called.append(1))
    work.end()
    assert count(pooled) == 0 and not called
    assert "'a' was still open" in caplog.text
    pooled.close()


def test_one_thread_after_the_other_is_on_one_connection_and_in_its_transaction(pooled: Any) -> None:
    work = Borrowed.begin()
    transaction = pooled.atomic()
    elsewhere(transaction.__enter__)
    elsewhere(pooled.execute_sql, "INSERT INTO t VALUES (1)")
    assert len({elsewhere(lambda: id(pooled.connection())) for _ in range(3)}) == 1
    elsewhere(transaction.__exit__, None, None, None)
    work.end()
    assert not pooled._in_use
    assert count(pooled) == 1
    pooled.close()


def test_an_error_that_keeps_a_context_alive_keeps_no_connection(pooled: Any) -> None:
    work = Borrowed.begin()
    with ThreadPoolExecutor(1) as pool:
        # Kept by this name, as the traceback of an error may keep it.
        context = contextvars.copy_context()
        pool.submit(context.run, count, pooled).result()
        assert len(pooled._in_use) == 1
        work.end()
        Borrowed.begin().end()
        while pooled._in_use:
            Borrowed.begin().end()
    assert context is not None


def test_a_thread_that_goes_on_after_the_end_gives_back_when_it_is_done(pooled: Any) -> None:
    go, is_inside = threading.Event(), threading.Event()

    def linger() -> None:
        count(pooled)
        is_inside.set()
        assert go.wait(20)
        count(pooled)

    work = Borrowed.begin()
    thread = threading.Thread(target=contextvars.copy_context().run, args=(linger,))
    thread.start()
    assert is_inside.wait(20)
    work.end()
    assert len(pooled._in_use) == 1
    go.set()
    thread.join()
    gc.collect()
    Borrowed.begin().end()
    assert not pooled._in_use


def test_what_was_dropped_where_a_lock_was_taken_does_not_wait_for_the_next_work(pooled: Any) -> None:
    other, work = Borrowed.begin(), Borrowed.begin()
    has_counted, may_end = threading.Event(), threading.Event()

    def use() -> None:
        count(pooled)
        has_counted.set()
        may_end.wait()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(contextvars.copy_context().run, use)
        has_counted.wait()
        work.end()
        # As if another thread were just opening a connection.
        with pooled._lock:
            may_end.set()
            done.result()
            pool.shutdown()
            gc.collect()
            kept = len(pooled._in_use)
    other.end()
    assert (kept, len(pooled._in_use)) == (1, 0)


def test_a_part_that_its_thread_goes_on_with_is_not_taken_from_it(pooled: Any) -> None:
    work = Borrowed.begin()
    parts: list[Any] = []
    has_begun, may_end = threading.Event(), threading.Event()

    def use() -> None:
        mine = pooled.connection()
        parts.append(current())
        has_begun.set()
        may_end.wait()
        assert pooled.connection() is mine and current() is parts[0]

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(contextvars.copy_context().run, use)
        has_begun.wait()
        # It looked as if the thread were done, a moment ago.
        assert parts[0].ended_if_finished() == []
        may_end.set()
        done.result()
    parts.clear()
    work.end()
    assert not pooled._in_use


def test_work_that_nobody_ends_is_given_back_with_its_context(pooled: Any) -> None:
    def begin() -> None:
        Borrowed.begin()
        count(pooled)

    contextvars.copy_context().run(begin)
    assert not pooled._in_use


def test_a_database_in_private_memory_is_the_same_inside() -> None:
    registry = Databases({"m": "sqlite:///:memory:"})
    registry["m"].execute_sql("CREATE TABLE t (n)")
    work = Borrowed.begin()
    assert count(registry["m"]) == 0
    work.end()
    assert count(registry["m"]) == 0
    registry.close_all()


def test_a_database_object_of_the_user_is_lent_too(tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(str(tmp_path / "own.db"))
    Databases({"own": database})
    work = Borrowed.begin()
    database.execute_sql("CREATE TABLE t (n)")
    # Its connections may not be used by another thread, so that one has its own.
    assert elsewhere(count, database) == 0
    work.end()
    assert database.is_closed()


def test_an_object_without_a_state_for_each_thread_is_left_as_it_is(tmp_path: Path) -> None:
    database = peewee.SqliteDatabase(str(tmp_path / "own.db"), thread_safe=False)
    Databases({"own": database})
    work = Borrowed.begin()
    database.execute_sql("CREATE TABLE t (n)")
    work.end()
    assert not database.is_closed()
    database.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_that_is_forked_inside_has_no_part_in_the_work(pooled: Any) -> None:
    work = Borrowed.begin()
    count(pooled)
    child = os.fork()
    if not child:
        fine = current() is None and pooled.is_closed() and count(pooled) == 0
        work.end()
        os._exit(0 if fine else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(pooled._in_use) == 1 and count(pooled) == 0
    work.end()
    assert not pooled._in_use


def test_a_process_without_a_piece_of_work_does_not_look_for_one(tmp_path: Path) -> None:
    code = f"""
import threading
from peewee_multidb import Databases
from peewee_multidb.drivers.borrowing import Borrowed
database = Databases({{"default": "sqlite:///{tmp_path / "one.db"}"}})["default"]
opened, going = threading.Event(), threading.Event()

def other() -> None:
    database.connect()
    kept = database.connection()
    opened.set()
    going.wait()
    assert database.connection() is kept
    database.close()

thread = threading.Thread(target=other)
thread.start()
opened.wait()
before = type(database._state).__name__
work = Borrowed.begin()
database.execute_sql("SELECT 1")
work.end()
assert database.is_closed()
going.set()
thread.join()
print(before, type(database._state).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["WatchedState", "ThreadState"], done.stderr


def test_work_has_no_part_in_the_transaction_of_another_task_of_its_loop(pooled: Any) -> None:
    async def main() -> None:
        begun, answered = asyncio.Event(), asyncio.Event()

        async def keep_open() -> None:
            with pooled.atomic() as transaction:
                begun.set()
                await answered.wait()
                transaction.rollback()
            pooled.close()

        async def request() -> None:
            work = Borrowed.begin()
            assert not pooled.in_transaction()
            pooled.execute_sql("INSERT INTO t VALUES (1)")
            await work.aend()

        keeper = asyncio.create_task(keep_open())
        await begun.wait()
        await asyncio.create_task(request())
        answered.set()
        await keeper

    asyncio.run(main())
    assert count(pooled) == 1


def test_work_is_part_of_the_transaction_around_it(pooled: Any) -> None:
    async def main() -> None:
        with pooled.atomic() as transaction:
            work = Borrowed.begin()
            assert pooled.in_transaction()
            pooled.execute_sql("INSERT INTO t VALUES (1)")
            await work.aend()
            transaction.rollback()
        pooled.close()

    asyncio.run(main())
    assert count(pooled) == 0
