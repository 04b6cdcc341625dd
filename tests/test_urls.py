"""Database URLs and secrets: what is read, what is refused, and that no password is ever shown."""

from __future__ import annotations

import dataclasses
import pickle
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peewee_multidb.errors import ConfigurationError
from peewee_multidb.urls import DatabaseURL, Secret, parse_url, seal, typed, unseal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
HOST = st.from_regex(r"[a-z0-9-]+(\.[a-z0-9-]+)*", fullmatch=True) | st.ip_addresses(v=6).map(str)
#: Long enough, and odd enough, that no message holds one by chance.
PASSWORD = TEXT.map(lambda text: f"§{text}§")


def reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


# What a URL means


@given(
    user=TEXT,
    role=st.none() | TEXT,
    password=st.none() | TEXT,
    host=HOST,
    port=st.none() | st.integers(1, 65535),
    database=TEXT,
)
def test_every_part_of_a_url_survives_percent_encoding(
    user: str, role: str | None, password: str | None, host: str, port: int | None, database: str
) -> None:
    account = quote(user, safe="")
    account += f"({quote(role, safe='')})" if role is not None else ""
    account += f":{quote(password, safe='')}" if password is not None else ""
    server = f"[{host}]" if ":" in host else host
    server += f":{port}" if port else ""
    url = parse_url(f"postgresql+psycopg://{account}@{server}/{quote(database, safe='')}")
    assert (url.scheme, url.engine, url.module) == ("postgresql+psycopg", "postgresql", "psycopg")
    assert (url.user, url.role, reveal(url.password)) == (user, role, password)
    assert (url.host, url.port, url.database) == (host, port, database)
    again = parse_url(str(url))
    assert dataclasses.replace(again, password=url.password) == url


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("sqlite://", ":memory:"),
        ("sqlite:///", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///relative/app.db", "relative/app.db"),
        ("sqlite:////absolute/app.db", "/absolute/app.db"),
        ("sqlite:///a%20b%3F.db", "a b?.db"),
        ("sqlite:///me@home.db", "me@home.db"),
        ("sqlite+aiosqlite:///x.db", "x.db"),
        ("file:app.db?mode=ro", "file:app.db?mode=ro"),
        ("sqlite:///file:app%20.db?mode=ro&timeout=3", "file:app%20.db?mode=ro"),
    ],
)
def test_sqlite_urls(text: str, database: str) -> None:
    url = parse_url(text)
    assert url.database == database
    assert parse_url(str(url)) == url


def test_the_parameters_of_a_file_uri_are_apart_from_the_options() -> None:
    url = parse_url("file:x?mode=memory&timeout=3&cache=shared&foreign_keys=0")
    assert url.database == "file:x?mode=memory&cache=shared"
    assert url.options == {"timeout": 3, "foreign_keys": 0}
    assert str(url) == "sqlite:///file:x?mode=memory&cache=shared&timeout=3&foreign_keys=0"


@pytest.mark.parametrize(
    ("text", "private", "shared"),
    [
        ("sqlite://", True, None),
        ("file::memory:", True, None),
        ("file:x?mode=memory", True, None),
        ("file:x?mode=memory&cache=shared", False, "x"),
        ("file::memory:?cache=shared", False, ":memory:"),
        ("sqlite:///x.db", False, None),
        ("file:x?cache=shared", False, None),
        ("postgresql://host/:memory:", False, None),
    ],
)
def test_which_databases_live_in_memory(text: str, private: bool, shared: str | None) -> None:
    url = parse_url(text)
    assert (url.is_private_memory, url.shared_memory) == (private, shared)


def test_query_options_are_typed() -> None:
    url = parse_url("mysql://h/d?a=true&b=FALSE&c=3&d=2.5&e=none&f=x%20y&g=")
    assert url.options == {"a": True, "b": False, "c": 3, "d": 2.5, "e": None, "f": "x y", "g": ""}
    assert parse_url(str(url)) == url


@pytest.mark.parametrize("text", ["²", "9" * 5000])
def test_digits_that_are_no_number_stay_text(text: str) -> None:
    assert typed(text) == text


def test_a_unix_socket_is_given_by_the_host_option() -> None:
    url = parse_url("postgresql://app@/name?host=/run/postgresql")
    assert (url.user, url.host, url.database, url.options) == ("app", "/run/postgresql", "name", {})
    assert parse_url(str(url)) == url


@pytest.mark.parametrize("key", ["password", "passwd"])
def test_a_password_may_stand_among_the_options(key: str) -> None:
    url = parse_url(f"postgresql://app@host/name?{key}=0123")
    assert reveal(url.password) == "0123"
    assert url.options == {}


def test_the_scheme_is_case_insensitive() -> None:
    assert parse_url("PostgreSQL://host/Name").scheme == "postgresql"


# What is refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("app.db", "does not start with 'engine://'"),
        ("://host/name", "does not start with 'engine://'"),
        ("my sql://host/name", "does not start with 'engine://'"),
        ("postgresql://host:x/name", "port from 1 to 65535"),
        ("postgresql://host:0/name", "port from 1 to 65535"),
        ("postgresql://host:65536/name", "port from 1 to 65535"),
        ("postgresql://host:" + "9" * 5000 + "/name", "port from 1 to 65535"),
        ("postgresql://::1/name", "port from 1 to 65535"),
        ("postgresql://[localhost]/name", "IPv6 address"),
        ("postgresql://app(role@host/name", "'user\\(role\\)'"),
        ("postgresql://app()@host/name", "'user\\(role\\)'"),
        ("postgresql://host/100%", "starts no percent-encoded UTF-8"),
        ("postgresql://host/%ff", "starts no percent-encoded UTF-8"),
        ("postgresql://host/name?a=1&a=2", "an option twice"),
        ("postgresql://host/name?user=me", "its user once"),
        ("postgresql://host/name?host=other", "its host once"),
        ("postgresql://a:b@host/name?passwd=c", "its passwd once"),
        ("sqlite://app.db", "sqlite:///relative/path"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_url(text)


@pytest.mark.parametrize(
    "password", ["se/cret", "12/34", "se#cret", "se?cret", "12?34", "se@cret", "se%cret"]
)
def test_an_unescaped_character_in_a_password_is_explained_and_not_shown(password: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encode special characters") as caught:
        parse_url(f"postgresql://app:{password}@host/name")
    assert password not in shown(caught.value)
    assert "cret" not in shown(caught.value)


# Passwords are never shown


def shown(error: BaseException) -> str:
    """Everything that a log would hold of an error: its chain and its repr, but not the source lines."""
    chain = []
    link: BaseException | None = error
    while link is not None:
        chain += [repr(link), *traceback.format_exception_only(link), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(chain)


@given(PASSWORD)
@example("§[§")
@example("§℀§")  # urllib.parse quotes the whole URL when it meets this
@example("§%ff§")
def test_no_error_shows_an_unescaped_password(password: str) -> None:
    for text in (
        f"postgresql://app:{password}@host:5432/name",
        f"postgresql://app:{password}@host:port/name",
        f"postgresql://app:{password.replace('@', '')}",  # what follows an '@' would be the host
        f"sqlite://app:{password}@host/name",
        f"postgresql://[{password}]/name",
        password,
    ):
        try:
            url = parse_url(text)
        except ConfigurationError as error:
            # Not even a part of it: the URL may have been cut anywhere inside of the password.
            assert "§" not in shown(error)
        else:
            assert "§" not in f"{url} {url!r}"
            assert quote("§") not in f"{url} {url!r}"


@given(PASSWORD)
def test_no_str_or_repr_shows_a_password(password: str) -> None:
    escaped = quote(password, safe="")
    url = parse_url(f"postgresql://app:{escaped}@host/name?sslpassword={escaped}&api_token={escaped}")
    for text in (str(url), repr(url), repr(url.password), repr(url.options), repr(dataclasses.asdict(url))):
        assert password not in text
        assert escaped not in text
    assert "sslpassword=***" in str(url)
    assert unseal(url.options) == {"sslpassword": password, "api_token": password}


def test_seal_reaches_into_tables_and_leaves_the_rest_alone() -> None:
    options = {"ssl": {"keyPassword": 123, "ca": "ca.pem"}, "password_provider": len, "use_token": True}
    sealed = seal(options)
    assert sealed == {**options, "ssl": {"keyPassword": Secret("123"), "ca": "ca.pem"}}
    assert unseal(sealed)["ssl"] == {"keyPassword": "123", "ca": "ca.pem"}


# Secrets


def test_a_secret_reads_its_variable_when_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(env="ERP_PASSWORD")
    with pytest.raises(ConfigurationError, match="'ERP_PASSWORD' is not set"):
        secret.reveal()
    monkeypatch.setenv("ERP_PASSWORD", "one")
    assert secret.reveal() == "one"
    monkeypatch.setenv("ERP_PASSWORD", "two")
    assert secret.reveal() == "two"
    assert repr(secret) == "Secret(env='ERP_PASSWORD')"


@pytest.mark.parametrize(
    ("content", "password"), [(b"pw", "pw"), (b"pw\n", "pw"), (b"pw\r\n", "pw"), (b" pw \n\n", " pw \n")]
)
def test_a_secret_file_loses_one_newline(tmp_path: Path, content: bytes, password: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert Secret(file=path).reveal() == password


def test_a_secret_file_that_cannot_be_read_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing': No such file"):
        Secret(file=tmp_path / "missing").reveal()
    (tmp_path / "latin1").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigurationError, match=r"latin1' is not UTF-8") as caught:
        Secret(file=tmp_path / "latin1").reveal()
    assert "caf" not in shown(caught.value)


@pytest.mark.parametrize("arguments", [{}, {"literal": "a", "env": "B"}, {"env": "A", "file": "b"}])
def test_a_secret_has_one_source(arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="exactly one"):
        Secret(**arguments)


def test_secrets_compare_hash_and_pickle_by_source() -> None:
    assert Secret("a") == Secret("a") != Secret(env="a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert pickle.loads(pickle.dumps(Secret("a"))).reveal() == "a"


def test_a_url_is_frozen_and_hashable() -> None:
    url = parse_url("postgresql://app:pw@host/name?a=1")
    assert isinstance(hash(url), int)
    with pytest.raises(dataclasses.FrozenInstanceError):
        url.host = "other"  # type: ignore[misc]
    assert url == DatabaseURL(
        "postgresql",
        "postgresql",
        user="app",
        password=Secret("pw"),
        host="host",
        database="name",
        options={"a": 1},
    )
