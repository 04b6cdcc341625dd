"""No repr, message or log line ever shows a password, on real servers that refuse it as well."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
import pytest

from peewee_multidb import Databases, MultiDBError, atomic, databases, explain_route, use_db
from tests.tds.fixtures import SCHEMES, with_driver
from tests.test_registry import note_model

# Nothing that a message could hold by chance, and every kind of character that a URL must escape.
PASSWORD = "s3kr1t-Zq9@:/?#[]%p&=+ ü'\"\\$"
PIECES = ("s3kr1t", "Zq9", quote(PASSWORD, safe=""))


def shown(*things: Any) -> str:
    return "\n".join(text for thing in things for text in (repr(thing), str(thing), f"{thing}"))


def in_full(error: BaseException) -> str:
    """All that a log would show of an error: its chain, its notes and its arguments."""
    texts = ["".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        texts.append(repr(seen) + str(seen) + repr(seen.args))
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def has_password(text: str) -> bool:
    return any(piece in text for piece in PIECES)


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that anybody logs meanwhile, at any level, must be free of it."""
    caplog.set_level(logging.DEBUG)
    yield lambda: caplog.text
    assert not has_password(caplog.text)
    assert not any(has_password(repr(record.args)) for record in caplog.records)


def refused(server: Any, url: str, scheme: str | None = None) -> str:
    """The URL with a password that the server does not know."""
    engine, rest = url.split("://")
    return f"{scheme or engine}://app:{quote(PASSWORD, safe='')}@{rest.split('@')[1]}"


def test_what_a_registry_shows(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    registry = Databases(
        {
            "pg": {
                "url": f"postgresql://app:{quote(PASSWORD, safe='')}@h/d?sslpassword=s3kr1t",
                "replicas": [f"postgresql://app:{quote(PASSWORD, safe='')}@h2/d"],
            },
            "maria": {
                "url": "mariadb://app@h/d",
                "password": PASSWORD,
                "options": {"ssl": {"key_password": PASSWORD}},
            },
            "file": {"url": "postgresql://app@h/d", "password": {"file": str(secret)}},
            "mine": peewee.MySQLDatabase("d", user="app", password=PASSWORD),
        }
    )
    Note = note_model(registry, db_name="pg")
    for name in registry:
        entry = registry.entries[name]
        text = shown(
            entry, entry.settings, entry.settings.url, entry.settings.replicas, entry.settings.password
        )
        text += shown(registry, registry[name], Note._meta.database, Note.select(), explain_route(Note))
        assert not has_password(text), name
    assert "***" in repr(registry.entries["pg"])


def test_what_settings_that_are_wrong_show(tmp_path: Path) -> None:
    quoted = quote(PASSWORD, safe="")
    wrong: list[Any] = [
        {"a": {"url": f"postgresql://app:{quoted}@h/d", "pasword": PASSWORD}},
        {"a": {"url": f"postgresql://app:{quoted}@h/d", "password": PASSWORD}},
        {"a": f"postgresql://app:{PASSWORD}@h/d"},
        {"a": f"nosuch://app:{quoted}@h/d"},
        {"a": f"postgresql://app:{quoted}@h:99999/d"},
        {"a": {"url": f"sqlite:///{tmp_path}/a.db", "password": {"evn": PASSWORD}}},
        {"a": {"url": "postgresql://h/d", "password": [PASSWORD]}},
        {"a": {"url": "postgresql://h/d", "replicas": [f"postgresql://app:{PASSWORD}@h/d"]}},
        {"a": {"url": "postgresql://h/d", "replicas": {"url": f"postgresql://app:{quoted}@h/d"}}},
        {"a": {"url": "postgresql://h/d", "options": {"password": PASSWORD}}},
        {f"postgresql://app:{quoted}@h/d": "a"},
        {"a": {f"postgresql://app:{quoted}@h/d": "url"}},
        {"a": {"url": "postgresql://h/d", "options": [PASSWORD]}},
        {"a": (PASSWORD,)},
    ]
    for settings in wrong:
        with pytest.raises(MultiDBError) as info:
            Databases(settings)
        assert not has_password(in_full(info.value)), settings
    file = tmp_path / "multidb.toml"
    file.write_text(f"[databases.a]\nurl = 'postgresql://h/d'\npassword = {PASSWORD!r} {PASSWORD!r}\n")
    with pytest.raises(MultiDBError) as info:
        Databases().load(file)
    assert not has_password(in_full(info.value))


@pytest.mark.parametrize("pool", [None, 2])
@pytest.mark.parametrize("engine", ["postgres", "mariadb", *SCHEMES])
def test_a_server_that_refuses_it(engine: str, pool: int | None, request: pytest.FixtureRequest) -> None:
    if engine in SCHEMES:
        url = with_driver(refused(None, request.getfixturevalue("mssql_url")), engine)
    else:
        url = refused(None, request.getfixturevalue(f"{engine}_url"))
    registry = Databases({"default": {"url": url, "pool": pool}})
    Note = note_model(registry)
    for query in (
        lambda: Note.create(n=1),
        lambda: list(Note.select()),
        lambda: registry["default"].connect(),
        lambda: registry["default"].execute_sql("SELECT 1"),
        lambda: Note.create_table(),
    ):
        with pytest.raises(peewee.OperationalError) as info:
            query()
        assert not has_password(in_full(info.value))
    registry.close_all()


@pytest.mark.parametrize(
    ("engine", "scheme"), [("postgres", "postgresql+asyncpg"), ("mariadb", "mariadb+aiomysql")]
)
def test_a_server_that_refuses_it_in_asyncio(
    engine: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    import asyncio

    pytest.importorskip("playhouse.pwasyncio")
    registry = Databases({"default": refused(None, request.getfixturevalue(f"{engine}_url"), scheme)})
    Note = note_model(registry)

    async def main() -> None:
        with pytest.raises(Exception) as info:  # whatever the driver makes of it
            await Note.acreate(n=1)
        assert not has_password(in_full(info.value))
        await registry.aclose_all()

    asyncio.run(main())


def test_a_server_that_takes_it_and_what_is_logged(postgres_server: Any, postgres_url: str, log: Any) -> None:
    name = postgres_url.rsplit("/", 1)[1]
    literal = PASSWORD.replace("'", "''")
    postgres_server.execute(f"CREATE ROLE \"user_{name}\" LOGIN SUPERUSER PASSWORD '{literal}'")
    try:
        host = postgres_url.split("@")[1]
        databases.configure(
            {"default": {"url": f"postgresql://user_{name}:{quote(PASSWORD, safe='')}@{host}", "pool": 2}}
        )
        Note = note_model(databases)
        Note.create_table()
        with atomic("default"), use_db("default"):
            Note.create(n=1)
        with pytest.raises(peewee.ProgrammingError) as info:
            databases["default"].execute_sql("SELECT nothing")
        assert not has_password(in_full(info.value))
        assert "INSERT INTO" in log() and "SELECT nothing" in log()  # so the loggers are heard
        databases.close_all()
    finally:
        databases.configure({})
        postgres_server.execute(f'DROP OWNED BY "user_{name}"', database=name)
        postgres_server.execute(f'DROP ROLE "user_{name}"')


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_connection_to_sql_server_that_cannot_be_opened(scheme: str, mssql_url: str) -> None:
    quoted = quote(PASSWORD, safe="")
    address = mssql_url.split("@")[1]
    for url in (
        f"mssql://app:{quoted}@127.0.0.1:1/d",
        f"mssql://app:{quoted}@{address}?no_such_option=1",
        f"mssql://app:{quoted}@{address}?driver=Nothing",
    ):
        settings = {"url": url.replace("mssql://", f"{scheme}://"), "options": {"login_timeout": 1}}
        registry = Databases({"default": settings})
        with pytest.raises((peewee.PeeweeException, MultiDBError)) as info:
            registry["default"].execute_sql("SELECT 1")
        assert not has_password(in_full(info.value)), url


def test_a_connection_that_nobody_answers_and_an_option_that_no_driver_knows(postgres_url: str) -> None:
    quoted = quote(PASSWORD, safe="")
    for url in (
        f"postgresql://app:{quoted}@127.0.0.1:1/d",
        f"mariadb://app:{quoted}@127.0.0.1:1/d",
        f"postgresql://app:{quoted}@127.0.0.1:1/d?no_such_option=1",
        f"mariadb://app:{quoted}@127.0.0.1:1/d?no_such_option=1",
    ):
        registry = Databases({"default": url})
        with pytest.raises(Exception) as info:  # TypeError, from some drivers
            registry["default"].execute_sql("SELECT 1")
        assert not has_password(in_full(info.value)), url
