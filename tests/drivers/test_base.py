"""Finding a driver: by scheme, by registration, in an installed distribution; and traits of any database."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from pathlib import Path

import peewee
import pytest
from playhouse.pool import PooledSqliteDatabase

from peewee_multidb.config import DatabaseSettings, DatabaseURL, parse_url
from peewee_multidb.drivers import Driver, Traits, base, find, register, traits_of
from peewee_multidb.drivers.postgresql import PostgresqlDriver
from peewee_multidb.drivers.sqlite import SqliteDriver
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_sqlite import build


@pytest.fixture(autouse=True)
def only_the_own_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_drivers", dict(base._drivers))


class Toy(Driver):
    traits = Traits("toy", max_params=10)

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        return peewee.SqliteDatabase(url.database, **self.options(settings, url))


# Finding


def test_a_driver_is_found_by_url_by_scheme_and_by_text() -> None:
    for key in (parse_url("postgresql://app@host/name"), "postgresql", "postgresql://app@host/name"):
        assert isinstance(find(key), PostgresqlDriver)
    assert find("sqlite").schemes == ("sqlite", "sqlite+sqlite3")


def test_register_makes_a_class_known_under_its_schemes_and_the_last_one_counts() -> None:
    assert register("toy", "toy+fast")(Toy) is Toy
    assert isinstance(find("toy"), Toy)
    assert find("toy+fast") is find("toy")
    assert Toy.schemes == ("toy", "toy+fast")
    register("sqlite")(type("Other", (SqliteDriver,), {}))
    assert type(find("sqlite")).__name__ == "Other"


def test_an_unknown_scheme_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigurationError, match="unknown URL scheme 'postgrseql'; did you mean 'postgresql"):
        find("postgrseql://app:secret@host/name")


# Installed distributions


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, entry_points: str, module: str) -> None:
    """Put a distribution on the path as pip leaves it: a module, and metadata beside it."""
    metadata = folder / "peewee_toydb-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: peewee-toydb\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[peewee_multidb.drivers]\n{entry_points}\n")
    (folder / "peewee_toydb.py").write_text(module)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "peewee_toydb", raising=False)
    importlib.invalidate_caches()


MODULE = """
import peewee
from peewee_multidb.drivers import Driver, Traits

class ToyDatabase(peewee.SqliteDatabase):
    traits = Traits("toy", max_params=50)

class ToyDriver(Driver):
    traits = ToyDatabase.traits

    def build(self, settings, url, *, read_only):
        database = ToyDatabase(url.database, **self.options(settings, url))
        database.address = self.address(settings, url)
        return database

driver = ToyDriver()
"""


@pytest.mark.parametrize("attribute", ["ToyDriver", "driver"])
def test_an_installed_driver_is_found_by_its_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attribute: str
) -> None:
    install(monkeypatch, tmp_path, f"toydb+fast = peewee_toydb:{attribute}", MODULE)
    url = parse_url(f"toydb+fast://app:pw@host/{tmp_path.name}?timeout=3")
    database = find(url).build(DatabaseSettings("toys", url=url), url, read_only=False)
    assert database.database == tmp_path.name
    assert database.address == {"user": "app", "password": "pw", "host": "host"}
    assert traits_of(database) == Traits("toy", max_params=50)
    assert find(url) is find("toydb+fast")


def test_an_installed_driver_is_not_imported_before_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "toydb = peewee_toydb:driver", MODULE)
    find("sqlite")
    with pytest.raises(ConfigurationError, match="did you mean 'toydb'"):
        find("toydbb")
    assert "peewee_toydb" not in sys.modules


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import a_module_that_is_missing", "ModuleNotFoundError: No module named"),
        ("", "AttributeError"),
        ("class driver: pass", "is a driver, not a peewee_multidb.drivers.Driver"),
        ("from peewee_multidb.drivers import Driver as driver", "TypeError"),
    ],
)
def test_a_broken_entry_point_names_its_distribution(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, message: str
) -> None:
    install(monkeypatch, tmp_path, "toydb = peewee_toydb:driver", module)
    with pytest.raises(ConfigurationError, match=f"'toydb' of the distribution 'peewee-toydb'.*{message}"):
        find("toydb")


# What a driver is given


def test_the_options_of_the_url_win_over_those_of_the_table() -> None:
    url = parse_url("toy://host/name?a=1&sslpassword=s1")
    settings = DatabaseSettings("toys", url=url, options={"a": 2, "b": 3})
    assert Toy.options(settings, url) == {"a": 1, "b": 3, "sslpassword": "s1"}


# Traits


def test_traits_of_a_database_that_a_user_built() -> None:
    assert traits_of(peewee.SqliteDatabase(None)).engine == "sqlite"
    assert traits_of(PooledSqliteDatabase(None)).engine == "sqlite"
    assert traits_of(peewee.PostgresqlDatabase(None)) == base.POSTGRESQL
    assert traits_of(peewee.MySQLDatabase(None)) == base.MYSQL
    assert traits_of(peewee.Database(None)) == Traits("unknown", max_params=999)


def test_traits_of_an_asynchronous_database_that_a_user_built() -> None:
    pwasyncio = pytest.importorskip("playhouse.pwasyncio")
    for name in ("AsyncSqliteDatabase", "AsyncPostgresqlDatabase", "AsyncMySQLDatabase"):
        assert traits_of(getattr(pwasyncio, name)(None)).is_async
    # asyncpg counts its parameters in 15 bits
    assert traits_of(pwasyncio.AsyncPostgresqlDatabase(None)).max_params == 32767


def test_an_attribute_of_the_same_name_is_not_taken_for_traits() -> None:
    database = peewee.SqliteDatabase(None)
    database.traits = "something else"
    assert traits_of(database).engine == "sqlite"


def test_sqlite_takes_as_many_parameters_as_its_traits_say() -> None:
    count = base.SQLITE.max_params
    marks = ", ".join("?" * count)
    with sqlite3.connect(":memory:") as connection:
        row = connection.execute(f"SELECT 1 IN ({marks})", list(range(count))).fetchone()
    connection.close()
    assert row == (1,)


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url"])
def test_a_prepared_transaction_outlives_its_connection_and_is_found_by_what_the_traits_say(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    url: str = request.getfixturevalue(fixture)
    first, second = build(url), build(url)
    two_phase = traits_of(first).two_phase
    assert two_phase is not None
    xid = parse_url(url).database

    def run(database: peewee.Database, *statements: str) -> None:
        for statement in statements:
            database.execute_sql(statement.format(xid=f"'{xid}'"))

    def prepared() -> bool:
        found = [row[two_phase.recovered_xid] for row in second.execute_sql(two_phase.recover)]
        return xid in found or xid.encode() in found

    def disconnect() -> None:
        mysql = isinstance(first, peewee.MySQLDatabase)
        session, sessions = (
            ("SELECT CONNECTION_ID()", "SELECT id FROM information_schema.processlist")
            if mysql
            else ("SELECT pg_backend_pid()", "SELECT pid FROM pg_stat_activity")
        )
        number = first.execute_sql(session).fetchone()
        first.close()
        while number in second.execute_sql(sessions).fetchall():
            pass  # the server notices at once, but not before close() returns

    run(first, "CREATE TABLE item (n INTEGER)")
    for end, rows in ((two_phase.rollback, 0), (two_phase.commit, 1)):
        run(first, two_phase.begin or "BEGIN", "INSERT INTO item VALUES (1)", *two_phase.prepare)
        disconnect()
        assert prepared()
        run(second, end)
        assert not prepared()
        assert second.execute_sql("SELECT COUNT(*) FROM item").fetchone() == (rows,)
        second.close()


@pytest.mark.parametrize("fixture", ["postgres_url", "mariadb_url", None])
def test_the_probe_of_the_traits_is_answered_by_the_engine(
    request: pytest.FixtureRequest, fixture: str | None
) -> None:
    database = build(request.getfixturevalue(fixture) if fixture else "sqlite:///:memory:")
    assert database.execute_sql(traits_of(database).probe).fetchone() == (1,)
    database.close()
