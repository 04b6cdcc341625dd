"""`only_reads`: raw SQL is a read only when every engine would agree that it is."""

from __future__ import annotations

import pytest

from peewee_multidb.statements import only_reads

READS = [
    "SELECT 1",
    "  select * from t where a = 'delete from t'",
    "SELECT 'it''s; drop table t'",
    'SELECT "update", `insert`, [delete] FROM "into"',
    "SELECT 1 -- and then DELETE\n",
    "SELECT 1 /* DROP TABLE t; */ FROM t;",
    "/* why */ SELECT 1",
    "-- why\nSELECT 1",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH t AS (SELECT 1) SELECT * FROM t",
    "VALUES (1), (2)",
    "TABLE t",
    "SHOW TABLES",
    "EXPLAIN SELECT 1",
    "SELECT update_time, last_update, call_id, do_not_mail, created, t1set FROM t",
    "SELECT 1; SELECT 2;",
    "SELECT data #>> '{a}' FROM t",
    "SELECT a[1], ARRAY[1, 2] FROM t",
    "SELECT E'\\n'",
    "SELECT 5 - -1, 5 --1\n",
]

WRITES = [
    "",
    "   ",
    "-- nothing",
    "INSERT INTO t VALUES (1)",
    "delete from t",
    "PRAGMA user_version = 3",
    "SELECT 1; DELETE FROM t",
    "SELECT 1; REFRESH MATERIALIZED VIEW v",
    "SELECT 1; ATTACH 'x' AS x",
    "SELECT 1;-- and\nPRAGMA writable_schema = 1",
    "SELECT * INTO new FROM t",
    "SELECT 1 FOR UPDATE",
    "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE DELETE FROM t",
    "EXPLAIN (ANALYZE) UPDATE t SET a = 1",
    "(DELETE FROM t)",
    "SELECT 1 INTO/**/OUTFILE 'f'",
    "SELECT 1INTO OUTFILE 'f'",
    "SELECT 1e5INTO OUTFILE 'f'",
    "SELECT 1.INTO OUTFILE 'f'",
    "SELECT 'x'INTO OUTFILE 'f'",
    "\u212aILL 3",
]

# One engine's string is another's statement. The comment says whose statement it is.
DISGUISED = [
    # MySQL: a backslash escapes the quote
    "SELECT '\\'', 1 INTO OUTFILE 'f'",
    'SELECT "\\"", 1 INTO OUTFILE "f"',
    # MySQL: these comments are executed
    "SELECT 1 /*! INTO OUTFILE 'f' */",
    "SELECT 1 /*!50000 INTO OUTFILE 'f' */",
    "SELECT 1 /*M!100000 INTO OUTFILE 'f' */",
    # MySQL: a comment to the end of the line, with a quote in it
    "SELECT 1 # it's\n; DELETE FROM t #'",
    # MySQL: without a space it is a minus and a minus, and what follows is a string
    "SELECT 1--'\n', 1 INTO OUTFILE '--'",
    # PostgreSQL: dollar quotes, with and without a tag
    "SELECT $$'$$; DELETE FROM t; SELECT $$'$$",
    "SELECT $a$'$a$; DELETE FROM t; SELECT $a$'$a$",
    # PostgreSQL: comments nest
    "SELECT 1 /* /* */ ' */ ; DELETE FROM t; /* ' */",
    # PostgreSQL: brackets quote nothing
    "SELECT ARRAY['a]']; DELETE FROM t; SELECT 'x'",
    "SELECT a[1 /* ]'*/]; DELETE FROM t; SELECT '",
    # SQLite: backquotes do quote
    "SELECT `'`; DELETE FROM t; SELECT `'`",
    # standard SQL: a backslash is a letter like any other
    "SELECT '\\'; DELETE FROM t; SELECT '\\'",
]


@pytest.mark.parametrize("sql", READS)
def test_a_read_is_seen_to_be_one(sql: str) -> None:
    assert only_reads(sql)


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_is_never_taken_for_a_read(sql: str) -> None:
    assert not only_reads(sql)


@pytest.mark.parametrize("sql", DISGUISED)
def test_what_any_engine_would_run_as_a_write_is_one(sql: str) -> None:
    assert not only_reads(sql)
