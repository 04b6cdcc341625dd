"""Arbitrary settings configure a registry or raise `ConfigurationError`; there is no third way."""

from __future__ import annotations

from typing import Any

import peewee
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.config import settings_from_env

TEXT = st.text(max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    TEXT,
    st.binary(max_size=4),
    st.just(object()),
    st.just(peewee.SqliteDatabase(None)),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(st.one_of(TEXT, st.integers(), st.none()), inner, max_size=3),
    ),
    max_leaves=6,
)
SCHEMES = st.sampled_from(
    [
        "sqlite",
        "postgresql",
        "mysql",
        "mariadb+pymysql",
        "sqlite+aiosqlite",
        "postgresql+asyncpg",
        "nosuch",
        "",
    ]
)
PIECE = st.one_of(
    TEXT, st.sampled_from(["localhost", "app", "[::1]", ":memory:", "file:x?mode=memory", "%zz", "1.5"])
)
URLS = st.one_of(
    st.sampled_from(["sqlite://", "sqlite:///:memory:", "file:x?mode=memory&cache=shared", "mirror"]),
    st.builds(
        "{}://{}{}{}/{}{}".format,
        SCHEMES,
        st.one_of(st.just(""), st.builds("{}:{}@".format, PIECE, PIECE)),
        PIECE,
        st.one_of(st.just(""), st.builds(":{}".format, st.one_of(st.integers(), TEXT))),
        PIECE,
        st.one_of(st.just(""), st.builds("?{}={}&{}".format, PIECE, PIECE, PIECE)),
    ),
)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "url": st.one_of(URLS, ANYTHING),
        "database": st.one_of(st.just(peewee.SqliteDatabase(":memory:")), ANYTHING),
        "replicas": st.one_of(
            st.lists(st.one_of(URLS, st.fixed_dictionaries({"url": URLS}), ANYTHING)), ANYTHING
        ),
        "read_only": st.one_of(st.booleans(), ANYTHING),
        "pool": st.one_of(
            st.booleans(),
            st.integers(),
            st.dictionaries(
                st.sampled_from(["max_connections", "stale_timeout", "timeout", "size"]),
                st.one_of(st.integers(), st.floats(), ANYTHING),
            ),
            ANYTHING,
        ),
        "options": st.one_of(st.dictionaries(TEXT, ANYTHING, max_size=3), ANYTHING),
        "password": st.one_of(
            TEXT, st.dictionaries(st.sampled_from(["env", "file", "vault"]), ANYTHING, max_size=2), ANYTHING
        ),
        "server_version": st.one_of(TEXT, ANYTHING),
        "bogus": ANYTHING,
    },
)
MAPPINGS = st.one_of(
    ANYTHING,
    st.dictionaries(st.one_of(TEXT, st.none(), st.integers()), st.one_of(URLS, TABLES, ANYTHING), max_size=3),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(MAPPINGS)
@example({"a": "postgresql://\ud800@h/d"})
@example({"a": "postgresql://h/d?\ud800=\ud800"})
@example({"a": {"url": "postgresql://h/d", "options": {"self": 1, "prefer_psycopg3": 2}}})
@example({"a": {"url": "sqlite://", "options": {"thread_safe": [], "field_types": 5}}})
@example({"a": {"url": "sqlite://", "options": {"pragmas": {1: 2}}}})
@example({"a": {"url": "mysql://h/d?max_connections=1", "pool": True}})
@example({"a": {"url": "sqlite://", "password": {"env": "NO_SUCH_VARIABLE_ANYWHERE"}}})
@example({"a": {"url": "postgresql://h/d", "password": {"file": "/no/such\x00/file"}}})
@example({"a": {"url": "sqlite://", "pool": {"timeout": float("nan")}}})
@example(
    {
        "a": {
            "url": "postgresql+asyncpg://h/d",
            "pool": {"stale_timeout": 1},
            "options": {"server_settings": 1},
        }
    }
)
def test_settings_configure_or_raise_configuration_error(mapping: Any) -> None:
    registry = Databases({"before": "sqlite://"})
    before = registry["before"]
    try:
        registry.configure(mapping)
    except ConfigurationError as error:
        assert str(error)
        assert dict(registry.items()) == {"before": before}
        return
    assert registry.names == tuple(mapping)
    repr(registry)
    for name in registry:
        repr(registry.entries[name])
        try:
            database = registry[name]
        except ConfigurationError as error:
            assert str(error)
        else:
            assert isinstance(database, peewee.Database)
            assert registry.name_of(database) is not None


@given(
    st.dictionaries(st.from_regex(r"MULTIDB_[A-Z_]{0,12}", fullmatch=True), st.one_of(TEXT, URLS), max_size=4)
)
def test_an_environment_configures_or_raises_configuration_error(environ: dict[str, str]) -> None:
    try:
        found = settings_from_env(environ=environ)
    except ConfigurationError as error:
        assert str(error)
    else:
        assert found and all(name == name.lower() for name in found)
