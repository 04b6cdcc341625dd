"""Versions of SQL Server, as they are written down, and which of two counts."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb.drivers.mssql import MSSQLDatabase, ServerVersion
from peewee_multidb.drivers.mssql.version import effective
from peewee_multidb.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "version", "name"),
    [
        ("8.0", (8, 0), "SQL Server 2000"),
        ("2005", (9, 0), "SQL Server 2005"),
        ("10.0.2531.0", (10, 0), "SQL Server 2008"),
        ("10.50", (10, 50), "SQL Server 2008 R2"),
        ("10.50.6000.34", (10, 50), "SQL Server 2008 R2"),
        (10.5, (10, 50), "SQL Server 2008 R2"),
        ("2008 r2", (10, 50), "SQL Server 2008 R2"),
        ("SQL Server 2012", (11, 0), "SQL Server 2012"),
        ("Microsoft SQL Server 2022", (16, 0), "SQL Server 2022"),
        (13, (13, 0), "SQL Server 2016"),
        ((15, 0, 4153), (15, 0), "SQL Server 2019"),
        (ServerVersion(17), (17, 0), "SQL Server 2025"),
        ("18.1", (18, 0), "SQL Server 18.0"),
    ],
)
def test_a_version_is_read(text: Any, version: tuple[int, int], name: str) -> None:
    assert ServerVersion.parse(text) == version
    assert str(ServerVersion.parse(text)) == name


@pytest.mark.parametrize(
    "text", ["", "7.0", "1999", "x", "2012; DROP TABLE x", None, "8.0beta", "-1", "2008 R3"]
)
def test_what_is_no_version_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError, match="server_version"):
        ServerVersion.parse(text)
    if text is not None:
        with pytest.raises(ConfigurationError):
            MSSQLDatabase(None, server_version=text)


@pytest.mark.parametrize(
    ("server", "level", "found"),
    [
        ("16.0", 80, "2000"),
        ("10.50", 90, "2005"),
        ("11.0", 110, "2012"),
        ("10.50", 100, "2008 R2"),
        ("9.0", 100, "2005"),
    ],
)
def test_the_lower_of_server_and_compatibility_level_counts(server: str, level: int, found: str) -> None:
    assert effective(ServerVersion.parse(server), level).name == f"SQL Server {found}"


def test_without_a_level_the_server_counts() -> None:
    assert effective(ServerVersion(13), None) == ServerVersion(13)
