"""Queries drawn at random: accepted by the parser and the rules, with the rows of SQLite, or refused."""

from __future__ import annotations

import functools
import operator
import sqlite3
from typing import Any

import hypothesis
import hypothesis.strategies as st
import peewee
import pytest
from peewee import JOIN, SQL, Case, Value, fn

from tests.drivers.mssql import corpus, grammar, lint, models
from tests.drivers.mssql.execution import Engine
from tests.drivers.mssql.test_equality import TEXTS, World, rows

Build = Any


def _pick(name: str) -> Build:
    model, field = name.split(".")
    return lambda m: getattr(getattr(m, model), field)


numbers = st.sampled_from(["Person.age", "Person.id", "Person.score"]).map(_pick)
words = st.sampled_from(["Person.name", "Person.city"]).map(_pick)
flags = st.just(_pick("Person.active"))
texts = st.sampled_from(["ann", "Rome", "%", "[x]", "it's", "", "_", "e"])
comparisons = st.sampled_from([operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])


def _compare(op: Any, left: Build, right: Any) -> Build:
    return lambda m: op(left(m), right(m) if callable(right) else right)


def _not(inner: Build) -> Build:
    return lambda m: ~inner(m)


def _both(pair: Any) -> Build:
    join, left, right = pair
    return lambda m: join(left(m), right(m))


def _posts(m: Any) -> Any:
    return m.Post.select(m.Post.author).where(m.Post.stars > 1)


def _has_posts(stars: int) -> Build:
    return lambda m: fn.EXISTS(m.Post.select().where(m.Post.author == m.Person.id, m.Post.stars > stars))


simple = st.one_of(
    st.builds(_compare, comparisons, numbers, st.integers(-5, 70)),
    st.builds(_compare, comparisons, numbers, numbers),
    st.builds(lambda word, text: lambda m: word(m).contains(text), words, texts),
    st.builds(lambda word, text: lambda m: word(m).startswith(text), words, texts),
    st.builds(lambda word, some: lambda m: word(m).in_(some), words, st.lists(texts, max_size=3)),
    st.builds(lambda word, null: lambda m: word(m).is_null(null), words, st.booleans()),
    st.builds(
        lambda number, low, high: lambda m: number(m).between(low, high), numbers, st.just(10), st.just(40)
    ),
    st.just(lambda m: m.Person.id.in_(_posts(m))),
    st.builds(_has_posts, st.integers(0, 4)),
    flags,
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(_not), st.tuples(st.sampled_from([operator.and_, operator.or_]), inner, inner).map(_both)
    ),
    max_leaves=6,
)
values = st.one_of(
    numbers,
    words,
    flags,
    conditions,
    st.builds(lambda number, n: lambda m: number(m) * n + 1, numbers, st.integers(1, 3)),
    st.builds(lambda word: lambda m: fn.LOWER(word(m)), words),
    st.builds(lambda word, text: lambda m: word(m).concat(text), words, texts),
    st.builds(lambda c, n: lambda m: Case(None, [(c(m), n)], 0), conditions, st.integers(1, 3)),
    st.builds(lambda word, text: lambda m: fn.COALESCE(word(m), text), words, texts),
)


@st.composite
def queries(draw: Any) -> Build:
    """Return a function from models to a query with a definite order, unless it groups."""
    picked = draw(st.lists(values, min_size=1, max_size=4))
    where = draw(st.none() | conditions)
    joins, distinct = draw(st.booleans()), draw(st.booleans())
    order = draw(
        st.lists(st.tuples(values, st.booleans(), st.sampled_from([None, "first", "last"])), max_size=2)
    )
    limit = draw(st.none() | st.integers(0, 5))
    offset = draw(st.none() | st.integers(0, 3))
    form = draw(st.sampled_from(["plain", "group", "derived", "union", "count"]))

    def build(m: Any) -> Any:
        columns = [value(m).alias(f"v{number}") for number, value in enumerate(picked)]
        query = m.Person.select(m.Person.id, *columns)
        if joins:
            query = query.join(m.Post, JOIN.LEFT_OUTER).select_extend(m.Post.id.alias("post"))
        if where is not None:
            query = query.where(where(m))
        if form == "group":
            keys = [value(m) for value in picked]
            query = query.select(*columns, fn.COUNT(m.Person.id).alias("n")).group_by(*keys)
            return query.having(fn.COUNT(m.Person.id) > 0)
        keys = [
            value(m).desc(nulls=nulls) if down else value(m).asc(nulls=nulls) for value, down, nulls in order
        ]
        query = query.order_by(*keys, m.Person.id, *([m.Post.id] if joins else []))
        if distinct:
            query = query.distinct()
        if form == "union":
            other = m.Counter.select(
                m.Counter.id, *[Value(n).alias(f"v{n}") for n in range(len(picked) + joins)]
            )
            union = query.order_by() + other
            return union.order_by(SQL("id")).limit(limit) if limit else union
        if limit is not None:
            query = query.limit(limit)
        if offset is not None:
            query = query.offset(offset)
        if form == "derived":
            query = query.alias("d")
            return peewee.Select((query,), (query.c.id, query.c.v0)).order_by(query.c.id, query.c.v0)
        return corpus.shapes._count_of(query) if form == "count" else query

    return build


@functools.cache
def _world() -> tuple[World, Engine]:
    world = World()
    translated = sqlite3.connect(":memory:", isolation_level=None)
    translated.deserialize(world.connection.serialize())
    return world, Engine(translated, TEXTS)


@pytest.mark.parametrize("version", ["2000", "2005", "2012", "2022"])
@hypothesis.given(build=queries())
def test_a_random_query_gives_the_rows_of_sqlite_or_is_refused(version: str, build: Build) -> None:
    database = corpus.database(version)
    query = build(models.define(peewee.Model, database))
    try:
        statement = corpus.compiled(database, query)
    except peewee.NotSupportedError as error:
        assert f"SQL Server {version}" in str(error)
        return
    assert grammar.rejections([statement.sql], version) == {}
    assert lint.complaints(statement, version) == [], statement.sql
    world, engine = _world()
    sql, params = world.sqlite.get_sql_context().sql(build(world.models)).query()
    expected = world.sqlite.execute_sql(sql, params).fetchall()
    found = engine.run(statement)
    assert rows(found, None) == rows(expected, None), (statement, sql)
