"""Windows, table expressions, compounds, joins, lists of values and locks."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import JOIN, SQL, Select, ValuesList, Window, fn

from tests.drivers.mssql import models
from tests.drivers.mssql.writing import refused, written


def over(function: Any, version: str = "2012", **window: Any) -> str:
    """Return what a window is written as."""
    sql = written(
        version, lambda m: m.Post.select(function(m.Post).over(**{k: v(m.Post) for k, v in window.items()}))
    )
    return sql.removeprefix("SELECT ").partition(" FROM ")[0].replace("[t1].", "")


def test_a_window_has_the_order_and_the_frame_that_its_function_takes() -> None:
    assert over(lambda p: fn.ROW_NUMBER()) == "ROW_NUMBER() OVER (ORDER BY (SELECT NULL))"
    assert over(
        lambda p: fn.RANK(), order_by=lambda p: [p.at.desc()], start=lambda p: Window.preceding()
    ) == ("RANK() OVER (ORDER BY [at] DESC)")
    assert over(lambda p: fn.SUM(p.price), partition_by=lambda p: [p.author], version="2005") == (
        "SUM([price]) OVER (PARTITION BY [author_id])"
    )
    start, end = Window.preceding(2), Window.following(1)
    assert over(lambda p: fn.SUM(p.price), start=lambda p: start, end=lambda p: end) == (
        "SUM([price]) OVER (ORDER BY (SELECT NULL) ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)"
    )
    assert over(
        lambda p: fn.FIRST_VALUE(p.price), order_by=lambda p: [p.at], start=lambda p: Window.CURRENT_ROW
    ) == ("FIRST_VALUE([price]) OVER (ORDER BY [at] ROWS CURRENT ROW)")


def test_a_window_is_written_where_it_is_used_with_what_it_extends() -> None:
    def query(m: models.Models) -> Any:
        base = Window(partition_by=[m.Post.author], alias="base")
        more = Window(order_by=[m.Post.at], extends=base, alias="more").as_range()
        chosen = m.Post.select(fn.SUM(m.Post.price).over(more), fn.COUNT(m.Post.id).over(base))
        return chosen.window(base, more)

    assert written("2012", query) == (
        "SELECT SUM([t1].[price]) OVER (PARTITION BY [t1].[author_id] ORDER BY [t1].[at] RANGE UNBOUNDED "
        "PRECEDING), "
        "COUNT([t1].[id]) OVER (PARTITION BY [t1].[author_id]) FROM [post] AS [t1]"
    )


@pytest.mark.parametrize(
    ("version", "build", "reason"),
    [
        ("2000", lambda p: fn.RANK().over(order_by=[p.at]), "window functions, which needs SQL Server 2005"),
        ("2008", lambda p: fn.LAG(p.at).over(order_by=[p.at]), r"LAG\(\), which needs SQL Server 2012"),
        ("2008", lambda p: fn.SUM(p.price).over(order_by=[p.at]), "with ORDER BY or a frame"),
        ("2025", lambda p: fn.NTH_VALUE(p.at, 2).over(order_by=[p.at]), "NTH_VALUE"),
        (
            "2025",
            lambda p: fn.SUM(p.price).over(order_by=[p.at], start="1 PRECEDING", frame_type="GROUPS"),
            "GROUPS",
        ),
        (
            "2025",
            lambda p: fn.SUM(p.price).over(order_by=[p.at], start="1 PRECEDING", frame_type="RANGE"),
            "RANGE 1",
        ),
        (
            "2025",
            lambda p: fn.SUM(p.price).over(order_by=[p.at], start="1 PRECEDING", exclude="TIES"),
            "EXCLUDE",
        ),
        ("2025", lambda p: fn.COUNT(p.price.distinct()).over(partition_by=[p.at]), "DISTINCT inside"),
        ("2025", lambda p: fn.RANK().over(Window(order_by=[p.at], extends="w")), "extends 'w'"),
    ],
)
def test_a_window_that_a_version_lacks_is_refused(version: str, build: Any, reason: str) -> None:
    refused(version, lambda m: m.Post.select(build(m.Post)), reason)


def test_table_expressions_stand_in_front_with_their_parameters() -> None:
    def query(m: models.Models) -> Any:
        old = m.Person.select(m.Person.id).where(m.Person.age > 40).cte("old")
        inner = Select((old,), (old.c.id,)).with_cte(old)
        twice = m.Post.select(m.Post.id).where(
            m.Post.stars > 1, m.Post.author.in_(inner) | m.Post.parent.in_(inner)
        )
        return m.Post.delete().where(m.Post.id.in_(twice))

    assert written("2005", query) == (
        "WITH [old] AS (SELECT [t3].[id] FROM [person] AS [t3] WHERE ([t3].[age] > {40})) DELETE FROM "
        "[post] WHERE "
        "([post].[id] IN (SELECT [post].[id] FROM [post] AS [post] WHERE (([post].[stars] > {1}) AND "
        "(([post].[author_id] IN (SELECT [old].[id] FROM [old])) OR ([post].[parent_id] IN "
        "(SELECT [old].[id] FROM [old]))))))"
    ).replace("t3", "t1")
    assert "FROM (SELECT [t1].[id] FROM [person]" in written("2000", query)


def test_table_expressions_that_t_sql_does_not_have_are_refused() -> None:
    def two(m: models.Models) -> Any:
        one, other = m.Person.select(m.Person.id).cte("x"), m.Post.select(m.Post.id).cte("x")
        return Select((one, other), (one.c.id,)).with_cte(one, other)

    def write(m: models.Models) -> Any:
        gone = m.Counter.delete().returning(m.Counter.id).cte("gone")
        return Select((gone,), (gone.c.id,)).with_cte(gone)

    def recursive(step: Any, op: str = "union_all") -> Any:
        def query(m: models.Models) -> Any:
            base = m.Post.select(m.Post.id).cte("tree", recursive=True)
            again = m.Post.alias()
            more = step(again.select(again.id).join(base, on=(again.parent == base.c.id)))
            tree = getattr(base, op)(more)
            return tree.select_from(tree.c.id)

        return query

    refused("2012", two, "two common table expressions with the name 'x'")
    refused("2012", write, "INSERT, UPDATE or DELETE in a WITH clause")
    refused("2012", recursive(lambda q: q.distinct()), "GROUP BY, DISTINCT or LIMIT in the step")
    refused("2012", recursive(lambda q: q, "union"), "UNION in a recursive")
    assert written("2012", recursive(lambda q: q)).endswith(" OPTION (MAXRECURSION 0)")
    refused("2000", recursive(lambda q: q), "SQL Server 2005")
    columns = written(
        "2000",
        lambda m: (lambda c: Select((c,), (c.c.a,)).with_cte(c))(
            m.Person.select(m.Person.id).cte("c", columns=("a",))
        ),
    )
    assert columns.endswith("AS [c] ([a])")


def test_compounds_keep_their_grouping_order_and_pages() -> None:
    def parts(m: models.Models) -> Any:
        return m.Person.select(m.Person.id), m.Post.select(m.Post.id), m.Counter.select(m.Counter.n)

    def nested(m: models.Models) -> Any:
        one, two, three = parts(m)
        return one - (two | three)

    assert written("2005", nested) == (
        "SELECT [t1].[id] FROM [person] AS [t1] EXCEPT (SELECT [t2].[id] FROM [post] AS [t2] "
        "UNION SELECT [t3].[n] FROM [counter] AS [t3])"
    )

    def limited(m: models.Models) -> Any:
        one, two, three = parts(m)
        return one | (two | three).order_by(SQL("id")).limit(2)

    assert "UNION SELECT * FROM (SELECT TOP (2) * FROM (" in written("2005", limited)
    page = written(
        "2008", lambda m: (parts(m)[0] | parts(m)[1]).order_by(SQL("id").desc()).limit(2).offset(1)
    )
    assert page.startswith(
        "SELECT [_p].[id] FROM (SELECT [_u].[id], ROW_NUMBER() OVER (ORDER BY [_u].[id] DESC) AS [_rn]"
    )
    twice = written("2012", lambda m: (parts(m)[0] | parts(m)[1]).order_by(SQL("id"), SQL("id")))
    assert twice.endswith("ORDER BY [id]")
    inner = written(
        "2012", lambda m: Select(((parts(m)[0] | parts(m)[1]).order_by(SQL("id")).alias("q"),), (SQL("*"),))
    )
    assert "ORDER BY" not in inner


def test_joins_and_lists_of_values() -> None:
    inner = written("2012", lambda m: Select((m.Person._meta.table * m.Post._meta.table,), (SQL("1"),)))
    assert inner.endswith("FROM [person] AS [t1] CROSS JOIN [post] AS [t2]")
    bare = written("2012", lambda m: Select((m.Person._meta.table & m.Post._meta.table,), (SQL("1"),)))
    assert "CROSS JOIN" in bare
    left = written("2012", lambda m: Select((m.Person._meta.table + m.Post._meta.table,), (SQL("1"),)))
    assert left.endswith("LEFT OUTER JOIN [post] AS [t2] ON 1 = 1")
    refused("2012", lambda m: m.Post.select().join(m.Person, JOIN.NATURAL, on=True), "NATURAL JOIN")
    values = ValuesList([(1, "a"), (2, "b")])
    assert "(VALUES ({1}, {a}), ({2}, {b})) AS [t1] ([column1], [column2])" in written(
        "2012", lambda m: Select((values,), (SQL("*"),))
    )
    assert "(SELECT {1} AS [column1], {a} AS [column2] UNION ALL SELECT {2}, {b}) AS [t1]" in written(
        "2000", lambda m: Select((values,), (SQL("*"),))
    )
    one = ValuesList([(1,), (2,)])
    assert "IN (SELECT {1} AS [column1] UNION ALL SELECT {2})" in written(
        "2012", lambda m: m.Person.select(m.Person.id).where(m.Person.id.in_(one))
    )


def test_lateral_is_apply() -> None:
    def lateral(kind: Any, on: Any = None) -> Any:
        def query(m: models.Models) -> Any:
            last = m.Post.select(m.Post.id.alias("pid")).where(m.Post.author == m.Person.id)
            last = last.order_by(m.Post.at).limit(1).alias("last")
            return m.Person.select(m.Person.id, last.c.pid).join(last, kind, on=on)

        return query

    assert " CROSS APPLY (SELECT TOP (1) " in written("2005", lateral(JOIN.LATERAL))
    assert " OUTER APPLY (SELECT TOP (1) " in written("2005", lateral(JOIN.LEFT_LATERAL))
    refused("2000", lateral(JOIN.LATERAL), "LATERAL, which needs SQL Server 2005")
    refused("2012", lateral(JOIN.LATERAL, SQL("1 = 2")), "LATERAL with ON")

    def listed(m: models.Models) -> Any:
        each = m.Post.select(m.Post.id).where(m.Post.author == m.Person.id).alias("each").lateral()
        return Select((m.Person, each), (each.c.id,))

    assert "FROM [person] AS [t1] CROSS APPLY (SELECT" in written("2005", listed).replace("[t2]", "[t1]")


def test_locks_are_hints_behind_tables() -> None:
    def query(**lock: Any) -> Any:
        return lambda m: (
            m.Post.select(m.Post.id)
            .join(m.Person)
            .for_update(**{key: value(m) if callable(value) else value for key, value in lock.items()})
        )

    both = written("2000", query(for_update=True))
    assert both.count(" WITH (UPDLOCK, ROWLOCK)") == 2
    assert "[post] AS [t1] INNER JOIN [person] AS [t2] WITH (UPDLOCK, ROWLOCK, READPAST)" in written(
        "2012", query(of=lambda m: m.Person, skip_locked=True)
    )
    assert "[post] AS [t1] WITH (UPDLOCK, ROWLOCK, NOWAIT) INNER" in written(
        "2012", query(for_update="FOR UPDATE NOWAIT", of=lambda m: (m.Post._meta.table,))
    )
    assert "REPEATABLEREAD, ROWLOCK" in written("2012", query(for_update="FOR SHARE"))
    refused("2012", query(for_update="FOR KEY"), "Use FOR UPDATE or FOR SHARE")
    alias = written(
        "2012", lambda m: (lambda a: a.select(a.id).for_update(of=peewee.Entity("a")))(m.Person.alias("a"))
    )
    assert "[person] AS [a] WITH (UPDLOCK, ROWLOCK)" in alias
    inner = written(
        "2012",
        lambda m: (
            m.Person.select(m.Person.id).where(m.Person.id.in_(m.Post.select(m.Post.author))).for_update()
        ),
    )
    assert inner.count("UPDLOCK") == 1


def test_a_query_without_rows_and_one_of_raw_sql() -> None:
    assert written("2000", lambda m: m.Person.noop()) == "SELECT 0 AS [_c1] WHERE 1 = 0"
    assert written("2000", lambda m: peewee.RawQuery("SELECT 1 WHERE 1 = 1")) == "SELECT 1 WHERE 1 = 1"
