"""The registry: settings come and go, names are looked up, and nothing connects too early."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import IntegerField

from peewee_multidb import (
    ConfigurationError,
    Databases,
    Model,
    ReadOnlyDatabase,
    UnknownDatabase,
    databases,
    use_db,
)
from peewee_multidb.drivers import Driver, base

NewUrl = Callable[[], str]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Databases]:
    made = Databases(
        {"default": f"sqlite:///{tmp_path}/default.db", "archive": f"sqlite:///{tmp_path}/archive.db"}
    )
    yield made
    made.close_all()


def note_model(registry: Databases, **meta: Any) -> Any:
    options = type("Meta", (), {"registry": registry, "table_name": "note", **meta})
    return type(Model)("Note", (Model,), {"n": IntegerField(), "Meta": options, "__module__": __name__})


def dead_port() -> tuple[socket.socket, int]:
    """A port that is ours and where nobody answers; the socket keeps it so."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


# Settings


def test_configure_load_and_load_env_replace_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Databases({"a": "sqlite://"})
    registry.configure({"b": "sqlite://", "c": f"sqlite:///{tmp_path}/c.db"})
    assert registry.names == ("b", "c")
    file = tmp_path / "multidb.toml"
    file.write_text(f"[databases.d]\nurl = 'sqlite:///{tmp_path}/d.db'\nread_only = true\n")
    registry.load(file)
    assert registry.names == ("d",)
    assert registry.entries["d"].read_only
    monkeypatch.setenv("SHOP_MAIN__URL", f"sqlite:///{tmp_path}/e.db")
    registry.load_env("SHOP_")
    assert registry.names == ("main",)
    assert registry["main"].database == f"{tmp_path}/e.db"


@pytest.mark.parametrize(
    "wrong",
    [
        {"default": "sqlite://", "b": "postgrsql://h/d"},
        {"default": {"url": "sqlite://", "read_olny": True}},
        {"default": 7},
        {"default": {"url": "sqlite://", "pool": {"max_connections": 0}}},
        ["default"],
    ],
    ids=["scheme", "key", "value", "number", "kind"],
)
def test_nothing_is_replaced_when_the_new_settings_are_wrong(registry: Databases, wrong: Any) -> None:
    before, database = dict(registry.entries), registry["default"]
    database.execute_sql("CREATE TABLE t (n)")
    with pytest.raises(ConfigurationError):
        registry.configure(wrong)
    assert dict(registry.entries) == before
    assert registry["default"] is database and not database.is_closed()


def test_nothing_is_replaced_by_a_file_or_an_environment_that_is_wrong(
    registry: Databases, tmp_path: Path
) -> None:
    before = dict(registry.entries)
    (tmp_path / "wrong.toml").write_text("[databases.a]\nurl = 'nosuch://'\n")
    for path in (tmp_path / "wrong.toml", tmp_path / "missing.toml"):
        with pytest.raises(ConfigurationError):
            registry.load(path)
    with pytest.raises(ConfigurationError, match="NOBODY_HAS_THIS_DEFAULT__URL"):
        registry.load_env("NOBODY_HAS_THIS_")
    assert dict(registry.entries) == before


def test_add_and_remove_one_database(registry: Databases, tmp_path: Path) -> None:
    registry.add("extra", f"sqlite:///{tmp_path}/extra.db", read_only=True, pool=3)
    assert registry.names == ("default", "archive", "extra")
    assert registry.entries["extra"].read_only
    with pytest.raises(ConfigurationError, match=r"remove\('extra'\)"):
        registry.add("extra", "sqlite://")
    with pytest.raises(ConfigurationError, match="did you mean 'read_only'"):
        registry.add("other", "sqlite://", readonly=True)
    database = registry["extra"]
    database.connect()
    registry.remove("extra")
    assert database.is_closed()
    assert connections_of(database) == 0
    with pytest.raises(UnknownDatabase, match="'extra'"):
        registry["extra"]
    with pytest.raises(UnknownDatabase, match="'extra'"):
        registry.remove("extra")


def connections_of(database: Any) -> int:
    return len(database._connections) + len(database._in_use)


def test_add_refuses_a_memory_database_that_another_name_has() -> None:
    registry = Databases({"a": "sqlite:///file:shared_by_add?mode=memory&cache=shared"})
    with pytest.raises(ConfigurationError, match="'b' and database 'a' would share"):
        registry.add("b", "sqlite:///file:shared_by_add?mode=memory&cache=shared")
    assert registry.names == ("a",)


def test_remove_and_configure_refuse_while_this_thread_has_a_transaction_open(registry: Databases) -> None:
    before = dict(registry.entries)
    database = registry["archive"]
    registry["default"].connect()
    with database.atomic():
        with pytest.raises(peewee.OperationalError, match="'archive' has a transaction open"):
            registry.remove("archive")
        with pytest.raises(peewee.OperationalError, match="'archive' has a transaction open"):
            registry.configure({"default": "sqlite://"})
        assert dict(registry.entries) == before
        assert not registry["default"].is_closed()
        database.execute_sql("CREATE TABLE t (n)")
    registry.remove("archive")
    assert database.is_closed()


def test_configure_keeps_a_database_object_that_is_in_the_new_settings_too(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    registry = Databases({"mine": mine})
    registry["mine"].connect()
    with mine.atomic():
        registry.configure({"mine": mine, "other": "sqlite://"})
    assert registry["mine"] is mine and not mine.is_closed()
    mine.close()


# The Mapping


def test_a_registry_is_a_mapping_that_opens_what_it_is_asked_for(registry: Databases) -> None:
    assert list(registry) == ["default", "archive"] and len(registry) == 2
    assert "archive" in registry and "other" not in registry
    assert registry.get("other") is None
    assert registry["default"] is registry["default"]
    assert dict(registry.items()) == {"default": registry["default"], "archive": registry["archive"]}
    assert all(database.is_closed() for database in registry.values())


def test_two_registries_are_never_equal_and_can_be_keys() -> None:
    one, two = Databases({"a": "sqlite://"}), Databases({"a": "sqlite://"})
    assert one != two and len({one, two}) == 2


def test_unknown_names_tell_the_nearest_and_all_known_ones(registry: Databases) -> None:
    with pytest.raises(UnknownDatabase) as info:
        registry["archiv"]
    assert (
        str(info.value) == "No database is called 'archiv'; did you mean 'archive'? Known: archive, default."
    )
    with pytest.raises(KeyError):
        registry["archiv"]
    with pytest.raises(UnknownDatabase, match="nothing is configured yet"):
        Databases()["default"]


def test_name_of_and_entry_of_find_a_database_object_before_it_is_looked_up(
    registry: Databases, tmp_path: Path
) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    registry.add("mine", mine)
    assert registry.name_of(mine) == "mine"
    assert registry.name_of(registry["archive"]) == "archive"
    assert registry.name_of(peewee.SqliteDatabase(":memory:")) is None
    registry.remove("mine")
    assert registry.name_of(mine) is None


# Rule 11: nothing connects before the first query


def test_rule_11_a_url_to_a_dead_port_is_tried_by_the_first_query_only() -> None:
    holder, port = dead_port()
    with holder:
        registry = Databases(
            {
                "pg": f"postgresql://app:pw@127.0.0.1:{port}/d",
                "maria": {"url": f"mariadb://app:pw@127.0.0.1:{port}/d", "pool": 2},
                "replicated": {
                    "url": f"postgresql://127.0.0.1:{port}/d",
                    "replicas": [f"postgresql://127.0.0.1:{port}/e"],
                },
            }
        )
        for name in registry:
            Note = note_model(registry, db_name=name)
            query = Note.select().where(Note.n == 1)
            assert str(query) and registry[name].is_closed()
            registry.close()
            registry.close_all()
            with pytest.raises(peewee.OperationalError):
                list(query)


def test_rule_11_a_driver_that_counts_is_asked_for_a_connection_by_the_first_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class CountingDatabase(peewee.SqliteDatabase):
        def _connect(self) -> Any:
            opened.append(self.database)
            return super()._connect()

    class CountingDriver(Driver):
        traits = base.SQLITE

        def build(self, settings: Any, url: Any, *, read_only: bool) -> peewee.Database:
            return CountingDatabase(url.database)

    monkeypatch.setitem(base._drivers, "counting", CountingDriver())
    registry = Databases({name: f"counting://host/{tmp_path}/{name}.db" for name in ("default", "b")})
    Note = note_model(registry)
    Note.select().sql(), Note.insert(n=1), str(Note.update(n=2)), repr(registry), dict(registry)
    with use_db("b", Note):
        waiting = Note.select()
    registry.close()
    assert opened == []
    Note.create_table()
    assert opened == [registry["default"].database]
    with pytest.raises(peewee.OperationalError, match="no such table"):
        list(waiting)
    assert opened == [registry["default"].database, registry["b"].database]
    registry.close_all()


# Own registries, Database objects, read-only databases, memory


def test_models_of_two_registries_with_the_same_names_do_not_meet(
    registry: Databases, tmp_path: Path
) -> None:
    other = Databases({"default": f"sqlite:///{tmp_path}/other.db"})
    Here, There = note_model(registry), note_model(other)
    for model in (Here, There):
        model.create_table()
    Here.create(n=1)
    There.create(n=2)
    assert [row.n for row in Here.select()] == [1] and [row.n for row in There.select()] == [2]
    assert databases is not registry and "archive" not in databases
    other.close_all()


def test_a_peewee_database_object_is_used_as_it_is(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db", pragmas={"user_version": 7})
    registry = Databases({"default": mine})
    Note = note_model(registry)
    Note.create_table()
    Note.create(n=3)
    assert registry["default"] is mine
    assert mine.execute_sql("SELECT n FROM note").fetchone() == (3,)
    assert mine.pragma("user_version") == 7
    registry.close()
    assert mine.is_closed()


def test_close_reaches_a_database_object_that_nobody_looked_up(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    registry = Databases({"mine": mine})
    mine.connect()
    registry.close()
    assert mine.is_closed()


@pytest.mark.parametrize("engine", ["sqlite", "postgres", "mariadb"])
def test_a_read_only_database_refuses_writes_by_our_guard_and_by_the_server(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db" if engine == "sqlite" else request.getfixturevalue(f"{engine}_url")
    for pool in (None, 2):
        registry = Databases({"default": url, "ro": {"url": url, "read_only": True, "pool": pool}})
        note_model(registry).create_table()
        Note = note_model(registry, db_name="ro")
        for write in (Note.insert(n=1), Note.update(n=2), Note.delete(), Note.raw("DELETE FROM note")):
            with pytest.raises(ReadOnlyDatabase, match="'ro' is configured read_only"):
                write.execute()
        # Past the guard: only the session on the server is left to refuse.
        for sql in ("INSERT INTO note (n) VALUES (1)", "DELETE FROM note"):
            with pytest.raises(peewee.DatabaseError, match=r"(?i)read.?only"):
                registry["ro"].execute_sql(sql)
            registry.close()  # PostgreSQL and a pool: the next connection is read-only as well
        assert note_model(registry).select().count() == 0
        registry.close_all()


def test_private_memory_is_gone_with_its_connection_and_shared_memory_with_the_last() -> None:
    registry = Databases(
        {"private": "sqlite://", "shared": "sqlite:///file:last_one?mode=memory&cache=shared"}
    )
    for name in registry:
        registry[name].execute_sql("CREATE TABLE t (n)")
    with sqlite3.connect("file:last_one?mode=memory&cache=shared", uri=True) as other:
        registry.close()
        assert registry["shared"].execute_sql("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(peewee.OperationalError, match="no such table"):
            registry["private"].execute_sql("SELECT count(*) FROM t")
        registry.close()
    other.close()
    with pytest.raises(peewee.OperationalError, match="no such table"):
        registry["shared"].execute_sql("SELECT count(*) FROM t")
    registry.close()


def test_a_role_in_the_url_is_taken_on_by_every_connection(postgres_server: Any, postgres_url: str) -> None:
    name = postgres_url.rsplit("/", 1)[1]
    postgres_server.execute(f'CREATE ROLE "clerk {name}"')
    url = postgres_url.replace("://app:", f"://app(clerk%20{name}):")
    try:
        for pool in (None, 2):
            registry = Databases({"default": {"url": url, "pool": pool}})
            for _ in range(2):
                row = registry["default"].execute_sql("SELECT current_user, session_user").fetchone()
                assert row == (f"clerk {name}", "app")
                registry.close()
            registry.close_all()
    finally:
        postgres_server.execute(f'DROP ROLE "clerk {name}"')
