"""Clusters of this folder's own, because its tests kill, promote and demote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pymysql
import pytest

from peewee_multidb.testing.servers import MariaDBCluster, MariaDBServer, PostgresCluster, PostgresServer

AnyServer = PostgresServer | MariaDBServer
AnyCluster = PostgresCluster | MariaDBCluster
Engine = type[PostgresServer] | type[MariaDBServer]


@pytest.fixture(params=[PostgresServer, MariaDBServer], ids=["postgres", "mariadb"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that this machine can run; the session's server tells."""
    request.getfixturevalue("postgres_server" if request.param is PostgresServer else "mariadb_server")
    return request.param


@pytest.fixture
def cluster_class(engine: Engine) -> type[AnyCluster]:
    """The clusters of each engine that this machine can run."""
    return PostgresCluster if engine is PostgresServer else MariaDBCluster


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


def alive(pid: int) -> bool:
    """Whether there is such a process. In a container it may take long until a dead one is buried."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone_within(seconds: float, pids: list[int], folders: list[Path]) -> bool:
    """Whether the processes and the folders have disappeared by then."""
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) or any(folder.exists() for folder in folders):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
