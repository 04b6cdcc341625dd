"""Text is in the order here that the server puts it into."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.shards.collations import BINARY, PadWeight, named, rules_of

WORDS = [
    "", " ", "a", "A", "a ", "a\t", "a\n", "ab", "aB", "Ab", "a b", "Äther", "ather", "ætt", "aett", "z", "Z",
    "ß", "ss", "é", "e", "E\u0301", "中", "日本", "😀", "_", "-", "1", "10", "2", "ﷺ",
    "x" * 200, "x" * 200 + "y",
]  # fmt: skip


def order_of(words: list[str], key: Any) -> list[set[str]]:
    """The words in order, those that are equal together."""
    found: list[set[str]] = []
    for _, group in itertools.groupby(sorted(words, key=key), key=key):
        found.append(set(group))
    return found


@pytest.mark.parametrize(
    "collation",
    ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_uca1400_ai_ci", "utf8mb4_bin", "utf8mb4_nopad_bin",
     "utf8mb4_general_nopad_ci", "utf8mb4_uca1400_nopad_as_cs", "utf8mb4_swedish_ci"],
)  # fmt: skip
def test_weights_of_mariadb_are_its_order(collation: str, mariadb_url: str) -> None:
    own = Databases({"default": mariadb_url})
    database = own["default"]
    database.execute_sql(f"CREATE TABLE words (word VARCHAR(250) CHARACTER SET utf8mb4 COLLATE {collation})")
    for word in WORDS:
        database.execute_sql("INSERT INTO words VALUES (%s)", (word,))
    rule = rules_of(database, "words", None)["word"]
    assert rule.prepare is not None
    rows = database.execute_sql("SELECT word, WEIGHT_STRING(word) FROM words ORDER BY word").fetchall()
    weights = dict(rows)
    key = (lambda word: rule.prepare(weights[word])) if rule.weight else rule.prepare
    # What the server takes for equal is in any order in a list; so it is asked for each pair.
    for one, two in itertools.combinations(WORDS, 2):
        less, same = database.execute_sql(
            "SELECT a.word < b.word, a.word = b.word FROM words a, words b WHERE a.word = BINARY %s "
            "AND b.word = BINARY %s LIMIT 1",
            (one, two),
        ).fetchone()
        assert bool(same) == (key(one) == key(two)), (one, two)
        assert bool(less) == (key(one) < key(two)), (one, two)
    assert rule.exact == (collation == "utf8mb4_nopad_bin")
    own.close_all()


def test_postgresql_says_which_columns_compare_code_points(postgres_url: str) -> None:
    own = Databases({"default": postgres_url})
    database = own["default"]
    database.execute_sql("CREATE COLLATION libcs (provider = libc, locale = 'C.UTF-8')")
    database.execute_sql(
        'CREATE TABLE words (plain text, c varchar(9) COLLATE "C", other text COLLATE libcs, n int)'
    )
    rules = rules_of(database, "words", None)
    assert rules[None].exact and rules["plain"].exact and rules["c"].exact
    assert rules["other"].prepare is None and rules["other"].name == "libcs"
    assert "n" not in rules
    for word in WORDS:
        database.execute_sql("INSERT INTO words (plain) VALUES (%s)", (word,))
    found = [word for (word,) in database.execute_sql("SELECT plain FROM words ORDER BY plain")]
    assert found == sorted(WORDS)
    own.close_all()


def test_sqlite_collations_are_done_here() -> None:
    own = Databases({"default": "sqlite:///:memory:"})
    database = own["default"]
    database.execute_sql(
        'CREATE TABLE words (plain VARCHAR(9), "folded" TEXT NOT NULL COLLATE NOCASE, '
        "n DECIMAL(5, 2) DEFAULT 1, cut TEXT COLLATE rtrim, CHECK (plain <> 'COLLATE nothing'))"
    )
    rules = rules_of(database, "words", None)
    assert rules[None] is BINARY
    for word in WORDS:
        database.execute_sql("INSERT INTO words (plain, folded, cut) VALUES (?, ?, ?)", (word, word, word))
    for column in ("plain", "folded", "cut"):
        key = rules.get(column, rules[None]).prepare
        found = [word for (word,) in database.execute_sql(f"SELECT {column} FROM words ORDER BY {column}")]
        assert [key(word) for word in found] == sorted(map(key, WORDS))
        distinct = database.execute_sql(f"SELECT COUNT(DISTINCT {column}) FROM words").fetchone()[0]
        assert distinct == len(set(map(key, WORDS)))
    own.close_all()


def test_a_collation_of_the_users_own_is_not_guessed() -> None:
    own = Databases({"default": "sqlite:///:memory:"})
    own["default"].connection().create_collation("icu_de", lambda one, two: len(one) - len(two))
    own["default"].execute_sql("CREATE TABLE words (word TEXT COLLATE icu_de)")
    own["default"].execute_sql("CREATE VIEW shown AS SELECT word FROM words")
    assert rules_of(own["default"], "shown", None)[None].prepare is None
    assert rules_of(own["default"], "words", None)["word"].prepare is None
    assert named("postgresql", '"C"').exact and named("postgresql", '"de-x-icu"').prepare is None
    assert named("sqlite", "nocase").prepare("AbÄ") == "abÄ"
    own.close_all()


def test_bytes_of_utf_16_are_not_in_the_order_of_code_points() -> None:
    own = Databases({"default": "sqlite:///:memory:"})
    own["default"].execute_sql("PRAGMA encoding = 'UTF-16le'")
    own["default"].execute_sql("CREATE TABLE words (word TEXT)")
    rules = rules_of(own["default"], "words", None)
    assert set(rules) == {None} and rules[None].prepare is None and not rules[None].exact
    assert rules[None].name == "BINARY in UTF-16le"
    own.close_all()


def test_what_no_rule_here_is_known_for_is_not_guessed() -> None:
    assert (
        named("mysql", "`utf8mb4_bin`").prepare is None
        and named("mysql", "`utf8mb4_bin`").name == "utf8mb4_bin"
    )
    assert named("sqlite", '"BINARY"') is BINARY


def test_padding_is_as_good_as_spaces() -> None:
    one, two, three = (PadWeight(key, b"\0 ") for key in (b"\0a", b"\0a\0 \0 ", b"\0a\0\t"))
    assert one == two and hash(one) == hash(two) and not one < two and not two < one
    assert three < one and not one < three
