"""A two-phase block inside of other transactions, and over databases that nobody would recover."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases, Model, atomic, databases
from peewee_multidb.errors import ConfigurationError, NotTransactional
from tests.engines import Maria, Post, counts


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


AROUND: list[Callable[[], Any]] = [
    lambda: atomic("post"),
    lambda: atomic("post", "maria"),
    lambda: atomic(),
    lambda: atomic("post", "lite", two_phase=True),
    lambda: databases["post"].atomic(),
]


@pytest.mark.parametrize("number", range(len(AROUND)))
def test_it_is_refused_where_its_databases_would_not_commit_together(three: None, number: int) -> None:
    """What is in a transaction already ends with that, and may roll back when the rest is committed."""
    with pytest.raises(NotTransactional, match="two_phase: 'post' and 'maria' would not commit together"):
        with AROUND[number]():
            Post.create(n=1)
            with atomic("post", "maria", two_phase=True):
                raise AssertionError("not reached")
    assert counts() == [0, 0, 0] and not databases["maria"].in_transaction()


def test_inside_a_two_phase_block_that_has_them_all_it_is_savepoints(three: None) -> None:
    for names in ((), ("maria", "post")):
        with atomic(*names, two_phase=True):
            with pytest.raises(ZeroDivisionError), atomic("post", "maria", two_phase=True):
                Post.create(n=1)
                Maria.create(n=1)
                _ = 1 / 0
            with atomic("post", "maria", two_phase=True):
                Post.create(n=2)
                Maria.create(n=2)
    assert counts() == [0, 2, 2]


def test_one_database_alone_may_be_a_savepoint(three: None) -> None:
    with atomic("post"), atomic("post", two_phase=True):
        Post.create(n=1)
    assert counts(Post) == [1]


def test_a_database_that_recover_would_not_ask_is_refused(three: None, postgres_url: str) -> None:
    other = Databases({"theirs": postgres_url})

    class Theirs(Model):
        class Meta:
            db_name = "theirs"
            registry = other

    with pytest.raises(ConfigurationError, match=r"'theirs' is not a database of the registry"):
        with atomic("maria", Theirs, two_phase=True):
            raise AssertionError("not reached")
    assert not databases["maria"].in_transaction() and not other["theirs"].in_transaction()
    other.close_all()
