"""Names, whatever is in them, and the names of columns where T-SQL demands one for each."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import SQL, CharField, IntegerField, fn

from tests.drivers.mssql import corpus, grammar, lint, models
from tests.drivers.mssql.writing import written

NAMES = [
    "plain",
    "two words",
    "we]ird [t",
    'quo"te',
    "it's",
    "semi;colon",
    "select",
    "🦀",
    "per%cent%s",
    "a.b",
    "--",
    "/*",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", ["2000", "2008", "2022"])
def test_any_name_is_only_a_name(name: str, version: str) -> None:
    database = corpus.database(version)

    class Odd(peewee.Model):
        one = CharField(column_name=name)
        n = IntegerField()

        class Meta:
            table_name = name
            schema = name

    odd = Odd
    database.bind([odd])
    for query in (
        odd.select(odd.one.alias(name)).where(odd.one == "x").order_by(odd.one),
        odd.select(odd.one, fn.COUNT(odd.n).alias(name)).group_by(odd.one),
        odd.insert(one="x", n=1),
        odd.update(one="y").where(odd.n == 1),
        odd.delete().where(odd.one == "x"),
        odd.select().limit(1).for_update(),
    ):
        statement = corpus.compiled(database, query)
        assert grammar.rejections([statement.sql], version) == {}
        assert lint.complaints(statement, version) == []
        assert f"[{name.replace(']', ']]')}]" in statement.sql


def test_schemas_and_temporary_tables() -> None:
    table = peewee.Table("#work", ("a",), schema="dbo")
    assert written("2000", lambda m: table.select(table.a)) == "SELECT [t1].[a] FROM [dbo].[#work] AS [t1]"


def test_columns_of_derived_tables_have_names_and_no_two_the_same() -> None:
    def pair(m: Any) -> Any:
        inner = m.Post.select(
            m.Post.id, m.Person.id, fn.COUNT(m.Post.id), SQL("1"), m.Post.title.alias("_c3")
        )
        inner = inner.join(m.Person).group_by(m.Post.id, m.Person.id, m.Post.title).alias("q")
        return peewee.Select((inner,), (fn.COUNT(SQL("*")),))

    assert written("2005", pair) == (
        "SELECT COUNT(*) FROM (SELECT [t1].[id], [t2].[id] AS [_c2], COUNT([t1].[id]) AS [__c3], 1 AS [_c4], "
        "[t1].[title] AS [_c3] FROM [post] AS [t1] INNER JOIN [person] AS [t2] "
        "ON ([t1].[author_id] = [t2].[id]) GROUP BY [t1].[id], [t2].[id], [t1].[title]) AS [q]"
    )


def test_a_selected_model_of_a_subquery_is_its_key() -> None:
    sql = written("2012", lambda m: m.Post.select(m.Post.id).where(m.Post.author.in_(m.Person.select())))
    assert sql.endswith("WHERE ([t1].[author_id] IN (SELECT [t2].[id] FROM [person] AS [t2]))")
    composite = written("2012", lambda m: m.Liked.select(m.Liked._meta.primary_key))
    assert composite == "SELECT [t1].[person_id], [t1].[post_id] FROM [liked] AS [t1]"


def test_a_sql_fragment_with_a_name_is_not_named_again() -> None:
    inner = peewee.Select(columns=(SQL("1 AS [one]"), SQL("2"))).alias("q")
    assert written("2012", lambda m: peewee.Select((inner,), (inner.c.one,))) == (
        "SELECT [q].[one] FROM (SELECT 1 AS [one], 2 AS [_c2]) AS [q]"
    )


def piece(node: Any, *, is_value: bool = False) -> Any:
    """Return the SQL and the parameters of a part of a query; as it is where values are set if asked."""
    context = corpus.database("2012").get_sql_context()
    if not is_value:
        return context.sql(node).query()
    with context.scope_values():
        return context.sql(node).query()


def test_where_values_are_set_a_name_stands_without_its_source() -> None:
    m = models.define(peewee.Model, corpus.database("2012"))
    assert piece(m.Order.odd, is_value=True) == ("[we]]ird [name]", [])
    assert piece(m.Order.alias("o").odd, is_value=True) == ("[we]]ird [name]", [])
    assert piece(m.Order.word.alias("a]s"), is_value=True) == ("[a]]s]", [])


def test_an_attribute_of_a_namespace_is_the_column_of_its_field() -> None:
    m = models.define(peewee.Model, corpus.database("2012"))
    assert piece(peewee.NamespaceAttribute(peewee.EXCLUDED, m.Post.author)) == ("EXCLUDED.[author_id]", [])
    assert piece(peewee.EXCLUDED.author_id) == ("EXCLUDED.[author_id]", [])


def test_a_composite_key_by_itself_is_a_row_of_its_columns() -> None:
    m = models.define(peewee.Model, corpus.database("2012"))
    assert piece(m.Liked._meta.primary_key) == ("([t1].[person_id], [t1].[post_id])", [])


def test_a_fragments_values_stay_values() -> None:
    fragment = SQL("[age] > ? AND [city] = ?", (30, "'; DROP TABLE person --"))
    assert piece(fragment) == ("[age] > ? AND [city] = ?", [30, "'; DROP TABLE person --"])


def test_a_list_has_its_parentheses_once() -> None:
    m = models.define(peewee.Model, corpus.database("2012"))
    assert piece(peewee.NodeList((), parens=True)) == ("()", [])
    assert piece(peewee.NodeList(())) == ("", [])
    assert piece(peewee.NodeList((m.Person.age + 1,), parens=True)) == ("([t1].[age] + ?)", [1])
    assert piece(peewee.NodeList((m.Person.age + 1, SQL("2")), ", ", True)) == ("(([t1].[age] + ?), 2)", [1])


def test_a_list_of_values_is_as_many_parameters() -> None:
    assert piece(peewee.Value([1, "a, b", None])) == ("(?, ?, ?)", [1, "a, b", None])
    assert written("2012", lambda m: m.Person.select(m.Person.id).where(m.Person.age << [1, 2])) == (
        "SELECT [t1].[id] FROM [person] AS [t1] WHERE ([t1].[age] IN ({1}, {2}))"
    )


def test_pages_of_distinct_rows_are_sorted_by_the_names_that_the_rows_have_outside() -> None:
    def page(m: Any) -> Any:
        posts = m.Post.select(m.Post.author, fn.COUNT(m.Post.id).alias("n")).group_by(m.Post.author)
        q = posts.alias("q")
        rows = m.Person.select(m.Person.city, q.c.n).distinct().join(q, on=(q.c.author_id == m.Person.id))
        return rows.order_by(q.c.n * 2, m.Person.city).limit(3).offset(2)

    sql = written("2005", page)
    assert "ROW_NUMBER() OVER (ORDER BY ([_d].[_c2] * {2}), [_d].[_c1]) AS [_rn]" in sql
    assert "SELECT DISTINCT [t1].[city] AS [_c1], [q].[n] AS [_c2] FROM" in sql
