"""The command migrate: what it applies, shows, refuses and leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from peewee import CharField

from peewee_multidb import Databases
from peewee_multidb.cli.group import group_for
from peewee_multidb.schema.locks import held
from tests.schema.conftest import base_of, lites, marks, three, write

__all__ = ["lites", "three", "write"]

Run = Callable[..., Result]
NAMES = ["0001_first", "0002_two", "0003_three"]


def runner_of(own: Databases, folder: Path, *models: Any) -> Run:
    group = group_for(own, models)

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(group, ["migrate", "--directory", str(folder), *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def run(lites: Databases, three: Path) -> Run:
    return runner_of(lites, three)


def test_up_status_dry_run_and_down(run: Run, lites: Databases) -> None:
    assert "pending" in run("--status", code=1).stdout
    told = run("--dry-run", "0001").stdout
    assert told.startswith("-- a, b, c, d\n-- 0001_first\nCREATE TABLE IF NOT EXISTS")
    assert lites["a"].get_tables() == []
    run("0002", "--db", "a")
    assert marks(lites, "a") == ["two"] and marks(lites, "b") == []
    done = json.loads(run("--json").stdout)
    assert done["done"] == {"a": NAMES[2:], "b": NAMES, "c": NAMES, "d": NAMES} and done["ok"]
    assert "nothing to do" in run().stdout
    status = json.loads(run("--status", "--json").stdout)
    assert status["complete"] and status["states"]["d"] == dict.fromkeys(NAMES, "applied")
    assert 'DROP COLUMN "three"' in run("--dry-run", "--down", "--db", "a").stdout
    run("--down", "--db", "a", "--db", "b")
    assert [marks(lites, name) for name in "abc"] == [["two"], ["two"], ["two", "three"]]
    assert json.loads(run("--dry-run", "--json").stdout)["steps"]["a"][0]["migration"] == "0003_three"


def test_failures_have_their_exit_codes(run: Run, lites: Databases, three: Path) -> None:
    (three / "0002_two.py").write_text("def up(migrator, db):\n    db.execute_sql('NONSENSE')\n")
    assert "the database is as before 0002_two" in run("--db", "a", code=6).output
    run("--db", "a", code=4)
    with lites["b"].connection_context(), held(lites["b"], "b"):
        assert "'b' is being migrated by another" in run("--db", "b", code=5).output
    assert "not started" in run("--stop", "--workers", "1", code=4).output
    assert "No migration is called" in run("9999", code=5).output
    run("--db", "nowhere", code=3)


def test_what_was_half_done_is_marked_by_hand(lites: Databases, three: Path) -> None:
    run = runner_of(lites, three)
    run("--fake", "--db", "a")
    (three / "0004_half.py").write_text(
        "atomic = False\ndef up(migrator, db):\n    db.execute_sql('CREATE TABLE x (n)')\n    1 / 0\n"
    )
    said = run("--db", "a", code=6).output
    assert "multidb migrate --mark-done 0004_half --db a" in said
    assert "half done" in run("--db", "a", "--status", code=1).stdout
    assert "say in which databases" in run("--mark-done", "0004_half", code=2).output
    assert "counts as applied in a" in run("--mark-done", "0004_half", "--db", "a").stdout
    assert "No migration is called '0009_x'" in run("--mark-undone", "0009_x", "--db", "a", code=5).output
    marked = json.loads(run("--mark-undone", "0004", "--db", "a", "--json").stdout)
    assert marked == {"marked": "0004", "applied": False, "databases": ["a"]}
    run("--mark-done", "0004_half", "--db", "a")
    assert "counts as not applied" in run("--mark-undone", "0004_half", "--db", "a").stdout


def test_files_are_written(lites: Databases, tmp_path: Path) -> None:
    class User(base_of(lites, db_name="a")):
        name = CharField(40)

    run = runner_of(lites, tmp_path / "new", User)
    assert "0001_start.py: written" in run("--make", "start").stdout
    run()
    assert "no difference" in run("--make", "again").stdout
    assert json.loads(run("--create", "by hand", "--json").stdout)["written"][0].endswith("0002_by_hand.py")


def test_options_that_exclude_each_other(run: Run) -> None:
    assert "at a time" in run("--status", "--down", code=2).output
    assert "--dry-run goes with" in run("--dry-run", "--fake", code=2).output


def test_settings_name_the_directory_and_a_password_is_never_printed(three: Path, tmp_path: Path) -> None:
    (tmp_path / "multidb.toml").write_text(
        'migrations = "migrations"\n[databases]\na = "sqlite:///a.db"\n'
        'b = "postgresql://app:hunter2222@127.0.0.1:1/none"\n'
    )
    command = [sys.executable, "-m", "peewee_multidb", "migrate"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("MULTIDB_")}
    env["COLUMNS"] = "400"
    env["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent.parent)
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert child.returncode == 6, child.stdout + child.stderr
    assert "0003_three" in child.stdout and "OperationalError" in child.stdout
    assert "hunter2222" not in child.stdout + child.stderr


def test_a_failure_is_told_below_the_table_and_each_database_has_one_line_in_it(
    run: Run, lites: Databases, three: Path
) -> None:
    (three / "0002_two.py").write_text("def up(migrator, db):\n    db.execute_sql('NONSENSE')\n")
    above, below = run("--db", "a", code=6).stdout.split("\n\n")
    assert [line.split() for line in above.splitlines()[2:]] == [["a", "failed", "0001_first"]]
    assert below.startswith("database 'a': up of 0002_two failed (OperationalError")


def test_a_folder_without_migrations_is_named(lites: Databases, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    empty = runner_of(lites, tmp_path / "none")
    assert f"There are no migrations in {tmp_path / 'none'}." in empty("--status").stdout
