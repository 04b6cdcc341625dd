"""Rows come from SQL Server and go there, by its own paging and INSERT."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peewee_multidb import databases
from tests.copying.shop import copy, fill


@pytest.fixture
def settings(tmp_path: Path, mssql_url: str) -> Iterator[None]:
    databases.configure(
        {"default": f"sqlite:///{tmp_path}/a.db", "ms": mssql_url, "back": f"sqlite:///{tmp_path}/b.db"}
    )
    yield
    databases.close_all()
    databases.configure({})


def test_there_and_back_again(settings: None) -> None:
    fill(40)
    there = copy("default", "ms", batch=15)
    back = copy("ms", "back", batch=15)
    assert there.ok and back.ok
    assert [one.target_checksum for one in there.tables] == [one.target_checksum for one in back.tables]
