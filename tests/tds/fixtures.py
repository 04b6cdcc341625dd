"""Fixtures for the tests of SQL Server: the server in this folder, or the one of MULTIDB_TEST_MSSQL_URL.

A test that asks for `mssql_url` or `mssql` runs on the given server where there is one. A test that asks for
`tds_server` needs what only the one in this folder can do: have an error happen, cut connections, count round
trips, or be an old version.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.tds.server import TDSServer

__all__ = [
    "MICROSOFT",
    "SCHEMES",
    "VERSIONS",
    "WAYS",
    "mssql",
    "mssql_server",
    "mssql_url",
    "new_mssql_url",
    "own_tds_server",
    "real_mssql",
    "tds_server",
    "tds_servers",
    "with_driver",
]

#: A URL scheme of each module, and what its URL needs to say to a server without encryption.
SCHEMES = {
    "mssql+pymssql": "",
    "mssql+pyodbc": "?driver=FreeTDS",
    "mssql+pytds": "",
    "mssql+mssqlpython": "?Encrypt=no",
}
VERSIONS = {
    "2000": (8, 0, 2039),
    "2005": (9, 0, 5000),
    "2008": (10, 0, 6000),
    "2012": (11, 0, 7001),
    "2016": (13, 0, 6300),
    "2019": (15, 0, 4153),
    "2022": (16, 0, 4035),
}
_numbers = itertools.count(1)


#: pyodbc with the ODBC driver that is a part of mssql-python.
MICROSOFT = "mssql+pyodbc/microsoft"
WAYS = [*SCHEMES, MICROSOFT]


def _driver_of_microsoft() -> str:
    import mssql_python_odbc

    system = "debian_ubuntu" if Path("/etc/debian_version").exists() else "*"
    folder = Path(str(mssql_python_odbc.__file__)).parent
    return str(next(folder.glob(f"libs/linux/{system}/*/lib/libmsodbcsql-*")))


def with_driver(url: str, scheme: str) -> str:
    """Return the URL for another module: one of `WAYS`."""
    rest = url.partition("://")[2]
    address, _, options = rest.partition("?")
    if scheme == MICROSOFT:
        return f"mssql+pyodbc://{address}?Encrypt=no&driver={quote(_driver_of_microsoft(), safe='')}"
    wanted = SCHEMES[scheme]
    return f"{scheme}://{address}{wanted or (f'?{options}' if options else '')}"


@pytest.fixture(scope="session")
def tds_servers() -> Iterator[Callable[[str], TDSServer]]:
    """Call it with a version such as ``2008`` for the session's test server of that version."""
    running: dict[str, TDSServer] = {}

    def server(version: str) -> TDSServer:
        if version not in running:
            running[version] = TDSServer(VERSIONS[version])
        return running[version]

    yield server
    for started in running.values():
        started.close()


@pytest.fixture(scope="session")
def tds_server(tds_servers: Callable[[str], TDSServer]) -> TDSServer:
    """The session's test server, a SQL Server 2019. Tests that change a server start their own."""
    return tds_servers("2019")


@pytest.fixture
def own_tds_server() -> Iterator[TDSServer]:
    """A server that the test may disturb."""
    started = TDSServer()
    yield started
    started.close()


@pytest.fixture(scope="session")
def real_mssql() -> Iterator[Any]:
    """The server of MULTIDB_TEST_MSSQL_URL with its two databases, or None."""
    from tests.drivers.mssql.real import VARIABLE, RealServer

    url = os.environ.get(VARIABLE)
    if not url:
        yield None
        return
    server = RealServer(url)
    yield server
    server.close()


@pytest.fixture(scope="session")
def mssql_server(real_mssql: Any, tds_server: TDSServer) -> Any:
    """The server of `mssql_url`."""
    return tds_server if real_mssql is None else real_mssql


@pytest.fixture
def new_mssql_url(real_mssql: Any, tds_server: TDSServer) -> Iterator[Callable[[], str]]:
    """Call it, once or twice, for the URL of an empty database."""
    names: list[str] = []
    numbers = itertools.count(1)

    def new_url() -> str:
        if real_mssql is not None:
            url: str = real_mssql.url(next(numbers))
            return url
        names.append(f"test_{next(_numbers)}")
        return tds_server.url(names[-1])

    yield new_url
    for name in names:
        tds_server.drop_database(name)


@pytest.fixture
def mssql_url(new_mssql_url: Callable[[], str]) -> str:
    """The URL of an empty database on SQL Server."""
    return new_mssql_url()


@pytest.fixture
def mssql(mssql_url: str, real_mssql: Any) -> Iterator[Any]:
    """An empty database on SQL Server; its ``is_babelfish`` tells whether it really is one."""
    from peewee_multidb import Databases

    registry = Databases({"default": mssql_url})
    registry["default"].is_babelfish = real_mssql is not None and real_mssql.is_babelfish
    yield registry["default"]
    registry.close_all()
