"""`status()`: what each server says just now, and that a server which does not answer breaks nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.errors import NotAsynchronous
from peewee_multidb.testing.servers import NetworkProxy


@pytest.fixture(params=["postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def cluster(kind: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{kind}_cluster")


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{kind}_cluster_settings")


def test_a_sound_cluster(cluster: Any, settings: Any, kind: str) -> None:
    registry = Databases({"default": settings})
    cluster.wait_in_step()
    primary, *replicas = registry.status()
    assert (primary.role, primary.reachable, primary.writable, primary.lag) == ("primary", True, True, None)
    for replica in replicas:
        assert (replica.role, replica.reachable, replica.writable) == ("replica", True, False)
        assert replica.lag == 0 and replica.problem is None and replica.ejected_until is None
        assert isinstance(replica.lag_bytes, int) is (kind == "postgres")
        assert replica.in_use == 0 and replica.name == "default"
        assert replica.position
    assert len({one.server for one in (primary, *replicas)}) == 3
    registry.close_all()


def test_a_replica_that_is_behind(cluster: Any, settings: Any, kind: str) -> None:
    registry = Databases({"default": settings})
    cluster.replicas[0].pause()
    registry["default"].execute_sql("CREATE TABLE t (a int)")
    _, late, _ = registry.status()
    assert late.reachable and late.lag > 0
    assert late.lag_bytes > 0 if kind == "postgres" else late.lag_bytes is None
    registry.close_all()


def test_servers_that_are_gone_are_reported_and_the_others_all_the_same(cluster: Any, settings: Any) -> None:
    with NetworkProxy(cluster.primary) as first, NetworkProxy(cluster.replicas[0]) as second:
        name = settings["url"].rpartition("/")[2]
        registry = Databases({"default": cluster.settings(name, via=[first, second])})
        assert [one.reachable for one in registry.status()] == [True, True, True]
        first.cut()
        second.cut()
        found = registry.status()
        assert [one.reachable for one in found] == [False, False, True]
        for one in found[:2]:
            assert one.problem and one.writable is one.position is one.lag is one.lag_bytes is None
            assert cluster.primary.password not in repr(one)
        first.restore()
        second.restore()
        assert [one.reachable for one in registry.status()] == [True, True, True]
        registry.close_all()


def test_a_transaction_that_is_open_is_left_alone(settings: Any) -> None:
    registry = Databases({"default": settings})
    database: Any = registry["default"]
    with database.atomic():
        connection = database.connection()
        assert [one.reachable for one in registry.status()] == [True, True, True]
        assert database.connection() is connection and database.in_transaction()
    registry.close_all()


def test_several_databases_come_in_the_order_of_the_settings(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    registry = Databases({"b": url, "a": {"url": url, "replicas": ["mirror", url]}})
    found = registry.status()
    assert [(one.name, one.role) for one in found] == [
        ("b", "primary"),
        *(("a", role) for role in ("primary", "replica", "replica")),
    ]
    assert all(one.reachable and one.writable is None and one.position is None for one in found)
    registry.close_all()


def test_asynchronous_databases_need_the_asynchronous_form(tmp_path: Any) -> None:
    registry = Databases({"a": f"sqlite+aiosqlite:///{tmp_path}/a.db"})
    with pytest.raises(NotAsynchronous, match="astatus"):
        registry.status()

    async def main() -> None:
        with pytest.raises(NotAsynchronous, match="astatus"):
            registry.status()
        assert [one.reachable for one in await registry.astatus()] == [True]
        await registry.aclose_all()

    asyncio.run(main())
