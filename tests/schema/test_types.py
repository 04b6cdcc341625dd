"""Types and defaults in one spelling: what servers answer is what models say."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.schema.types import canonical_default, canonical_type, stored_default

PAIRS = {
    "postgresql": [
        ("VARCHAR(20)", "character varying(20)"),
        ("CHAR", "character(1)"),
        ("NUMERIC(20)", "numeric(20,0)"),
        ("TIMESTAMP(3) WITH TIME ZONE", "timestamp(3) with time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("FLOAT(20)", "real"),
        ("float8[]", "double precision[]"),
        ("VARCHAR(7)[]", "character varying(7)[]"),
        ("tsvector", "tsvector"),
    ],
    "mysql": [
        ("INTEGER AUTO_INCREMENT", "int(11)"),
        ("BOOL", "tinyint(1)"),
        ("TINYINT UNSIGNED", "tinyint(3) unsigned"),
        ("INTEGER UNSIGNED", "int(10) unsigned zerofill"),
        ("ENUM('A','b c')", "enum('A','b c')"),
        ("NUMERIC(20)", "decimal(20,0)"),
        ("DOUBLE PRECISION", "double"),
        ("YEAR", "year(4)"),
    ],
    "sqlite": [
        ("BIGINT", "INTEGER"),
        ("Boolean", "INTEGER"),
        ("double precision", "REAL"),
        ("NUMERIC(7, 2)", "decimal(7,2)"),
        ("nvarchar(5)", "VARCHAR(5)"),
    ],
    "mssql": [
        ("INT IDENTITY(1,1)", "int"),
        ("NVARCHAR(5000)", "nvarchar(max)"),
        ("DATETIME2", "datetime2(7)"),
        ("FLOAT(53)", "float"),
        ("FLOAT(24)", "real"),
        ("DEC", "decimal(18, 0)"),
    ],
}
UNLIKE = {
    "postgresql": [("VARCHAR(20)", "character varying(21)"), ("TIMESTAMP", "timestamp with time zone")],
    "mysql": [("INTEGER", "int(10) unsigned"), ("BOOL", "tinyint(4)"), ("ENUM('a')", "enum('A')")],
    "sqlite": [("TEXT", "VARCHAR(20)"), ("INTEGER", "TEXT")],
    "mssql": [("DATETIME2(3)", "datetime2(7)"), ("NVARCHAR(10)", "varchar(10)")],
}


@pytest.fixture
def unconnected() -> Any:
    own = Databases(
        {
            "postgresql": "postgresql://h/d",
            "mysql": "mysql://h/d",
            "sqlite": "sqlite://",
            "mssql": {"url": "mssql://h/d", "server_version": "15.0"},
        }
    )
    own["mysql"]._multidb_is_mariadb = False  # type: ignore[attr-defined]
    yield own
    own.close_all()


@pytest.mark.parametrize("engine", PAIRS)
def test_two_spellings_of_one_type_are_one(unconnected: Databases, engine: str) -> None:
    database: Any = unconnected[engine]
    for one, other in PAIRS[engine]:
        assert canonical_type(one, database) == canonical_type(other, database), one
    for one, other in UNLIKE[engine]:
        assert canonical_type(one, database) != canonical_type(other, database), one


def test_json_is_text_on_mariadb_and_a_type_on_mysql(unconnected: Databases, mariadb_url: str) -> None:
    database: Any = unconnected["mysql"]
    assert canonical_type("JSON", database) == "json"
    own = Databases({"maria": mariadb_url})
    assert canonical_type("JSON", own["maria"]) == "longtext"
    own.close_all()


@pytest.mark.parametrize(
    "text, value",
    [
        ("5", "5"),
        ("((5))", "5"),
        ("'5.00'::numeric", "5"),
        ("'-3'::integer", "-3"),
        ("1.50", "1.5"),
        ("'it''s'::character varying(10)", "it's"),
        ("N'x'", "x"),
        ("''", ""),
        ("NULL::character varying", None),
        ("true", "1"),
        ("now()", "current_timestamp"),
        ("current_timestamp()", "current_timestamp"),
        (None, None),
    ],
)
def test_defaults_that_can_be_compared(text: str | None, value: str | None) -> None:
    assert canonical_default(text) == (True, value)


@pytest.mark.parametrize("text", ["lower('X')", "nextval('s'::regclass)", "a + 1", "gen_random_uuid()"])
def test_expressions_are_not_guessed_at(text: str) -> None:
    assert canonical_default(text)[0] is False


def test_a_text_of_mysql_comes_without_quotes(unconnected: Databases) -> None:
    database: Any = unconnected["mysql"]
    assert stored_default("", "varchar(10)", database) == (True, "")
    assert stored_default("it's", "varchar(10)", database) == (True, "it's")
    assert stored_default("NULL", "varchar(10)", database) == (True, "NULL")
    assert stored_default("5", "int", database) == stored_default("5.00", "decimal(5,2)", database)
    assert stored_default(None, "varchar(10)", database) == (True, None)
    assert isinstance(database, peewee.MySQLDatabase)
