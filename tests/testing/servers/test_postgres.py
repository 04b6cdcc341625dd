"""PostgreSQL databases come and go without a trace, whoever is connected to them."""

from __future__ import annotations

from contextlib import closing

import psycopg

from peewee_multidb.testing.servers import PostgresServer


def test_fresh_postgres_database_is_empty_and_usable(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)
        connection.execute("CREATE TABLE t (name TEXT)")
        assert connection.execute("SELECT upper('ä')").fetchone() == ("Ä",)


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
