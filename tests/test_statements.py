"""What raw SQL does: a read is one only when every engine would agree that it is."""

from __future__ import annotations

import pytest

from peewee_multidb.statements import for_primary, may_write, only_reads

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


CHANGES = [
    *(
        "INSERT INTO t VALUES (1)",
        " update t set a = 1",
        "REPLACE INTO t VALUES (1)",
        "CREATE TABLE t (a int)",
    ),
    *("COMMIT", "COMMIT PREPARED 'x'", "XA COMMIT 'x'", "CALL p()", "DO 1", "SELECT nextval('s')"),
    *("SELECT add_note(9)", 'SELECT "add_note"(9)', "SELECT app.replace(9)", "SELECT 1 WHERE my_check (a)"),
    *("SELECT lower(add_note(9))", "/* why */ INSERT INTO t VALUES (1)", "SELECT `add_note`(9)"),
]
NO_CHANGES = [
    *("BEGIN", "START TRANSACTION", "SAVEPOINT s", "RELEASE SAVEPOINT s", "ROLLBACK", "SET a = 1"),
    *("SELECT 1", "SELECT COUNT(*) FROM t WHERE (a IN (1, 2)) AND EXISTS(SELECT 1)", "PRAGMA user_version"),
    "SELECT date_trunc('day', a), COALESCE(SUM(b), 0) OVER (PARTITION BY c) FROM t",
    "SELECT pg_current_wal_insert_lsn()::text, pg_size_bytes(current_setting('wal_segment_size'))::int",
]


@pytest.mark.parametrize("sql", CHANGES)
def test_what_may_have_changed_something_is_waited_for(sql: str) -> None:
    assert may_write(sql)


@pytest.mark.parametrize("sql", NO_CHANGES)
def test_what_certainly_changed_nothing_is_not(sql: str) -> None:
    assert not may_write(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM jobs WHERE pg_try_advisory_lock(id) LIMIT 1",
        "SELECT coalesce(pg_catalog.pg_advisory_lock(1), 1)",
        "SELECT GET_LOCK ('job', 0)",
        'SELECT "nextval"(%s)',
        "SELECT 1 WHERE a IN (SELECT a FROM t FOR UPDATE)",
        "(SELECT 1 FOR NO KEY UPDATE) UNION SELECT 2",
        "SELECT 1 FOR\nSHARE",
        "SELECT 1 LOCK IN SHARE MODE",
        "SELECT NEXT VALUE FOR counter",
        f"SELECT '{'x' * 5000}', nextval('s')",
    ],
)
def test_locks_and_counters_are_found_anywhere(sql: str) -> None:
    assert for_primary(sql)


@pytest.mark.parametrize(
    "sql",
    [
        *("SELECT 1", "SELECT lock_id, advisory FROM get_locks", "SELECT nextvalue FROM t"),
        *("SELECT a FROM t WHERE update_for = 1", "SELECT share FROM t", "SELECT COUNT(*) FROM currval"),
    ],
)
def test_names_that_look_like_them_are_none(sql: str) -> None:
    assert not for_primary(sql)
