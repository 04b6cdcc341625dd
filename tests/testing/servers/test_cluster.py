"""A cluster is one database to `configure`, and stays one over the loss of its primary."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from peewee import IntegerField

from peewee_multidb import Databases, Model
from peewee_multidb.testing.servers import (
    MariaDBServer,
    NetworkProxy,
    PostgresCluster,
    PostgresServer,
    StartFailed,
)
from tests.testing.servers.conftest import AnyCluster, AnyServer, connect, insert, rows, run


def test_the_settings_are_those_of_one_database_with_its_replicas(shared: AnyCluster) -> None:
    settings = shared.settings("d")
    assert settings["url"] == shared.primary.url("d")
    assert settings["replicas"] == [replica.url("d") for replica in shared.replicas]
    databases = Databases({"default": settings})
    try:

        class T(Model):
            a = IntegerField(primary_key=True)

            class Meta:
                table_name = "t"
                registry = databases

        T.create(a=2)
        shared.wait_in_step()
        assert [rows(replica) for replica in shared.replicas] == [[1, 2], [1, 2]]
    finally:
        databases.close_all()


def test_the_settings_name_another_driver_and_go_through_proxies(shared: AnyCluster) -> None:
    with NetworkProxy(shared.replicas[1]) as proxy:
        settings = shared.settings("d", scheme="other+driver", via=[proxy])
        assert settings["url"] == shared.primary.url("d", scheme="other+driver")
        assert settings["replicas"] == [
            shared.replicas[0].url("d", scheme="other+driver"),
            proxy.url("d", scheme="other+driver"),
        ]


def test_the_fixtures_hand_out_empty_databases_that_every_replica_has(
    postgres_cluster: Any,
    postgres_cluster_settings: dict[str, Any],
    mariadb_cluster: Any,
    mariadb_cluster_settings: dict[str, Any],
) -> None:
    for cluster, settings in (
        (postgres_cluster, postgres_cluster_settings),
        (mariadb_cluster, mariadb_cluster_settings),
    ):
        name = settings["url"].rpartition("/")[2]
        assert settings == cluster.settings(name)
        cluster.primary.execute("CREATE TABLE t (a INT)", database=name)
        cluster.wait_in_step()
        for replica in cluster.replicas:
            assert replica.execute("SELECT * FROM t", database=name) == []


def test_a_dropped_database_is_dropped_on_replicas_where_somebody_reads_it(shared: AnyCluster) -> None:
    shared.create_database("busy")
    shared.primary.execute("CREATE TABLE t (a INT)", database="busy")
    shared.wait_in_step()
    replica = shared.replicas[0]
    with contextlib.closing(connect(replica, "busy")) as reader:
        run(reader, "BEGIN")
        run(reader, "SELECT * FROM t")
        shared.drop_database("busy")
        shared.wait_in_step()
    names = "SELECT datname FROM pg_database" if isinstance(replica, PostgresServer) else "SHOW DATABASES"
    assert ("busy",) not in replica.execute(names)


def test_restore_undoes_what_a_test_did(cluster: AnyCluster) -> None:
    paused, killed = cluster.replicas
    paused.pause()
    paused.delay(3600)
    paused.disconnect()
    killed.kill()
    cluster.primary.set_read_only()
    cluster.primary.stop()
    cluster.restore()
    insert(cluster.primary, 2)
    cluster.wait_in_step()
    assert [rows(replica) for replica in cluster.replicas] == [[1, 2], [1, 2]]


def test_restore_disturbs_nothing_that_is_in_order(shared: AnyCluster) -> None:
    on_primary = (
        "SELECT pid FROM pg_stat_replication ORDER BY pid"
        if isinstance(shared.primary, PostgresServer)
        else "SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump' ORDER BY id"
    )
    before = shared.primary.execute(on_primary)
    assert len(before) == 2
    shared.restore()
    assert shared.primary.execute(on_primary) == before


def test_waiting_passes_over_a_dead_replica_and_not_over_one_that_is_behind(cluster: AnyCluster) -> None:
    dead, behind = cluster.replicas
    dead.kill()
    cluster.wait_in_step()
    with behind.paused():
        insert(cluster.primary, 2)
        with pytest.raises(TimeoutError):
            cluster.wait_in_step(timeout=0.2)


def test_the_replica_that_has_most_takes_over_and_the_others_follow(cluster: AnyCluster) -> None:
    old, (behind, ahead) = cluster.primary, cluster.replicas
    behind.disconnect()
    insert(old, 2)
    ahead.wait_for(old.position())
    old.kill()
    cluster.fail_over()
    assert (cluster.primary, cluster.replicas) == (ahead, [behind])
    insert(ahead, 3)
    cluster.wait_in_step()
    assert rows(ahead) == rows(behind) == [1, 2, 3]
    cluster.rejoin(old)
    insert(ahead, 4)
    cluster.wait_in_step()
    assert rows(old) == rows(behind) == [1, 2, 3, 4]
    assert set(cluster.settings("d")["replicas"]) == {old.url("d"), behind.url("d")}


def test_a_replica_that_has_more_than_the_new_primary_loses_it(cluster: AnyCluster) -> None:
    old, (behind, ahead) = cluster.primary, cluster.replicas
    behind.disconnect()
    insert(old, 2)
    ahead.wait_for(old.position())
    cluster.fail_over(to=behind)
    insert(behind, 3)
    insert(old, 4)  # it lives, and nobody has told it
    cluster.wait_in_step()
    assert rows(behind) == rows(ahead) == [1, 3]
    assert rows(old) == [1, 2, 4]


def test_a_cluster_without_replicas_is_a_primary(cluster_class: type[AnyCluster]) -> None:
    with cluster_class(replicas=0) as started:
        assert started.settings("d") == {"url": started.primary.url("d"), "replicas": []}
        started.wait_in_step()


def test_a_cluster_that_does_not_come_up_leaves_nothing(
    cluster_class: type[AnyCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AnyServer] = []

    def replica(self: AnyServer, settings: dict[str, str] | None = None) -> AnyServer:
        wrong = {} if not made else {"max_chickens": "7"}
        made.append(type(self)(primary=self, settings={**self.settings, **wrong}))  # type: ignore[arg-type]
        return made[-1].start()

    cluster = cluster_class(replicas=2)
    for server_class in (PostgresServer, MariaDBServer):
        monkeypatch.setattr(server_class, "replica", replica)
    with pytest.raises(StartFailed, match="max_chickens"):
        cluster.start()
    assert len(made) == 2
    assert not any(server.running for server in (cluster.primary, *made))


def test_options_are_those_of_every_server(postgres_server: PostgresServer) -> None:
    with PostgresCluster(replicas=1, settings={"work_mem": "5MB"}) as cluster:
        for server in cluster.servers:
            assert server.execute("SHOW work_mem") == [("5MB",)]
