"""Replicas of SQLite are behind until they are told to catch up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from peewee import IntegerField

from peewee_multidb import Databases, Model
from peewee_multidb.testing.servers import SQLiteCluster


@pytest.fixture
def cluster(tmp_path: Path) -> SQLiteCluster:
    cluster = SQLiteCluster(tmp_path, replicas=2)
    cluster.create_database("d")
    run(cluster.path("d"), "CREATE TABLE t (a INT)")
    cluster.wait_in_step()
    return cluster


@pytest.fixture
def reader(cluster: SQLiteCluster) -> Iterator[sqlite3.Connection]:
    """A connection to the first replica that is open over the copying."""
    with closing(sqlite3.connect(cluster.replicas[0].path("d"))) as connection:
        yield connection


def run(path: Path, sql: str) -> list[int]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return [value for (value,) in connection.execute(sql)]


def rows(path: Path) -> list[int]:
    return run(path, "SELECT a FROM t ORDER BY a")


def test_replicas_are_behind_until_they_catch_up(cluster: SQLiteCluster) -> None:
    run(cluster.path("d"), "INSERT INTO t VALUES (1)")
    paths = [replica.path("d") for replica in cluster.replicas]
    assert [rows(path) for path in paths] == [[], []]
    cluster.replicas[0].catch_up("d")
    assert [rows(path) for path in paths] == [[1], []]
    cluster.wait_in_step()
    assert [rows(path) for path in paths] == [[1], [1]]


def test_a_paused_replica_is_left_out(cluster: SQLiteCluster) -> None:
    first, second = cluster.replicas
    with pytest.raises(ZeroDivisionError):
        with first.paused():
            run(cluster.path("d"), "INSERT INTO t VALUES (1)")
            cluster.wait_in_step()
            assert (rows(first.path("d")), rows(second.path("d"))) == ([], [1])
            _ = 1 / 0
    cluster.wait_in_step()
    assert rows(first.path("d")) == [1]


def test_an_open_connection_sees_what_its_replica_has_caught_up_with(
    cluster: SQLiteCluster, reader: sqlite3.Connection
) -> None:
    count = "SELECT count(*) FROM t"
    assert reader.execute(count).fetchone() == (0,)
    with closing(sqlite3.connect(cluster.path("d"))) as primary:
        primary.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10_000)])
        # What is not committed is nobody else's.
        cluster.wait_in_step()
        assert reader.execute(count).fetchone() == (0,)
        primary.commit()
        cluster.wait_in_step()
        assert reader.execute(count).fetchone() == (10_000,)


def test_a_replica_that_somebody_writes_is_not_waited_for_for_ever(
    cluster: SQLiteCluster, reader: sqlite3.Connection
) -> None:
    run(cluster.path("d"), "INSERT INTO t VALUES (1)")
    reader.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError, match=r"d-replica1\.db"):
        cluster.wait_in_step(timeout=0.1)
    reader.rollback()
    cluster.wait_in_step()
    assert rows(cluster.replicas[0].path("d")) == [1]


def test_the_settings_are_those_of_one_database_with_its_replicas(cluster: SQLiteCluster) -> None:
    settings = cluster.settings("d")
    databases = Databases({"default": settings})

    class T(Model):
        a = IntegerField(primary_key=True)

        class Meta:
            table_name = "t"
            registry = databases

    T.create(a=1)
    databases.close_all()
    cluster.wait_in_step()
    for url, replica in zip(settings["replicas"], cluster.replicas, strict=True):
        copy = Databases({"default": url})
        assert copy["default"].execute_sql("SELECT a FROM t").fetchall() == [(1,)]
        copy.close_all()
        assert url == replica.url("d")
