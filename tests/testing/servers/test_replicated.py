"""Primaries and replicas of every engine do in the same words what they are told."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
import pymysql
import pytest

from peewee_multidb.testing.servers import PostgresServer
from tests.testing.servers.conftest import AnyCluster, AnyServer, connect, insert, rows, run


def refused(server: AnyServer) -> bool:
    with closing(connect(server)) as connection:
        return refuses(connection)


def refuses(connection: Any) -> bool:
    try:
        run(connection, "INSERT INTO t VALUES (0)")
    except (psycopg.errors.ReadOnlySqlTransaction, pymysql.err.OperationalError):
        return True
    return False


def is_replica(server: AnyServer) -> bool:
    """What the server itself says when it is asked for its role."""
    question = "SELECT pg_is_in_recovery()" if isinstance(server, PostgresServer) else "SELECT @@read_only"
    return bool(server.execute(question)[0][0])


# Positions


def test_a_position_is_reached_by_replicas_and_compares_with_theirs(shared: AnyCluster) -> None:
    insert(shared.primary, 2)
    position = shared.primary.position()
    for replica in shared.replicas:
        replica.wait_for(position)
        assert rows(replica) == [1, 2]
        assert replica.position() == position


def test_waiting_for_a_position_that_is_not_reached_ends_with_an_error(shared: AnyCluster) -> None:
    replica = shared.replicas[0]
    with replica.paused():
        insert(shared.primary, 2)
        with pytest.raises(TimeoutError, match=r"no replay of \S+ within 0.2 s"):
            replica.wait_for(shared.primary.position(), timeout=0.2)


def test_servers_have_numbers_and_clusters_identities_of_their_own(shared: AnyCluster) -> None:
    servers = [shared.primary, *shared.replicas]
    if isinstance(shared.primary, PostgresServer):
        identity = "SELECT system_identifier FROM pg_control_system()"
        assert len({server.execute(identity)[0] for server in servers}) == 1
        with type(shared.primary)() as stranger:
            assert stranger.execute(identity) != shared.primary.execute(identity)
    else:
        assert len({server.execute("SELECT @@server_id")[0] for server in servers}) == 3
        for replica in shared.replicas:
            assert replica.replication()["Using_Gtid"] == "Slave_Pos"
            assert replica.execute("SELECT @@log_slave_updates") == [(1,)]


# Lag


def test_a_paused_replica_replays_nothing_but_receives(shared: AnyCluster) -> None:
    paused, other = shared.replicas
    with paused.paused():
        insert(shared.primary, 2)
        other.wait_for(shared.primary.position())
        paused.wait_until(lambda: paused.received() >= other.received(), "receipt")
        assert rows(paused) == [1]
        with paused.paused():
            pass
    paused.wait_for(shared.primary.position())
    assert rows(paused) == [1, 2]


def test_a_pause_is_over_when_the_block_raises(shared: AnyCluster) -> None:
    replica = shared.replicas[0]
    with pytest.raises(ZeroDivisionError):
        with replica.paused():
            insert(shared.primary, 2)
            _ = 1 / 0
    shared.wait_in_step()
    assert rows(replica) == [1, 2]


def test_a_replica_that_is_killed_in_its_pause_comes_back_without_it(cluster: AnyCluster) -> None:
    replica = cluster.replicas[0]
    with replica.paused():
        replica.kill()
    replica.start()
    insert(cluster.primary, 2)
    cluster.wait_in_step()
    assert rows(replica) == [1, 2]


def test_a_delayed_replica_replays_late_and_at_once_when_the_delay_ends(shared: AnyCluster) -> None:
    delayed, other = shared.replicas
    delayed.delay(3600)
    insert(shared.primary, 2)
    other.wait_for(shared.primary.position())
    delayed.wait_until(lambda: delayed.received() >= other.received(), "receipt")
    assert rows(delayed) == [1]
    delayed.delay(0)
    delayed.wait_for(shared.primary.position())
    assert rows(delayed) == [1, 2]


def test_a_delay_is_not_shorter_than_it_should_be(shared: AnyCluster) -> None:
    replica = shared.replicas[0]
    replica.delay(0.5)
    written = time.monotonic()
    insert(shared.primary, 2)
    replica.wait_for(shared.primary.position())
    # The server's clock is not this process's, so there is some play.
    assert time.monotonic() - written > 0.4


def test_a_pause_outlasts_the_end_of_a_delay(shared: AnyCluster) -> None:
    replica, other = shared.replicas
    replica.delay(3600)
    insert(shared.primary, 2)
    other.wait_for(shared.primary.position())
    replica.pause()
    replica.delay(0)
    with pytest.raises(TimeoutError):
        replica.wait_for(shared.primary.position(), timeout=0.2)
    assert rows(replica) == [1]
    replica.resume()
    replica.wait_for(shared.primary.position())


def test_a_disconnected_replica_receives_nothing_and_serves_its_clients(shared: AnyCluster) -> None:
    replica, other = shared.replicas
    with closing(connect(replica)) as client:
        assert replica.is_receiving()
        replica.disconnect()
        assert not replica.is_receiving() and not shared.primary.is_receiving()
        insert(shared.primary, 2)
        other.wait_for(shared.primary.position())
        assert replica.received() < other.received()
        assert [tuple(row) for row in run(client, "SELECT a FROM t")] == [(1,)]
        replica.reconnect()
        replica.wait_until(replica.is_receiving, "connection")
        replica.wait_for(shared.primary.position())
        assert [tuple(row) for row in run(client, "SELECT a FROM t ORDER BY a")] == [(1,), (2,)]


def test_a_replica_catches_up_after_its_own_and_its_primarys_death(cluster: AnyCluster) -> None:
    primary, replica = cluster.primary, cluster.replicas[0]
    replica.kill()
    insert(primary, 2)
    replica.start()
    primary.kill()
    primary.start()
    insert(primary, 3)
    replica.wait_for(primary.position())
    assert rows(replica) == [1, 2, 3]


# Sessions


def test_ended_sessions_are_those_of_the_database(shared: AnyCluster) -> None:
    for server in (shared.primary, shared.replicas[0]):
        own = "postgres" if isinstance(server, PostgresServer) else "mysql"
        with closing(connect(server)) as ended, closing(connect(server, own)) as other:
            server.end_sessions("d")
            with pytest.raises((psycopg.OperationalError, pymysql.err.OperationalError)):
                run(ended, "SELECT 1")
            assert run(other, "SELECT 1")


# Roles


def test_a_read_only_primary_refuses_open_sessions_too_and_is_still_no_replica(shared: AnyCluster) -> None:
    primary = shared.primary
    with closing(connect(primary)) as client:
        assert not refuses(client)
        primary.set_read_only()
        assert refuses(client) and refused(primary)
        assert is_replica(primary) is not isinstance(primary, PostgresServer)
        insert(primary, 2)  # the administrator may
        primary.set_read_only(False)
        assert not refuses(client)
    shared.wait_in_step()


def test_a_promoted_replica_takes_writes_and_has_all_it_had_received(cluster: AnyCluster) -> None:
    promoted, other = cluster.replicas
    assert refused(promoted) and is_replica(promoted)
    with promoted.paused():
        insert(cluster.primary, 2)
        other.wait_for(cluster.primary.position())
        promoted.wait_until(lambda: promoted.received() >= other.received(), "receipt")
        cluster.primary.kill()
        promoted.promote()
    assert rows(promoted) == [1, 2]
    assert not refused(promoted) and not is_replica(promoted)
    promoted.stop()
    promoted.start()
    assert not refused(promoted) and not is_replica(promoted)


def test_a_demoted_primary_refuses_writes_after_a_restart_too(cluster: AnyCluster) -> None:
    primary = cluster.primary
    primary.demote()
    assert refused(primary) and is_replica(primary)
    primary.stop()
    primary.start()
    assert refused(primary) and is_replica(primary)
    primary.promote()
    assert not refused(primary) and not is_replica(primary)
    assert rows(primary)[-1] == 1


def test_roles_are_exchanged_without_losing_anything(cluster: AnyCluster) -> None:
    old, (new, third) = cluster.primary, cluster.replicas
    old.demote()
    for replica in (new, third):
        replica.wait_for(old.position())
    new.promote()
    for replica in (old, third):
        replica.follow(new)
    insert(new, 2)
    for replica in (old, third):
        replica.wait_for(new.position())
        assert rows(replica) == [1, 2]
        assert refused(replica) and is_replica(replica)


def test_a_primary_with_writes_of_its_own_follows_only_anew(cluster: AnyCluster) -> None:
    old, (new, _) = cluster.primary, cluster.replicas
    new.promote()
    insert(old, 2)
    insert(new, 3)
    old.kill()
    old.follow(new, anew=True)
    insert(new, 4)
    old.wait_for(new.position())
    assert rows(old) == rows(new) == [1, 3, 4]
    assert refused(old) and is_replica(old)
