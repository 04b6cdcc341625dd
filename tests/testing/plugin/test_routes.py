"""`assert_route`: where a query would go, with the reasons where it does not."""

from __future__ import annotations

from typing import Any

import pytest
from peewee import CharField, IntegerField

from peewee_multidb import ConfigurationError, Databases, HashShards, Model, use_db, use_replica
from peewee_multidb.testing import assert_queries, assert_route

registry = Databases(
    {
        "default": {"url": "sqlite:////nowhere/primary.db", "replicas": ["sqlite:////nowhere/replica.db"]},
        "archive": "sqlite://",
        "s1": "sqlite://",
        "s2": "sqlite://",
    }
)


class Base(Model):
    class Meta:
        registry = registry


class User(Base):
    name = CharField()


class Order(Base):
    user = IntegerField()

    class Meta:
        db_name = HashShards("s1", "s2", key="user")


def test_a_query_that_goes_there_passes_and_is_not_run() -> None:
    with assert_queries(registry=registry):
        route = assert_route(User.select(), "default", role="replica")
        assert route.databases == ("default",) and route.reasons
        assert_route(User.insert(name="a"), "default", role="primary")
        assert_route(User, "default")
        assert_route(User.select(), role="replica")
        assert_route(Order.select(), "s2", "s1")
        with use_db("archive"):
            assert_route(User.select(), "archive", role="primary")
        with use_replica():
            assert_route(User.select(), role="replica")


def test_a_failure_gives_the_reasons() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_route(User.select(), "archive", role="primary")
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "the query was expected to 'archive' and to the primary, and goes to 'default' (replica):"
    )
    assert lines[1] == "User -> default (replica)"
    assert lines[2] == "  1. 'default': no scope applies, and User lives in the default database"


@pytest.mark.parametrize(
    ("query", "names", "role", "problem"),
    [
        (lambda: Order.select(), ("s1",), None, "to 's1', and goes to 's1', 's2' (primary)"),
        (lambda: Order.select().where(Order.user.in_([])), ("s1",), None, "goes to no database (primary)"),
        (lambda: User.insert(name="a"), ("default",), "replica", "to a replica, and goes to 'default'"),
        (lambda: User.select().using("archive"), ("default",), None, "to 'default', and goes to 'archive'"),
    ],
)
def test_what_is_wrong_is_said(query: Any, names: tuple[str, ...], role: str | None, problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_route(query(), *names, role=role)
    assert problem in str(caught.value)


def test_a_question_that_asks_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a database name, or role="):
        assert_route(User.select())
    with pytest.raises(TypeError, match="'primary' or 'replica', not 'standby'"):
        assert_route(User.select(), role="standby")
    with pytest.raises(ConfigurationError):
        assert_route("SELECT 1", "default")
