"""`copy` on the command line: what it prints, refuses and goes on with."""

from __future__ import annotations

import json
import signal
import sqlite3

from tests.cli.conftest import SETTINGS, Project


def test_a_copy_is_compared_and_is_not_done_twice(filled: Project) -> None:
    found = filled.json("copy", "default", "archive")
    assert found["ok"] and found["rows"] == 20
    (table,) = found["tables"]
    assert table["model"] == "User" and table["checksum"] == table["target_checksum"]
    result = filled("copy", "default", "archive")
    assert result.exit_code == 5 and "not empty" in result.stderr and "--append" in result.stderr


def test_a_dry_run_changes_nothing(filled: Project) -> None:
    found = filled.json("copy", "default", "archive", "--dry-run")
    assert found["ok"] and found["tables"][0]["rows"] == 20 and not found["tables"][0]["exists"]
    assert "will be made" in filled("copy", "default", "archive", "--dry-run").stdout
    assert filled("shell", "-c", "databases['archive'].get_tables()").stdout == "[]\n"


def test_what_does_not_fit_is_named_and_nothing_is_made(filled: Project, postgres_url: str) -> None:
    filled.settings(SETTINGS.replace("sqlite:///archive.db", "{post}"), post=postgres_url)
    filled("shell", "-c", "User.create(name='a name of more than twenty letters')")
    result = filled("copy", "default", "archive")
    assert result.exit_code == 5
    assert "User.name of the row 21 does not fit character varying(20): it has 34 characters" in result.stderr
    assert filled("shell", "-c", "databases['archive'].get_tables()").stdout == "[]\n"


def test_read_only_and_unmanaged_targets_are_never_touched(filled: Project) -> None:
    assert filled("copy", "default", "erp", "User").exit_code == 5
    filled.settings(SETTINGS.replace(", read_only = true", ""))
    result = filled("copy", "default", "erp", "Invoice")
    assert result.exit_code == 3 and "managed = False" in result.stderr
    assert filled("copy", "shard1", "shard2").exit_code == 3


def test_an_unmanaged_table_is_copied_from_but_never_made(filled: Project) -> None:
    result = filled("copy", "erp", "archive")
    assert result.exit_code == 5 and "make 'invoice' in 'archive' first" in result.stderr
    sqlite3.connect("archive.db").execute(
        "CREATE TABLE invoice (id INTEGER PRIMARY KEY, number TEXT NOT NULL)"
    )
    sqlite3.connect("erp.db", isolation_level=None).execute("INSERT INTO invoice (number) VALUES ('R-1')")
    assert filled.json("copy", "erp", "archive")["rows"] == 1


def test_a_table_without_a_model_is_copied_as_it_is(filled: Project, postgres_url: str) -> None:
    filled.settings(SETTINGS.replace("sqlite:///archive.db", "{post}"), post=postgres_url)
    with sqlite3.connect("default.db") as database:
        database.execute(
            "CREATE TABLE tax (code VARCHAR(8) PRIMARY KEY, rate DECIMAL(12, 7) NOT NULL, text TEXT)"
        )
        database.execute("INSERT INTO tax VALUES ('a', 0.1234567, NULL), ('b', 7, 'x')")
    assert filled.json("copy", "default", "archive", "--table", "tax")["rows"] == 2
    result = filled("copy", "default", "archive", "--table", "taxes")
    assert result.exit_code == 3 and "did you mean 'tax'?" in result.stderr


def test_an_interrupted_copy_says_how_to_go_on_and_does(filled: Project) -> None:
    filled("shell", "-c", "User.insert_many([dict(name=str(n)) for n in range(30000)]).execute()")
    process = filled.start("copy", "default", "archive", "User", "--batch", "5")
    # It has begun when its note of how far it is can be read.
    while process.poll() is None:
        try:
            rows = (
                sqlite3.connect("archive.db", timeout=30)
                .execute("SELECT copied FROM multidb_copy")
                .fetchone()
            )
        except sqlite3.OperationalError:
            continue
        if rows and rows[0]:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted" in said and "multidb copy default archive User --batch 5 --resume" in said
    assert "Traceback" not in said
    result = filled("copy", "default", "archive", "User")
    assert result.exit_code == 5 and "go on with --resume" in result.stderr
    done = filled("copy", "default", "archive", "User", "--resume", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 30020


def test_what_was_copied_is_a_table_with_checksums(filled: Project) -> None:
    result = filled("copy", "default", "archive", "User")
    assert result.exit_code == 0 and "20 rows in " in result.stdout
    assert "in archive" in result.stdout and "the same" in result.stdout
    result = filled("copy", "archive", "default")
    assert result.exit_code == 3
    assert "no model lives in 'archive': name the models, or tables with --table" in result.stderr


def test_a_dry_run_shows_its_problems(filled: Project) -> None:
    with sqlite3.connect("archive.db") as database:
        database.execute('CREATE TABLE "user" (id INTEGER PRIMARY KEY)')
    result = filled("copy", "default", "archive", "User", "--dry-run")
    assert result.exit_code == 1 and "default -> archive; nothing is copied." in result.stdout
    problem = "problem: User: there is no column 'name' in 'archive'; migrate it first\n"
    assert problem in result.stdout
    with sqlite3.connect("archive.db") as database:
        database.execute('ALTER TABLE "user" ADD COLUMN name VARCHAR(20)')
    result = filled("copy", "default", "archive", "User", "--dry-run")
    assert result.exit_code == 0 and "problem" not in result.stdout
    (row,) = [line.split() for line in result.stdout.splitlines() if line.startswith("User")]
    assert row == ["User", "user", "20", "there"]


def with_trigger(when: str, statement: str) -> None:
    with sqlite3.connect("archive.db") as database:
        database.execute('CREATE TABLE "user" (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL)')
        database.execute(
            f'CREATE TRIGGER odd {when} INSERT ON "user" WHEN new.id = 12 BEGIN {statement}; END'
        )


def test_rows_that_the_target_changes_are_shown_as_different(filled: Project) -> None:
    with_trigger("AFTER", "UPDATE \"user\" SET name = 'another' WHERE id = 12")
    result = filled("copy", "default", "archive", "User")
    assert result.exit_code == 6
    assert "different" in result.stdout and "the same" not in result.stdout
    assert "12" in result.stderr


def test_a_dry_run_tells_how_far_an_unfinished_copy_came(filled: Project) -> None:
    with_trigger("BEFORE", "SELECT RAISE(ABORT, 'not this one')")
    result = filled("copy", "default", "archive", "User", "--batch", "5")
    assert result.exit_code != 0 and "not this one" in result.stderr
    result = filled("copy", "default", "archive", "User", "--dry-run")
    assert "10 rows of an unfinished copy" in result.stdout
    sqlite3.connect("archive.db").execute("DROP TRIGGER odd")
    assert filled.json("copy", "default", "archive", "User", "--resume")["rows"] == 20


def test_a_dry_run_refuses_what_the_copy_would_refuse(filled: Project) -> None:
    assert filled("copy", "default", "archive", "User").exit_code == 0
    dry = filled("copy", "default", "archive", "User", "--dry-run")
    assert dry.exit_code == 1 and "is not empty" in dry.stdout
    assert filled("copy", "default", "archive", "User").exit_code == 5
    assert filled("copy", "default", "archive", "User", "--append", "--dry-run").exit_code == 0
