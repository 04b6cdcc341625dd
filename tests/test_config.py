"""Settings from a dict, TOML and the environment: what they become, and how mistakes are named."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import peewee
import pytest
from hypothesis import given

from peewee_multidb.config import (
    DatabaseSettings,
    PoolSettings,
    ReplicaSettings,
    Secret,
    parse_url,
    settings_from,
    settings_from_env,
    settings_from_toml,
)
from peewee_multidb.errors import ConfigurationError
from tests.test_urls import PASSWORD, shown

URL = "postgresql://app@host/name"


def one(value: object) -> DatabaseSettings:
    return settings_from({"erp": value})["erp"]


# What settings become


def test_a_url_alone_is_enough() -> None:
    assert one(URL) == DatabaseSettings("erp", url=parse_url(URL))


def test_a_database_object_is_kept_as_it_is() -> None:
    database = peewee.SqliteDatabase("app.db")
    assert one(database).database is database
    assert one(database).url is None
    table = one({"database": database, "replicas": ["sqlite:///copy.db"], "read_only": True})
    assert (table.database, table.read_only, len(table.replicas)) == (database, True, 1)


def test_a_table_with_everything() -> None:
    settings = one(
        {
            "url": "mssql+pymssql://reader@old/ERP",
            "replicas": [URL, {"url": URL}, "mirror", {"url": "mirror"}],
            "read_only": True,
            "pool": {"max_connections": 5, "stale_timeout": 300, "timeout": 2.5},
            "options": {"connect_timeout": 3, "sslpassword": "pw"},
            "password": {"env": "ERP_PASSWORD"},
            "server_version": "8.0",
        }
    )
    assert settings == DatabaseSettings(
        "erp",
        url=parse_url("mssql+pymssql://reader@old/ERP"),
        replicas=(ReplicaSettings(parse_url(URL)),) * 2 + (ReplicaSettings(None),) * 2,
        read_only=True,
        pool=PoolSettings(5, 300, 2.5),
        options={"connect_timeout": 3, "sslpassword": Secret("pw")},
        password=Secret(env="ERP_PASSWORD"),
        server_version="8.0",
    )
    assert [replica.is_mirror for replica in settings.replicas] == [False, False, True, True]


@pytest.mark.parametrize(
    ("value", "pool"),
    [(None, None), (False, None), (True, PoolSettings()), (7, PoolSettings(7)), ({}, PoolSettings())],
)
def test_pool_may_be_true_a_number_or_a_table(value: object, pool: PoolSettings | None) -> None:
    assert one({"url": URL, "pool": value}).pool == pool


def test_settings_are_frozen_and_hashable() -> None:
    settings = one({"url": URL, "options": {"a": 1}})
    assert isinstance(hash(settings), int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.name = "other"  # type: ignore[misc]


# Passwords


def test_a_password_beside_the_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ERP_PASSWORD", "from env")
    (tmp_path / "secret").write_text("from file\n")
    for password, revealed in [
        ("literal", "literal"),
        ({"env": "ERP_PASSWORD"}, "from env"),
        ({"file": str(tmp_path / "secret")}, "from file"),
        ({"file": tmp_path / "secret"}, "from file"),
        (Secret("sealed"), "sealed"),
        (None, None),
    ]:
        settings = one({"url": URL, "password": password})
        assert settings.url is not None
        assert settings.password_of(settings.url) == revealed


def test_a_replica_has_its_own_password_or_that_of_its_primary() -> None:
    settings = one({"url": URL, "password": "shared", "replicas": [URL, "postgresql://app:own@host/name"]})
    urls = [replica.url for replica in settings.replicas]
    assert [settings.password_of(url) for url in urls if url] == ["shared", "own"]


def test_two_passwords_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="database 'erp': 'password' is given twice") as caught:
        one({"url": "postgresql://app:first@host/name", "password": "second"})
    assert "first" not in shown(caught.value)
    assert "second" not in shown(caught.value)


@given(PASSWORD)
def test_no_repr_and_no_error_shows_a_password(password: str) -> None:
    escaped = quote(password, safe="")
    url = f"postgresql://app:{escaped}@host/name"
    good = [
        {"url": URL, "password": password, "options": {"sslpassword": password, "ssl": {"pwd": password}}},
        {"url": url, "replicas": [url, {"url": url}]},
    ]
    for table in good:
        settings = settings_from({"erp": table})
        for text in (repr(settings), str(settings), repr(dataclasses.asdict(settings["erp"]))):
            assert password not in text
            assert escaped not in text
    bad: list[Any] = [
        {"url": url, "password": password},
        {"url": f"postgresql://app:{password}@host:x/name"},
        {"url": URL, "replicas": [f"postgresql://app:{password}@host:x/name"]},
        {"url": URL, "password": [password]},
        {"url": URL, "password": {"env": [password]}},
        {"url": URL, "options": [password]},
        {"url": URL, "options": {"password": password}},
        {"url": URL, "pool": password},
        {"url": URL, "replicas": password},
        {"url": URL, "read_only": password},
        {"url": [password]},
        [password],
    ]
    for table in bad:
        with pytest.raises(ConfigurationError) as caught:
            settings_from({"erp": table})
        assert password not in shown(caught.value)
        assert escaped not in shown(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        settings_from({url: URL})
    assert escaped not in shown(caught.value)


# Mistakes


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"url": URL, "replica": []}, "database 'erp': unknown key 'replica'; did you mean 'replicas'?"),
        ({"url": URL, "pool": {"max_conections": 3}}, "erp', pool: unknown key .* 'max_connections'"),
        ({"url": URL, "replicas": [URL, {"weigth": 2}]}, "erp', replica 2: unknown key 'weigth'"),
        ({"url": URL, "replicas": [{}]}, "erp', replica 1: 'url' is missing"),
        ({"url": URL, "replicas": [""]}, "erp', replica 1: not a database URL"),
        ({"url": URL, "replicas": [3]}, "erp', replica 1: expected a URL or a table, not int"),
        ({"url": URL, "replicas": URL}, "erp': 'replicas' must be of type list or tuple, not str"),
        ({"read_only": True}, "erp': 'url' is missing"),
        ({"url": None}, "erp': 'url' is missing"),
        ({"url": 5}, "erp': 'url' must be of type str, not int"),
        ({"url": "app.db"}, "erp': not a database URL"),
        (5, "erp': expected a URL or a table, not int"),
        ({"url": URL, "read_only": "yes"}, "erp': 'read_only' must be of type bool, not str"),
        ({"url": URL, "pool": "big"}, "erp', pool: expected true, a number or a table, not str"),
        ({"url": URL, "pool": 0}, "erp', pool: 'max_connections' must be at least 1"),
        ({"url": URL, "pool": {"max_connections": True}}, "'max_connections' must be of type int, not bool"),
        ({"url": URL, "pool": {"timeout": -1}}, "'timeout' must be at least 0"),
        ({"url": URL, "pool": {"timeout": "1"}}, "'timeout' must be of type int or float, not str"),
        ({"url": URL, "options": []}, "erp': 'options' must be of type Mapping, not list"),
        ({"url": URL, "options": {1: 2}}, "erp', options: a key must be a string, not int"),
        ({"url": URL, "options": {"user": "me"}}, "erp', options: 'user' belongs in the 'url'"),
        ({"url": URL, "password": 5}, "erp', password: expected a string or a table, not int"),
        ({"url": URL, "password": {"env": "A", "file": "b"}}, "give exactly one of 'env' and 'file'"),
        ({"url": URL, "password": {"envv": "A"}}, "erp', password: unknown key 'envv'; did you mean 'env'"),
        ({"url": URL, "server_version": 8.0}, "erp': 'server_version' must be of type str, not float"),
        ({"database": URL}, "erp': 'database' must be of type Database, not str"),
        (
            {"database": peewee.SqliteDatabase(None), "pool": 5},
            "erp': 'pool' does not go with 'database'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_database_and_key(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        one(value)


@pytest.mark.parametrize("name", ["", "  ", 5, None, "postgresql://host/name"])
def test_a_database_name_is_a_short_string(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="a database name must"):
        settings_from({name: URL})


def test_databases_are_a_mapping() -> None:
    with pytest.raises(ConfigurationError, match="must be a table by name, not list"):
        settings_from([URL])  # type: ignore[arg-type]


# SQLite in memory


@pytest.mark.parametrize(
    ("databases", "message"),
    [
        (
            {"a": "file:x?mode=memory&cache=shared", "b": "file:x?cache=shared&mode=memory"},
            "database 'b' and database 'a' would share the memory database 'x'",
        ),
        (
            {
                "a": peewee.SqliteDatabase("file:x?mode=memory&cache=shared", uri=True),
                "b": {"url": "sqlite:///b.db", "replicas": ["file:x?mode=memory&cache=shared"]},
            },
            "would share the memory database 'x'",
        ),
        ({"a": {"url": "sqlite://", "pool": True}}, "an empty memory database of its own"),
        ({"a": {"url": "file::memory:", "pool": 2}}, "an empty memory database of its own"),
        ({"a": {"url": "sqlite:///a.db", "replicas": ["sqlite://"]}}, "can never hold its primary's rows"),
        ({"a": {"url": "sqlite://", "replicas": ["sqlite:///b.db"]}}, "no replica but 'mirror'"),
        (
            {"a": {"database": peewee.SqliteDatabase(":memory:"), "replicas": ["sqlite:///b.db"]}},
            "no replica but 'mirror'",
        ),
    ],
)
def test_memory_databases_that_would_surprise_are_refused(databases: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings_from(databases)


def test_one_database_object_under_two_names_is_refused() -> None:
    database = peewee.SqliteDatabase("app.db")
    with pytest.raises(ConfigurationError, match="'rw' and 'ro' are one Database object"):
        settings_from({"rw": database, "ro": {"database": database, "read_only": True}})


def test_memory_databases_that_are_what_they_seem() -> None:
    shared = "file:x?mode=memory&cache=shared"
    settings_from(
        {
            "a": "sqlite://",
            "b": {"url": "sqlite://", "pool": 1, "replicas": ["mirror"]},
            "c": {"url": shared, "pool": 5, "replicas": [shared]},
            "d": "file:y?mode=memory&cache=shared",
        }
    )


# TOML


def test_databases_from_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "multidb.toml"
    path.write_text(
        '[databases]\ndefault = "sqlite:///app.db"\n'
        f'[databases.erp]\nurl = "{URL}"\nreplicas = ["mirror"]\npool.max_connections = 5\n'
        'password = {env = "ERP_PASSWORD"}\n[other]\nkey = 1\n'
    )
    settings = settings_from_toml(path)
    assert list(settings) == ["default", "erp"]
    assert settings["erp"].pool == PoolSettings(5)
    assert settings["erp"].password == Secret(env="ERP_PASSWORD")
    assert settings_from_toml(str(path)) == settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[databases]\nurl = postgresql://app:pw@host\n", r"multidb.toml': .*line 2"),
        (b'[databases]\nurl = "\xff"\n', r"multidb.toml': not UTF-8 text"),
        (b"[database.default]\n", r"multidb.toml' has no \[databases\] table"),
        (b"databases = 5\n", r"multidb.toml' has no \[databases\] table"),
        (b"[databases.erp]\nread_only = true\n", "database 'erp': 'url' is missing"),
    ],
)
def test_a_toml_mistake_is_named_with_its_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "multidb.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        settings_from_toml(path)
    assert "app:pw" not in shown(caught.value)


def test_a_missing_toml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"multidb.toml': No such file"):
        settings_from_toml(tmp_path / "multidb.toml")


def test_a_missing_toml_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r'pip install "peewee-multidb\[toml\]"'):
        settings_from_toml("multidb.toml")


# The environment


def test_databases_from_the_environment() -> None:
    settings = settings_from_env(
        environ={
            "MULTIDB_DEFAULT__URL": "sqlite:///app.db",
            "MULTIDB_DEFAULT__REPLICAS": "sqlite:///one.db\n  sqlite:///two.db",
            "MULTIDB_ERP__URL": URL,
            "MULTIDB_ERP__READ_ONLY": "true",
            "MULTIDB_ERP__PASSWORD_FILE": "/run/secrets/erp",
            "MULTIDB_ERP__SERVER_VERSION": "8.0",
            "MULTIDB_ERP__POOL__MAX_CONNECTIONS": "5",
            "MULTIDB_ERP__OPTIONS__CONNECT_TIMEOUT": "3",
            "MULTIDB_ERP__OPTIONS__SSLPASSWORD": "0123",
            "MULTIDB_STOCK__URL": URL,
            "MULTIDB_STOCK__POOL": "7",
            "MULTIDB_STOCK__PASSWORD": "0123",
            "MULTIDB_VERBOSE": "not a setting",
            "OTHER__URL": "not ours",
        }
    )
    assert settings == settings_from(
        {
            "default": {"url": "sqlite:///app.db", "replicas": ["sqlite:///one.db", "sqlite:///two.db"]},
            "erp": {
                "url": URL,
                "read_only": True,
                "password": {"file": "/run/secrets/erp"},
                "server_version": "8.0",
                "pool": {"max_connections": 5},
                "options": {"connect_timeout": 3, "sslpassword": "0123"},
            },
            "stock": {"url": URL, "pool": 7, "password": "0123"},
        }
    )


def test_another_prefix_and_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_DEFAULT__URL", URL)
    monkeypatch.setenv("APP_DEFAULT__PASSWORD_ENV", "APP_PASSWORD")
    assert settings_from_env("APP_")["default"].password == Secret(env="APP_PASSWORD")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "no variable like MULTIDB_DEFAULT__URL"),
        ({"MULTIDB_ERP": URL}, "no variable like MULTIDB_DEFAULT__URL"),
        ({"MULTIDB___URL": URL}, "a database name must"),
        ({"MULTIDB_ERP__URI": URL}, "database 'erp': unknown key 'uri'; did you mean 'url'"),
        ({"MULTIDB_ERP__URL": URL, "MULTIDB_ERP__READ_ONLY": "1"}, "'read_only' must be of type bool"),
        ({"MULTIDB_ERP__POOL": "5", "MULTIDB_ERP__POOL__TIMEOUT": "5"}, "MULTIDB_ERP__POOL__TIMEOUT' contr"),
        ({"MULTIDB_ERP__POOL__TIMEOUT": "5", "MULTIDB_ERP__POOL": "5"}, "'MULTIDB_ERP__POOL' contradicts"),
        (
            {"MULTIDB_ERP__PASSWORD": "a", "MULTIDB_ERP__PASSWORD_FILE": "b"},
            "'MULTIDB_ERP__PASSWORD_FILE' contradicts",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings_from_env(environ=environ)
