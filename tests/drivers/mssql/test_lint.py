"""Each lint rule fires on what SQL Server refuses, and is silent on what it takes."""

from __future__ import annotations

import pytest

from tests.drivers.mssql import grammar, lint

BAD = [
    ("8155", "2012", "SELECT COUNT(1) FROM (SELECT 1 FROM [a] AS [t1]) AS [w]"),
    ("8155", "2012", "SELECT [q].[n] FROM (SELECT [t1].[n], LOWER([t1].[s]) FROM [a] AS [t1]) AS [q]"),
    ("8155", "2012", "WITH [c] AS (SELECT COUNT(*) FROM [a]) SELECT 1 FROM [c]"),
    ("8155", "2012", "SELECT 1 AS [x] FROM [a] CROSS APPLY (SELECT [b].[n] + 1 FROM [b]) AS [q]"),
    ("8156", "2012", "SELECT COUNT(1) FROM (SELECT [a].[id], [b].[id] FROM [a], [b]) AS [w]"),
    ("8156", "2012", "SELECT COUNT(1) FROM (SELECT [a].[id], [a].[n] AS [ID] FROM [a]) AS [w]"),
    ("145", "2012", "SELECT DISTINCT [t1].[a] FROM [t] AS [t1] ORDER BY [t1].[b]"),
    ("145", "2012", "SELECT DISTINCT [t1].[a] FROM [t] AS [t1] ORDER BY [t1].[a] + 1"),
    ("145", "2012", "SELECT DISTINCT [t1].[a] + @p0 AS [x] FROM [t] AS [t1] ORDER BY [t1].[a] + @p0"),
    ("164", "2012", "SELECT COUNT(*) FROM [t] GROUP BY 1"),
    ("164", "2012", "SELECT COUNT(*) FROM [t] AS [t1] GROUP BY [t1].[a], @p0"),
    ("144", "2012", "SELECT COUNT(*) FROM [t] AS [t1] GROUP BY (SELECT MAX([u].[a]) FROM [u]) + [t1].[a]"),
    ("8120", "2012", "SELECT [t1].[a], COUNT(*) FROM [t] AS [t1] GROUP BY [t1].[b]"),
    ("8120", "2012", "SELECT [t1].[a] + @p0 FROM [t] AS [t1] GROUP BY [t1].[a] + @p1"),
    ("8120", "2012", "SELECT [t1].[a], COUNT(*) FROM [t] AS [t1]"),
    ("8120", "2012", "SELECT COUNT(*) FROM [t] AS [t1] GROUP BY [t1].[a] HAVING [t1].[b] > 1"),
    ("8120", "2012", "SELECT COUNT(*) FROM [t] AS [t1] GROUP BY [t1].[a] ORDER BY [t1].[b]"),
    ("1003", "2012", "SELECT [a] FROM [t] FOR UPDATE"),
    ("10744", "2012", "SELECT [a] FROM [t] ORDER BY [a] OFFSET 1 ROWS FETCH NEXT 0 ROWS ONLY"),
    ("10741", "2012", "SELECT TOP (3) [a] FROM [t] ORDER BY [a] OFFSET 1 ROWS"),
    ("1033", "2012", "SELECT [q].[a] FROM (SELECT [t].[a] FROM [t] ORDER BY [t].[a]) AS [q]"),
    ("169", "2012", "SELECT [a] FROM [t] ORDER BY [a], [a]"),
    ("1008", "2012", "SELECT [a] FROM [t] ORDER BY @p0"),
    ("195", "2012", "SELECT LENGTH([a]) FROM [t]"),
    ("195", "2012", "SELECT MOD([a], 2) FROM [t]"),
    ("195", "2012", "SELECT [a] FROM [t] WHERE [b] < NOW()"),
    ("195", "2008", "SELECT CONCAT([a], [b]) FROM [t]"),
    ("195", "2012", "SELECT JSON_VALUE([a], '$.x') FROM [t]"),
    ("195", "2005", "SELECT SYSDATETIME()"),
    ("195", "2008", "SELECT LAG([a]) OVER (ORDER BY [b]) FROM [t]"),
    ("195", "2019", "SELECT GREATEST([a], [b]) FROM [t]"),
    ("243", "2005", "SELECT CAST([a] AS DATETIME2) FROM [t]"),
    ("243", "2000", "SELECT CAST([a] AS NVARCHAR(MAX)) FROM [t]"),
    ("243", "2012", "SELECT CAST([a] AS INTEGERS) FROM [t]"),
    ("243", "2012", "SELECT CAST([a] AS NVARCHAR(5000)) FROM [t]"),
    ("102", "2008", "SELECT SUM([a]) OVER (ORDER BY [b]) FROM [t]"),
    ("4112", "2008", "SELECT ROW_NUMBER() OVER (PARTITION BY [b]) FROM [t]"),
    ("156", "2000", "SELECT [a] FROM [t] INTERSECT SELECT [b] FROM [u]"),
    ("156", "2000", "SELECT [a] FROM [t] EXCEPT SELECT [b] FROM [u]"),
    ("name of a savepoint", "2012", "SAVE TRANSACTION [s" + "0" * 32 + "]"),
    ("name of a savepoint", "2012", "ROLLBACK TRANSACTION s" + "0" * 32),
    ("8003", "2012", "SELECT [a] FROM [t] WHERE [a] IN (" + ", ".join(f"@p{n}" for n in range(2101)) + ")"),
    ("10738", "2012", "INSERT INTO [t] ([a]) VALUES " + ", ".join(["(1)"] * 1001)),
    ("103", "2012", f"SELECT [{'a' * 129}] FROM [t]"),
]

GOOD = [
    ("2012", "SELECT COUNT(1) FROM (SELECT 1 AS [_c1] FROM [a] AS [t1]) AS [w]"),
    ("2012", "SELECT COUNT(1) FROM (SELECT [a].[id], [b].[id] FROM [a], [b]) AS [w] ([x], [y])"),
    ("2012", "SELECT [a].[id], [b].[id], LOWER([a].[n]) FROM [a], [b]"),
    ("2012", "SELECT DISTINCT [t1].[a] FROM [t] AS [t1] ORDER BY [t1].[a] DESC"),
    ("2012", "SELECT DISTINCT LOWER([t1].[a]) AS [x] FROM [t] AS [t1] ORDER BY [x]"),
    ("2012", "SELECT [t1].[a] / 10, COUNT(*) FROM [t] AS [t1] GROUP BY [t1].[a] / 10 HAVING COUNT(*) > @p0"),
    ("2012", "SELECT COUNT(*), MAX([t1].[a]) FROM [t] AS [t1]"),
    ("2012", "SELECT [t1].[a], SUM([t1].[b]) OVER (PARTITION BY [t1].[a]) FROM [t] AS [t1]"),
    ("2012", "SELECT TOP (2) [q].[a] FROM (SELECT [t].[a] FROM [t] ORDER BY [t].[a] OFFSET 1 ROWS) AS [q]"),
    ("2012", "SELECT [q].[a] FROM (SELECT TOP (3) [t].[a] FROM [t] ORDER BY [t].[a]) AS [q]"),
    (
        "2005",
        "SELECT ROW_NUMBER() OVER (ORDER BY [a]) AS [n], SUM([a]) OVER (PARTITION BY [b]) AS [s] FROM [t]",
    ),
    ("2012", "INSERT INTO [t] ([a]) VALUES " + ", ".join(["(1)"] * 1000)),
    ("2012", "SAVE TRANSACTION [s" + "0" * 31 + "]"),
    ("2012", "SELECT [dbo].[own](1), 'LENGTH(x) FOR UPDATE' FROM [NOW(]"),
    ("2000", "SELECT CAST([a] AS NVARCHAR(4000)) FROM [t]"),
]


def statement(sql: str) -> grammar.Statement:
    return grammar.Statement(sql, list(range(sql.count("@p"))))


@pytest.mark.parametrize(("number", "version", "sql"), BAD)
def test_a_rule_fires_on_what_the_server_refuses(number: str, version: str, sql: str) -> None:
    said = lint.complaints(statement(sql), version)
    assert any(one.startswith(number) for one in said), said


@pytest.mark.parametrize(("version", "sql"), GOOD)
def test_no_rule_fires_on_what_the_server_takes(version: str, sql: str) -> None:
    assert lint.complaints(statement(sql), version) == []
    assert grammar.rejections([sql], version) == {}


def test_every_rule_is_seen_to_fire() -> None:
    numbers = {number for number, _, _ in BAD}
    assert {name for name in lint.RULES if not any(name.startswith(number) for number in numbers)} == set()


@pytest.mark.parametrize(
    ("sql", "version"),
    [
        ("SELECT a FROM t LIMIT 3", "2025"),
        ("SELECT TOP (10) [a] FROM [t]", "2000"),
        ("SELECT a FROM t ORDER BY a OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY", "2008"),
        ("SAVEPOINT s1", "2022"),
        ("SELECT [a] FROM [t] WHERE [flag]", "2022"),
        ("SELECT EXISTS (SELECT 1)", "2022"),
        ("INSERT INTO [t] ([a]) VALUES (1), (2)", "2005"),
    ],
)
def test_the_parser_rejects_what_is_no_sql_of_the_version(sql: str, version: str) -> None:
    assert list(grammar.rejections(["SELECT 1", sql, "SELECT 2"], version)) == [1]
