"""A replica that was restarted may be further back than it was: what it had replayed counts no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from peewee_multidb.testing.servers import MariaDBCluster, PostgresCluster
from tests.replicas.test_waiting import latest
from tests.replicas.watch import PRIMARY, Watched

Open = Callable[..., Watched]


@pytest.fixture(params=["postgres", "mariadb"])
def small_cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster of one replica for one test."""
    request.getfixturevalue(f"{request.param}_server")
    with {"postgres": PostgresCluster, "mariadb": MariaDBCluster}[request.param](replicas=1) as cluster:
        cluster.create_database("app")
        yield cluster


def test_a_replica_that_crashed_and_replays_once_more_is_not_taken_to_be_where_it_was(
    small_cluster: Any, watch: Open
) -> None:
    watched = watch(small_cluster.settings("app"), wait_ms=10_000, check_interval=60)
    watched.settle()
    [replica] = small_cluster.replicas
    # It never wrote down that it came this far, so that PostgreSQL opens for reads before it is here again.
    watched.Note.create(number=5)
    assert latest(watched) == 5
    assert watched.selects()[PRIMARY] == 0
    # It will not get there in time now, so there is no sense in waiting long for it.
    watched.set_patience(wait_ms=500)
    replica.delay(60)
    watched.registry.close()  # so that nobody sees a connection die
    replica.kill()
    replica.start()
    assert latest(watched) == 5
    assert watched.entry.replicas[0].ejected_until is None


def test_what_a_server_has_reached_is_known_for_as_long_as_no_new_connection_is_made(
    replicated: Watched,
) -> None:
    replicated.Note.create(number=1)
    replicated.settle()
    server = replicated.entry.replicas[0]
    server.database.connect(reuse_if_open=True)
    life = server.life
    position = server.look().position  # type: ignore[union-attr]
    assert position is not None
    server.is_at(position, life)
    assert server.reached is position and server.has_reached(position)
    server.database.close()
    server.database.connect()
    assert server.life is not life
    assert server.reached is None and not server.has_reached(position)
    # An answer that was under way meanwhile does not count either.
    server.reach(position, life)
    assert server.reached is None
    server.reach(position, server.life)
    assert server.has_reached(position)
