"""Clusters of this folder's own, because its tests kill, promote and demote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from peewee_multidb.testing.servers import MariaDBCluster, MariaDBServer, PostgresCluster, PostgresServer

AnyServer = PostgresServer | MariaDBServer
AnyCluster = PostgresCluster | MariaDBCluster


@pytest.fixture(params=["postgres", "mariadb"])
def cluster_class(request: pytest.FixtureRequest) -> type[AnyCluster]:
    """Each engine that this machine can run; the session's server tells."""
    request.getfixturevalue(f"{request.param}_server")
    return PostgresCluster if request.param == "postgres" else MariaDBCluster


@pytest.fixture
def cluster(cluster_class: type[AnyCluster]) -> Iterator[AnyCluster]:
    """A primary and two replicas of the test's own, with a table `t` in the database `d`."""
    with cluster_class(replicas=2) as started:
        prepare(started)
        yield started


@pytest.fixture(params=["postgres", "mariadb"])
def shared(request: pytest.FixtureRequest) -> Iterator[AnyCluster]:
    """The session's cluster, with a table `t` in the database `d`, and put right afterwards."""
    started: AnyCluster = request.getfixturevalue(f"{request.param}_cluster")
    prepare(started)
    yield started
    started.restore()
    started.drop_database("d")


def prepare(cluster: AnyCluster) -> None:
    cluster.create_database("d")
    cluster.primary.execute("CREATE TABLE t (a INT)", database="d")
    insert(cluster.primary, 1)
    cluster.wait_in_step()


def insert(server: AnyServer, value: int) -> None:
    server.execute("INSERT INTO t VALUES (%s)", value, database="d")


def rows(server: AnyServer) -> list[int]:
    return [value for (value,) in server.execute("SELECT a FROM t ORDER BY a", database="d")]


def connect(server: AnyServer, database: str = "d") -> Any:
    """A connection of an application, which may not do what the administrator may."""
    if isinstance(server, PostgresServer):
        return psycopg.connect(server.url(database), autocommit=True)
    parts = urlsplit(server.url(database))
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        database=database,
        autocommit=True,
        ssl_disabled=True,
    )


def run(connection: Any, sql: str) -> Any:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None
