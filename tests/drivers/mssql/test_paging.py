"""LIMIT and OFFSET in the forms of each version."""

from __future__ import annotations

import peewee
import pytest
from peewee import SQL, Value, fn

from tests.drivers.mssql import corpus, models
from tests.drivers.mssql.writing import refused, written


def test_a_page_is_top_row_number_or_offset() -> None:
    def page(m: models.Models) -> peewee.ModelSelect:
        return m.Counter.select(m.Counter.n).order_by(m.Counter.n.desc()).limit(3).offset(2)

    assert written("2000", page) == "SELECT TOP 5 [t1].[n] FROM [counter] AS [t1] ORDER BY [t1].[n] DESC"
    assert written("2008", page) == (
        "SELECT [_p].[_c1] AS [n] FROM (SELECT [t1].[n] AS [_c1], ROW_NUMBER() OVER (ORDER BY [t1].[n] DESC) "
        "AS [_rn] FROM [counter] AS [t1]) AS [_p] WHERE [_p].[_rn] > 2 "
        "AND [_p].[_rn] <= 5 ORDER BY [_p].[_rn]"
    )
    assert written("2012", page) == (
        "SELECT [t1].[n] FROM [counter] AS [t1] ORDER BY [t1].[n] DESC OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY"
    )


def test_the_client_skips_rows_for_2000() -> None:
    database = corpus.database("2000")
    m = models.define(peewee.Model, database)
    query = m.Counter.select().order_by(m.Counter.id)
    assert corpus.compiled(database, query.limit(3).offset(2)).skip == 2
    assert corpus.compiled(database, query.offset(2)).skip == 2
    assert corpus.compiled(database, query.limit(2)).skip == 0
    union = (query.order_by() | query.order_by()).order_by(SQL("id")).limit(2).offset(3)
    assert corpus.compiled(database, union).skip == 3
    distinct = m.Counter.select(m.Counter.n).distinct().order_by(m.Counter.n + 1).limit(2).offset(1)
    assert corpus.compiled(database, distinct).skip == 1


@pytest.mark.parametrize("version", corpus.VERSIONS)
def test_no_page_has_no_rows_and_numbers_of_other_kinds_are_understood(version: str) -> None:
    top = "TOP 0" if version == "2000" else "TOP (0)"
    assert top in written(version, lambda m: m.Counter.select().limit(0).offset(7))
    assert "TOP" not in written(version, lambda m: m.Counter.select().limit(-1))
    assert "OFFSET" not in written(
        version, lambda m: m.Counter.select().order_by(m.Counter.id).limit(2).offset(-3)
    )
    assert "3" in written(version, lambda m: m.Counter.select().limit(Value(3)))
    assert "TOP 1 " in written(version, lambda m: m.Counter.select().limit(True)).replace("(1)", "1")


def test_a_limit_can_be_computed_since_2005() -> None:
    def computed(m: models.Models) -> peewee.ModelSelect:
        count = m.Setting.select(fn.COUNT(m.Setting.key))
        return m.Counter.select(m.Counter.n).order_by(m.Counter.id).limit(count).offset(Value(1) + 1)

    refused("2000", lambda m: computed(m).offset(None), "a LIMIT that is computed")
    refused("2000", computed, "OFFSET in a subquery, or one that is computed")
    assert "[_rn] <= ((" in written("2005", computed)
    assert "OFFSET (({1} + {1})) ROWS FETCH NEXT ((SELECT" in written("2012", computed)
    assert "TOP ({2.5})" in written("2012", lambda m: m.Counter.select().limit(2.5))


def test_a_page_without_an_order_still_has_one() -> None:
    assert "ORDER BY (SELECT NULL) OFFSET 2 ROWS" in written("2012", lambda m: m.Counter.select().offset(2))
    assert "OVER (ORDER BY (SELECT NULL))" in written("2005", lambda m: m.Counter.select().offset(2))
    distinct = written("2012", lambda m: m.Counter.select(m.Counter.n).distinct().offset(2))
    assert distinct.endswith("ORDER BY 1 OFFSET 2 ROWS")
    union = written(
        "2012", lambda m: (m.Counter.select(m.Counter.n) | m.Setting.select(m.Setting.hits)).offset(2)
    )
    assert union.endswith("ORDER BY 1 OFFSET 2 ROWS")


def test_a_star_is_spelled_out_for_a_numbered_page() -> None:
    def star(m: models.Models) -> peewee.Select:
        inner = m.Counter.select(m.Counter.id, m.Counter.n).alias("q")
        return peewee.Select((inner,), (SQL("*"),)).order_by(inner.c.n).offset(1)

    assert "[_p].[_c1] AS [id], [_p].[_c2] AS [n]" in written("2008", star)
    table = peewee.Table("loose")
    refused("2008", lambda m: peewee.Select((table,), (SQL("*"),)).offset(1), "OFFSET over a selection of")
    known = peewee.Table("tight", ("a", "b"))
    assert "AS [a], [_p].[_c2] AS [b]" in written(
        "2008", lambda m: peewee.Select((known,), (SQL("*"),)).offset(1)
    )
    both = written("2008", lambda m: m.Counter.select(SQL("*")).join(m.Setting, peewee.JOIN.CROSS).offset(1))
    assert both.count("_c5") == 2


def test_distinct_rows_are_sorted_by_what_is_selected_only() -> None:
    def by_other(m: models.Models) -> peewee.ModelSelect:
        return m.Person.select(m.Person.city).distinct().order_by(m.Person.age)

    refused("2022", by_other, r"ORDER BY \[t1\].\[age\], which is not selected")

    assert written("2022", lambda m: m.Person.select(m.Person.age).distinct().order_by(0 - m.Person.age)) == (
        "SELECT [_d].[_c1] AS [age] FROM (SELECT DISTINCT [t1].[age] AS [_c1] FROM [person] AS [t1]) AS [_d] "
        "ORDER BY ({0} - [_d].[_c1])"
    )
    paged = written(
        "2008",
        lambda m: m.Person.select(m.Person.age).distinct().order_by(m.Person.age * 2).limit(2).offset(1),
    )
    assert "ROW_NUMBER() OVER (ORDER BY ([_d].[_c1] * {2})) AS [_rn] FROM (SELECT DISTINCT" in paged
