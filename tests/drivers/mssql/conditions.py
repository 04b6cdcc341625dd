"""Queries about conditions, expressions and functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
from peewee import (
    SQL,
    Case,
    Tuple,
    Value,
    ValuesList,
    fn,
)

from tests.drivers.mssql.models import Models, age_band


def _exists(m: Models) -> Any:
    return fn.EXISTS(m.Post.select().where(m.Post.author == m.Person.id, m.Post.stars > 2))


def _rows_in_query(m: Models) -> Any:
    pairs = m.Post.select(m.Post.author, m.Post.id).where(m.Post.stars > 1)
    return m.Liked.select(m.Liked.weight).where(Tuple(m.Liked.person, m.Liked.post).in_(pairs))


def _values(m: Models) -> Any:
    values = ValuesList([(1, "one"), (2, "two")], columns=("num", "word"), alias="v")
    return values.select(values.c.num, values.c.word).order_by(values.c.num)


def _values_in_with(m: Models) -> Any:
    values = ValuesList([(1, 10), (3, 30)]).cte("bonuses", columns=("pid", "bonus"))
    query = m.Person.select(m.Person.name, values.c.bonus).join(values, on=(values.c.pid == m.Person.id))
    return query.with_cte(values).order_by(m.Person.name)


def _values_join(m: Models) -> Any:
    values = ValuesList([(1, 10), (3, 30)], columns=("pid", "bonus"), alias="v")
    return m.Person.select(m.Person.name, values.c.bonus).join(values, on=(values.c.pid == m.Person.id))


QUERIES: dict[str, Callable[[Models], Any]] = {
    # plain selects
    "select all": lambda m: m.Person.select().order_by(m.Person.id),
    "select some": lambda m: m.Person.select(m.Person.name, m.Person.age).order_by(m.Person.id),
    "select nothing from": lambda m: peewee.Select(columns=(Value(1).alias("one"), Value("x").alias("x"))),
    "alias of column": lambda m: m.Person.select(m.Person.name.alias("who")).order_by(SQL("who")),
    "alias in where": lambda m: (lambda x: m.Person.select(m.Person.id, x).where(x > 30))(
        (m.Person.age + 1).alias("x")
    ),
    "model alias": lambda m: (lambda a: a.select(a.name, a.age).where(a.age > 25).order_by(a.name))(
        m.Person.alias()
    ),
    "odd names": lambda m: m.Order.select(m.Order.word, m.Order.odd).where(m.Order.odd >= 1),
    "text column": lambda m: m.Post.select(m.Post.id, m.Post.body).order_by(m.Post.id),
    "decimal": lambda m: m.Post.select(m.Post.id, m.Post.price).where(m.Post.price > 3).order_by(m.Post.id),
    "star of subquery": lambda m: peewee.Select(
        (m.Person.select(m.Person.id, m.Person.age).alias("s"),), (SQL("*"),)
    ).order_by(SQL("id")),
    # conditions
    "equal": lambda m: m.Person.select(m.Person.id).where(m.Person.name == "ann"),
    "unequal": lambda m: m.Person.select(m.Person.id).where(m.Person.city != "Rome"),
    "and or": lambda m: m.Person.select(m.Person.id).where(
        (m.Person.age > 25) & ((m.Person.city == "Rome") | (m.Person.score < 1))
    ),
    "not": lambda m: m.Person.select(m.Person.id).where(~(m.Person.age == 20)),
    "not of and": lambda m: m.Person.select(m.Person.id).where(
        ~((m.Person.age == 20) & (m.Person.city == "Rome"))
    ),
    "bare boolean": lambda m: m.Person.select(m.Person.id).where(m.Person.active),
    "not bare boolean": lambda m: m.Person.select(m.Person.id).where(~m.Person.active),
    "boolean is true": lambda m: m.Person.select(m.Person.id).where(m.Person.active == True),  # noqa: E712
    "true": lambda m: m.Person.select(m.Person.id).where(True),
    "false": lambda m: m.Person.select(m.Person.id).where(Value(False)),
    "bare integer": lambda m: m.Post.select(m.Post.id).where(m.Post.stars),
    "condition as value": lambda m: m.Person.select(m.Person.id, (m.Person.age > 30).alias("old")),
    "condition with null as value": lambda m: m.Person.select(
        m.Person.id, (m.Person.score > 1).alias("good")
    ),
    "condition equals condition": lambda m: m.Person.select(m.Person.id).where(
        (m.Person.age > 30) == (m.Person.city == "Rome")
    ),
    "conditions counted": lambda m: m.Person.select(fn.SUM(m.Person.age > 30).alias("n")),
    "is null": lambda m: m.Person.select(m.Person.id).where(m.Person.score.is_null()),
    "is not null": lambda m: m.Person.select(m.Person.id).where(m.Person.score.is_null(False)),
    "equals none": lambda m: m.Person.select(m.Person.id).where(m.Person.city == None),  # noqa: E711
    "is value": lambda m: m.Person.select(m.Person.id).where(
        peewee.Expression(m.Person.city, "IS NOT", "Rome")
    ),
    "in list": lambda m: m.Person.select(m.Person.id).where(m.Person.name.in_(["ann", "bob"])),
    "in set of integers": lambda m: m.Person.select(m.Person.id).where(m.Person.id << {1, 3}),
    "in long list": lambda m: m.Person.select(m.Person.id).where(m.Person.id.in_(range(3, 3000))),
    "in empty": lambda m: m.Person.select(m.Person.id).where(m.Person.id << []),
    "not in empty": lambda m: m.Person.select(m.Person.id).where(m.Person.id.not_in([])),
    "not in list": lambda m: m.Person.select(m.Person.id).where(m.Person.name.not_in(["ann", "bob"])),
    "in query": lambda m: m.Person.select(m.Person.id).where(m.Person.id.in_(m.Post.select(m.Post.author))),
    "in ordered query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Post.select(m.Post.author).order_by(m.Post.at))
    ),
    "in limited query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Person.select(m.Person.id).order_by(m.Person.age.desc(), m.Person.id).limit(2))
    ),
    "in paged query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Person.select(m.Person.id).order_by(m.Person.id).limit(2).offset(1))
    ),
    "not in query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.not_in(m.Post.select(m.Post.author))
    ),
    "rows in list": lambda m: m.Liked.select(m.Liked.weight).where(
        Tuple(m.Liked.person, m.Liked.post).in_([(1, 2), (2, 3)])
    ),
    "rows in query": _rows_in_query,
    "composite key": lambda m: m.Liked.select().where(m.Liked._meta.primary_key == (1, 2)),
    "between": lambda m: m.Person.select(m.Person.id).where(m.Person.age.between(20, 31)),
    "contains": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("n")),
    "contains specials": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("50%_[x]")),
    "contains bracket": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("[x")),
    "contains quote": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("'")),
    "contains column": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains(m.Person.name)),
    "startswith": lambda m: m.Person.select(m.Person.id).where(m.Person.name.startswith("d")),
    "endswith": lambda m: m.Person.select(m.Person.id).where(m.Person.name.endswith("S")),
    "ilike": lambda m: m.Person.select(m.Person.id).where(m.Person.name ** "B%"),
    "text contains": lambda m: m.Post.select(m.Post.id).where(m.Post.body.contains("TEXT")),
    "text equals": lambda m: m.Post.select(m.Post.id).where(m.Post.body == ""),
    "exists": lambda m: m.Person.select(m.Person.id).where(_exists(m)),
    "not exists": lambda m: m.Person.select(m.Person.id).where(~_exists(m)),
    "exists as value": lambda m: m.Person.select(m.Person.id, _exists(m).alias("has")),
    "exists method": lambda m: peewee.Select(columns=[fn.EXISTS(m.Person.select().where(m.Person.id > 99))]),
    "regexp": lambda m: m.Person.select(m.Person.id).where(m.Person.name.regexp("^[ab]")),
    "bitwise": lambda m: m.Person.select(m.Person.id, m.Person.age.bin_and(4).alias("b")).where(
        m.Person.age.bin_or(1) > 20
    ),
    "filter with joins": lambda m: m.Post.filter(author__name="ann", title__ilike="post%"),
    # expressions and functions
    "arithmetic": lambda m: m.Person.select(m.Person.id, (m.Person.age * 2 + 1 - m.Person.id).alias("x")),
    "modulo": lambda m: m.Person.select(m.Person.id, peewee.Expression(m.Person.age, "%", 7).alias("x")),
    "concat": lambda m: m.Person.select(m.Person.id, m.Person.name.concat("!").alias("x")),
    "concat columns": lambda m: m.Person.select(
        m.Person.id, (m.Person.name + " " + m.Person.city).alias("x")
    ),
    "concat number": lambda m: m.Person.select(m.Person.id, m.Person.name.concat(m.Person.age).alias("x")),
    "case": lambda m: m.Person.select(m.Person.id, age_band(m).alias("band")),
    "case of values": lambda m: m.Person.select(
        m.Person.id, Case(m.Person.city, [("Rome", 1), ("Oslo", 2)], 0)
    ),
    "case without else": lambda m: m.Person.select(m.Person.id, Case(None, [(m.Person.active, 1)])),
    "cast": lambda m: m.Person.select(m.Person.id, m.Person.age.cast("text").alias("x")),
    "cast to integer": lambda m: m.Person.select(m.Person.id, m.Person.score.cast("integer").alias("x")),
    "coalesce": lambda m: m.Person.select(m.Person.id, fn.COALESCE(m.Person.city, "nowhere").alias("x")),
    "ifnull": lambda m: m.Person.select(m.Person.id, fn.IFNULL(m.Person.score, 0).alias("x")),
    "nullif": lambda m: m.Person.select(m.Person.id, fn.NULLIF(m.Person.city, "Rome").alias("x")),
    "lower upper": lambda m: m.Person.select(fn.LOWER(m.Person.name), fn.UPPER(m.Person.city)).order_by(
        m.Person.id
    ),
    "length": lambda m: m.Person.select(m.Person.id, fn.LENGTH(m.Person.name).alias("x")),
    "length of text": lambda m: m.Post.select(m.Post.id, fn.LENGTH(m.Post.body).alias("x")),
    "substring": lambda m: m.Person.select(m.Person.id, fn.SUBSTR(m.Person.name, 1, 2).alias("x")),
    "substring to end": lambda m: m.Person.select(m.Person.id, fn.SUBSTR(m.Person.name, 2).alias("x")),
    "trim": lambda m: m.Post.select(m.Post.id, fn.TRIM(m.Post.title).alias("x")),
    "replace text": lambda m: m.Person.select(m.Person.id, fn.REPLACE(m.Person.name, "n", "N").alias("x")),
    "abs round": lambda m: m.Person.select(
        m.Person.id, fn.ABS(m.Person.age - 40), fn.ROUND(m.Person.score, 1)
    ),
    "instr": lambda m: m.Person.select(m.Person.id, fn.INSTR(m.Person.name, "n").alias("x")),
    "greatest": lambda m: m.Person.select(m.Person.id, fn.MAX(m.Person.age, 31).alias("x")),
    "subquery as value": lambda m: m.Person.select(
        m.Person.id, m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id).alias("n")
    ),
    "compared with subquery": lambda m: m.Person.select(m.Person.id).where(
        m.Person.age > m.Person.alias("q").select(fn.AVG(m.Person.alias("q").age))
    ),
    "values list": _values,
    "values list in with": _values_in_with,
    "join values list": _values_join,
}
