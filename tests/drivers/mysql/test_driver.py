"""MySQL and MariaDB through PyMySQL and aiomysql: flavour, options, sockets, roles, read-only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledDatabase

from peewee_multidb.config import parse_url
from peewee_multidb.drivers import base, traits_of
from peewee_multidb.drivers.mysql import driver
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_postgresql import with_role, with_scheme
from tests.drivers.test_sqlite import build

ROLE = "audit `or` %s"


@pytest.fixture
def role(mariadb_url: str) -> Iterator[str]:
    """A URL that takes on a role with quotes and a percent sign in its name."""
    quoted = ROLE.replace("`", "``").replace("%", "%%")
    owner = build(mariadb_url)
    owner.execute_sql(f"CREATE ROLE `{quoted}`")
    owner.execute_sql(f"GRANT SELECT ON *.* TO `{quoted}`")
    yield with_role(mariadb_url, "audit%20%60or%60%20%25s")
    owner.execute_sql(f"DROP ROLE `{quoted}`")
    owner.close()


class Document(peewee.Model):
    body = peewee.JSONField()
    number = peewee.IntegerField(unique=True)


def make_table(url: str) -> None:
    database = build(url)
    with database.bind_ctx([Document]):
        database.create_tables([Document])
    database.close()


# Without a server


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"])
def test_only_the_scheme_mariadb_knows_the_flavour_beforehand(scheme: str) -> None:
    database = build(f"{scheme}://app@host/name")
    assert database.mariadb is scheme.startswith("mariadb")
    assert traits_of(database) is base.MYSQL


@pytest.mark.parametrize(
    ("version", "mariadb"),
    [("8.4.3", False), ("11.8.3-MariaDB-0+deb13u1", True), ("5.5.5-10.1.48-MariaDB", True)],
)
def test_the_version_string_of_the_server_tells_the_flavour(version: str, mariadb: bool) -> None:
    database = build("mysql://host/name")
    database._set_server_version(type("Connection", (), {"server_version": version}))
    assert database.mariadb is mariadb


@pytest.mark.parametrize(("scheme", "found"), [("mysql", None), ("mysql+pymysql", "MySQLdb")])
def test_a_missing_module_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, scheme: str, found: str | None
) -> None:
    monkeypatch.setattr(peewee, "mysql", type(found, (), {"__name__": found}) if found else None)
    with pytest.raises(ConfigurationError, match=r'needs PyMySQL, .* pip install "peewee-multidb\[mysql\]"'):
        build(f"{scheme}://host/name")


def test_a_missing_aiomysql_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pwasyncio = pytest.importorskip("playhouse.pwasyncio")
    driver.async_class.cache_clear()
    monkeypatch.setattr(pwasyncio, "aiomysql", None)
    with pytest.raises(ConfigurationError, match=r'needs aiomysql, .* pip install "peewee-multidb\[async\]"'):
        build("mysql+aiomysql://host/name")


@pytest.mark.parametrize("scheme", ["mysql", "mysql+aiomysql"])
def test_a_url_without_a_database_is_refused(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="'shop': the url names no database; write mysql://"):
        build(f"{scheme}://host")


def test_the_address_and_the_options_reach_the_driver() -> None:
    database = build(
        {"url": "mysql://app:pw@host:3307/na%20me?connect_timeout=3", "pool": {"max_connections": 5}}
    )
    assert database.database == "na me"
    assert database.connect_params == {
        "user": "app",
        "password": "pw",
        "host": "host",
        "port": 3307,
        "charset": "utf8mb4",
        "connect_timeout": 3,
    }
    assert isinstance(database, PooledDatabase)


def test_a_host_that_is_a_path_is_a_unix_socket() -> None:
    database = build("mysql://app@/name?host=/run/mysqld/mysqld.sock")
    assert database.connect_params["unix_socket"] == "/run/mysqld/mysqld.sock"
    assert "host" not in database.connect_params


def test_the_pool_settings_of_an_asynchronous_database() -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build(
        {"url": "mysql+aiomysql://host/name", "pool": {"max_connections": 5, "stale_timeout": 60}}
    )
    assert database._pool_size == 5
    assert database.connect_params["pool_recycle"] == 60
    assert traits_of(database).is_async


# On a server


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_the_first_query_is_compiled_for_the_server_that_answers(mariadb_url: str, scheme: str) -> None:
    make_table(mariadb_url)
    database = build(with_scheme(mariadb_url, scheme))
    statements: list[str] = []
    database.query_hooks.append(lambda event: statements.append(event.sql))
    with database.bind_ctx([Document]):
        query = Document.insert(body={"a": [1, "x"]}, number=1)
        query.on_conflict(preserve=[Document.body]).execute()
        assert Document.get(Document.body["a"] == [1, "x"]).number == 1
    database.close()
    assert "CAST(" not in statements[0]  # MySQL marks JSON with a cast that MariaDB refuses
    assert "VALUE(`body`)" in statements[0]  # and MariaDB renamed VALUES in 10.3


def test_a_query_that_may_not_connect_does_not(mariadb_url: str) -> None:
    database = build(f"{mariadb_url}?autoconnect=false")
    with database.bind_ctx([Document]), pytest.raises(peewee.InterfaceError, match="not opened"):
        Document.get()
    assert database.is_closed()


@pytest.mark.parametrize("pool", [None, 2])
def test_a_role_is_taken_on_at_connect(role: str, pool: int | None) -> None:
    database = build({"url": role, "pool": pool})
    for _ in range(2):
        with database.connection_context():
            assert database.execute_sql("SELECT current_role()").fetchone() == (ROLE,)


@pytest.mark.parametrize("pool", [None, 2])
def test_an_unknown_role_is_named_and_the_connection_is_closed(mariadb_url: str, pool: int | None) -> None:
    database = build({"url": with_role(mariadb_url, "nobody_here"), "pool": pool})
    for _ in range(3):
        with pytest.raises(
            peewee.DatabaseError, match="database 'shop': could not take on the role 'nobody_here'"
        ):
            database.connect()
    assert database.is_closed()


@pytest.mark.parametrize("pool", [None, 2])
def test_a_read_only_session_refuses_writes(mariadb_url: str, pool: int | None) -> None:
    make_table(mariadb_url)
    database = build({"url": mariadb_url, "pool": pool}, read_only=True)
    for _ in range(2):
        with database.connection_context():
            for sql in ("DELETE FROM document", "CREATE TABLE t (n int)"):
                with pytest.raises(peewee.DatabaseError, match="READ ONLY transaction"):
                    database.execute_sql(sql)
            with pytest.raises(peewee.DatabaseError, match="READ ONLY transaction"), database.atomic():
                database.execute_sql("DELETE FROM document")
            assert database.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_wrong_password_is_not_shown(mariadb_url: str) -> None:
    url = parse_url(mariadb_url)
    assert url.password is not None
    wrong = mariadb_url.replace(url.password.reveal(), "Wr0ngPassw0rd")
    with pytest.raises(peewee.OperationalError) as caught:
        build(wrong).connect()
    assert "Wr0ngPassw0rd" not in str(caught.value)


def run_async(url: str, body: Any, *, read_only: bool = False) -> Any:
    pytest.importorskip("playhouse.pwasyncio")
    database = build({"url": with_scheme(url, "mysql+aiomysql"), "pool": 1}, read_only=read_only)

    async def run() -> Any:
        try:
            return await body(database)
        finally:
            await database.close_pool()

    return asyncio.run(run())


def test_an_asynchronous_database_learns_the_flavour_before_its_first_query(mariadb_url: str) -> None:
    make_table(mariadb_url)

    async def body(database: Any) -> Any:
        with database.bind_ctx([Document]):
            await database.aexecute(Document.insert(body={"a": 1}, number=1))
            assert database.mariadb
            return await database.get(Document.select().where(Document.body["a"] == 1))

    assert run_async(mariadb_url, body).number == 1


def test_an_asynchronous_connection_runs_its_statements_once(role: str) -> None:
    async def body(database: Any) -> list[Any]:
        roles = []
        for _ in range(2):
            roles += (await database.aexecute_sql("SELECT current_role()")).fetchall()
            await database.aexecute_sql("SET ROLE NONE")
            await database.aclose()
        return roles

    # What the user set stays set: the second checkout is the same connection, and it is not prepared again.
    assert run_async(role, body) == [(ROLE,), (None,)]


def test_an_asynchronous_read_only_session_refuses_writes(mariadb_url: str) -> None:
    async def body(database: Any) -> None:
        await database.aexecute_sql("CREATE TABLE t (n int)")

    with pytest.raises(peewee.DatabaseError, match="READ ONLY transaction"):
        run_async(mariadb_url, body, read_only=True)


def test_an_unknown_role_of_an_asynchronous_database_is_named_and_its_place_is_free(mariadb_url: str) -> None:
    async def body(database: Any) -> None:
        for _ in range(3):  # a pool of one would block if the first connection kept its place
            with pytest.raises(
                peewee.DatabaseError, match="database 'shop': could not take on the role 'nobody_here'"
            ):
                await asyncio.wait_for(database.aconnect(), 5)

    run_async(with_role(mariadb_url, "nobody_here"), body)
