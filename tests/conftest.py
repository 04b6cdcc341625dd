"""What the whole suite shares: real servers, fresh databases on them, and how hard to try.

Servers start with the first test that asks for one, once a session. A server that cannot be had
skips its tests with the reason, or fails them when MULTIDB_REQUIRE_SERVERS=1.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

from peewee_multidb import databases
from peewee_multidb.causality import replace_unit
from peewee_multidb.testing.servers import (
    MariaDBCluster,
    MariaDBServer,
    PostgresCluster,
    PostgresServer,
    Unavailable,
)
from tests import engines, scale
from tests.drivers.mssql.real import VARIABLE, on_babelfish
from tests.tds.fixtures import (  # noqa: F401 - pytest finds fixtures by these names
    mssql,
    mssql_server,
    mssql_url,
    new_mssql_url,
    own_tds_server,
    real_mssql,
    tds_server,
    tds_servers,
)
from tests.weakrefs import keep_coverage_alive
from tests.world import World

keep_coverage_alive()

hypothesis.settings.register_profile("quick", max_examples=50, deadline=None)
hypothesis.settings.register_profile("soak", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("soak" if os.environ.get("MULTIDB_SOAK") == "1" else "quick")

Started = TypeVar("Started", PostgresServer, MariaDBServer, PostgresCluster, MariaDBCluster)
NewUrl = Callable[[], str]
NewSettings = Callable[[], dict[str, Any]]

_numbers = itertools.count(1)

#: What asks a real SQL Server and nothing else, where there is none.
collect_ignore = [] if os.environ.get(VARIABLE) else ["drivers/mssql/test_real_engine.py"]


@pytest.fixture(autouse=True)
def nothing_written_yet() -> None:
    """What earlier tests of this process have written is not of this one's unit of work."""
    replace_unit(None)


#: The longest files, which go first: else one worker is left with them when the other has nothing to do.
LONGEST = (
    "tests/rebalance/test_killed.py",
    "tests/model/scatter/test_differential.py",
    "tests/test_concurrency.py",
    "tests/test_docs.py",
    "tests/model/test_loading.py",
    "tests/examples/test_examples.py",
    "tests/replicas/",
    "tests/testing/",
    "tests/drivers/test_fork.py",
    "tests/drivers/mssql/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files in front, and leave the order otherwise as it is."""
    places = {start: place for place, start in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        return next((places[start] for start in LONGEST if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=place)


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marks that tests may bear."""
    config.addinivalue_line("markers", "not_on_babelfish(what): needs what Babelfish for PostgreSQL lacks")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what the real server of the SQL Server tests is known to lack."""
    missing = item.get_closest_marker("not_on_babelfish")
    if missing is not None and on_babelfish():
        pytest.skip(f"Babelfish lacks {missing.args[0]}")


def _running(started: Started, engine: str) -> Iterator[Started]:
    reason = ""
    try:
        started.start()
    except Unavailable as error:
        reason = str(error)
    if reason and os.environ.get("MULTIDB_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{engine} is required: {reason}", pytrace=False)
    if reason:
        pytest.skip(f"no {engine}: {reason}")
    yield started
    started.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL primary. Tests that stop or reconfigure a server start their own."""
    yield from _running(PostgresServer(), "PostgreSQL")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """The session's MariaDB primary. Tests that stop or reconfigure a server start their own."""
    yield from _running(MariaDBServer(), "MariaDB")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The session's PostgreSQL primary with two replicas.

    Tests may pause, delay and disconnect the replicas of a fixture that is built on this one, which puts
    it right again. Tests that kill or promote start a cluster of their own.
    """
    yield from _running(PostgresCluster(replicas=2), "PostgreSQL")


@pytest.fixture(scope="session")
def mariadb_cluster() -> Iterator[MariaDBCluster]:
    """The session's MariaDB primary with two replicas; see `postgres_cluster`."""
    yield from _running(MariaDBCluster(replicas=2), "MariaDB")


def _fresh_settings(cluster: PostgresCluster | MariaDBCluster) -> Iterator[NewSettings]:
    names: list[str] = []

    def new_settings() -> dict[str, Any]:
        names.append(f"test_{next(_numbers)}")
        cluster.create_database(names[-1])
        return cluster.settings(names[-1])

    yield new_settings
    cluster.restore()
    for name in names:
        cluster.drop_database(name)


@pytest.fixture
def new_postgres_cluster_settings(postgres_cluster: PostgresCluster) -> Iterator[NewSettings]:
    """Call it for the settings of one more empty database on a PostgreSQL primary and its replicas."""
    yield from _fresh_settings(postgres_cluster)


@pytest.fixture
def new_mariadb_cluster_settings(mariadb_cluster: MariaDBCluster) -> Iterator[NewSettings]:
    """Call it for the settings of one more empty database on a MariaDB primary and its replicas."""
    yield from _fresh_settings(mariadb_cluster)


@pytest.fixture
def postgres_cluster_settings(new_postgres_cluster_settings: NewSettings) -> dict[str, Any]:
    """What `configure` takes for an empty database on a PostgreSQL primary and two replicas in step."""
    return new_postgres_cluster_settings()


@pytest.fixture
def mariadb_cluster_settings(new_mariadb_cluster_settings: NewSettings) -> dict[str, Any]:
    """What `configure` takes for an empty database on a MariaDB primary and two replicas in step."""
    return new_mariadb_cluster_settings()


def _fresh_databases(server: PostgresServer | MariaDBServer) -> Iterator[NewUrl]:
    names: list[str] = []

    def new_url() -> str:
        names.append(f"test_{next(_numbers)}")
        server.create_database(names[-1])
        return server.url(names[-1])

    yield new_url
    for name in names:
        server.drop_database(name)


@pytest.fixture
def new_postgres_url(postgres_server: PostgresServer) -> Iterator[NewUrl]:
    """Call it for the URL of one more empty PostgreSQL database, dropped after the test."""
    yield from _fresh_databases(postgres_server)


@pytest.fixture
def new_mariadb_url(mariadb_server: MariaDBServer) -> Iterator[NewUrl]:
    """Call it for the URL of one more empty MariaDB database, dropped after the test."""
    yield from _fresh_databases(mariadb_server)


@pytest.fixture
def postgres_url(new_postgres_url: NewUrl) -> str:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    return new_postgres_url()


@pytest.fixture
def mariadb_url(new_mariadb_url: NewUrl) -> str:
    """The URL of an empty MariaDB database, dropped after the test."""
    return new_mariadb_url()


@pytest.fixture
def postgres_urls(new_postgres_url: NewUrl) -> Callable[[int], list[str]]:
    """Call it with `n` for the URLs of `n` empty PostgreSQL databases, dropped after the test."""
    return lambda n: [new_postgres_url() for _ in range(n)]


@pytest.fixture
def mariadb_urls(new_mariadb_url: NewUrl) -> Callable[[int], list[str]]:
    """Call it with `n` for the URLs of `n` empty MariaDB databases, dropped after the test."""
    return lambda n: [new_mariadb_url() for _ in range(n)]


@pytest.fixture(scope="session")
def scaled() -> Callable[[int], int]:
    """`tests.scale.scaled`, for tests that would rather ask for a fixture."""
    return scale.scaled


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A registry over SQLite files with a model of every kind of home; see `tests.world`."""
    made = World(tmp_path)
    yield made
    made.registry.close_all()


@pytest.fixture
def three(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[None]:
    """The models of `tests.engines` on three engines, in the process-wide registry."""
    databases.configure({"lite": f"sqlite:///{tmp_path}/a.db", "post": postgres_url, "maria": mariadb_url})
    databases.create_tables(engines.MODELS)
    yield
    databases.close_all()
    databases.configure({})


@pytest.fixture
def two(tmp_path: Path) -> Iterator[None]:
    """Lite and Post on two SQLite files."""
    databases.configure({"lite": f"sqlite:///{tmp_path}/a.db", "post": f"sqlite:///{tmp_path}/b.db"})
    databases.create_tables([engines.Lite, engines.Post])
    yield
    databases.close_all()
    databases.configure({})


@pytest.fixture
def three_async(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[None]:
    """The same through asyncio; the tests make their tables and close the pools themselves."""
    pytest.importorskip("playhouse.pwasyncio")
    databases.configure(
        {
            "lite": f"sqlite+aiosqlite:///{tmp_path}/a.db",
            "post": postgres_url.replace("postgresql://", "postgresql+asyncpg://"),
            "maria": "mariadb+aiomysql://" + mariadb_url.split("://")[1],
        }
    )
    yield
    databases.configure({})
