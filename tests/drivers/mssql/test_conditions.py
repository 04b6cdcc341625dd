"""Conditions where conditions stand, values where values stand, and rows, patterns and names in them."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import SQL, Case, Expression, NodeList, Tuple, Value, fn

from tests.drivers.mssql import corpus, models
from tests.drivers.mssql.writing import refused, written


def where(condition: Any, version: str = "2012") -> str:
    """Return what a condition is written as in WHERE."""
    sql = written(version, lambda m: m.Person.select(m.Person.id).where(condition(m)))
    return sql.partition(" WHERE ")[2].replace("[t1].", "")


@pytest.mark.parametrize(
    ("condition", "sql"),
    [
        (lambda m: m.Person.active, "([active] = 1)"),
        (lambda m: ~m.Person.active, "NOT ([active] = 1)"),
        (lambda m: m.Person.age, "([age] <> 0)"),
        (lambda m: m.Person.active & (m.Person.age > 3), "(([active] = 1) AND ([age] > {3}))"),
        (lambda m: True, "1 = 1"),
        (lambda m: Value(None), "NULL = 1"),
        (lambda m: Value(0), "1 = 0"),
        (lambda m: m.Person.age.bin_and(2), "(([age] & {2}) <> 0)"),
        (lambda m: fn.COALESCE(m.Person.active, False), "(COALESCE([active], {False}) <> 0)"),
        (
            lambda m: Case(None, [(m.Person.active, 1)], 0),
            "(CASE WHEN ([active] = 1) THEN {1} ELSE {0} END <> 0)",
        ),
        (
            lambda m: (m.Person.age > 3) == m.Person.active,
            "(CASE WHEN ([age] > {3}) THEN 1 WHEN NOT ([age] > {3}) THEN 0 END = [active])",
        ),
        (
            lambda m: m.Person.name.is_null() == Value(True),
            "(CASE WHEN ([name] IS NULL) THEN 1 ELSE 0 END = {True})",
        ),
        (lambda m: SQL("[age] > 3"), "[age] > 3"),
        (lambda m: NodeList((m.Person.age, SQL("IS NOT NULL"))), "[age] IS NOT NULL"),
        (lambda m: m.Person.active.alias("x"), "([active] = 1)"),
        (lambda m: Expression(m.Person.age, "IS", 3), "([age] = {3} AND [age] IS NOT NULL)"),
        (lambda m: Expression(m.Person.age, "IS NOT", 3), "([age] <> {3} OR [age] IS NULL)"),
        (lambda m: Expression(m.Person.age, "IS", SQL("NULL")), "([age] IS NULL)"),
        (lambda m: Expression(m.Person.age, "IS", SQL("NOT NULL")), "([age] IS NOT NULL)"),
        (
            lambda m: Expression(m.Person.age, "IS", m.Person.id),
            "(CASE WHEN [age] = [id] THEN 1 WHEN [age] IS NULL AND [id] IS NULL THEN 1 ELSE 0 END = 1)",
        ),
        (lambda m: Expression(m.Person.age, "IS", Value(3)), "([age] = {3} AND [age] IS NOT NULL)"),
        (lambda m: Expression(m.Person.age, "IS", Value(None)), "([age] IS NULL)"),
        (
            lambda m: Expression(m.Person.age, "=", ~m.Person.active),
            "([age] = CASE WHEN NOT ([active] = 1) THEN 1 WHEN NOT NOT ([active] = 1) THEN 0 END)",
        ),
        (lambda m: Value(3, converter=int), "({3} <> 0)"),
        (lambda m: NodeList((fn.COUNT(m.Person.id), SQL("OVER ()"))), "(COUNT([id]) OVER () <> 0)"),
        (lambda m: NodeList((m.Person.active,)), "([active] = 1)"),
        (lambda m: Expression(m.Person.age, "=", 3, flat=True), "[age] = {3}"),
        (lambda m: Expression(m.Person.name, "+", "x") == "ax", "(([name] + {x}) = {ax})"),
        (lambda m: Expression(m.Person.name, "||", "x", flat=True) == "ax", "([name] + {x} = {ax})"),
        (lambda m: Expression(m.Person.age, "+", 1, flat=True) == 3, "([age] + {1} = {3})"),
        (lambda m: Expression(m.Person.age, "IN", NodeList(())), "0 = 1"),
        (lambda m: Expression(m.Person.age, "BETWEEN", SQL("1 AND 3")), "([age] BETWEEN 1 AND 3)"),
        (lambda m: m.Person.age.in_(Value([1, 2])), "([age] IN ({1}, {2}))"),
        (lambda m: m.Person.age.in_(n for n in (1, 2)), "([age] IN ({1}, {2}))"),
        (lambda m: m.Person.age.not_in(Value([])), "1 = 1"),
        (lambda m: m.Person.age[3:9], "([age] BETWEEN {3} AND {9})"),
        (lambda m: m.Person.name.contains("a"), "([name] LIKE {%a%})"),
        (lambda m: m.Person.name.contains("a[b"), "([name] LIKE {%a[[]b%})"),
        (lambda m: m.Person.name.contains("a_[b"), "([name] LIKE {%a[_][[]b%})"),
        (lambda m: m.Person.name % "A%", "([name] COLLATE Latin1_General_BIN LIKE {A%})"),
        (lambda m: m.Person.age.contains("1"), "(CAST([age] AS NVARCHAR(MAX)) LIKE {%1%})"),
        (
            lambda m: m.Person.name.contains(m.Person.city),
            "([name] LIKE REPLACE(({%} + ([city] + {%})), N'[', N'[[]'))",
        ),
        (lambda m: Tuple(m.Person.id, m.Person.age) == (1, 2), "(([id] = {1}) AND ([age] = {2}))"),
        (lambda m: Tuple(m.Person.id, m.Person.age) != Tuple(1, 2), "NOT (([id] = {1}) AND ([age] = {2}))"),
        (
            lambda m: Tuple(m.Person.id, m.Person.age).in_([(1, 2), (3, 4)]),
            "((([id] = {1}) AND ([age] = {2})) OR (([id] = {3}) AND ([age] = {4})))",
        ),
        (lambda m: Tuple(m.Person.id, m.Person.age).not_in([(1, 2)]), "NOT (([id] = {1}) AND ([age] = {2}))"),
    ],
)
def test_a_condition_is_written(condition: Any, sql: str) -> None:
    assert where(condition) == sql


def test_null_is_a_value_to_is_since_2022() -> None:
    assert where(lambda m: Expression(m.Person.age, "IS", 3), "2022") == "([age] IS NOT DISTINCT FROM {3})"
    assert (
        where(lambda m: Expression(m.Person.age, "IS NOT", m.Person.id), "2022")
        == "([age] IS DISTINCT FROM [id])"
    )


def test_rows_not_in_a_query_are_those_that_differ_for_certain() -> None:
    sql = written(
        "2012",
        lambda m: m.Liked.select(m.Liked.weight).where(
            Tuple(m.Liked.person, m.Liked.post).not_in(m.Post.select(m.Post.author, m.Post.id))
        ),
    )
    assert sql.partition(" WHERE ")[2] == (
        "NOT EXISTS (SELECT 1 FROM (SELECT [t2].[author_id], [t2].[id] FROM [post] AS [t2]) AS [_in] ([_1], "
        "[_2]) "
        "WHERE ([_in].[_1] = [t1].[person_id] OR [_in].[_1] IS NULL OR [t1].[person_id] IS NULL) AND "
        "([_in].[_2] = [t1].[post_id] OR [_in].[_2] IS NULL OR [t1].[post_id] IS NULL))"
    )


def test_rows_are_compared_for_equality_only_and_with_rows_only() -> None:
    refused(
        "2012",
        lambda m: m.Liked.select().where(Tuple(m.Liked.person, m.Liked.post) > (1, 2)),
        "a row of columns",
    )
    refused(
        "2012", lambda m: m.Liked.select().where(Tuple(m.Liked.person, m.Liked.post) == 1), "something else"
    )
    refused(
        "2012",
        lambda m: m.Liked.select().where(Tuple(m.Liked.person, m.Liked.post) == (1, 2, 3)),
        "something",
    )


def test_a_long_list_is_literals_and_a_short_one_parameters() -> None:
    database = corpus.database("2012")
    m = models.define(peewee.Model, database)
    long = corpus.compiled(database, m.Person.select().where(m.Person.id.in_(range(1001))))
    short = corpus.compiled(database, m.Person.select().where(m.Person.id.in_(range(1000))))
    assert (len(long.params), len(short.params)) == (0, 1000)


def test_the_collations_of_like_can_be_chosen() -> None:
    sql = written(
        "2012",
        lambda m: m.Person.select(m.Person.id).where(m.Person.name % "a"),
        like_collation="Latin1_General_100_BIN2",
    )
    assert "COLLATE Latin1_General_100_BIN2 LIKE" in sql


def test_regular_expressions_came_with_2025() -> None:
    assert where(lambda m: m.Person.name.regexp("^a"), "2025") == "REGEXP_LIKE([name], {^a}, 'c')"
    assert where(lambda m: m.Person.name.iregexp(m.Person.city), "2025") == "REGEXP_LIKE([name], [city], 'i')"
    value = written("2025", lambda m: m.Person.select(m.Person.name.regexp("^a").alias("x")))
    assert "CASE WHEN REGEXP_LIKE([t1].[name], {^a}, 'c') THEN 1" in value


def test_long_texts_are_cast_where_2000_cannot_compare_them() -> None:
    def post(m: models.Models) -> Any:
        return m.Post.select(m.Post.id).where((m.Post.body == "x") & m.Post.body.is_null(False))

    cast = "CAST([t1].[body] AS NVARCHAR(4000))"
    assert written("2000", post).endswith(f"WHERE (({cast} = {{x}}) AND ([t1].[body] IS NOT NULL))")
    assert written("2005", post).endswith("WHERE (([t1].[body] = {x}) AND ([t1].[body] IS NOT NULL))")
    assert f"DISTINCT {cast} AS [body]" in written("2000", lambda m: m.Post.select(m.Post.body).distinct())
    assert f"SELECT {cast} AS [b]" in written(
        "2000", lambda m: m.Post.select(m.Post.body.alias("b")) | m.Post.select(m.Post.title)
    )
    assert f"GROUP BY {cast}" in written(
        "2000", lambda m: m.Post.select(fn.COUNT(m.Post.id)).group_by(m.Post.body)
    )


def test_a_node_of_ones_own_says_itself_what_it_is() -> None:
    class Own(peewee.ColumnBase):
        def __init__(self, node: Any) -> None:
            self.node = node

        def __sql__(self, ctx: Any) -> Any:
            return ctx.sql(self.node)

    assert where(lambda m: Own(m.Person.age > 3)) == "([age] > {3})"
    assert where(lambda m: Own(m.Person.active)) == "([active] = 1)"
    assert "SELECT CASE WHEN" in written("2012", lambda m: m.Person.select(Own(m.Person.age > 3)))

    class Text(Own):
        def __sql__(self, ctx: Any) -> Any:
            return ctx.literal("EXISTS (SELECT ").sql(self.node).literal(")")

    assert where(lambda m: Text(m.Person.age)) == "EXISTS (SELECT [age])"
