"""The catalog of every version is read by queries that its grammar accepts, and means what Peewee means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mssql import MSSQLDatabase
from peewee_multidb.drivers.mssql.catalog import SINCE_2005, SINCE_2008, UP_TO_2000
from peewee_multidb.drivers.mssql.introspection import (
    IndexDefinition,
    full_type,
    object_name,
    without_parentheses,
)
from peewee_multidb.drivers.mssql.literals import quoted
from tests.tds.grammar import check

CATALOGS = {80: UP_TO_2000, 90: SINCE_2005, **dict.fromkeys((100, 110, 130, 150, 160, 170), SINCE_2008)}
QUESTIONS = sorted(UP_TO_2000.__slots__)


class Asked(MSSQLDatabase):
    """A database that writes down what it is asked, and has nothing to say."""

    def __init__(self, version: str, *rows: Any) -> None:
        super().__init__("erp", server_version=version)
        self.asked: list[tuple[str, Any]] = []
        self.rows = list(rows)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        self.asked.append((sql, params))
        return self

    def fetchall(self) -> list[Any]:
        return self.rows


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_accepted_by_the_grammar_of_its_versions(question: str) -> None:
    for level, catalog in CATALOGS.items():
        check(getattr(catalog, question).format(p="@p"), level)


@pytest.mark.parametrize(
    "name", ["plain", "with space", "we]]ird]", "emoji 🎈", "a.b", "semi;colon", "quo'te"]
)
def test_a_name_is_looked_up_in_brackets_whatever_is_in_it(name: str) -> None:
    database = Asked("2019")
    database.get_columns(name, "s")
    assert all(parameters == (f"[s].[{name.replace(']', ']]')}]",) for _, parameters in database.asked)


def test_a_temporary_table_is_looked_up_in_tempdb() -> None:
    assert object_name("#mine") == "tempdb..[#mine]"
    assert object_name("t") == "[t]"


@pytest.mark.parametrize(
    "stored, meant",
    [
        ("((0))", "0"),
        ("(getdate())", "getdate()"),
        ("('a)b(')", "'a)b('"),
        ("(N'it''s (')", "N'it''s ('"),
        ("((1)+(2))", "(1)+(2)"),
        ("([x)]+(1))", "[x)]+(1)"),
        ("NULL", "NULL"),
        ("(", "("),
        ("", ""),
    ],
)
def test_only_the_parentheses_around_an_expression_are_taken_off(stored: str, meant: str) -> None:
    assert without_parentheses(stored) == meant


@given(st.text(alphabet="'ab() ]["))
def test_a_string_literal_comes_out_of_any_number_of_parentheses(value: str) -> None:
    literal = "N'" + value.replace("'", "''") + "'"
    assert without_parentheses(f"(({literal}))") == literal


@pytest.mark.parametrize(
    "kind, length, precision, scale, written",
    [
        ("nvarchar", 100, 0, 0, "nvarchar(50)"),
        ("nvarchar", -1, 0, 0, "nvarchar(max)"),
        ("varchar", 100, 0, 0, "varchar(100)"),
        ("varbinary", -1, 0, 0, "varbinary(max)"),
        ("decimal", 9, 12, 3, "decimal(12, 3)"),
        ("datetime2", 8, 27, 7, "datetime2(7)"),
        ("time", 5, 16, 3, "time(3)"),
        ("int", 4, 10, 0, "int"),
        ("money", 8, 19, 4, "money"),
        ("xml", -1, 0, 0, "xml"),
    ],
)
def test_a_type_is_written_as_in_a_create_table(
    kind: str, length: int, precision: int, scale: int, written: str
) -> None:
    assert full_type(kind, length, precision, scale) == written


def definition(**changes: Any) -> IndexDefinition:
    whole = IndexDefinition("i", True, False, False, False, (("a", False), ("b", True)), (), None)
    return whole._replace(**changes)


def test_an_index_is_written_anew_with_all_that_it_is() -> None:
    index = definition(clustered=True, included=("c", "d]"), condition="([b]>(3))")
    sql = "CREATE UNIQUE CLUSTERED INDEX [i] ON [t] ([a], [b] DESC) INCLUDE ([c], [d]]]) WHERE ([b]>(3))"
    assert index.create("[t]") == index.as_peewee_means_it("[t]") == sql
    assert definition(constraint=True).create("[s].[t]") == (
        "ALTER TABLE [s].[t] ADD CONSTRAINT [i] UNIQUE ([a], [b] DESC)"
    )


@pytest.mark.parametrize(
    "condition, hidden",
    [
        ("([a] IS NOT NULL AND [b] IS NOT NULL)", True),
        ("([b] IS NOT NULL) AND ([a] IS NOT NULL)", True),
        ("([a] IS NOT NULL)", False),
        ("([a] IS NOT NULL AND [b]>(3))", False),
    ],
)
def test_a_unique_index_that_only_lets_nulls_pass_is_what_peewee_calls_unique(
    condition: str, hidden: bool
) -> None:
    sql = definition(condition=condition).as_peewee_means_it("[t]")
    assert ("WHERE" not in sql) is hidden
    assert "WHERE" in definition(condition=condition).create("[t]")
    assert "WHERE" in definition(condition=condition, unique=False).as_peewee_means_it("[t]")


def test_columns_that_cannot_be_null_need_no_filter() -> None:
    index = definition(condition="([a] IS NOT NULL)")
    assert "WHERE" not in index.as_peewee_means_it("[t]", {"a"})
    assert "WHERE" in index.as_peewee_means_it("[t]", {"a", "b"})
    assert "WHERE" in index.as_peewee_means_it("[t]", {"b"})


@pytest.mark.parametrize(
    "version, catalog",
    [("2000", UP_TO_2000), ("2005", SINCE_2005), ("2008", SINCE_2008), ("2025", SINCE_2008)],
)
def test_the_version_decides_which_catalog_is_read(version: str, catalog: Any) -> None:
    assert MSSQLDatabase("erp", server_version=version).catalog is catalog


def test_the_filter_of_an_index_is_not_asked_for_before_2008() -> None:
    assert "filter_definition" in SINCE_2008.indexes
    assert "filter_definition" not in SINCE_2005.indexes


def test_sequences_are_not_asked_for_before_2012() -> None:
    old, new = Asked("2008"), Asked("2012", (None,))
    assert old.sequence_exists("s") is new.sequence_exists("s") is False
    assert (len(old.asked), len(new.asked)) == (0, 1)


def test_the_text_of_a_view_of_2000_is_put_together_from_its_rows() -> None:
    database = Asked("2000", ("v", "CREATE VIEW v AS ", 1), ("v", "SELECT 1", 2), ("w", None, 1))
    assert database.get_views() == [("v", "CREATE VIEW v AS SELECT 1"), ("w", None)]


def test_names_in_brackets_are_closed() -> None:
    assert quoted("a]b") == "[a]]b]"
