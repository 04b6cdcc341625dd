"""MariaDB databases come and go without a trace, whoever is connected to them."""

from __future__ import annotations

from contextlib import closing

import pytest

from peewee_multidb.testing.servers import MariaDBServer, Unavailable
from tests.testing.servers.conftest import connect


def test_fresh_mariadb_database_is_empty_and_usable(mariadb_server: MariaDBServer, mariadb_url: str) -> None:
    database = mariadb_url.rpartition("/")[2]
    with closing(connect(mariadb_server, database)) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 0
        cursor.execute("CREATE TABLE t (name VARCHAR(20))")
        cursor.execute("INSERT INTO t VALUES ('\N{SNOWMAN}')")


def test_mariadb_database_is_dropped_under_connections_and_prepared_transactions(
    mariadb_server: MariaDBServer,
) -> None:
    mariadb_server.create_database("busy")
    with closing(connect(mariadb_server, "busy")) as preparing, preparing.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a INT)")
        cursor.execute("XA START 'left', 'over', 7")
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("XA END 'left', 'over', 7")
        cursor.execute("XA PREPARE 'left', 'over', 7")
    open_transaction = connect(mariadb_server, "busy")
    with closing(open_transaction), open_transaction.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM t")
        mariadb_server.drop_database("busy")
    assert ("busy",) not in mariadb_server.execute("SHOW DATABASES")


def test_machine_without_the_programs_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peewee_multidb.testing.servers.mariadb.PLACES", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable, match="mariadbd is not installed"):
        MariaDBServer().start()
