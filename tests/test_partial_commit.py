"""Blocks that cannot commit everywhere: `PartialCommit` for real, lost connections, interrupts, callbacks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import PartialCommit, atomic, databases
from tests.engines import MODELS, Lite, Maria, Post, acounts, counts


def break_commit(model: Any) -> None:
    """Make the next COMMIT on the model's PostgreSQL database fail: a deferred constraint is checked then."""
    model._meta.database.execute_sql(
        'ALTER TABLE "post" ADD CONSTRAINT late UNIQUE (n) DEFERRABLE INITIALLY DEFERRED'
    )


def test_a_failure_while_entering_the_second_database_rolls_the_first_back(two: None, tmp_path: Path) -> None:
    databases.add("broken", f"sqlite:///{tmp_path}/missing/folder/x.db")
    with pytest.raises(peewee.OperationalError, match="unable to open database file"):
        with atomic("lite", "broken", "post"):
            raise AssertionError("not reached")
    assert not databases["lite"].in_transaction() and not databases["post"].in_transaction()
    Lite.create(n=1)  # nothing is covered any more, so this gives no warning
    assert counts(Lite) == [1]


def test_partial_commit_tells_which_databases_have_committed(three: None) -> None:
    break_commit(Post)
    with pytest.raises(PartialCommit, match=r"Committing 'post' failed \(IntegrityError: .*late") as info:
        with atomic("lite", "post", "maria"):  # so maria commits first and lite would be last
            Lite.create(n=1)
            Post.insert_many([{"n": 1}, {"n": 1}]).execute()
            Maria.create(n=1)
    error = info.value
    assert (error.committed, error.rolled_back, error.unknown) == (("maria",), ("post", "lite"), ())
    assert "Committed: 'maria'. Rolled back: 'post', 'lite'." in str(error)
    assert isinstance(error.__cause__, peewee.IntegrityError)
    assert isinstance(error, peewee.OperationalError)
    assert counts() == [0, 0, 1]
    assert not any(database.in_transaction() for database in databases.values())


def test_a_commit_that_fails_before_any_other_is_no_partial_commit(three: None) -> None:
    break_commit(Post)
    with pytest.raises(peewee.IntegrityError, match="late"):
        with atomic("lite", "maria", "post"):
            Lite.create(n=1)
            Maria.create(n=1)
            Post.insert_many([{"n": 1}, {"n": 1}]).execute()
    assert counts() == [0, 0, 0]


def test_a_savepoint_that_is_released_has_not_committed(three: None) -> None:
    """The inner block releases maria before post fails, but nothing of it is durable yet."""
    break_commit(Post)
    with pytest.raises(ZeroDivisionError):
        with atomic("maria"):
            with pytest.raises(peewee.IntegrityError, match="late"):
                with atomic("post", "maria"):
                    Maria.create(n=1)
                    Post.insert_many([{"n": 1}, {"n": 1}]).execute()
            _ = 1 / 0
    assert counts() == [0, 0, 0]


@pytest.mark.parametrize("lost", ["post", "maria"])
def test_an_answer_to_commit_that_is_lost_is_unknown(
    three: None, lost: str, postgres_server: Any, mariadb_server: Any
) -> None:
    def cut() -> None:
        if lost == "post":
            number = databases["post"].execute_sql("SELECT pg_backend_pid()").fetchone()[0]
            postgres_server.execute(f"SELECT pg_terminate_backend({number}, 10000)")
        else:
            number = databases["maria"].execute_sql("SELECT CONNECTION_ID()").fetchone()[0]
            mariadb_server.execute(f"KILL {number}")

    with pytest.raises(PartialCommit) as info:
        with atomic("lite", lost):
            Lite.create(n=1)
            cut()
    error = info.value
    assert (error.committed, error.rolled_back, error.unknown) == ((), ("lite",), (lost,))
    assert f"Unknown, since the answer was lost: {lost!r}." in str(error)
    databases.close()
    assert counts() == [0, 0, 0]
    with pytest.raises(peewee.PeeweeException) as alone:  # one database: what Peewee raises, as it is
        with atomic(lost):
            cut()
    assert not isinstance(alone.value, PartialCommit)
    databases.close()


def test_an_exception_over_a_lost_connection_still_rolls_the_others_back(
    three: None, postgres_server: Any
) -> None:
    with pytest.raises(peewee.DatabaseError) as info:
        with atomic("lite", "post", "maria"):
            Lite.create(n=1)
            Maria.create(n=1)
            number = databases["post"].execute_sql("SELECT pg_backend_pid()").fetchone()[0]
            postgres_server.execute(f"SELECT pg_terminate_backend({number}, 10000)")
            _ = 1 / 0
    assert not isinstance(info.value, PartialCommit)
    databases.close()
    assert counts() == [0, 0, 0]


def interrupt_commit(database: Any, error: type[BaseException]) -> None:
    """Make the next COMMIT on the database end with what a signal or a cancelled task would raise in it."""

    def interrupted() -> None:
        del database.commit
        raise error

    database.commit = interrupted


def test_an_interrupt_during_commit_rolls_the_rest_back_and_stays_an_interrupt(three: None) -> None:
    with pytest.raises(KeyboardInterrupt) as info:
        with atomic("lite", "post", "maria"):
            for model in MODELS:
                model.create(n=1)
            interrupt_commit(databases["post"], KeyboardInterrupt)
    assert not any(database.in_transaction() for database in databases.values())
    cause = info.value.__cause__
    assert isinstance(cause, PartialCommit)
    assert (cause.committed, cause.rolled_back, cause.unknown) == (("maria",), ("lite",), ("post",))
    databases.close()
    assert counts() == [0, 0, 1]


def test_a_cancellation_during_commit_rolls_the_rest_back(three_async: None, postgres_server: Any) -> None:
    """For real: a deferred trigger keeps PostgreSQL busy with the COMMIT when the task is cancelled."""
    nap = """
        CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_sleep(20); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON post
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nap()
    """
    busy = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COMMIT%' AND state = 'active' AND pid = {}"
    )
    backend: asyncio.Queue[int]

    async def write() -> None:
        async with atomic("lite", "post", "maria"):
            for model in MODELS:
                await model.acreate(n=1)
            cursor = await databases["post"].aexecute_sql("SELECT pg_backend_pid()")
            backend.put_nowait(cursor.fetchone()[0])

    async def main() -> None:
        nonlocal backend
        backend = asyncio.Queue()
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        postgres_server.execute(nap, database=databases["post"].database)

        async def observed() -> bool:
            task = asyncio.current_task()
            with pytest.raises(asyncio.CancelledError) as info:
                await write()
            assert task is not None
            cause = info.value.__cause__
            assert isinstance(cause, PartialCommit)
            assert (cause.committed, cause.rolled_back, cause.unknown) == (("maria",), ("lite",), ("post",))
            return any(database.in_transaction() for database in databases.values())

        task = asyncio.create_task(observed())
        number = await backend.get()
        while postgres_server.execute(busy.format(number)) != [(1,)]:
            await asyncio.sleep(0.01)  # until the server says so
        task.cancel()
        assert await task is False
        assert await acounts() == [0, 0, 1]
        await databases.aclose_all()

    asyncio.run(main())


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_callback_that_fails_after_the_commit_does_not_undo_the_others(
    three: None, error: type[BaseException]
) -> None:
    """The database whose callback it is has committed already, so the others had better agree with it."""

    def callback() -> None:
        raise error

    with pytest.raises(error):
        with atomic("lite", "post", "maria"):
            for model in MODELS:
                model.create(n=1)
            databases["post"].after_commit(callback)
    assert counts() == [1, 1, 1]
    assert not any(database.in_transaction() for database in databases.values())
