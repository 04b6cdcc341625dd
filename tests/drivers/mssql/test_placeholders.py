"""Where the parameters of a statement stand: outside of strings, names and comments."""

from __future__ import annotations

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mssql.placeholders import first_word, parts, words

QUOTED = ["'what?'", "'it''s ?'", "[a?]", "[a]]?]", '"?"', "-- ?\n", "/* ? */", "N'?'", "''", "'%s ?'"]


@given(st.lists(st.sampled_from([*QUOTED, " ? ", " , ", " a ", " 1 "]), max_size=20))
def test_only_a_mark_outside_of_strings_names_and_comments_is_a_parameter(pieces: list[str]) -> None:
    # Two strings side by side would be one with a quote in it.
    sql = " ".join(pieces)
    count = pieces.count(" ? ")
    found = parts(sql, [None] * count)
    assert len(found) == count + 1
    assert "?".join(found) == sql


@pytest.mark.parametrize(("sql", "given_count"), [("SELECT ?", 0), ("SELECT ?", 2), ("SELECT '?'", 1)])
def test_another_number_of_parameters_than_marks_is_refused(sql: str, given_count: int) -> None:
    with pytest.raises(peewee.ProgrammingError, match=f"marks '\\?' and {given_count} parameters"):
        parts(sql, [1] * given_count)


def test_the_words_of_a_statement_are_those_outside_of_strings_names_and_comments() -> None:
    sql = "/* DROP */ SELECT [UPDATE] FROM \"INSERT\" WHERE a = 'DELETE' -- EXEC\n AND @into = #merge"
    assert words(sql) == {"SELECT", "FROM", "WHERE", "A", "AND"}


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        (" ;( select 1)", "SELECT"),
        ("-- x\n/* y */ with a as", "WITH"),
        ("[proc] 1", ""),
        ("'x'", ""),
        ("", ""),
        ("sp_who", "SP_WHO"),
    ],
)
def test_the_first_word(sql: str, word: str) -> None:
    assert first_word(sql) == word
