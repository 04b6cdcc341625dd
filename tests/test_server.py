"""One server and what is known of its health, without anybody deciding what follows from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers.replication import LSN
from peewee_multidb.server import Server

PASSWORD = "s3kr1t"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    registry = Databases({"a": {"url": f"sqlite:///{tmp_path}/a.db", "pool": 3}})
    registry["a"]
    found = registry.entries["a"].primary
    assert found is not None
    yield found
    registry.close_all()


def test_a_connection_is_kept_until_the_server_was_ejected(server: Server) -> None:
    server.connect()
    first = server.database.connection()
    server.connect()
    assert server.database.connection() is first
    server.generation += 1
    server.connect()
    second = server.database.connection()
    assert second is not first
    server.connect()
    assert server.database.connection() is second


def test_each_thread_gets_a_young_connection_of_its_own(server: Server) -> None:
    found: list[Any] = []
    opened, ejected = threading.Event(), threading.Event()

    def other() -> None:
        server.connect()
        found.append(server.database.connection())
        opened.set()
        ejected.wait(20)
        server.connect()
        found.append(server.database.connection())
        server.database.close()

    thread = threading.Thread(target=other)
    thread.start()
    assert opened.wait(20)
    server.generation += 1
    server.connect()
    ejected.set()
    thread.join()
    assert found[0] is not found[1]


def test_queries_in_flight_are_counted_also_when_they_fail(server: Server) -> None:
    seen: list[int] = []
    server.run(lambda database: seen.append(server.in_use))
    with pytest.raises(ZeroDivisionError):
        server.run(lambda database: 1 / 0)
    server.run(lambda database: server.run(lambda inner: seen.append(server.in_use)))
    assert seen == [1, 2] and server.in_use == 0


def test_the_furthest_position_is_remembered(server: Server) -> None:
    assert server.reached is None and not server.has_reached(LSN(0))
    life = server.life
    for number in (3, 7, 5):
        server.reach(LSN(number), life)
    assert server.reached == LSN(7)
    assert server.has_reached(LSN(7)) and not server.has_reached(LSN(8))
    server.is_at(LSN(4), life)
    assert not server.has_reached(LSN(5))


def test_a_new_connection_may_be_to_another_life(server: Server) -> None:
    server.connect()
    server.reach(LSN(7), server.life)
    server.database.close()
    server.database.connect()  # the same one, out of the pool
    assert server.reached == LSN(7)
    server.database.manual_close()
    server.database.connect()
    assert server.reached is None


def test_the_moment_of_the_next_try_is_told_by_the_clock_on_the_wall(server: Server) -> None:
    assert server.ejected_until is None
    server.resting_until = time.monotonic() + 100
    before = time.time()
    assert server.ejected_until == pytest.approx(before + 100, abs=20)


def test_forgetting_leaves_it_as_it_was_made(server: Server) -> None:
    server.problem, server.lag, server.checked, server.generation = "x", 3.0, 1.0, 4
    server.reach(LSN(1), server.life)
    server.forget()
    assert (server.problem, server.lag, server.checked, server.generation) == (None, None, None, 0)
    assert server.reached is None and server.slow_until == 0


def test_an_engine_without_positions_is_only_asked_whether_it_answers(server: Server) -> None:
    assert server.look() is None


def test_no_repr_shows_a_password(tmp_path: Path) -> None:
    registry = Databases(
        {
            "a": {
                "url": f"postgresql://app:{PASSWORD}@db1,db2/app",
                "replicas": [f"postgresql://app:{PASSWORD}@db3/app?sslpassword={PASSWORD}"],
            }
        }
    )
    registry["a"]
    for one in registry.entries["a"].servers():
        assert PASSWORD not in repr(one) + one.label and "***" in one.label
