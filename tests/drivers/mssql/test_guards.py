"""The guards of our models hold in T-SQL as in the SQL of other engines: nothing crosses databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, Select, fn

from peewee_multidb import CrossDatabaseQuery, Databases, Model, ReadOnlyDatabase
from peewee_multidb.drivers.mssql import MSSQLDatabase


class World:
    """Models in two SQL Server databases, of which none is connected to."""

    def __init__(self, version: str) -> None:
        self.registry = Databases()
        self.here = MSSQLDatabase(None, server_version=version)
        self.registry.add("default", self.here)
        self.registry.add("other", MSSQLDatabase(None, server_version=version), read_only=True)
        own = self.registry

        class Person(Model):
            name = CharField()

            class Meta:
                registry = own

        class Stranger(Model):
            person = ForeignKeyField(Person)

            class Meta:
                registry = own
                db_name = "other"

        self.person, self.stranger = Person, Stranger

    def compiled(self, query: Any) -> Any:
        return self.here.get_sql_context().sql(query).query()


@pytest.fixture(params=["2000", "2008", "2022"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield World(request.param)


def _with(person: Any, cte: Any) -> Any:
    return person.select(person.id).join(cte, on=(cte.c.person_id == person.id)).with_cte(cte)


CROSSING: dict[str, Callable[[Any, Any], Any]] = {
    "join": lambda p, s: p.select().join(s),
    "in": lambda p, s: p.select().where(p.id.in_(s.select(s.person))),
    "exists": lambda p, s: p.select().where(fn.EXISTS(s.select().where(s.person == p.id))),
    "exists as value": lambda p, s: p.select(fn.EXISTS(s.select().where(s.person == p.id))),
    "condition as value": lambda p, s: p.select(p.id.in_(s.select(s.person))),
    "order": lambda p, s: p.select().order_by(s.select(fn.COUNT(s.id)).where(s.person == p.id)),
    "group": lambda p, s: p.select(fn.COUNT(p.id)).group_by(p.name, p.id.in_(s.select(s.person))),
    "page": lambda p, s: p.select().where(p.id.in_(s.select(s.person))).order_by(p.id).limit(2).offset(1),
    "union": lambda p, s: p.select(p.id) | s.select(s.person),
    "derived": lambda p, s: p.select().from_(s.select(s.person).alias("q")),
    "cte": lambda p, s: _with(p, s.select(s.person).cte("c")),
    "insert": lambda p, s: p.insert_from(s.select(s.id), [p.name]),
    "update": lambda p, s: p.update(name="x").where(p.id.in_(s.select(s.person))),
    "delete": lambda p, s: p.delete().where(p.id.in_(s.select(s.person))),
    "lower level": lambda p, s: Select(columns=[fn.EXISTS(s.select())]),
}


@pytest.mark.parametrize("kind", CROSSING)
def test_a_query_that_reaches_another_database_is_refused(world: World, kind: str) -> None:
    query = CROSSING[kind](world.person, world.stranger)
    if kind == "derived":
        query = query.select(peewee.SQL("1"))
    with pytest.raises((CrossDatabaseQuery, peewee.NotSupportedError)) as caught:
        world.compiled(query)
    if world.here.version.major >= 9:
        assert isinstance(caught.value, CrossDatabaseQuery)


def test_a_query_at_home_is_not(world: World) -> None:
    person = world.person
    sql, _ = world.compiled(
        person.select().where(person.id.in_(person.select(person.id).where(person.id > 1)))
    )
    assert sql.count("[person]") == 2


def test_a_write_into_a_read_only_database_is_refused(world: World) -> None:
    with pytest.raises(ReadOnlyDatabase):
        world.stranger.insert(person=1).execute()
    with pytest.raises(ReadOnlyDatabase):
        world.stranger.delete().execute()
