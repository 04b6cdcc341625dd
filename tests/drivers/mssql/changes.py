"""Queries that change rows, and those that SQLite does not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
from peewee import (
    EXCLUDED,
    Case,
    fn,
)

from tests.drivers.mssql.models import Models


def _update_from(m: Models) -> Any:
    n = fn.COUNT(m.Post.id)
    counted = m.Post.select(m.Post.author, n.alias("n")).group_by(m.Post.author).alias("counted")
    return m.Person.update(age=counted.c.n).from_(counted).where(m.Person.id == counted.c.author_id)


def _insert_cte(m: Models) -> Any:
    old = m.Person.select(m.Person.age).where(m.Person.age > 30).cte("old")
    return m.Counter.insert_from(peewee.Select((old,), (old.c.age,)).with_cte(old), [m.Counter.n])


QUERIES: dict[str, Callable[[Models], Any]] = {
    # writes
    "insert": lambda m: m.Person.insert(name="new", age=3),
    "insert id": lambda m: m.Person.insert(id=77, name="new", age=3),
    "insert default values": lambda m: m.Counter.insert(),
    "insert many": lambda m: m.Person.insert_many([{"name": "x", "age": 1}, {"name": "y", "age": 2}]),
    "insert tuples": lambda m: m.Person.insert_many(
        [("x", 1), ("y", 2)], fields=[m.Person.name, m.Person.age]
    ),
    "insert from": lambda m: m.Counter.insert_from(
        m.Person.select(m.Person.age).where(m.Person.age > 30).order_by(m.Person.age), [m.Counter.n]
    ),
    "insert from cte": _insert_cte,
    "insert natural key": lambda m: m.Setting.insert(key="z", value="zz"),
    "insert composite": lambda m: m.Liked.insert(person=4, post=1),
    "insert expression": lambda m: m.Counter.insert(n=m.Person.select(fn.MAX(m.Person.age))),
    "insert rowcount": lambda m: m.Counter.insert_many([{"n": 1}, {"n": 2}]).as_rowcount(),
    "insert returning": lambda m: m.Person.insert(name="r", age=9).returning(m.Person.id, m.Person.age),
    "insert ignore": lambda m: m.Setting.insert(key="a", value="no").on_conflict_ignore(),
    "insert ignore unique": lambda m: m.Person.insert(name="ann", age=1).on_conflict_ignore(),
    "insert ignore many": lambda m: m.Setting.insert_many(
        [{"key": "a", "value": "1"}, {"key": "q", "value": "2"}]
    ).on_conflict_ignore(),
    "replace": lambda m: m.Setting.replace(key="a", value="new", hits=4),
    "upsert preserve": lambda m: m.Setting.insert(key="a", value="new").on_conflict(
        conflict_target=[m.Setting.key], preserve=[m.Setting.value]
    ),
    "upsert update": lambda m: m.Setting.insert(key="a", value="new").on_conflict(
        conflict_target=[m.Setting.key], update={m.Setting.hits: m.Setting.hits + 1}
    ),
    "upsert excluded": lambda m: m.Setting.insert(key="a", value="new", hits=7).on_conflict(
        conflict_target=[m.Setting.key], update={m.Setting.hits: m.Setting.hits + EXCLUDED.hits}
    ),
    "upsert where": lambda m: m.Setting.insert(key="a", value="new", hits=7).on_conflict(
        conflict_target=[m.Setting.key], preserve=[m.Setting.hits], where=(m.Setting.hits > EXCLUDED.hits)
    ),
    "upsert many": lambda m: m.Setting.insert_many(
        [{"key": "a", "value": "1"}, {"key": "q", "value": "2"}]
    ).on_conflict(conflict_target=[m.Setting.key], preserve=[m.Setting.value]),
    "update": lambda m: m.Person.update(age=m.Person.age + 1).where(m.Person.active),
    "update all": lambda m: m.Person.update({m.Person.score: None}),
    "update to condition": lambda m: m.Person.update(active=(m.Person.age > 30)),
    "update by subquery": lambda m: m.Person.update(
        age=m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id)
    ),
    "update from": _update_from,
    "update where in": lambda m: m.Person.update(score=9).where(
        m.Person.id.in_(m.Post.select(m.Post.author).where(m.Post.stars > 2))
    ),
    "update by case": lambda m: m.Person.update(age=Case(m.Person.id, [(1, 11), (2, 22)], m.Person.age)),
    "update returning": lambda m: (
        m.Person.update(age=1).where(m.Person.id < 3).returning(m.Person.id, m.Person.age)
    ),
    "delete": lambda m: m.Liked.delete().where(m.Liked.weight > 4),
    "delete all": lambda m: m.Liked.delete(),
    "delete where in": lambda m: m.Liked.delete().where(
        m.Liked.person.in_(m.Person.select(m.Person.id).where(m.Person.city == "Rome"))
    ),
    "delete returning": lambda m: m.Setting.delete().where(m.Setting.key == "a").returning(m.Setting.value),
}

#: Queries of which Peewee's own SQL does not run on SQLite: there is nothing to compare with.
WITHOUT_SQLITE: dict[str, Callable[[Models], Any]] = {
    "update limited": lambda m: m.Person.update(age=0).where(m.Person.active).limit(2),
    "update ordered and limited": lambda m: (
        m.Person.update(age=0).order_by(m.Person.age, m.Person.id).limit(2)
    ),
    "delete limited": lambda m: m.Liked.delete().limit(2),
    "delete ordered and limited": lambda m: m.Counter.delete().order_by(m.Counter.n.desc()).limit(1),
    "json path": lambda m: m.Post.select(m.Post.id).where(m.Post.data["a"]["b"] == 1),
    "json text": lambda m: m.Post.select(m.Post.data["a"].as_text().alias("x")),
    "json as number": lambda m: m.Post.select(m.Post.data["a"].as_int(), m.Post.data["b"].as_float()),
    "json set": lambda m: m.Post.update(data=m.Post.data["a"].set({"x": 1})),
    "like": lambda m: m.Person.select(m.Person.id).where(m.Person.name % "A%"),
    "now": lambda m: m.Person.select(m.Person.id).where(m.Person.born < fn.NOW()),
    "random": lambda m: m.Person.select(m.Person.id).order_by(fn.RANDOM()),
    "distinct on": lambda m: m.Post.select(m.Post.author, m.Post.title).distinct(m.Post.author),
}
