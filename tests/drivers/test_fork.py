"""A forked child opens its own connections, and does nothing to its parent's: neither use nor close."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, atomic
from tests.drivers.test_connections import connection_id
from tests.test_registry import note_model

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    # Threads beside a fork are what some of these tests are about.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

ROOT = Path(__file__).parents[2]


def in_child(function: Callable[[], Any], seconds: float = 30) -> Any:
    """Call the function in a forked child and return its result; a child that hangs is killed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                result = (True, function())
            except BaseException:
                result = (False, traceback.format_exc())
            os.write(write, pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answered = select.select([pipe], [], [], seconds)[0]
        if not answered:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert answered, "the child hangs"
        succeeded, result = pickle.loads(pipe.read())
    assert succeeded, result
    return result


SERVERS = pytest.mark.parametrize("engine", ["postgres", "mariadb"])
POOLS = pytest.mark.parametrize("pool", [None, 4])


@SERVERS
@POOLS
def test_a_child_has_its_own_connection_and_the_parents_goes_on(
    engine: str, pool: int | None, request: pytest.FixtureRequest
) -> None:
    registry = Databases({"default": {"url": request.getfixturevalue(f"{engine}_url"), "pool": pool}})
    Note = note_model(registry)
    Note.create_table()
    kept = registry["default"]  # a variable from before the fork is as safe as a new look-up
    before = connection_id(kept, engine)

    def child() -> tuple[int, int, int]:
        Note.create(n=2)
        ids = connection_id(kept, engine), connection_id(registry["default"], engine)
        registry.close_all()
        return (*ids, Note.select().count())

    first, second, count = in_child(child)
    assert first == second != before
    assert count == 1
    assert connection_id(kept, engine) == before
    assert [row.n for row in Note.select()] == [2]
    registry.close_all()


@SERVERS
@POOLS
def test_multiprocessing_children_work_side_by_side(
    engine: str, pool: int | None, request: pytest.FixtureRequest
) -> None:
    registry = Databases({"default": {"url": request.getfixturevalue(f"{engine}_url"), "pool": pool}})
    Note = note_model(registry)
    Note.create_table()
    before = connection_id(registry["default"], engine)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def work(number: int) -> None:
        for n in range(20):
            Note.create(n=number * 100 + n)
        answers.put(connection_id(registry["default"], engine))

    children = [fork.Process(target=work, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    for n in range(20):
        Note.create(n=1000 + n)  # at the same time, on the parent's connection
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert len({before, *(answers.get() for _ in children)}) == 5
    assert connection_id(registry["default"], engine) == before
    assert Note.select().count() == 100
    registry.close_all()


@SERVERS
def test_a_database_object_that_left_its_registry_is_safe_too(
    engine: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    registry = Databases({"default": url, "replaced": url})
    removed, replaced = registry["default"], registry["replaced"]
    registry.remove("default")
    registry.configure({"other": "sqlite://"})
    before = connection_id(removed, engine), connection_id(replaced, engine)
    inside = in_child(lambda: (connection_id(removed, engine), connection_id(replaced, engine)))
    assert len({*before, *inside}) == 4
    assert (connection_id(removed, engine), connection_id(replaced, engine)) == before
    removed.close()
    replaced.close()


def test_a_database_object_of_the_user_is_safe_though_nobody_looked_it_up(postgres_url: str) -> None:
    built = Databases({"x": postgres_url})["x"]
    mine = peewee.PostgresqlDatabase(built.database, **built.connect_params, prefer_psycopg3=True)
    mine.connect()
    before = connection_id(mine, "postgres")
    Databases({"mine": mine})  # even though the registry itself is gone at once
    assert in_child(lambda: connection_id(mine, "postgres")) != before
    assert connection_id(mine, "postgres") == before
    mine.close()


@POOLS
def test_a_child_of_sqlite_has_its_own_connection(tmp_path: Path, pool: int | None) -> None:
    registry = Databases({"default": {"url": f"sqlite:///{tmp_path}/a.db", "pool": pool}})
    Note = note_model(registry)
    Note.create_table()
    Note.create(n=1)
    connection = registry["default"].connection()

    def child() -> tuple[bool, int]:
        Note.create(n=2)
        return registry["default"].connection() is connection, Note.select().count()

    assert in_child(child) == (False, 2)
    assert registry["default"].connection() is connection
    Note.create(n=3)
    assert sorted(row.n for row in Note.select()) == [1, 2, 3]
    registry.close_all()


@POOLS
@pytest.mark.parametrize("engine", ["sqlite", "postgres", "mariadb"])
def test_locks_that_other_threads_hold_do_not_stop_the_child(
    engine: str, pool: int | None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db" if engine == "sqlite" else request.getfixturevalue(f"{engine}_url")
    registry = Databases({"default": {"url": url, "pool": pool}, "later": url})
    Note = note_model(registry)
    Note.create_table()
    database: Any = registry["default"]
    locks = [
        database._lock,
        registry._lock,
        registry.entries["default"]._lock,
        registry.entries["later"]._lock,
    ]
    if pool:
        locks.append(database._pool_lock)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        done.wait(60)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(30)

        def child() -> int:
            Note.create(n=1)
            registry["later"].connect()
            registry.add("new", "sqlite://")
            registry.remove("new")
            registry.close_all()
            return Note.select().count()

        assert in_child(child) == 1
    finally:
        done.set()
        thread.join(30)
    assert Note.select().count() == 1
    registry.close_all()


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_fork_inside_a_transaction_leaves_it_to_the_parent(
    engine: str, request: pytest.FixtureRequest
) -> None:
    registry = Databases({"default": request.getfixturevalue(f"{engine}_url")})
    Note = note_model(registry)
    Note.create_table()
    with atomic(Note):
        Note.create(n=1)

        def child() -> tuple[bool, int]:
            here = registry["default"].in_transaction(), Note.select().count()
            registry.close()
            return here

        assert in_child(child) == (False, 0)
        Note.create(n=2)
        assert Note.select().count() == 2
    registry.close()
    assert Note.select().count() == 2
    registry.close()


SQLITE_CHILD = """
import os, sys, threading
from peewee import IntegerField, OperationalError, TextField
from peewee_multidb import Model, atomic, databases

journal_mode, forked_from, ending, pool, path = sys.argv[1:]
# The cache is so small that the transaction spills into the file before it is committed.
options = {"pragmas": {"busy_timeout": 200, "journal_mode": journal_mode, "cache_size": 5}}
databases.configure(
    {"default": {"url": f"sqlite:///{path}", "options": options, "pool": int(pool) or None}}
)

class Note(Model):
    n = IntegerField()
    text = TextField()

Note.create_table()
Note.insert_many([{"n": n, "text": "old " * 500} for n in range(300)]).execute()
databases.close()

def child():
    pid = os.fork()
    if pid == 0:
        if ending == "query":
            try:
                assert Note.select().where(Note.text.startswith("new")).count() == 0
            except OperationalError as error:  # without WAL a writer keeps readers out
                assert journal_mode == "delete" and "locked" in str(error), error
        if ending == "_exit":
            os._exit(0)
        sys.exit(0)  # unwinds the block below, if it is in one, and finalizes everything
    assert os.waitpid(pid, 0)[1] == 0

def transaction(then):
    with atomic("default"):
        Note.update(text="new " * 500).execute()
        then()
        Note.update(n=Note.n + 1).where(Note.id == 1).execute()
    databases.close()

if forked_from == "the transaction":
    transaction(child)
else:
    inside, forked = threading.Event(), threading.Event()
    thread = threading.Thread(target=transaction, args=(lambda: (inside.set(), forked.wait(30)),))
    thread.start()
    assert inside.wait(30)
    child()
    forked.set()
    thread.join()

assert Note.select().where(Note.text.startswith("new")).count() == 300, "the child undid the transaction"
assert databases["default"].execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)
databases.close_all()
"""


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("forked_from", ["the transaction", "another thread"])
@pytest.mark.parametrize("ending", ["_exit", "exit", "query"])
@pytest.mark.parametrize("pool", ["0", "4"])
def test_the_end_of_a_child_does_not_undo_an_open_sqlite_transaction(
    tmp_path: Path, journal_mode: str, forked_from: str, ending: str, pool: str
) -> None:
    """Closing an inherited connection makes SQLite play back the transaction's journal, under the parent.

    In processes of their own: what matters is how Python ends, which a test inside pytest cannot.
    """
    arguments = [journal_mode, forked_from, ending, pool, str(tmp_path / "a.db")]
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(SQLITE_CHILD), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0 and run.stderr == "", run.stderr


SERVER_CHILD = """
import os, sys
from peewee_multidb import databases

url, sql = sys.argv[1:]
databases.configure({"plain": url, "pooled": {"url": url, "pool": 2}})
before = [databases[name].execute_sql(sql).fetchone() for name in databases]
pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert [databases[name].execute_sql(sql).fetchone() for name in databases] == before
databases.close_all()
"""


@SERVERS
def test_the_end_of_a_child_says_no_goodbye_on_the_parents_socket(
    engine: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    sql = {"postgres": "SELECT pg_backend_pid()", "mariadb": "SELECT CONNECTION_ID()"}[engine]
    run = subprocess.run(
        [sys.executable, "-c", SERVER_CHILD, url, sql], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0 and run.stderr == "", run.stderr


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "mariadb"])
def test_a_child_may_run_a_loop_of_its_own(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    import asyncio

    if engine == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/a.db"
    else:
        module = {"postgres": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}[engine]
        url = f"{module}://" + request.getfixturevalue(f"{engine}_url").split("://")[1]
    registry = Databases({"default": {"url": url, "pool": 2}})
    Note = note_model(registry)

    async def child() -> int:
        await Note.acreate(n=2)
        found = len(await registry["default"].list(Note.select()))
        await registry.aclose_all()
        return found

    async def main() -> tuple[int, int]:
        await registry["default"].acreate_tables([Note])
        await Note.acreate(n=1)
        loop = asyncio.get_running_loop()
        # The child forks in a thread without a loop, so that it can run one.
        in_the_child = await loop.run_in_executor(None, in_child, lambda: asyncio.run(child()))
        here = len(await registry["default"].list(Note.select()))
        await registry.aclose_all()
        return in_the_child, here

    assert asyncio.run(main()) == (2, 2)
