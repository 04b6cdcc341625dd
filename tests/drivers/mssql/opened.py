"""What the tests of connections share: a database of its own with the table ``t`` of one column ``n``."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb import Databases
from tests.tds.fixtures import WAYS, with_driver

__all__ = ["MODULES", "add", "numbers", "opened"]

MODULES = pytest.mark.parametrize("scheme", WAYS)


def opened(url: str, scheme: str = "mssql+pymssql", **settings: Any) -> Any:
    """A database of its own registry, with the table ``t`` of one column ``n``."""
    database = Databases({"default": {"url": with_driver(url, scheme), **settings}})["default"]
    if not settings.get("read_only"):
        database.execute_sql("IF OBJECT_ID(N't', N'U') IS NULL CREATE TABLE [t] ([n] INT NOT NULL)")
    return database


def numbers(database: Any) -> list[int]:
    return [n for (n,) in database.execute_sql("SELECT [n] FROM [t] ORDER BY [n]").fetchall()]


def add(database: Any, n: int) -> None:
    database.execute_sql("INSERT INTO [t] ([n]) VALUES (?)", (n,))
