"""The pytest plugin of peewee_multidb: its mark, its settings and its fixtures.

A module of its own, that imports the package when a test asks for it and not before: pytest imports plugins
before anything else, in every project of the environment. See `peewee_multidb.testing.plugin`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of pytest.ini."""
    parser.addini(
        "multidb_databases",
        "the databases that a test without a mark may use: names, * for all, none for none; each test is then "
        "rolled back. Unset, only tests with the mark `databases` or the fixture `multidb` are.",
        default="",
    )
    parser.addini(
        "multidb_after_commit",
        "what becomes of callbacks after a commit in a test: hold (the default) keeps them, run calls them",
        default="hold",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "databases(*names, transaction=True, after_commit='hold', truncate=False): the databases that the test "
        "may use; what it does there is rolled back, or with transaction=False really committed",
    )


@pytest.fixture(autouse=True)
def _multidb(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Around each test; does nothing in a project that does not use peewee_multidb."""
    concerned = (
        "multidb" in request.fixturenames
        or request.node.get_closest_marker("databases") is not None
        or request.config.getini("multidb_databases")
    )
    if not concerned:
        yield None
        return
    from peewee_multidb.testing.plugin import isolated

    yield from isolated(request)


@pytest.fixture
def multidb(_multidb: Any) -> Any:
    """The databases of this test, which is rolled back in each of them."""
    return _multidb


@pytest.fixture
def assert_queries() -> Any:
    """`with assert_queries(default=2, erp=1):` fails unless the block sends exactly so many queries."""
    from peewee_multidb.testing import assert_queries

    return assert_queries


@pytest.fixture
def assert_route() -> Any:
    """`assert_route(query, "shard2")` fails unless the query goes there."""
    from peewee_multidb.testing import assert_route

    return assert_route


@pytest.fixture
def capture_after_commit(multidb: Any) -> Any:
    """`with capture_after_commit(run=True) as callbacks:` collects what falls due after commits, and calls it."""
    return multidb.capture_after_commit


@pytest.fixture(scope="session")
def multidb_worker() -> str:
    """The name of this worker of pytest-xdist, or "main": for names of databases of its own."""
    from peewee_multidb.testing import worker_name

    return worker_name()
