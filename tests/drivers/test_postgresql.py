"""PostgreSQL through psycopg, psycopg2 and asyncpg: which module, which options, roles, read-only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledDatabase

from peewee_multidb.config import parse_url
from peewee_multidb.drivers import base, postgresql, traits_of
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_sqlite import build

ROLE = 'audit "or" %s'


def with_scheme(url: str, scheme: str) -> str:
    return scheme + url[url.index("://") :]


def with_role(url: str, role: str) -> str:
    scheme, _, rest = url.partition("://")
    user, colon, tail = rest.partition(":")
    return f"{scheme}://{user}({role}){colon}{tail}"


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A URL that takes on a role with quotes and a percent sign in its name."""
    quoted = ROLE.replace('"', '""').replace("%", "%%")
    owner = build(postgres_url)
    owner.execute_sql(f'CREATE ROLE "{quoted}"')
    yield with_role(postgres_url, "audit%20%22or%22%20%25s")
    owner.execute_sql(f'DROP ROLE "{quoted}"')
    owner.close()


# Without a server


@pytest.mark.parametrize(
    ("scheme", "adapter"),
    [
        ("postgresql", peewee.Psycopg3Adapter),
        ("postgres", peewee.Psycopg3Adapter),
        ("postgresql+psycopg", peewee.Psycopg3Adapter),
        ("postgresql+psycopg2", peewee.Psycopg2Adapter),
    ],
)
def test_the_scheme_chooses_the_module(monkeypatch: pytest.MonkeyPatch, scheme: str, adapter: type) -> None:
    for module in ("psycopg", "psycopg2"):
        monkeypatch.setattr(peewee, module, getattr(peewee, module) or object())
    database = build(f"{scheme}://app@host/name")
    assert type(database._adapter) is adapter
    assert traits_of(database) is base.POSTGRESQL


def test_a_plain_scheme_falls_back_on_psycopg2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peewee, "psycopg", None)
    monkeypatch.setattr(peewee, "psycopg2", object())
    assert type(build("postgresql://host/name")._adapter) is peewee.Psycopg2Adapter


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("postgresql", r'needs psycopg, .* pip install "peewee-multidb\[postgres\]"'),
        ("postgresql+psycopg", r'needs psycopg, .* pip install "peewee-multidb\[postgres\]"'),
        ("postgresql+psycopg2", r"needs psycopg2, .* pip install psycopg2-binary"),
    ],
)
def test_a_missing_module_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, scheme: str, message: str
) -> None:
    monkeypatch.setattr(peewee, "psycopg", None)
    monkeypatch.setattr(peewee, "psycopg2", None)
    with pytest.raises(ConfigurationError, match=message):
        build(f"{scheme}://host/name")


def test_a_missing_asyncpg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pwasyncio = pytest.importorskip("playhouse.pwasyncio")
    postgresql.async_class.cache_clear()
    monkeypatch.setattr(pwasyncio, "asyncpg", None)
    with pytest.raises(ConfigurationError, match=r'needs asyncpg, .* pip install "peewee-multidb\[async\]"'):
        build("postgresql+asyncpg://host/name")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
def test_a_url_without_a_database_is_refused(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="'shop': the url names no database; write postgresql://"):
        build(f"{scheme}://host")


def test_the_address_and_the_options_reach_the_driver() -> None:
    value = {
        "url": "postgresql://app@[::1]:5433/na%20me?connect_timeout=3",
        "password": "pw",
        "options": {"application_name": "shop", "isolation_level": "SERIALIZABLE"},
        "pool": {"max_connections": 5, "stale_timeout": 60, "timeout": 0},
    }
    database = build(value)
    assert database.database == "na me"
    assert database.connect_params == {
        "user": "app",
        "password": "pw",
        "host": "::1",
        "port": 5433,
        "connect_timeout": 3,
        "application_name": "shop",
    }
    assert isinstance(database, PooledDatabase)
    assert (database._max_connections, database._wait_timeout) == (5, float("inf"))


def test_the_pool_settings_of_an_asynchronous_database() -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build(
        {"url": "postgresql+asyncpg://host/name", "pool": {"max_connections": 5, "stale_timeout": 60}}
    )
    assert database._pool_size == 5
    assert database.connect_params == {"host": "host", "max_inactive_connection_lifetime": 60}
    assert traits_of(database) == base.POSTGRESQL_ASYNC


# On a server


@pytest.mark.parametrize("pool", [None, 2])
def test_a_role_is_taken_on_at_connect(role: str, pool: int | None) -> None:
    database = build({"url": role, "pool": pool})
    for _ in range(2):
        with database.connection_context():
            assert database.execute_sql("SELECT current_user").fetchone() == (ROLE,)


@pytest.mark.parametrize("pool", [None, 2])
def test_an_unknown_role_is_named_and_the_connection_is_closed(postgres_url: str, pool: int | None) -> None:
    database = build({"url": with_role(postgres_url, "nobody_here"), "pool": pool})
    for _ in range(3):
        with pytest.raises(
            peewee.DatabaseError, match="database 'shop': could not take on the role 'nobody_here'"
        ):
            database.connect()
    watcher = build(postgres_url)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    # The server needs a moment to notice that its client is gone.
    deadline = time.monotonic() + 30
    while watcher.execute_sql(count).fetchone() != (1,):
        assert time.monotonic() < deadline, "a connection is left open"
    watcher.close()


@pytest.mark.parametrize("pool", [None, 2])
def test_a_read_only_session_refuses_writes(postgres_url: str, pool: int | None) -> None:
    database = build({"url": postgres_url, "pool": pool}, read_only=True)
    for _ in range(2):
        with database.connection_context():
            with pytest.raises(peewee.DatabaseError, match="read-only transaction"):
                database.execute_sql("CREATE TABLE t (n int)")
            with pytest.raises(peewee.DatabaseError, match="read-only transaction"), database.atomic():
                database.execute_sql("CREATE TABLE t (n int)")
            assert database.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_wrong_password_does_not_show_the_right_one(postgres_url: str) -> None:
    url = parse_url(postgres_url)
    assert url.password is not None
    wrong = postgres_url.replace(url.password.reveal(), "Wr0ngPassw0rd")
    with pytest.raises(peewee.OperationalError) as caught:
        build(wrong).connect()
    assert "Wr0ngPassw0rd" not in str(caught.value)


def run_async(url: str, *, read_only: bool = False, sql: str) -> list[Any]:
    """The answers to `sql` of two checkouts of the same pooled connection."""
    pytest.importorskip("playhouse.pwasyncio")
    database = build({"url": with_scheme(url, "postgresql+asyncpg"), "pool": 1}, read_only=read_only)

    async def ask() -> list[Any]:
        answers = []
        try:
            for _ in range(2):
                answers += [tuple(row) for row in (await database.aexecute_sql(sql)).fetchall()]
                await database.aclose()
        finally:
            await database.close_pool()
        return answers

    return asyncio.run(ask())


def test_an_asynchronous_connection_keeps_its_role_in_the_pool(role: str) -> None:
    assert run_async(role, sql="SELECT current_user, pg_backend_pid() > 0") == [(ROLE, True)] * 2


def test_an_asynchronous_connection_stays_read_only_in_the_pool(postgres_url: str) -> None:
    answers = run_async(postgres_url, read_only=True, sql="SHOW transaction_read_only")
    assert answers == [("on",), ("on",)]


def test_an_asynchronous_read_only_session_keeps_other_server_settings(postgres_url: str) -> None:
    database = build(
        {
            "url": with_scheme(postgres_url, "postgresql+asyncpg"),
            "options": {"server_settings": {"application_name": "shop"}},
        },
        read_only=True,
    )
    assert database.connect_params["server_settings"] == {
        "application_name": "shop",
        "default_transaction_read_only": "on",
    }


def test_an_unknown_role_of_an_asynchronous_database_is_named(postgres_url: str) -> None:
    with pytest.raises(
        peewee.DatabaseError, match="database 'shop': could not take on the role 'nobody_here'"
    ):
        run_async(with_role(postgres_url, "nobody_here"), sql="SELECT 1")
