"""Functions by the names and in the forms of T-SQL, in the version that has them; casts and dates too."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import peewee
import pytest
from peewee import SQL, Case, Cast, NodeList, TimestampField, Value, fn

from peewee_multidb.drivers.mssql import MSSQLDatabase
from peewee_multidb.drivers.mssql.literals import literal
from peewee_multidb.drivers.mssql.version import ServerVersion
from tests.drivers.mssql import corpus, grammar, lint
from tests.drivers.mssql.writing import refused, written


def value(build: Any, version: str = "2012") -> str:
    """Return what an expression is written as where a value is expected."""
    sql = written(version, lambda m: m.Post.select(build(m.Post).alias("x")))
    return sql.removeprefix("SELECT ").partition(" AS [x] FROM ")[0].replace("[t1].", "")


@pytest.mark.parametrize(
    ("build", "sql"),
    [
        (lambda p: fn.LENGTH(p.title), "(LEN([title] + N'.') - 1)"),
        (lambda p: fn.LENGTH(p.stars), "(LEN(CAST([stars] AS NVARCHAR(MAX)) + N'.') - 1)"),
        (lambda p: fn.SUBSTR(p.title, 2, 3), "SUBSTRING([title], {2}, {3})"),
        (lambda p: fn.SUBSTR(p.title, p.stars), "SUBSTRING([title], [stars], 2147483647)"),
        (lambda p: fn.SUBSTR(p.title, -3), "RIGHT([title], 3)"),
        (lambda p: fn.CEIL(p.price), "CEILING([price])"),
        (lambda p: fn.POW(p.stars, 2), "POWER([stars], {2})"),
        (lambda p: fn.MOD(p.stars, 2), "([stars] % {2})"),
        (lambda p: fn.ROUND(p.price), "ROUND([price], 0)"),
        (lambda p: fn.ROUND(p.price, 1), "ROUND([price], {1})"),
        (lambda p: fn.TRUNC(p.price), "ROUND([price], 0, 1)"),
        (lambda p: fn.TRUNCATE(p.price, 1), "ROUND([price], {1}, 1)"),
        (lambda p: fn.NOW(), "SYSDATETIME()"),
        (lambda p: fn.RANDOM(), "CHECKSUM(NEWID())"),
        (lambda p: fn.IF(p.stars > 1, "a", "b"), "CASE WHEN ([stars] > {1}) THEN {a} ELSE {b} END"),
        (lambda p: fn.IIF(p.stars > 1, "a"), "CASE WHEN ([stars] > {1}) THEN {a} END"),
        (lambda p: fn.STRPOS(p.title, "x"), "CHARINDEX({x}, [title])"),
        (lambda p: fn.STDDEV(p.stars), "STDEV([stars])"),
        (lambda p: fn.AVG(p.stars), "AVG(CAST([stars] AS FLOAT))"),
        (lambda p: fn.AVG(p.price), "AVG([price])"),
        (lambda p: fn.SUM(p.stars.distinct()), "SUM(DISTINCT CAST([stars] AS BIGINT))"),
        (
            lambda p: fn.SUM(p.stars > 1),
            "SUM(CASE WHEN ([stars] > {1}) THEN 1 WHEN NOT ([stars] > {1}) THEN 0 END)",
        ),
        (lambda p: fn.COUNT(), "COUNT(*)"),
        (
            lambda p: fn.COUNT(p.stars.distinct()).filter(p.stars > 1),
            "COUNT(DISTINCT CASE WHEN ([stars] > {1}) THEN [stars] END)",
        ),
        (
            lambda p: fn.LEAST(p.stars, 3),
            "(SELECT MIN([_v].[v]) FROM (SELECT [stars] AS [v] UNION ALL SELECT {3}) AS [_v])",
        ),
        (lambda p: fn.CONCAT(p.title, p.stars), "CONCAT([title], [stars])"),
        (lambda p: p.at.concat("!"), "(CONVERT(NVARCHAR(30), [at], 121) + {!})"),
        (lambda p: "a" + p.title, "({a} + [title])"),
        (lambda p: p.stars ^ 3, "([stars] ^ {3})"),
        (lambda p: Cast(p.at, "text"), "CONVERT(NVARCHAR(MAX), [at], 121)"),
        (lambda p: p.stars.cast("varchar(9)"), "CAST([stars] AS NVARCHAR(9))"),
        (lambda p: p.title.cast("varchar"), "CAST([title] AS NVARCHAR(MAX))"),
        (lambda p: p.title.cast("blob"), "CAST([title] AS VARBINARY(MAX))"),
        (lambda p: p.title.cast("timestamp"), "CAST([title] AS DATETIME2)"),
        (lambda p: p.title.cast("double precision"), "CAST([title] AS FLOAT)"),
        (lambda p: p.title.cast("uuid"), "CAST([title] AS UNIQUEIDENTIFIER)"),
        (lambda p: p.at.cast("date"), "CAST([at] AS DATE)"),
        (lambda p: fn.DATE(p.at), "CAST([at] AS DATE)"),
        (lambda p: fn.DATE_PART("doy", p.at), "DATEPART(dayofyear, [at])"),
        (lambda p: fn.YEAR(p.at), "DATEPART(year, [at])"),
        (lambda p: fn.DATE_TRUNC("month", p.at), "DATEADD(month, DATEDIFF(month, 0, [at]), 0)"),
        (lambda p: p.at.truncate("week"), "DATEADD(day, DATEDIFF(day, 0, [at]) / 7 * 7, 0)"),
        (
            lambda p: p.at.truncate("second"),
            "DATEADD(second, DATEDIFF(second, '20000101', [at]), '20000101')",
        ),
    ],
)
def test_a_function_is_written(build: Any, sql: str) -> None:
    assert value(build) == sql


def test_what_changed_with_the_versions() -> None:
    assert value(lambda p: fn.NOW(), "2005") == "GETDATE()"
    assert value(lambda p: fn.TRIM(p.title), "2012") == "LTRIM(RTRIM([title]))"
    assert value(lambda p: fn.TRIM(p.title), "2019") == "TRIM([title])"
    assert value(lambda p: fn.CONCAT(p.title, 1), "2008") == (
        "(COALESCE([title], N'') + COALESCE(CAST({1} AS NVARCHAR(MAX)), N''))"
    )
    assert value(lambda p: fn.GREATEST(p.stars, 3), "2022") == "GREATEST([stars], {3})"
    assert value(lambda p: fn.DATE(p.at), "2005") == "DATEADD(day, DATEDIFF(day, 0, [at]), 0)"
    assert value(lambda p: p.at.cast("date"), "2005") == "DATEADD(day, DATEDIFF(day, 0, [at]), 0)"
    assert value(lambda p: p.title.cast("datetime"), "2005") == "CAST([title] AS DATETIME)"
    assert value(lambda p: p.title.cast("time"), "2005") == "CAST([title] AS DATETIME)"
    assert value(lambda p: p.title.cast("text"), "2000") == "CAST([title] AS NVARCHAR(4000))"
    assert value(lambda p: p.title.cast("blob"), "2000") == "CAST([title] AS VARBINARY(8000))"
    assert value(lambda p: fn.LOWER(p.body), "2000") == "LOWER(CAST([body] AS NVARCHAR(4000)))"
    assert value(lambda p: p.at.to_timestamp(), "2016") == "DATEDIFF_BIG(second, '19700101', [at])"
    assert value(lambda p: p.at.to_timestamp(), "2012") == (
        "(CAST(DATEDIFF(day, '19700101', [at]) AS BIGINT) * 86400 + DATEDIFF(second, DATEADD(day, "
        "DATEDIFF(day, 0, [at]), 0), [at]))"
    )
    assert value(lambda p: fn.DATE_PART("week", p.at), "2008") == "DATEPART(iso_week, [at])"


def test_timestamps_are_dates_of_seconds() -> None:
    class Event(peewee.Model):
        at = TimestampField(resolution=1000)

    database = MSSQLDatabase(None, server_version="2012")
    database.bind([Event])
    statement = corpus.compiled(database, Event.select(Event.at.year, Event.at.from_timestamp()))
    assert statement.sql.startswith(
        "SELECT DATEPART(year, DATEADD(second, ([t1].[at] / @p0) % 86400, DATEADD(day, "
        "([t1].[at] / @p1) / 86400, "
    )
    assert statement.params == [1000] * 4
    assert not grammar.rejections([statement.sql], "2012") and not lint.complaints(statement, "2012")


@pytest.mark.parametrize(
    ("version", "build", "reason"),
    [
        ("2008", lambda p: fn.FORMAT(p.price, "N"), r"FORMAT\(\), which needs SQL Server 2012"),
        ("2012", lambda p: fn.JSON_VALUE(p.title, "$"), r"JSON_VALUE\(\), which needs SQL Server 2016"),
        ("2022", lambda p: fn.REGEXP_REPLACE(p.title, "a", "b"), "SQL Server 2025"),
        ("2025", lambda p: fn.ARRAY_AGG(p.title), r"cannot do ARRAY_AGG\(\)"),
        ("2025", lambda p: fn.STRFTIME("%Y", p.at), "date parts"),
        ("2025", lambda p: fn.SUM(p.stars).order_by(p.stars), r"ORDER BY inside SUM\(\)"),
        ("2025", lambda p: fn.SUBSTR(p.title, -3, 2), "RIGHT and LEFT"),
        ("2025", lambda p: fn.TRIM(p.title, "x"), "Strip the text"),
        ("2025", lambda p: fn.DATE_PART(p.title, p.at), "Name the part"),
        ("2025", lambda p: fn.DATE_PART("epoch", p.at), "the date part 'epoch'"),
        ("2025", lambda p: fn.DATE_TRUNC("century", p.at), "truncating to 'century'"),
        ("2005", lambda p: fn.DATE_PART("week", p.at), "ISO week"),
        ("2025", lambda p: fn.SUM(SQL("*")).filter(p.stars > 1), r"FILTER on sum\(\*\)"),
        ("2000", lambda p: fn.GROUP_CONCAT(p.title), "SQL Server 2005"),
        ("2016", lambda p: fn.GROUP_CONCAT(p.title, p.body), "over anything but tables grouped by columns"),
        ("2019", lambda p: fn.GROUP_CONCAT(p.title.distinct()), "a subquery with DISTINCT"),
    ],
)
def test_a_function_that_a_version_lacks_is_refused(version: str, build: Any, reason: str) -> None:
    refused(version, lambda m: m.Post.select(build(m.Post)), reason)


def test_texts_are_joined_in_an_order() -> None:
    sql = value(lambda p: fn.GROUP_CONCAT(p.title, "; ").order_by(p.stars.desc()), "2022")
    assert sql == "STRING_AGG(CAST([title] AS NVARCHAR(MAX)), N'; ') WITHIN GROUP (ORDER BY [stars] DESC)"
    assert value(lambda p: fn.STRING_AGG(p.at, Value("|")), "2022") == (
        "STRING_AGG(CONVERT(NVARCHAR(30), [at], 121), N'|')"
    )


def test_nulls_are_sorted_by_what_an_alias_stands_for() -> None:
    last = SQL("x").desc(nulls="last")
    sql = written("2012", lambda m: m.Person.select(m.Person.city.alias("x")).order_by(last))
    assert sql.endswith("ORDER BY CASE WHEN ([t1].[city] IS NULL) THEN {1} ELSE {0} END, [x] DESC")


def test_texts_are_joined_by_way_of_xml_before_2017() -> None:
    def joined(m: Any) -> Any:
        titles = fn.GROUP_CONCAT(m.Post.title, ", ").order_by(m.Post.id).alias("titles")
        query = m.Person.select(m.Person.city, titles).join(m.Post).where(m.Post.stars > 1)
        return query.group_by(m.Person.city)

    assert written("2005", joined) == (
        "SELECT [t1].[city], STUFF((SELECT N', ' + CAST([t2].[title] AS NVARCHAR(MAX)) FROM [person] AS [t3] "
        "INNER JOIN [post] AS [t2] ON ([t2].[author_id] = [t3].[id]) WHERE ([t2].[stars] > {1}) AND "
        "([t3].[city] = [t1].[city] OR ([t3].[city] IS NULL AND [t1].[city] IS NULL)) ORDER BY [t2].[id] "
        "FOR XML "
        "PATH(''), TYPE).value('.', 'NVARCHAR(MAX)'), 1, 2, N'') AS [titles] FROM [person] AS [t1] INNER "
        "JOIN "
        "[post] AS [t4] ON ([t4].[author_id] = [t1].[id]) WHERE ([t4].[stars] > {1}) GROUP BY [t1].[city]"
    )
    whole = written("2016", lambda m: m.Person.select(fn.GROUP_CONCAT(m.Person.name)))
    assert whole.endswith("FROM [person] AS [t2] HAVING COUNT(*) >= 0")
    assert "WHERE 1 = 1 FOR XML PATH" in whole

    def aliased(m: Any) -> Any:
        named = m.Person.alias("p")
        return named.select(fn.GROUP_CONCAT(named.name))

    refused("2016", aliased, "over anything but tables grouped by columns")


def test_groups_are_of_columns_positions_aliases_and_expressions() -> None:
    def by(*keys: Any) -> Any:
        return lambda m: m.Person.select(m.Person.city.alias("c"), fn.COUNT(m.Person.id)).group_by(*keys)

    city = "GROUP BY [t1].[city]"
    for key in (SQL("1"), SQL("c"), peewee.Entity("c")):
        assert written("2012", by(key)).endswith(city)
    assert "GROUP BY" not in written(
        "2012", lambda m: m.Person.select(fn.COUNT(m.Person.id)).group_by(Value(1), Value(2))
    )
    decades = written(
        "2012", lambda m: m.Person.select((m.Person.score * 1.5).alias("x")).group_by(m.Person.score * 1.5)
    )
    assert (
        decades
        == "SELECT ([t1].[score] * 1.5E0) AS [x] FROM [person] AS [t1] GROUP BY ([t1].[score] * 1.5E0)"
    )
    both = written("2012", lambda m: m.Liked.select(fn.COUNT(SQL("*"))).group_by(m.Liked._meta.primary_key))
    assert both.endswith("GROUP BY [t1].[person_id], [t1].[post_id]")
    refused(
        "2012",
        lambda m: m.Person.select(fn.COUNT(m.Person.id)).group_by(
            m.Person.age + m.Post.select(fn.MAX(m.Post.id))
        ),
        "GROUP BY of a subquery",
    )


@pytest.mark.parametrize(
    ("value_of", "new", "old"),
    [
        (None, "NULL", "NULL"),
        (True, "1", "1"),
        (-3, "-3", "-3"),
        (2.5, "2.5E0", "2.5E0"),
        (1e30, "1e+30", "1e+30"),
        (decimal.Decimal("1.50"), "1.50", "1.50"),
        ("it's", "N'it''s'", "N'it''s'"),
        (b"\x00\xff", "0x00ff", "0x00ff"),
        (memoryview(b"a"), "0x61", "0x61"),
        (uuid.UUID(int=1), "CAST('00000000-0000-0000-0000-000000000001' AS UNIQUEIDENTIFIER)", None),
        (datetime.date(2024, 2, 9), "CAST('20240209' AS DATE)", "CAST('20240209' AS DATETIME)"),
        (datetime.date(99, 1, 2), "CAST('00990102' AS DATE)", None),
        (
            datetime.datetime(2024, 2, 9, 1, 2, 3, 4005),
            "CAST('2024-02-09T01:02:03.004005' AS DATETIME2)",
            "CAST('2024-02-09T01:02:03.004' AS DATETIME)",
        ),
        (
            datetime.datetime(2024, 2, 9, tzinfo=datetime.timezone.utc),
            "CAST('2024-02-09T00:00:00+00:00' AS DATETIMEOFFSET)",
            None,
        ),
        (datetime.time(1, 2, 3), "CAST('01:02:03' AS TIME)", "CAST('1900-01-01T01:02:03.000' AS DATETIME)"),
    ],
)
def test_a_value_is_written_as_a_literal(value_of: Any, new: str, old: str | None) -> None:
    assert literal(value_of, ServerVersion(11)) == new
    assert grammar.rejections([f"SELECT {new}"], "2012") == {}
    if old is not None:
        assert literal(value_of, ServerVersion(8)) == old
        assert grammar.rejections([f"SELECT {old}"], "2000") == {}


@pytest.mark.parametrize("value_of", [float("inf"), float("nan"), decimal.Decimal("NaN"), object(), {}])
def test_a_value_without_a_literal_is_refused(value_of: Any) -> None:
    with pytest.raises(peewee.NotSupportedError, match=r"SQL Server 2012 .* has no literal|has no literal"):
        literal(value_of, ServerVersion(11))


def test_the_kind_of_an_expression_is_that_of_its_parts() -> None:
    assert value(lambda p: fn.AVG(p.stars + 1)) == "AVG(CAST(([stars] + {1}) AS FLOAT))"
    assert value(lambda p: fn.SUM(Case(None, [(p.stars > 1, 1)], 0))) == (
        "SUM(CAST(CASE WHEN ([stars] > {1}) THEN {1} ELSE {0} END AS BIGINT))"
    )
    assert value(lambda p: fn.COALESCE(p.title, "").concat(p.author)) == (
        "(COALESCE([title], {}) + CAST([author_id] AS NVARCHAR(MAX)))"
    )
    assert value(lambda p: p.title.collate("Latin1_General_BIN")) == "[title] COLLATE Latin1_General_BIN"
    assert value(lambda p: NodeList((p.stars, SQL("+"), Value(1)), parens=True)) == "([stars] + {1})"
