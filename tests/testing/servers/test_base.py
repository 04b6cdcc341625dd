"""The kit itself: servers start, follow, die and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pymysql
import pytest

from peewee_multidb.testing.servers import MariaDBServer, PostgresServer, StartFailed, Unavailable, base
from tests.scale import scaled

ROOT = Path(__file__).parents[3]

Engine = type[PostgresServer] | type[MariaDBServer]


@pytest.fixture(params=[PostgresServer, MariaDBServer], ids=["postgres", "mariadb"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that this machine can run; the session's server tells."""
    request.getfixturevalue("postgres_server" if request.param is PostgresServer else "mariadb_server")
    return request.param


@pytest.fixture
def server(engine: Engine) -> Iterator[PostgresServer | MariaDBServer]:
    """A server of the test's own, to be stopped and killed."""
    with engine() as running:
        running.create_database("d")
        running.execute("CREATE TABLE t (a INT)", database="d")
        running.execute("INSERT INTO t VALUES (1)", database="d")
        yield running


def mariadb_connection(url: str) -> pymysql.Connection:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=parts.password,
        database=parts.path[1:],
        ssl_disabled=True,
    )


def gone_within(seconds: float, pids: list[int], folders: list[Path]) -> bool:
    """Whether the processes and the folders have disappeared by then."""
    deadline = time.monotonic() + seconds
    while any(map(psutil.pid_exists, pids)) or any(folder.exists() for folder in folders):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_fresh_postgres_database_is_empty_and_usable(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)
        connection.execute("CREATE TABLE t (name TEXT)")
        assert connection.execute("SELECT upper('ä')").fetchone() == ("Ä",)


def test_fresh_mariadb_database_is_empty_and_usable(mariadb_url: str) -> None:
    with closing(mariadb_connection(mariadb_url)) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 0
        cursor.execute("CREATE TABLE t (name VARCHAR(20))")
        cursor.execute("INSERT INTO t VALUES ('\N{SNOWMAN}')")


def test_each_url_is_another_database(
    new_postgres_url: Callable[[], str],
    new_mariadb_url: Callable[[], str],
    postgres_urls: Callable[[int], list[str]],
    mariadb_urls: Callable[[int], list[str]],
) -> None:
    urls = [new_postgres_url(), new_postgres_url(), *postgres_urls(2)]
    urls += [new_mariadb_url(), new_mariadb_url(), *mariadb_urls(2)]
    assert len(set(urls)) == 8


def test_postgres_database_is_dropped_under_connections_and_prepared_transactions(
    postgres_server: PostgresServer,
) -> None:
    postgres_server.create_database("busy")
    with closing(psycopg.connect(postgres_server.url("busy"), autocommit=True)) as preparing:
        preparing.execute("CREATE TABLE t (a INT)")
        preparing.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s \"left\"'")
        with closing(psycopg.connect(postgres_server.url("busy"))) as open_transaction:
            open_transaction.execute("SELECT * FROM t")
            postgres_server.drop_database("busy")
    assert postgres_server.execute("SELECT * FROM pg_database WHERE datname = 'busy'") == []


def test_mariadb_database_is_dropped_under_connections_and_prepared_transactions(
    mariadb_server: MariaDBServer,
) -> None:
    mariadb_server.create_database("busy")
    with closing(mariadb_connection(mariadb_server.url("busy"))) as preparing, preparing.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a INT)")
        cursor.execute("XA START 'left', 'over', 7")
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("XA END 'left', 'over', 7")
        cursor.execute("XA PREPARE 'left', 'over', 7")
    open_transaction = mariadb_connection(mariadb_server.url("busy"))
    with closing(open_transaction), open_transaction.cursor() as cursor:
        cursor.execute("SELECT * FROM t")
        mariadb_server.drop_database("busy")
    assert ("busy",) not in mariadb_server.execute("SHOW DATABASES")


def test_data_survive_stop_and_kill_on_the_same_port(server: PostgresServer | MariaDBServer) -> None:
    port = server.port
    for end in (server.stop, server.kill):
        end()
        assert not server.running
        server.start()
        assert server.port == port
        assert server.execute("SELECT a FROM t", database="d") == [(1,)]


def test_close_leaves_nothing_even_after_a_kill(engine: Engine) -> None:
    server = engine().start()
    folder, pid = server.folder, server.pid
    assert pid is not None
    server.kill()
    server.close()
    server.close()
    assert gone_within(0, [pid], [folder])


def test_replica_streams_rows_and_refuses_writes(server: PostgresServer | MariaDBServer) -> None:
    with server.replica() as replica:
        server.execute("INSERT INTO t VALUES (2)", database="d")
        replica.wait_for(server.position())
        assert replica.execute("SELECT a FROM t ORDER BY a", database="d") == [(1,), (2,)]
        if isinstance(replica, PostgresServer):
            with psycopg.connect(replica.url("d")) as connection:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    connection.execute("INSERT INTO t VALUES (3)")
        else:
            with closing(mariadb_connection(replica.url("d"))) as connection, connection.cursor() as cursor:
                with pytest.raises(pymysql.err.OperationalError, match="read-only"):
                    cursor.execute("INSERT INTO t VALUES (3)")


def test_replica_catches_up_after_its_own_and_its_primarys_death(
    server: PostgresServer | MariaDBServer,
) -> None:
    with server.replica() as replica:
        replica.kill()
        server.execute("INSERT INTO t VALUES (2)", database="d")
        replica.start()
        server.kill()
        server.start()
        server.execute("INSERT INTO t VALUES (3)", database="d")
        replica.wait_for(server.position())
        assert replica.execute("SELECT a FROM t ORDER BY a", database="d") == [(1,), (2,), (3,)]


def test_promoted_replica_takes_writes(server: PostgresServer | MariaDBServer) -> None:
    with server.replica() as replica:
        replica.wait_for(server.position())
        server.kill()
        replica.promote()
        replica.execute("INSERT INTO t VALUES (2)", database="d")
        assert replica.execute("SELECT a FROM t ORDER BY a", database="d") == [(1,), (2,)]


CHILD = """
import time
from peewee_multidb.testing.servers import {engine}
servers = [{engine}().start()]
{more}
print(*(server.pid for server in servers), *(server.folder for server in servers), sep="\t", flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("more", "end", "signum"),
    [
        ("servers.append(servers[0].replica())", "time.sleep(600)", signal.SIGKILL),
        ("", "time.sleep(600)", signal.SIGTERM),
        ("", "time.sleep(600)", signal.SIGINT),
        ("", "", None),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGINT", "end"],
)
def test_nothing_is_left_of_a_run_however_it_ends(
    engine: Engine, more: str, end: str, signum: signal.Signals | None
) -> None:
    code = CHILD.format(engine=engine.__name__, more=more, end=end)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        facts = run.stdout.readline().rstrip("\n").split("\t")
        pids = [int(pid) for pid in facts[: len(facts) // 2]]
        folders = [Path(folder) for folder in facts[len(facts) // 2 :]]
        assert pids and all(folder.exists() for folder in folders)
        if signum is not None:
            run.send_signal(signum)
        run.wait(30)
    assert gone_within(15, pids, folders)


def test_forked_child_neither_stops_the_servers_nor_keeps_them(engine: Engine) -> None:
    """Neither its exit nor its own copy of the guard's pipe counts."""
    code = textwrap.dedent(
        f"""
        import os, signal, sys, time
        from peewee_multidb.testing.servers import {engine.__name__}
        server = {engine.__name__}().start()
        if (first := os.fork()) == 0:
            sys.exit()
        os.waitpid(first, 0)
        server.execute("SELECT 1")
        if (second := os.fork()) == 0:
            os.close(1)
            time.sleep(600)
        print(server.pid, server.folder, second, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder, second = run.stdout.readline().split()
        run.kill()
        try:
            assert gone_within(15, [int(pid)], [Path(folder)])
            assert psutil.pid_exists(int(second))
        finally:
            os.kill(int(second), signal.SIGKILL)


def test_failed_start_tells_the_log_and_leaves_nothing(engine: Engine) -> None:
    server = engine(settings={"max_chickens": "7"})
    with pytest.raises(StartFailed, match="max_chickens"):
        server.start()
    assert not server.running
    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.folder


def test_taken_port_is_given_up_for_another(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[base.Port] = []

    class Taken(base.Port):
        def __init__(self) -> None:
            super().__init__()
            if not ports:
                self._holder.listen()
            ports.append(self)

    monkeypatch.setattr(base, "Port", Taken)
    with engine() as server:
        assert server.port == ports[1].number != ports[0].number
        assert server.execute("SELECT 1") == [(1,)]


def test_machine_without_the_programs_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peewee_multidb.testing.servers.mariadb.PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="mariadbd is not installed"):
        MariaDBServer().start()


def test_scaled_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTIDB_SOAK_FACTOR", raising=False)
    assert scaled(7) == 7
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "20")
    assert scaled(7) == 140
    monkeypatch.setenv("MULTIDB_SOAK_FACTOR", "0.01")
    assert scaled(7) == 1
