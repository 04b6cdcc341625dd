"""Projects as users have them, whose tests are run by pytest itself, with the plugin as it is installed."""

from __future__ import annotations

import gc
import importlib
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

# pytester forgets what a project has imported first, and extension modules cannot be loaded twice.
for module in ("playhouse.pwasyncio", "aiomysql", "aiosqlite", "asyncpg", "pytest_asyncio"):
    importlib.import_module(module)
importlib.import_module("peewee_multidb.testing.plugin")

Run = Callable[..., pytest.RunResult]

#: How the tests of a project begin.
IMPORTS = """
import asyncio
import threading

import peewee
import pytest
from conftest import Note

from peewee_multidb import (
    DatabaseNotAllowed, ReadOnlyDatabase, atomic, databases, explain_route, use_db, use_replica,
)
from peewee_multidb.errors import IsolationError

"""

CONFTEST = """
import asyncio

import pytest
from peewee import CharField

from peewee_multidb import Model, databases
from peewee_multidb.drivers import traits_of


class Note(Model):
    text = CharField(unique=True)


@pytest.fixture(scope="session", autouse=True)
def made():
    databases.configure({settings!r})
    for name in databases:
        with Note.bind_ctx(databases[name]):
            if traits_of(databases[name]).is_async:
                asyncio.run(make(databases[name]))
            else:
                Note.create_table()
                databases.close()
    yield
    databases.configure({{}})


async def make(database):
    await database.run(Note.create_table)
    await database.close_pool()
"""

INI = """
[pytest]
filterwarnings = error
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_of_others() -> None:
    """Finalize what other tests of this process have left: a project of ours would take it for its own."""
    for _ in range(3):  # a finalizer may leave something too
        gc.collect()


@pytest.fixture
def project(pytester: pytest.Pytester) -> Run:
    """Call it with settings and the text of tests: a project with the model Note, whose tests are run."""

    def run(
        settings: dict[str, Any], tests: str, *arguments: str, ini: str = "", processes: bool = False
    ) -> pytest.RunResult:
        pytester.makeconftest(CONFTEST.format(settings=settings))
        pytester.makefile(".ini", pytest=INI + ini)
        pytester.makepyfile(test_it=IMPORTS + textwrap.dedent(tests))
        start = pytester.runpytest_subprocess if processes else pytester.runpytest_inprocess
        return start("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)

    return run


@pytest.fixture(params=["sqlite", "postgres", "mariadb", "mssql"])
def url(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> str:
    """The URL of an empty database of each engine."""
    return url_of(request.param, request, pytester)


def url_of(engine: str, request: pytest.FixtureRequest, pytester: pytest.Pytester) -> str:
    if engine == "sqlite":
        return f"sqlite:///{pytester.path}/a.db"
    found: str = request.getfixturevalue(f"{engine}_url")
    return found


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def async_url(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> str:
    """The same, for an asynchronous driver."""
    modules = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+asyncpg", "mariadb": "mariadb+aiomysql"}
    return f"{modules[request.param]}://" + url_of(request.param, request, pytester).split("://")[1]
