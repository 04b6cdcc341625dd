"""A url with several hosts finds the one that takes writes, also after that has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model, ReadOnlyDatabase, atomic
from peewee_multidb.testing.servers import MariaDBCluster, PostgresCluster

SCHEMES = {
    "postgres": ("postgresql", "postgresql+asyncpg"),
    "mariadb": ("mysql", "mysql+aiomysql"),
}


@pytest.fixture(params=SCHEMES)
def failing(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster for one test, which may promote what it likes."""
    request.getfixturevalue(f"{request.param}_server")
    kind = {"postgres": PostgresCluster, "mariadb": MariaDBCluster}[request.param]
    with kind(replicas=1) as cluster:
        cluster.schemes = SCHEMES[request.param]
        cluster.create_database("app")
        yield cluster


def several(cluster: Any, scheme: str) -> str:
    """The URL of the database that lists the replica first, and then the primary."""
    account, _, rest = cluster.primary.url("app", scheme=scheme).rpartition("@")
    name = rest.partition("/")[2]
    hosts = ",".join(f"{server.host}:{server.port}" for server in reversed(cluster.servers))
    return f"{account}@{hosts}/{name}"


def note_model(own: Databases) -> Any:
    class Note(Model):
        number = peewee.IntegerField()

        class Meta:
            registry = own

    return Note


def test_the_writable_host_is_found_and_found_again_after_a_failover(failing: Any) -> None:
    registry = Databases({"default": several(failing, failing.schemes[0])})
    note = note_model(registry)
    note.create_table()
    note.create(number=1)
    failing.wait_in_step()
    failing.primary.set_read_only()
    with pytest.raises(ReadOnlyDatabase, match="list in it all servers"):
        note.create(number=2)
    failing.fail_over()
    note.create(number=3)
    assert [row.number for row in note.select()] == [1, 3]
    registry.close_all()


def test_a_transaction_that_was_refused_is_followed_by_one_on_the_new_primary(failing: Any) -> None:
    registry = Databases({"default": {"url": several(failing, failing.schemes[0]), "pool": 3}})
    note = note_model(registry)
    note.create_table()
    failing.wait_in_step()
    with pytest.raises(ReadOnlyDatabase), registry["default"].atomic():
        failing.primary.set_read_only()
        _turn_read_only(registry)
        note.create(number=1)
    failing.fail_over()
    with atomic(note):
        note.create(number=2)
    assert [row.number for row in note.select()] == [2]
    registry.close_all()


def test_a_primary_that_died_costs_one_write_and_its_successor_takes_the_next(failing: Any) -> None:
    registry = Databases({"default": several(failing, failing.schemes[0])})
    note = note_model(registry)
    note.create_table()
    note.create(number=1)
    failing.wait_in_step()
    failing.primary.kill()
    failing.fail_over()
    with pytest.raises((peewee.OperationalError, peewee.InterfaceError)):
        note.create(number=2)
    note.create(number=3)
    assert [row.number for row in note.select()] == [1, 3]
    registry.close_all()


def test_a_transaction_on_a_primary_that_died_is_followed_by_one_on_its_successor(failing: Any) -> None:
    registry = Databases({"default": several(failing, failing.schemes[0])})
    note = note_model(registry)
    note.create_table()
    failing.wait_in_step()
    with pytest.raises((peewee.OperationalError, peewee.InterfaceError)), atomic(note):
        note.create(number=1)
        failing.primary.kill()
        failing.fail_over()
        note.create(number=2)
    with atomic(note):
        note.create(number=3)
    assert [row.number for row in note.select()] == [3]
    registry.close_all()


def _turn_read_only(registry: Databases) -> None:
    """PostgreSQL decides at the beginning of a transaction whether it may write."""
    database = registry["default"]
    if isinstance(database, peewee.PostgresqlDatabase):
        database.execute_sql("SET TRANSACTION READ ONLY")


def test_no_host_at_all_is_reported_with_each_ones_reason(failing: Any) -> None:
    registry = Databases({"default": several(failing, failing.schemes[0])})
    failing.primary.kill()
    with pytest.raises(peewee.OperationalError) as raised:
        registry["default"].connect()
    assert failing.primary.password not in str(raised.value)
    assert str(failing.primary.port) in str(raised.value)
    registry.close_all()


def test_the_same_on_asynchronous_databases(failing: Any) -> None:
    registry = Databases({"default": several(failing, failing.schemes[1])})
    note = note_model(registry)

    async def program() -> None:
        await registry["default"].acreate_tables([note])  # type: ignore[attr-defined]
        await note.acreate(number=1)
        await asyncio.to_thread(failing.wait_in_step)
        await asyncio.to_thread(failing.primary.set_read_only)
        with pytest.raises(ReadOnlyDatabase):
            await note.acreate(number=2)
        await asyncio.to_thread(failing.fail_over)
        await note.acreate(number=3)
        assert [row.number for row in await registry["default"].list(note.select())] == [1, 3]  # type: ignore[attr-defined]
        await registry.aclose_all()

    asyncio.run(program())
