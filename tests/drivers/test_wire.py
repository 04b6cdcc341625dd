"""How a role reaches a server behind one address: templates, unsafe values, comments, statements."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import Any

import peewee
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playhouse.pool import PooledDatabase

from peewee_multidb import Databases
from peewee_multidb.config import parse_url, settings_from
from peewee_multidb.drivers import Driver, Wire, base, open_server
from peewee_multidb.drivers.sqlite import SqliteDriver
from peewee_multidb.drivers.wire import WIRES
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_postgresql import with_scheme

PGDOG = "/* pgdog_role: {} */ "


def opened(value: object, role: str = "primary", read_only: bool = False) -> Any:
    settings = settings_from({"shop": value})["shop"]
    assert settings.url is not None
    return open_server(settings, settings.url, role=role, read_only=read_only)


def with_wire(url: str, value: object, **more: object) -> dict[str, object]:
    return {"url": url, "options": {"wire": value}, **more}


def statements_of(database: Any, *calls: Any) -> list[str]:
    """What SQLite was given while the calls ran."""
    seen: list[str] = []
    database.connection().set_trace_callback(seen.append)
    for call in calls:
        call()
    database.connection().set_trace_callback(None)
    return seen


# Reading the option


def test_without_the_option_the_class_is_the_drivers_own() -> None:
    for value in ("sqlite:///:memory:", with_wire("sqlite:///:memory:", "own")):
        assert type(opened(value, "replica")).__module__ == "peewee_multidb.drivers.sqlite"
        assert not hasattr(opened(value), "leading_comment")


def test_the_option_of_a_url_wins_over_that_of_the_table() -> None:
    database = opened(with_wire("sqlite:///:memory:?wire=maxscale", "pgdog"), "replica")
    assert database.leading_comment == "/* maxscale route to slave */ "


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("pgdogg", r"database 'shop', wire: unknown name 'pgdogg'; did you mean 'pgdog'\?"),
        ({"coment": "x"}, r"unknown key 'coment'; did you mean 'comment'\?"),
        (3, "expected a name or a table, not int"),
        ({"comment": 3}, "wire, comment: expected a text or a table, not int"),
        ({"comment": {"primary": 3}}, "wire, comment, primary: expected a text, not int"),
        ({"statement": {"master": "x"}}, "statement: unknown role 'master'; known: primary, replica"),
        ({"comment": "{shard}"}, "comment: unknown field 'shard'; known: database, name, role"),
        ({"comment": "{role.__class__}"}, "unknown field 'role.__class__'"),
        ({"comment": "{role!r}"}, "unknown field 'role'"),
        ({"comment": "{"}, "is no template"),
        ({"comment": "a */ DROP TABLE t; /* b"}, "may hold neither"),
        ({"comment": "100 %"}, "may hold neither"),
        ({"comment": "is it so?"}, "may hold neither"),
        ({"comment": "two\nlines"}, "no line break"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        opened(with_wire("sqlite:///:memory:", value))


def test_a_template_may_differ_by_role_and_leave_one_out() -> None:
    value = {"comment": {"replica": "to {name}/{database}"}}
    assert opened(with_wire("sqlite:///a.db", value), "replica").leading_comment == "/* to shop/a.db */ "
    assert not hasattr(opened(with_wire("sqlite:///a.db", value)), "leading_comment")


@pytest.mark.parametrize("kind", ["comment", "statement"])
@given(name=st.text(min_size=1, max_size=8))
@example("a */ DROP TABLE t; --")
@example("a/*")
@example("a'b")
@example("x%s")
@example("two\nlines")
def test_no_value_ends_a_comment_or_a_statement(kind: str, name: str) -> None:
    if not name.strip() or "://" in name:
        return  # no database can have such a name
    settings = settings_from({name: with_wire("sqlite:///:memory:", {kind: "'{name}'"})})[name]
    assert settings.url is not None
    try:
        database: Any = open_server(settings, settings.url, read_only=False)
    except ConfigurationError as error:
        assert re.search("[^\\w.:@=,+/-]", name) or "are safe there" not in str(error)
        return
    written = database.leading_comment if kind == "comment" else database.session_statements[0].sql
    assert written in (f"/* '{name}' */ ", f"'{name}'")
    rest = sqlite3.connect(":memory:")
    assert rest.execute(f"SELECT 1 {'' if kind == 'comment' else ','} {written}").fetchone()[0] == 1
    rest.close()


# On SQLite, which shows what it is given


@pytest.mark.parametrize("pool", [None, 2])
def test_every_statement_is_led_by_the_comment_transactions_too(tmp_path: Any, pool: int | None) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    database = opened(with_wire(url, "pgdog", pool=pool), "replica")
    assert isinstance(database, PooledDatabase) is (pool is not None)
    database.execute_sql("CREATE TABLE item (n INTEGER)")

    def work() -> None:
        with database.atomic(), database.atomic():
            assert database.execute_sql("SELECT ?", ("*/",)).fetchall() == [("*/",)]
        with database.atomic() as transaction:
            transaction.rollback()
        database.cursor().executemany("DELETE FROM item WHERE n = ?", [(1,)])
        assert database.cursor().execute("SELECT 1").fetchone() == (1,)

    seen = statements_of(database, work)
    assert [text.removeprefix(PGDOG.format("replica"))[:9] for text in seen] == [
        *("BEGIN", "SAVEPOINT", "SELECT '*", "RELEASE S", "COMMIT"),
        *("BEGIN", "ROLLBACK", "BEGIN", "COMMIT", "DELETE FR", "SELECT 1"),
    ]
    assert all(text.startswith(PGDOG.format("replica")) for text in seen)
    database.close()


def test_a_statement_of_the_session_is_led_by_the_comment_too() -> None:
    database = opened(with_wire("sqlite:///:memory:", "pgdog"), read_only=True)
    assert [one.sql for one in database.session_statements] == [
        "/* pgdog_role: primary */ PRAGMA query_only = ON"
    ]


def test_a_statement_comes_before_those_of_the_session_and_stays_as_it_is_written() -> None:
    value = {"statement": "PRAGMA user_version = 7", "comment": "x"}
    database = opened(with_wire("sqlite:///:memory:", value), read_only=True)
    assert database.session_statements[0].sql == "PRAGMA user_version = 7"
    assert database.execute_sql("PRAGMA user_version").fetchone() == (7,)
    database.close()


def test_the_rows_of_a_commented_database_come_from_the_drivers_own_cursor() -> None:
    database = opened(with_wire("sqlite:///:memory:", "pgdog"))
    assert isinstance(database.execute_sql("SELECT 1"), sqlite3.Cursor)
    database.close()


def test_a_failing_statement_names_the_role() -> None:
    database = opened(with_wire("sqlite:///:memory:", "pgcat"), "replica")
    with pytest.raises(peewee.OperationalError, match="could not tell the server the role 'replica'"):
        database.connect()


def test_a_class_that_runs_no_statements_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(Driver):
        traits = base.SQLITE
        wire = Wire(statement="SELECT '{role}'")

        def build(self, settings: Any, url: Any, *, read_only: bool) -> peewee.Database:
            return peewee.SqliteDatabase(url.database)

    monkeypatch.setattr(base, "_drivers", {**base._drivers, "plain": Plain()})
    with pytest.raises(ConfigurationError, match="SqliteDatabase runs no statements at connect; its driver"):
        opened("plain:///x")
    # A comment needs nothing of the driver.
    assert opened("plain:///x?wire=pgdog").leading_comment == PGDOG.format("primary")


def test_a_driver_declares_how_it_is_told_and_an_option_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = type("Proxy", (SqliteDriver,), {"wire": WIRES["pgdog"]})()
    monkeypatch.setattr(base, "_drivers", {**base._drivers, "proxy": driver})
    assert opened("proxy:///x").leading_comment == PGDOG.format("primary")
    assert not hasattr(opened("proxy:///x?wire=own"), "leading_comment")


def test_an_asynchronous_sqlite_connection_is_commented_once_however_often_it_is_checked_out() -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = opened(with_wire("sqlite+aiosqlite:///:memory:", "pgdog"))

    async def run() -> list[str]:
        seen: list[str] = []
        for number in range(2):
            conn = await database.aconnect()
            await conn.conn.set_trace_callback(seen.append)
            await database.aexecute_sql("SELECT ?", (number,))
            async with database.atomic():
                pass
            await conn.conn.set_trace_callback(None)
            await database.aclose()
        await database.close_pool()
        return seen

    lead = PGDOG.format("primary")
    once = [f"{lead}BEGIN", f"{lead}COMMIT"]
    assert asyncio.run(run()) == [f"{lead}SELECT 0", *once, f"{lead}SELECT 1", *once]


# On real servers

OWN_QUERY = "SELECT query, %s::int FROM pg_stat_activity WHERE pid = pg_backend_pid()"


def test_postgresql_receives_the_comment_and_the_parameters(postgres_url: str) -> None:
    for role in ("primary", "replica"):
        database = opened(with_wire(postgres_url, "pgdog"), role)
        with database.connection_context():
            query, number = database.execute_sql(OWN_QUERY, (7,)).fetchone()
            assert query.startswith(PGDOG.format(role) + "SELECT query, ")
            assert number == 7


def test_postgresql_receives_the_comment_before_begin(postgres_url: str) -> None:
    database, observer = opened(with_wire(postgres_url, "pgdog"), "replica"), opened(postgres_url)
    pid = database.execute_sql("SELECT pg_backend_pid()").fetchone()
    with database.atomic():
        look = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        assert observer.execute_sql(look, pid).fetchone() == (PGDOG.format("replica") + "BEGIN",)
    assert observer.execute_sql(look, pid).fetchone() == (PGDOG.format("replica") + "COMMIT",)
    database.close()
    observer.close()


def run_async(value: object, body: Any, role: str = "replica") -> Any:
    pytest.importorskip("playhouse.pwasyncio")
    database = opened(value, role)

    async def run() -> Any:
        try:
            return await body(database)
        finally:
            await database.close_pool()

    return asyncio.run(run())


def test_asyncpg_receives_the_comment_and_the_parameters(postgres_url: str) -> None:
    async def body(database: Any) -> Any:
        async with database.atomic():
            return (await database.aexecute_sql(OWN_QUERY, (7,))).fetchone()

    query, number = run_async(with_wire(with_scheme(postgres_url, "postgresql+asyncpg"), "pgdog"), body)
    assert query.startswith(PGDOG.format("replica") + "SELECT query, ")
    assert number == 7


def test_asyncpg_receives_the_comment_when_rows_are_streamed(postgres_url: str) -> None:
    class Activity(peewee.Model):
        query = peewee.TextField()
        pid = peewee.IntegerField(primary_key=True)

        class Meta:
            table_name = "pg_stat_activity"

    async def body(database: Any) -> Any:
        rows = Activity.select(Activity.query).where(Activity.pid == peewee.fn.pg_backend_pid())
        return [row.query async for row in database.iterate(rows)]

    [query] = run_async(with_wire(with_scheme(postgres_url, "postgresql+asyncpg"), "pgdog"), body)
    assert query.startswith(PGDOG.format("replica") + "SELECT ")


PROCESS = "SELECT info FROM information_schema.processlist WHERE id = CONNECTION_ID() AND %s = 7"


def test_mariadb_receives_the_comment(mariadb_url: str) -> None:
    database = opened(with_wire(mariadb_url, "maxscale"), "replica")
    [info] = database.execute_sql(PROCESS, (7,)).fetchone()
    assert info.startswith("/* maxscale route to slave */ SELECT info")
    database.close()


def test_aiomysql_receives_the_comment(mariadb_url: str) -> None:
    async def body(database: Any) -> Any:
        return (await database.aexecute_sql(PROCESS, (7,))).fetchone()

    [info] = run_async(with_wire(with_scheme(mariadb_url, "mysql+aiomysql"), "maxscale"), body)
    assert info.startswith("/* maxscale route to slave */ SELECT info")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
def test_a_statement_at_connect_tells_the_role(postgres_url: str, scheme: str) -> None:
    if scheme.endswith("asyncpg"):
        # A setting that RESET ALL would undo cannot be made by a statement there.
        value = with_wire(with_scheme(postgres_url, scheme), {"statement": 'SET ROLE "{role}"'})
    else:
        value = with_wire(postgres_url, {"statement": "SET application_name = '{name} {role}'"})

    if scheme == "postgresql":
        database = opened(value, "replica")
        assert database.execute_sql("SHOW application_name").fetchone() == ("shop replica",)
        database.close()
        return

    async def body(database: Any) -> Any:
        with pytest.raises(peewee.DatabaseError, match="could not tell the server the role 'replica'"):
            await database.aconnect()

    run_async(value, body)


def test_a_registry_opens_its_databases_by_their_wire(tmp_path: Any) -> None:
    registry = Databases({"shop": f"sqlite:///{tmp_path}/a.db?wire=pgdog"})
    assert registry["shop"].leading_comment == PGDOG.format("primary")  # type: ignore[attr-defined]
    registry.close_all()


def test_one_address_serves_both_roles(postgres_url: str) -> None:
    settings = settings_from(
        {"shop": {"url": postgres_url, "replicas": [postgres_url], "options": {"wire": "pgdog"}}}
    )["shop"]
    replica = settings.replicas[0].url
    assert replica == settings.url == parse_url(postgres_url)
    assert replica is not None
    seen = []
    for role in ("primary", "replica"):
        database = open_server(settings, replica, role=role, read_only=role == "replica")
        seen.append(database.execute_sql(OWN_QUERY, (1,)).fetchone()[0].split(" SELECT")[0])
        database.close()
    assert seen == ["/* pgdog_role: primary */", "/* pgdog_role: replica */"]


def test_a_registry_tells_one_address_both_roles(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/a.db?wire=pgdog"
    registry = Databases({"shop": {"url": url, "replicas": [url]}})
    assert registry["shop"] is not None
    opened: list[Any] = list(registry.entries["shop"].databases())
    assert [one.leading_comment for one in opened] == [PGDOG.format("primary"), PGDOG.format("replica")]
    registry.close_all()


@pytest.mark.parametrize("name", sorted(WIRES))
def test_an_engine_that_replicates_inside_is_asked_for_no_positions(name: str) -> None:
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://app@proxy/app"
        replica = opened({"url": url, "replicas": [url], "options": {"wire": name}}, role="replica")
        assert (base.traits_of(replica).replication is None) is not WIRES[name].standbys


def test_standbys_is_true_or_false() -> None:
    wire = {"comment": "x", "standbys": "no"}
    with pytest.raises(ConfigurationError, match="'standbys' must be true or false"):
        opened({"url": "postgresql://app@proxy/app", "options": {"wire": wire}})
