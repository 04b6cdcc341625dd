"""The same on asynchronous databases: asyncpg, aiomysql and aiosqlite."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    Databases,
    ReadOnlyDatabase,
    causal_token,
    unit_of_work,
    use_causal_token,
    use_primary,
    use_replica,
)
from peewee_multidb.errors import NotAsynchronous
from peewee_multidb.testing.servers import MariaDBCluster, PostgresCluster
from tests.replicas.watch import PRIMARY, Watched

SCHEMES = {"PostgreSQL": "postgresql+asyncpg", "MariaDB": "mysql+aiomysql"}

Program = Callable[[Watched, Any], Coroutine[Any, Any, None]]


def asynchronous(cluster: Any, settings: dict[str, Any], **replication: Any) -> dict[str, Any]:
    scheme = SCHEMES[cluster.primary.engine]
    return {
        "url": scheme + settings["url"][settings["url"].index("://") :],
        "replicas": [scheme + url[url.index("://") :] for url in settings["replicas"]],
        "replication": {"check_interval": 60, **replication},
    }


@pytest.fixture
def run(cluster: Any, cluster_settings: dict[str, Any]) -> Callable[..., None]:
    """Call it with a program to run on a watched registry over the cluster."""

    def run_program(program: Program, **replication: Any) -> None:
        async def main() -> None:
            registry = Databases({"default": asynchronous(cluster, cluster_settings, **replication)})
            watched = Watched(registry, create=False)
            await watched.database.acreate_tables([watched.Note])  # type: ignore[attr-defined]
            await asyncio.to_thread(cluster.wait_in_step)
            for _ in range(2):
                await watched.Note.aget_or_none(watched.Note.id == 0)
            watched.clear()
            try:
                await program(watched, cluster)
            finally:
                await registry.aclose_all()

        contextvars.Context().run(asyncio.run, main())

    return run_program


async def where(watched: Watched, read: Any) -> set[str]:
    watched.clear()
    await read
    return set(watched.selects())


def test_reads_go_to_replicas_and_writes_to_the_primary(run: Callable[..., None]) -> None:
    async def program(watched: Watched, cluster: Any) -> None:
        note, database = watched.Note, watched.database
        row = await note.acreate(number=1)
        assert {name for name, sql in watched.log if sql.startswith("INSERT")} == {PRIMARY}
        assert await where(watched, note.aget_by_id(row.id)) <= {"replica 1", "replica 2"}
        assert await where(watched, database.list(note.select())) <= {"replica 1", "replica 2"}  # type: ignore[attr-defined]
        assert await where(watched, database.count(note.select())) <= {"replica 1", "replica 2"}  # type: ignore[attr-defined]
        with use_primary():
            assert await where(watched, note.aget_by_id(row.id)) == {PRIMARY}
        async with database.atomic():
            assert await where(watched, note.aget_by_id(row.id)) == {PRIMARY}
        with use_replica(), pytest.raises(ReadOnlyDatabase):
            await note.acreate(number=2)

    run(program)


def test_tasks_read_their_own_writes_while_replicas_are_paused(run: Callable[..., None]) -> None:
    async def program(watched: Watched, cluster: Any) -> None:
        note = watched.Note
        for replica in cluster.replicas:
            await asyncio.to_thread(replica.pause)
        stale: list[int] = []

        async def pairs(task: int) -> None:
            for number in range(25):
                row = await note.acreate(number=number)
                if await note.aget_or_none(note.id == row.id) is None:
                    stale.append(row.id)

        await asyncio.gather(*(pairs(task) for task in range(8)))
        assert stale == []
        other = contextvars.Context().run(asyncio.create_task, watched.database.count(note.select()))  # type: ignore[attr-defined]
        assert await other == 0

    run(program)


def test_a_unit_of_work_keeps_its_replica_and_shares_what_its_tasks_write(run: Callable[..., None]) -> None:
    async def program(watched: Watched, cluster: Any) -> None:
        note = watched.Note
        with unit_of_work():
            reads = [watched.database.list(note.select()) for _ in range(6)]  # type: ignore[attr-defined]
            assert len(await where(watched, asyncio.gather(*reads))) == 1
            for replica in cluster.replicas:
                await asyncio.to_thread(replica.pause)
            await asyncio.gather(note.acreate(number=1), note.acreate(number=2))
            assert await watched.database.count(note.select()) == 2  # type: ignore[attr-defined]

    run(program)


def test_a_token_is_taken_along(run: Callable[..., None]) -> None:
    async def program(watched: Watched, cluster: Any) -> None:
        note, registry = watched.Note, watched.registry
        registry.secret_key = "a random text of more than 16 characters"
        for replica in cluster.replicas:
            await asyncio.to_thread(replica.pause)

        async def write() -> Any:
            await note.acreate(number=5)
            return await watched.database.run(causal_token, registry)  # type: ignore[attr-defined]

        token = await contextvars.Context().run(asyncio.create_task, write())

        async def read() -> Any:
            with use_causal_token(token, registry):
                return await watched.database.count(note.select())  # type: ignore[attr-defined]

        assert await contextvars.Context().run(asyncio.create_task, read()) == 1

    run(program)


def test_status_is_asked_for_with_await(run: Callable[..., None]) -> None:
    async def program(watched: Watched, cluster: Any) -> None:
        found = await watched.registry.astatus()
        assert [(one.role, one.reachable) for one in found] == [
            ("primary", True),
            ("replica", True),
            ("replica", True),
        ]
        with pytest.raises(NotAsynchronous, match="astatus"):
            watched.registry.status()

    run(program)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_replicas_that_die_and_come_back_fail_no_read(request: pytest.FixtureRequest, engine: str) -> None:
    request.getfixturevalue(f"{engine}_server")
    kind: Any = {"postgres": PostgresCluster, "mariadb": MariaDBCluster}[engine]

    async def main(cluster: Any) -> None:
        settings = asynchronous(cluster, cluster.settings("app"), backoff=0.3, check_interval=0.2)
        watched = Watched(Databases({"default": settings}), create=False)
        note, database = watched.Note, watched.database
        await database.acreate_tables([note])  # type: ignore[attr-defined]
        failures: list[BaseException] = []
        stale: list[int] = []
        stop = asyncio.Event()
        rounds: Counter[int] = Counter()

        async def work(task: int) -> None:
            while not stop.is_set():
                try:
                    row = await note.acreate(number=task)
                    if await note.aget_or_none(note.id == row.id) is None:
                        stale.append(row.id)
                except Exception as error:
                    failures.append(error)
                rounds[task] += 1

        async def passes(count: int) -> None:
            until = rounds.total() + count
            while rounds.total() < until:
                await asyncio.sleep(0.005)

        async def reads_again(name: str) -> None:
            watched.clear()
            for _ in range(3000):
                if watched.selects()[name]:
                    return
                await asyncio.sleep(0.01)
            pytest.fail(f"{name} got no reads")

        tasks = [asyncio.create_task(work(number)) for number in range(4)]
        await passes(40)
        for index, replica in enumerate(cluster.replicas, 1):
            await asyncio.to_thread(replica.kill)
            await passes(40)
            await asyncio.to_thread(replica.start)
            await reads_again(f"replica {index}")
        stop.set()
        await asyncio.gather(*tasks)
        assert (failures, stale) == ([], [])
        await watched.registry.aclose_all()

    with kind(replicas=2) as cluster:
        cluster.create_database("app")
        contextvars.Context().run(asyncio.run, main(cluster))


def test_a_synchronous_replica_of_an_asynchronous_primary_is_refused(tmp_path: Any) -> None:
    registry = Databases(
        {
            "default": {
                "url": f"sqlite+aiosqlite:///{tmp_path}/a.db",
                "replicas": [f"sqlite:///{tmp_path}/b.db"],
            }
        }
    )
    with pytest.raises(ConfigurationError, match="it is synchronous, but its primary is asynchronous"):
        registry["default"]


def test_copies_of_a_file_serve_reads_after_the_window(tmp_path: Any) -> None:
    path = tmp_path / "a.db"
    copy = tmp_path / "b.db"
    for name in (path, copy):
        stock = peewee.SqliteDatabase(str(name))
        stock.execute_sql("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT, number INTEGER)")
        stock.close()

    async def main() -> None:
        settings = {
            "url": f"sqlite+aiosqlite:///{path}",
            "replicas": [f"sqlite+aiosqlite:///{copy}"],
            "replication": {"window": 60},
        }
        watched = Watched(Databases({"default": settings}), create=False)
        note = watched.Note
        assert await where(watched, watched.database.count(note.select())) == {"replica 1"}  # type: ignore[attr-defined]
        await note.acreate(number=1)
        assert await where(watched, watched.database.count(note.select())) == {PRIMARY}  # type: ignore[attr-defined]
        await watched.registry.aclose_all()

    contextvars.Context().run(asyncio.run, main())


def test_a_query_that_takes_too_long_and_a_full_pool_eject_nobody(
    postgres_cluster: Any, postgres_cluster_settings: dict[str, Any]
) -> None:
    settings = asynchronous(postgres_cluster, postgres_cluster_settings)
    settings["options"] = {"command_timeout": 0.5}
    settings["pool"] = {"max_connections": 1, "timeout": 0.3}

    async def main() -> None:
        watched = Watched(Databases({"default": settings}), create=False)
        note, database = watched.Note, watched.database
        start = asyncio.create_task
        # Each in a task of its own, which gives its connection back: a pool has but one.
        await start(database.acreate_tables([note]))  # type: ignore[attr-defined]
        await start(note.insert(number=1).aexecute())
        await asyncio.to_thread(postgres_cluster.wait_in_step)
        for _ in range(2):
            await start(database.count(note.select()))  # type: ignore[attr-defined]
        slow = note.select(peewee.fn.pg_sleep(30)).limit(1)
        with pytest.raises((peewee.OperationalError, TimeoutError, asyncio.TimeoutError)):
            await start(slow.aexecute())
        holding = [asyncio.Event() for _ in watched.entry.replicas]
        held = [
            start(_hold(server.database, event))
            for server, event in zip(watched.entry.replicas, holding, strict=True)
        ]
        await asyncio.gather(*(event.wait() for event in holding))
        with pytest.raises(peewee.OperationalError, match="acquiring connection from pool"):
            await start(database.count(note.select()))  # type: ignore[attr-defined]
        assert [server.problem for server in watched.entry.replicas] == [None, None]
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        await watched.registry.aclose_all()

    contextvars.Context().run(asyncio.run, main())


async def _hold(database: Any, event: asyncio.Event) -> None:
    await database.aconnect()
    event.set()
    await asyncio.Event().wait()
