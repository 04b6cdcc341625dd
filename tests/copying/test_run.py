"""A copy has the same rows on every engine, is refused where it would lose something, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import databases, use_db
from tests.copying.shop import MODELS, Person, copy, fill

WAYS = [("sqlite", "post"), ("post", "maria"), ("maria", "sqlite"), ("maria", "post")]


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[dict[str, Any]]:
    found = {
        "default": f"sqlite:///{tmp_path}/a.db",
        "sqlite": f"sqlite:///{tmp_path}/b.db",
        "post": postgres_url,
        "maria": mariadb_url,
    }
    databases.configure(found)
    yield found
    databases.close_all()
    databases.configure({})


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_every_value_of_every_type_is_the_same_on_the_other_side(
    settings: dict[str, Any], source: str, target: str
) -> None:
    fill(150)
    first = copy("default", source)
    second = copy(source, target)
    assert first.ok and second.ok
    assert [one.checksum for one in first.tables] == [one.checksum for one in second.tables]
    for model in MODELS:
        with use_db("default"):
            ours = sorted(model.select().tuples(), key=repr)
        with use_db(target):
            theirs = sorted(model.select().tuples(), key=repr)
        assert ours == theirs
    with use_db(target):
        assert Person.create(name="the next").id > 33
