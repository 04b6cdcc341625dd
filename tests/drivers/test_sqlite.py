"""SQLite through sqlite3 and aiosqlite: pragmas, options, pools."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import peewee
import pytest
from playhouse.pool import PooledDatabase

from peewee_multidb.config import settings_from
from peewee_multidb.drivers import base, find, sqlite, traits_of
from peewee_multidb.errors import ConfigurationError


def build(value: object, *, read_only: bool = False) -> Any:
    settings = settings_from({"shop": value})["shop"]
    assert settings.url is not None
    return find(settings.url).build(settings, settings.url, read_only=read_only)


def pragma(database: Any, name: str) -> object:
    with database.connection_context():
        return database.execute_sql(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+sqlite3"])
def test_a_file_database_is_stock_peewee_underneath(tmp_path: Path, scheme: str) -> None:
    database = build(f"{scheme}:///{tmp_path}/shop.db")
    assert isinstance(database, peewee.SqliteDatabase)
    assert not isinstance(database, PooledDatabase)
    assert database.database == str(tmp_path / "shop.db")
    assert traits_of(database) is base.SQLITE


def test_building_does_not_connect(tmp_path: Path) -> None:
    build(f"sqlite:///{tmp_path}/shop.db")
    assert not (tmp_path / "shop.db").exists()


@pytest.mark.parametrize(
    ("value", "enforced"),
    [
        ("sqlite://", 1),
        ("sqlite:///?foreign_keys=0", 0),
        ("sqlite:///?foreign_keys=false", 0),
        ({"url": "sqlite://", "options": {"pragmas": {"foreign_keys": 0}}}, 0),
        ({"url": "sqlite://", "options": {"foreign_keys": False}}, 0),
        ({"url": "sqlite:///?foreign_keys=1", "options": {"pragmas": {"foreign_keys": 0}}}, 1),
    ],
)
def test_foreign_keys_are_enforced_unless_told_otherwise(value: object, enforced: int) -> None:
    assert pragma(build(value), "foreign_keys") == enforced


def test_the_journal_mode_is_the_choice_of_the_user(tmp_path: Path) -> None:
    assert pragma(build(f"sqlite:///{tmp_path}/a.db"), "journal_mode") == "delete"
    assert pragma(build(f"sqlite:///{tmp_path}/b.db?journal_mode=wal"), "journal_mode") == "wal"


def test_other_options_reach_peewee_and_the_driver(tmp_path: Path) -> None:
    database = build({"url": f"sqlite:///{tmp_path}/a.db?timeout=9", "options": {"check_same_thread": False}})
    assert database.timeout == 9
    assert database.connect_params == {"check_same_thread": False}


def test_an_unknown_option_is_refused_on_connecting() -> None:
    database = build("sqlite:///?no_such_option=1")
    with pytest.raises(TypeError, match="no_such_option"):
        database.connect()


def test_a_file_uri_is_opened_as_a_uri(tmp_path: Path) -> None:
    database = build(f"file:{tmp_path}/missing.db?mode=ro")
    with pytest.raises(peewee.OperationalError, match="unable to open database file"):
        database.connect()


def test_a_shared_memory_database_is_one_for_all_connections() -> None:
    first = build("file:test_sqlite?mode=memory&cache=shared")
    second = build("file:test_sqlite?mode=memory&cache=shared")
    with first.connection_context(), second.connection_context():
        first.execute_sql("CREATE TABLE t (n)")
        assert second.get_tables() == ["t"]


def test_pool_settings_choose_the_pooled_class(tmp_path: Path) -> None:
    pool = {"max_connections": 2, "stale_timeout": 60, "timeout": 1}
    database = build({"url": f"sqlite:///{tmp_path}/a.db", "pool": pool})
    assert isinstance(database, PooledDatabase)
    assert (database._max_connections, database._stale_timeout, database._wait_timeout) == (2, 60, 1)
    database.connect()
    connection = database.connection()
    database.close()
    database.connect()
    assert database.connection() is connection
    assert pragma_of(connection, "foreign_keys") == 1
    database.close_all()


def pragma_of(connection: Any, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"url": "sqlite://", "password": "pw"}, "database 'shop': SQLite takes no password"),
        ({"url": "sqlite://", "options": {"pragmas": ["wal"]}}, "'pragmas' must be a table"),
    ],
)
def test_what_sqlite_cannot_use_is_refused(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(value)


# aiosqlite


def test_an_asynchronous_database_with_the_same_pragmas(tmp_path: Path) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build(
        {"url": f"sqlite+aiosqlite:///{tmp_path}/a.db", "pool": {"max_connections": 3, "timeout": 2}}
    )
    assert traits_of(database).is_async
    assert (database._pool_size, database._acquire_timeout) == (3, 2)

    async def foreign_keys() -> Any:
        async with database:
            rows = (await database.aexecute_sql("PRAGMA foreign_keys")).fetchall()
        await database.close_pool()
        return rows

    assert asyncio.run(foreign_keys()) == [(1,)]


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///file::memory:"])
def test_a_private_memory_database_has_one_asynchronous_connection(url: str) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    assert build(url)._pool_size == 1


def test_a_pool_timeout_of_zero_waits_for_ever(tmp_path: Path) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    database = build({"url": f"sqlite+aiosqlite:///{tmp_path}/a.db", "pool": {"timeout": 0}})
    assert database._acquire_timeout is None


def test_an_asynchronous_sqlite_pool_has_no_stale_timeout() -> None:
    pytest.importorskip("playhouse.pwasyncio")
    with pytest.raises(ConfigurationError, match="'stale_timeout' means nothing to this driver"):
        build({"url": "sqlite+aiosqlite:///a.db", "pool": {"stale_timeout": 60}})


@pytest.mark.parametrize(("module", "needs"), [("playhouse.pwasyncio", "greenlet"), (None, "aiosqlite")])
def test_a_missing_module_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str | None, needs: str
) -> None:
    pwasyncio = pytest.importorskip("playhouse.pwasyncio")
    sqlite.async_class.cache_clear()
    if module is not None:
        import playhouse

        monkeypatch.delattr(playhouse, "pwasyncio")
        monkeypatch.setitem(sys.modules, module, None)
    else:
        monkeypatch.setattr(pwasyncio, "aiosqlite", None)
    with pytest.raises(ConfigurationError, match=rf'needs {needs}, .* pip install "peewee-multidb\[async\]"'):
        build("sqlite+aiosqlite:///a.db")
