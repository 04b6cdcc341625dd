"""What real servers of each engine say of themselves, also to an account without privileges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers import traits_of

PASSWORD = "not-a-secret-1"


def state_of(url: str) -> Any:
    registry = Databases({"a": url})
    try:
        database = registry["a"]
        replication = traits_of(database).replication
        assert replication is not None
        return replication.state(database)
    finally:
        registry.close_all()


@pytest.fixture(params=["postgres", "mariadb"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def cluster(kind: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{kind}_cluster")


@pytest.fixture
def settings(kind: str, request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{kind}_cluster_settings")


@pytest.fixture
def plain_settings(kind: str, cluster: Any, settings: Any) -> Iterator[Any]:
    """The same for an account that may only use the database."""
    name = settings["url"].rpartition("/")[2]
    account = f"plain_{name}"
    if kind == "postgres":
        cluster.primary.execute(f"CREATE ROLE {account} LOGIN PASSWORD '{PASSWORD}'")
    else:
        cluster.primary.execute(f"CREATE USER {account}@'%' IDENTIFIED BY '{PASSWORD}'")
        cluster.primary.execute(f"GRANT ALL ON {name}.* TO {account}@'%'")
    cluster.wait_in_step()

    def plain(url: str) -> str:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{account}:{PASSWORD}@{rest.rpartition('@')[2]}"

    yield {"url": plain(settings["url"]), "replicas": [plain(url) for url in settings["replicas"]]}
    if kind == "postgres":
        cluster.primary.execute(f"DROP ROLE {account}")
    else:
        cluster.primary.execute(f"DROP USER {account}@'%'")


@pytest.mark.parametrize("account", ["settings", "plain_settings"])
def test_a_primary_and_its_replica(
    cluster: Any, account: str, kind: str, request: pytest.FixtureRequest
) -> None:
    urls = request.getfixturevalue(account)
    cluster.wait_in_step()
    replica, primary = state_of(urls["replicas"][0]), state_of(urls["url"])
    assert (primary.replicating, primary.writable) == (False, True)
    assert (replica.replicating, replica.writable) == (True, False)
    assert primary.lag is None
    assert replica.position is not None and primary.position is not None
    assert primary.position.covers(replica.position)
    # On MariaDB the lag is for those only who may monitor replication.
    assert replica.lag == (0 if kind == "postgres" or account == "settings" else None)
    registry = Databases({"a": urls["url"]})
    replication: Any = traits_of(registry["a"]).replication
    assert replication.is_replica_of(replica, primary)
    registry.close_all()


def test_a_paused_replica_falls_behind_and_a_stopped_one_of_mariadb_has_no_end(
    cluster: Any, settings: Any, kind: str
) -> None:
    before = state_of(settings["replicas"][0])
    cluster.replicas[0].pause()
    cluster.primary.execute("CREATE TABLE behind (a int)", database=settings["url"].rpartition("/")[2])
    paused = state_of(settings["replicas"][0])
    primary = state_of(settings["url"])
    assert not paused.position.covers(primary.position)
    assert paused.position.covers(before.position)
    assert paused.lag > 0 if kind == "postgres" else paused.lag == math.inf


def test_a_server_of_another_cluster_is_told_apart(
    kind: str, settings: Any, request: pytest.FixtureRequest
) -> None:
    stranger = request.getfixturevalue(f"{kind}_url")
    registry = Databases({"a": stranger})
    registry["a"].execute_sql("CREATE TABLE one (a int)")
    replication: Any = traits_of(registry["a"]).replication
    registry.close_all()
    replica, other = state_of(settings["replicas"][0]), state_of(stranger)
    assert not replication.is_replica_of(replica, other)


def test_what_is_written_is_covered_by_what_a_replica_in_step_has_replayed(
    cluster: Any, settings: Any
) -> None:
    registry = Databases({"primary": settings["url"], "replica": settings["replicas"][0]})
    replication: Any = traits_of(registry["primary"]).replication
    registry["primary"].execute_sql("CREATE TABLE one (a int)")
    written = replication.written(registry["primary"])
    assert replication.wait(registry["replica"], written, 20).covers(written)
    assert replication.replayed(registry["replica"]).covers(written)
    assert replication.parse(str(written)).covers(written)
    cluster.replicas[0].pause()
    registry["primary"].execute_sql("DROP TABLE one")
    later = replication.written(registry["primary"])
    assert not replication.wait(registry["replica"], later, 0.02).covers(later)
    assert not replication.wait(registry["replica"], later, 0).covers(later)
    registry.close_all()
