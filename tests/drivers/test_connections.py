"""Connections given back, closed and counted, for plain, pooled and asynchronous Database objects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledSqliteDatabase

from peewee_multidb import Databases
from peewee_multidb.drivers import connections, keeping

CONNECTION_ID = {"postgres": "SELECT pg_backend_pid()", "mariadb": "SELECT CONNECTION_ID()"}


def connection_id(database: Any, engine: str) -> int:
    return database.execute_sql(CONNECTION_ID[engine]).fetchone()[0]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Databases]:
    made = Databases(
        {
            "a": f"sqlite:///{tmp_path}/a.db",
            "b": f"sqlite:///{tmp_path}/b.db",
            "pooled": {"url": f"sqlite:///{tmp_path}/c.db", "pool": 5},
        }
    )
    yield made
    made.close_all()


def test_close_is_for_this_thread_alone(registry: Databases) -> None:
    for name in registry:
        registry[name].connect()
    opened, closed = threading.Event(), threading.Event()

    def other() -> list[bool]:
        for name in registry:
            registry[name].connect()
        opened.set()
        assert closed.wait(30)
        here = [registry[name].is_closed() for name in registry]
        registry.close()
        return [*here, *(registry[name].is_closed() for name in registry)]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other)
        assert opened.wait(30)
        registry.close()
        assert [registry[name].is_closed() for name in registry] == [True, True, True]
        closed.set()
        assert waiting.result(30) == [False, False, False, True, True, True]


def test_close_in_an_open_transaction_closes_the_others_and_raises(registry: Databases) -> None:
    for name in registry:
        registry[name].connect()
    with registry["a"].atomic():
        registry["a"].execute_sql("CREATE TABLE t (n)")
        with pytest.raises(peewee.OperationalError, match="transaction is open"):
            registry.close()
        assert [registry[name].is_closed() for name in registry] == [False, True, True]
        registry["a"].execute_sql("INSERT INTO t VALUES (1)")
    registry.close()
    assert registry["a"].execute_sql("SELECT n FROM t").fetchone() == (1,)


def test_pooled_connections_return_to_their_pool(registry: Databases) -> None:
    database: Any = registry["pooled"]
    database.connect()
    connection = database.connection()
    assert (len(database._connections), len(database._in_use)) == (0, 1)
    registry.close()
    assert (len(database._connections), len(database._in_use)) == (1, 0)
    database.connect()
    assert database.connection() is connection


def test_a_pooled_sqlite_connection_goes_from_thread_to_thread(registry: Databases) -> None:
    database: Any = registry["pooled"]
    database.execute_sql("CREATE TABLE t (n)")
    connection = database.connection()
    registry.close()

    def other() -> bool:
        database.execute_sql("INSERT INTO t VALUES (1)")
        same = database.connection() is connection
        registry.close()
        return same

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(other).result(30)
    assert database.execute_sql("SELECT n FROM t").fetchone() == (1,)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
@pytest.mark.parametrize("pool", [None, 3])
@pytest.mark.filterwarnings("ignore:.*was deleted while still open.*:ResourceWarning")
def test_close_all_from_another_thread_closes_what_a_thread_holds(
    engine: str, pool: int | None, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{engine}_url")
    server = request.getfixturevalue(f"{engine}_server")
    registry = Databases({"default": {"url": url, "pool": pool}})
    database = registry["default"]
    opened, closed = threading.Event(), threading.Event()
    ids: list[int] = []

    def other() -> None:
        ids.append(connection_id(database, engine))
        opened.set()
        assert closed.wait(30)
        registry.close()
        ids.append(connection_id(database, engine))
        registry.close()

    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(other)
        assert opened.wait(30)
        ids.append(connection_id(database, engine))
        registry.close_all()
        assert database.is_closed()
        assert gone(server, engine, ids[0]) and gone(server, engine, ids[1])
        closed.set()
        waiting.result(30)
    assert len(set(ids)) == 3
    registry.close_all()


def gone(server: Any, engine: str, number: int) -> bool:
    """Whether the server has let go of a connection, which it does a moment after the client."""
    sql = {
        "postgres": f"SELECT count(*) FROM pg_stat_activity WHERE pid = {number}",
        "mariadb": f"SELECT count(*) FROM information_schema.processlist WHERE id = {number}",
    }[engine]
    return any(server.execute(sql) == [(0,)] for _ in range(500))


def test_close_all_in_an_open_transaction_closes_the_others_and_raises(registry: Databases) -> None:
    for name in registry:
        registry[name].connect()
    with registry["a"].atomic():
        with pytest.raises(peewee.OperationalError, match="transaction is open"):
            registry.close_all()
        assert not registry["a"].is_closed() and registry["b"].is_closed()
    registry.close_all()
    assert registry["a"].is_closed()


def test_close_idle_closes_what_waits_in_a_pool_and_leaves_the_rest(tmp_path: Path) -> None:
    database = PooledSqliteDatabase(tmp_path / "a.db", max_connections=3, check_same_thread=False)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(database.connect).result(30)
        pool.submit(database.close).result(30)
        connection = pool.submit(lambda: database.connect() and database.connection()).result(30)
        database.connect()
        pool.submit(database.close).result(30)
    connections.close_idle(database)
    with pytest.raises(Exception, match="closed database"):
        connection.execute("SELECT 1")
    assert database.execute_sql("SELECT 1").fetchone() == (1,)
    connections.close_idle(peewee.SqliteDatabase(":memory:"))  # has no pool
    database.close_all()


def test_each_goes_on_after_a_failure_and_raises_the_first() -> None:
    seen: list[int] = []

    def fail(number: Any) -> None:
        seen.append(number)
        if number:
            raise ValueError(number)

    async def afail(number: Any) -> None:
        fail(number)

    with pytest.raises(ValueError, match="1"):
        connections.each([1, 0, 2], fail)
    with pytest.raises(ValueError, match="1"):
        asyncio.run(connections.aeach([1, 0, 2], afail))
    assert seen == [1, 0, 2] * 2


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_a_lost_connection_is_known_as_such(engine: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(f"{engine}_server")
    registry = Databases({"default": request.getfixturevalue(f"{engine}_url")})
    database = registry["default"]
    number = connection_id(database, engine)
    assert not connections.is_lost(database)
    if engine == "postgres":
        server.execute(f"SELECT pg_terminate_backend({number}, 10000)")
    else:
        server.execute(f"KILL {number}")
    with pytest.raises(peewee.DatabaseError):
        database.execute_sql("SELECT 1")
    assert connections.is_lost(database)
    registry.close()
    assert connection_id(database, engine) != number
    registry.close()


def test_sqlite_has_no_connection_to_lose(registry: Databases) -> None:
    registry["a"].connect()
    assert not connections.is_lost(registry["a"])


def test_dispose_forgets_without_closing(postgres_url: str) -> None:
    registry = Databases({"plain": postgres_url, "pooled": {"url": postgres_url, "pool": 2}})
    kept = [registry[name].connection() for name in registry]
    registry.dispose()
    assert all(database.is_closed() for database in registry.values())
    for name, connection in zip(registry, kept, strict=True):
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection_id(registry[name], "postgres") != connection.info.backend_pid
        connection.close()
    registry.close_all()


def test_a_database_object_without_thread_safety_is_closed_and_forgotten_too(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "a.db", thread_safe=False)
    registry = Databases({"mine": mine})
    first = mine.connection()
    registry.dispose()
    assert mine.is_closed()
    assert mine.connection() is not first
    registry.close_all()
    assert mine.is_closed()
    first.close()


def test_a_connection_that_was_open_before_its_database_was_registered_is_watched(postgres_url: str) -> None:
    built = Databases({"x": postgres_url})["x"]
    mine = peewee.PostgresqlDatabase(built.database, **built.connect_params, prefer_psycopg3=True)
    connection = mine.connection()
    Databases({"mine": mine})
    assert mine.connection() is connection
    assert connection in [held.connection for held in keeping.held.values()]
    mine.close()
    assert connection not in [held.connection for held in keeping.held.values()]


def test_connections_of_threads_that_ended_are_not_kept(tmp_path: Path) -> None:
    registry = Databases({"a": f"sqlite:///{tmp_path}/a.db"})
    before = len(keeping.held)
    for _ in range(20):
        thread = threading.Thread(target=registry["a"].connect)
        thread.start()
        thread.join()
    assert len(keeping.held) == before


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_an_asynchronous_database_is_forgotten_with_its_pool_and_may_lose_its_connection(
    engine: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    scheme = {"postgres": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}[engine]
    server = request.getfixturevalue(f"{engine}_server")
    registry = Databases(
        {"default": f"{scheme}://" + request.getfixturevalue(f"{engine}_url").split("://")[1]}
    )
    database: Any = registry["default"]

    async def number() -> int:
        return (await database.aexecute_sql(CONNECTION_ID[engine])).fetchone()[0]

    async def main() -> None:
        assert connections.is_lost(database)
        first, pool = await number(), database._pool
        assert not connections.is_lost(database)
        registry.dispose()
        assert connections.is_lost(database)
        assert await number() != first
        server.execute(
            {"postgres": "SELECT pg_terminate_backend({}, 9999)", "mariadb": "KILL {}"}[engine].format(
                await number()
            )
        )
        with pytest.raises(Exception):  # noqa: B017 - whatever the driver makes of it
            await number()
        assert connections.is_lost(database)
        await registry.aclose_all()
        await end(pool)

    async def end(pool: Any) -> None:
        """What `dispose` left alone is still there; here it has to go before its loop does."""
        pool.terminate()
        if engine == "mariadb":
            await pool.wait_closed()

    asyncio.run(main())


def test_close_all_refuses_to_cut_a_transaction_of_another_thread(
    new_postgres_url: Callable[[], str],
) -> None:
    own = Databases({"default": new_postgres_url()})
    database = own["default"]
    database.execute_sql("CREATE TABLE t (n int)")
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with pytest.raises(ZeroDivisionError), database.atomic():
            database.execute_sql("INSERT INTO t VALUES (1)")
            inside.set()
            go_on.wait(30)
            database.execute_sql("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError
        own.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        inside.wait(30)
        with pytest.raises(peewee.OperationalError, match="open in another thread"):
            own.close_all()
        go_on.set()
        done.result()
    assert database.execute_sql("SELECT count(*) FROM t").fetchone() == (0,)
    own.close_all()


def test_what_is_done_in_the_background_gives_its_connections_back(tmp_path: Path) -> None:
    registry = Databases({name: {"url": f"sqlite:///{tmp_path}/{name}.db", "pool": 1} for name in "ab"})
    databases: list[Any] = [registry["a"], registry["b"]]
    over, counts = threading.Event(), []

    def action() -> None:
        for database in databases:
            database.connect()
        counts.extend(len(database._in_use) for database in databases)

    connections.in_background(databases, action, over.set)
    assert over.wait(20)
    for thread in [one for one in threading.enumerate() if one.name == "multidb-probe"]:
        thread.join()
    assert counts == [1, 1]
    assert [len(database._in_use) for database in databases] == [0, 0]
    registry.close_all()


def test_what_is_cut_short_by_the_end_of_asyncio_is_over_too(tmp_path: Path) -> None:
    registry = Databases({"a": f"sqlite+aiosqlite:///{tmp_path}/a.db"})
    over: list[bool] = []

    async def main() -> None:
        connections.in_background([registry["a"]], registry["a"].connect, lambda: over.append(True))

    asyncio.run(main())
    assert over == [True]
