"""Two-phase blocks: who takes part and how, savepoints, errors, decisions of others, asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    InDoubt,
    TwoPhaseError,
    after_commit,
    arecover,
    atomic,
    databases,
    recover,
)
from peewee_multidb.drivers import connections
from peewee_multidb.errors import NotTransactional
from peewee_multidb.twophase import Branch, log_of
from tests.engines import MODELS, Lite, Maria, Post, acounts, counts
from tests.twophase import crashing


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(databases, "transaction_log", None)
    return tmp_path


def all_three(n: int = 1) -> None:
    with atomic(*MODELS, two_phase=True):
        for model in MODELS:
            model.create(n=n)


def test_it_commits_and_rolls_back_on_every_database(three: None) -> None:
    all_three()
    with pytest.raises(ZeroDivisionError), atomic(two_phase=True):
        for model in MODELS:
            model.create(n=2)
        _ = 1 / 0
    assert counts() == [1, 1, 1] and crashing.prepared() == []
    for name in databases:
        assert not databases[name].in_transaction()
    all_three(3)


def test_savepoints_work_inside(three: None) -> None:
    with atomic(two_phase=True):
        for model in MODELS:
            model.create(n=1)
        with pytest.raises(ZeroDivisionError), atomic(*MODELS):
            for model in MODELS:
                model.create(n=2)
            _ = 1 / 0
        with atomic(*MODELS, two_phase=True):
            for model in MODELS:
                model.create(n=3)
        assert counts() == [2, 2, 2]
    assert counts() == [2, 2, 2]


def test_one_database_alone_commits_in_one_phase(three: None) -> None:
    called = []
    for model in MODELS:
        with atomic(model, two_phase=True):
            model.create(n=1)
            model._meta.database.after_commit(lambda: called.append(1))
        with pytest.raises(ZeroDivisionError), atomic(model, two_phase=True):
            model.create(n=2)
            model._meta.database.after_commit(lambda: called.append(2))
            _ = 1 / 0
    assert counts() == [1, 1, 1] and called == [1, 1, 1]
    assert log_of(databases).every() == []


def test_at_most_one_database_may_be_unable_to_prepare(two: None) -> None:
    with pytest.raises(NotTransactional, match="at most one database may take part that does not prepare"):
        with atomic("lite", "post", two_phase=True):
            raise AssertionError("not reached")
    assert not databases["lite"].in_transaction()


def test_a_database_that_is_read_only_needs_no_promise(three: None, tmp_path: Path) -> None:
    databases.close()
    databases.add("still", f"sqlite:///{tmp_path}/a.db", read_only=True)
    with atomic("still", "lite", "post", "maria", two_phase=True):
        assert Lite.select().using("still").count() == 0
        Post.create(n=1)
        Maria.create(n=1)
    assert counts(Post, Maria) == [1, 1]


def test_callbacks_run_once_all_have_committed(three: None) -> None:
    seen: list[Any] = []
    with atomic(*MODELS, two_phase=True):
        for model in MODELS:
            model.create(n=1)
            model._meta.database.after_commit(lambda name=model._meta.table_name: seen.append(name))
        after_commit(lambda: seen.append(counts()))
    assert seen == ["maria", "post", "lite", [1, 1, 1]]


def test_a_promise_that_is_refused_rolls_everything_back_with_its_own_error(three: None) -> None:
    databases["post"].execute_sql(
        'ALTER TABLE "post" ADD CONSTRAINT late UNIQUE (n) DEFERRABLE INITIALLY DEFERRED'
    )
    with pytest.raises(peewee.IntegrityError, match="late"):
        with atomic(*MODELS, two_phase=True):
            Lite.create(n=1)
            Maria.create(n=1)
            Post.insert_many([{"n": 1}, {"n": 1}]).execute()
    assert counts() == [0, 0, 0] and crashing.prepared() == []
    all_three()


@pytest.mark.parametrize("two_phase", [True, False])
def test_a_transaction_that_failed_inside_is_not_taken_for_committed(three: None, two_phase: bool) -> None:
    """PostgreSQL answers COMMIT and PREPARE with a ROLLBACK then, and no error."""
    with pytest.raises(peewee.InternalError, match="caught inside of the block"):
        with atomic("lite", "maria", "post", two_phase=two_phase):
            Lite.create(n=1)
            Maria.create(n=1)
            with pytest.raises(peewee.ProgrammingError):
                databases["post"].execute_sql("SELECT nonsense")
    assert counts() == [0, 0, 0] and crashing.prepared() == []


def test_a_deadlock_inside_is_undone_and_the_block_can_be_repeated(three: None) -> None:
    lost = peewee.OperationalError(1213, "Deadlock found when trying to get lock")
    runs = []

    @atomic("post", "maria", two_phase=True, retries=2)
    def work() -> None:
        runs.append(1)
        Post.create(n=1)
        Maria.create(n=1)
        if len(runs) == 1:
            raise lost

    work()
    assert counts(Post, Maria) == [1, 1] and len(runs) == 2


def test_what_the_last_resource_refuses_rolls_everything_back(three: None) -> None:
    databases["lite"].execute_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    databases["lite"].execute_sql(
        "CREATE TABLE child (p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    for log in (None, "lite"):
        with pytest.raises(peewee.IntegrityError, match="FOREIGN KEY"):
            with atomic(*MODELS, two_phase=True, log=log):
                Post.create(n=1)
                Maria.create(n=1)
                databases["lite"].execute_sql("INSERT INTO child VALUES (9)")
        assert counts() == [0, 0, 0] and crashing.prepared() == []
        assert recover(log=log, grace=0).is_clean


def test_who_was_slow_finds_the_decision_of_recover_and_rolls_back(three: None) -> None:
    """Its promises are given; before it decides, `recover` takes it for dead."""
    all_three(0)
    reports = []

    def decide_against() -> None:
        databases_of_another = threading.Thread(target=lambda: reports.append(recover_elsewhere()))
        databases_of_another.start()
        databases_of_another.join(30)

    def recover_elsewhere() -> Any:
        try:
            return recover(grace=0)
        finally:
            databases.close()

    log = log_of(databases)
    write = log.write

    def slow(*args: Any, **kwargs: Any) -> None:
        decide_against()
        write(*args, **kwargs)

    log.write = slow  # type: ignore[method-assign]
    with pytest.raises(TwoPhaseError, match="took this program for dead"):
        with atomic("post", "maria", two_phase=True):
            Post.create(n=1)
            Maria.create(n=1)
    del log.write
    states = {one.database: one.state for one in reports[0].transactions}
    assert states["post"] == "rolled back"
    assert counts(Post, Maria) == [1, 1] and crashing.prepared() == []


def test_recover_leaves_alone_who_may_still_decide(three: None) -> None:
    all_three(0)
    log = log_of(databases)
    write = log.write
    reports = []

    def slow(*args: Any, **kwargs: Any) -> None:
        def elsewhere() -> None:
            reports.extend([recover(), recover()])
            databases.close()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(30)
        write(*args, **kwargs)

    log.write = slow  # type: ignore[method-assign]
    with atomic("post", "maria", two_phase=True):
        Post.create(n=1)
        Maria.create(n=1)
    del log.write
    for report in reports:
        assert {one.state for one in report.transactions} == {"waiting"} and not report.is_clean
        assert "run it again in" in report.transactions[0].reason
    assert counts(Post, Maria) == [2, 2]


def test_an_interrupt_at_any_step_is_all_or_nothing(three: None, folder: Path) -> None:
    kind = "two, the last resource and a file"
    steps = crashing.steps_of(kind, folder)

    def interrupt() -> None:
        raise KeyboardInterrupt

    for n, at in crashing.chosen(steps, 3):
        with pytest.raises(KeyboardInterrupt):
            crashing.write(kind, folder, n, at, interrupt)
        crashing.drop_lost()
        crashing.recovered(kind, folder, grace=0)
        assert len(set(crashing.where_is(kind, n))) == 1, f"step {at} of {steps}"


def test_a_database_that_cannot_be_told_is_committed_later_and_the_warning_says_so(
    three: None, monkeypatch: Any
) -> None:
    from peewee_multidb.twophase.branches import Branch

    finish = Branch.finish

    def unreachable(branch: Branch, commit: bool) -> None:
        if branch.name == "post":
            connections.drop(branch.database)
            raise peewee.OperationalError("no route to host")
        finish(branch, commit)

    called = []
    monkeypatch.setattr(Branch, "finish", unreachable)
    with pytest.warns(InDoubt, match="The block is committed, and 'post' could not be told yet"):
        with atomic("post", "maria", two_phase=True):
            Post.create(n=1)
            Maria.create(n=1)
            after_commit(lambda: called.append(1))
    assert called == [1] and counts(Post, Maria) == [0, 1]
    place = log_of(databases).database.database
    monkeypatch.undo()
    report = recover(log=place)
    assert [(one.database, one.state) for one in report.transactions] == [("post", "committed")]
    assert counts(Post, Maria) == [1, 1]


def test_a_server_without_prepared_transactions_says_what_to_set(mariadb_url: str, folder: Path) -> None:
    from peewee_multidb.testing.servers import PostgresServer

    server = PostgresServer()
    server.settings["max_prepared_transactions"] = "0"
    with server:
        server.create_database("own")
        crashing.prepare(server.url("own"), mariadb_url, folder)
        with pytest.raises(peewee.PeeweeException, match="prepared transactions are disabled"):
            with atomic("post", "maria", two_phase=True):
                Post.create(n=1)
                Maria.create(n=1)
        assert counts(Post, Maria) == [0, 0]
        databases.close_all()
        databases.configure({})


# asyncio


@pytest.mark.parametrize("names", [("post", "maria"), ("lite", "post", "maria"), ()])
def test_asynchronous_databases(three_async: None, names: tuple[str, ...]) -> None:
    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        models = [model for model in MODELS if not names or model._meta.table_name in names]
        for n in range(5):
            async with atomic(*names, two_phase=True):
                for model in models:
                    await model.acreate(n=n)
        with pytest.raises(ZeroDivisionError):
            async with atomic(*names, two_phase=True):
                for model in models:
                    await model.acreate(n=9)
                _ = 1 / 0
        found = dict(zip([model._meta.table_name for model in MODELS], await acounts(), strict=True))
        assert found == {model._meta.table_name: 5 if model in models else 0 for model in MODELS}
        report = await arecover(grace=0)
        assert report.is_clean and report.forgotten == 5
        await databases.aclose_all()

    asyncio.run(main())


def test_a_cancelled_task_leaves_all_or_nothing(three_async: None) -> None:
    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])

        async def work() -> None:
            async with atomic("post", "maria", two_phase=True):
                await Post.acreate(n=1)
                await Maria.acreate(n=1)

        for turns in range(0, 60, 5):
            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
                raise asyncio.CancelledError
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                await arecover(grace=0)
            _, post, maria = await acounts()
            assert post == maria
        await databases.aclose_all()

    asyncio.run(main())


@pytest.mark.parametrize("moment", ["write", "finished"])
def test_a_task_that_is_cancelled_again_and_again_leaves_all_or_nothing(
    three_async: None, monkeypatch: Any, moment: str
) -> None:
    """As anyio does it. Once the decision is written, another task tells the databases."""

    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        loop = asyncio.get_running_loop()
        log = log_of(databases)
        assert log.id

        def cancel() -> None:
            if not task.done():
                task.cancel()
                loop.call_soon(cancel)

        async def work() -> None:
            async with atomic("post", "maria", two_phase=True):
                await Post.acreate(n=1)
                await Maria.acreate(n=1)

        if moment == "write":
            plain = log.write

            def write(*args: Any) -> None:
                plain(*args)
                loop.call_soon_threadsafe(cancel)

            monkeypatch.setattr(log, "write", write)
        else:
            plain_finish = Branch.finish

            def finish(branch: Branch, commit: bool) -> None:
                if asyncio.current_task() is task and not seen:
                    seen.append(1)
                    loop.call_soon(cancel)
                plain_finish(branch, commit)

            seen: list[int] = []
            monkeypatch.setattr(Branch, "finish", finish)
        task = asyncio.create_task(work())
        with pytest.raises(asyncio.CancelledError), warnings.catch_warnings():
            warnings.simplefilter("ignore", InDoubt)
            await task
        if moment == "finished":
            for _ in range(500):  # turns of the other tasks, which say nothing when they are done
                if await acounts() == [0, 1, 1]:
                    break
                await asyncio.sleep(0.01)
            assert await acounts() == [0, 1, 1]
        await arecover(grace=0)
        assert await acounts() == [0, 1, 1] and (await arecover(grace=0)).transactions == []
        await databases.aclose_all()

    asyncio.run(main())


def test_a_child_that_dies_before_it_decides_is_rolled_back_at_once(three: None, folder: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            with atomic("post", "maria", two_phase=True):
                Post.create(n=1)
                Maria.create(n=1)
                log = log_of(databases)
                log.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    report = recover()
    assert {one.state for one in report.transactions} == {"rolled back"}
    assert "its program is gone" in report.transactions[0].reason
    assert "rolled back" in str(report) and report.as_dict()["clean"] is True
    assert Lite.select().count() == 0
