"""Version strings of MySQL, MariaDB and their relatives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mysql.version import Version, parse_version
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_sqlite import build


@pytest.mark.parametrize(
    ("text", "number", "mariadb"),
    [
        ("4.1.22-standard", (4, 1, 22), False),
        ("5.0.51a-24+lenny5", (5, 0, 51), False),
        ("5.1.73-log", (5, 1, 73), False),
        ("8.4.3", (8, 4, 3), False),
        ("5.7.12-log", (5, 7, 12), False),
        ("8.0.mysql_aurora.3.04.0", (8, 0, 0), False),
        ("5.7.mysql_aurora.2.11.1", (5, 7, 0), False),
        ("8.0.11-TiDB-v7.5.0", (8, 0, 11), False),
        ("5.5.5", (5, 5, 5), False),
        ("5.5.5-m3", (5, 5, 5), False),
        ("5.2.14-MariaDB", (5, 2, 14), True),
        ("5.5.68-MariaDB", (5, 5, 68), True),
        ("5.5.5-MariaDB", (5, 5, 5), True),
        ("5.5.5-10.1.48-MariaDB", (10, 1, 48), True),
        ("5.5.5-10.3.39-MariaDB-1:10.3.39+maria~ubu2004-log", (10, 3, 39), True),
        ("10.11.6-MariaDB-0+deb12u1", (10, 11, 6), True),
        ("11.8.3-MariaDB-0+deb13u1", (11, 8, 3), True),
        ("MariaDB 10.1", (10, 1, 0), True),
    ],
)
def test_a_version_string_is_read(text: str, number: tuple[int, int, int], mariadb: bool) -> None:
    assert parse_version(text) == (number, mariadb)


def test_the_disguise_of_mariadb_is_seen_through_when_the_scheme_says_what_it_is() -> None:
    assert parse_version("5.5.5-10.1.48", mariadb=True) == ((10, 1, 48), True)
    # Some MySQL that happens to be followed by a number is not MariaDB.
    assert parse_version("5.5.5-10") == ((5, 5, 5), False)


@given(
    st.tuples(*[st.integers(0, 99)] * 3), st.booleans(), st.sampled_from(["", "-log", "a", "-0ubuntu0.14"])
)
def test_what_is_written_is_read(number: tuple[int, int, int], mariadb: bool, tail: str) -> None:
    text = ".".join(map(str, number)) + ("-MariaDB" if mariadb else "") + tail
    assert parse_version(text) == Version(number, mariadb)


@pytest.mark.parametrize("text", ["", "newest", "8", "five.zero"])
def test_what_is_no_version_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write it like '5\.0\.51'"):
        parse_version(text)
    with pytest.raises(
        ConfigurationError, match=r"database 'shop', server_version: .* is no version of MySQL"
    ):
        build({"url": "mysql://host/name", "server_version": text})


def test_the_setting_decides_without_a_connection() -> None:
    database = build({"url": "mysql://host/name", "server_version": "5.5.68-MariaDB"})
    assert (database.server_version, database.mariadb) == ((5, 5, 68), True)
    assert str(database.version) == "MariaDB 5.5.68"
    database = build({"url": "mariadb://host/name", "server_version": "10.4"})
    assert (database.server_version, database.mariadb) == ((10, 4, 0), True)
    database = build({"url": "mysql+aiomysql://host/name", "server_version": "5.0.51"})
    assert (database.server_version, database.mariadb) == ((5, 0, 51), False)


def test_a_connection_does_not_overrule_the_setting(mariadb_url: str) -> None:
    database = build({"url": mariadb_url, "server_version": "10.1.48-MariaDB"})
    with database.connection_context():
        assert database.server_version == (10, 1, 48)


def test_the_traits_follow_the_version() -> None:
    old = build({"url": "mysql://host/name", "server_version": "4.1.22"}).traits
    assert (old.two_phase, old.read_only_session) == (None, False)
    # It has XA, but undoes what was prepared when the connection ends.
    middle = build({"url": "mysql://host/name", "server_version": "5.1"}).traits
    assert (middle.two_phase, middle.read_only_session) == (None, False)
    new = build({"url": "mysql+aiomysql://host/name", "server_version": "8.4"}).traits
    assert new.two_phase is not None
    assert new.read_only_session
    assert new.is_async
