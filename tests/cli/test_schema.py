"""The commands create, drop, diff and inspect: tables for people, JSON and exit codes for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from peewee import CharField, ForeignKeyField

from peewee_multidb import Databases
from peewee_multidb.cli.group import group_for
from tests.schema.conftest import base_of, lites

__all__ = ["lites"]

Run = Callable[..., Result]


@pytest.fixture
def models(lites: Databases) -> list[Any]:
    class User(base_of(lites, db_name="a")):
        name = CharField(40)

    class Visit(base_of(lites, db_name=lambda key: key, shard_key="key", shards=("b", "c"))):
        key = CharField()
        user = ForeignKeyField(User)

    return [User, Visit]


@pytest.fixture
def run(lites: Databases, models: list[Any]) -> Run:
    group = group_for(lites, models)

    def call(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(group, arguments)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def test_create_diff_and_drop(run: Run, lites: Databases) -> None:
    assert "missing" not in run("create").stdout and lites["b"].get_tables() == ["visit"]
    assert "already there" in run("create", "User").stdout
    assert "no difference in 3 database(s)" in run("diff").stdout
    lites["c"].execute_sql("ALTER TABLE visit ADD COLUMN more INTEGER")
    said = run("diff", code=1).stdout
    assert "c: visit.more is there, and Visit has no such field. Next: multidb migrate --make NAME" in said
    assert "is not as in b: the column more is there only" in said
    assert run("diff", "--db", "b").exit_code == 0
    found = json.loads(run("diff", "--json", code=1).stdout)
    assert [one["kind"] for one in found["differences"]] == ["extra column"] and len(found["drift"]) == 1
    run("drop", code=2)
    assert "say --yes" in run("drop", "Visit", code=2).output
    dropped = json.loads(run("drop", "Visit", "--yes", "--db", "b", "--json").stdout)
    assert dropped["dropped"] == {"b": ["visit"]} and lites["c"].get_tables() == ["visit"]


def test_a_type_alone_is_told_with_what_to_run(run: Run, lites: Databases) -> None:
    lites["a"].execute_sql("CREATE TABLE user (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(30) NOT NULL)")
    said = run("diff", "User", code=1).stdout
    assert said == (
        "a: user.name is varchar(30), and User says varchar(40). Next: multidb migrate --make NAME writes "
        "migrator.alter_column_type('user', 'name', ...) for it; or change User.name\n"
    )


def test_a_database_that_does_not_answer(run: Run, lites: Databases, mariadb_url: str) -> None:
    lites.remove("c")
    lites.add("c", mariadb_url.rsplit("/", 1)[0] + "/missing")
    password = mariadb_url.split(":")[2].split("@")[0] if mariadb_url.count(":") > 2 else "unset-password"
    for command, code in (("create", 6), ("diff", 4)):
        result = run(command, code=code)
        assert "OperationalError" in result.output and password not in result.output
        assert json.loads(run(command, "--json", code=code if command == "diff" else 4).stdout)["failed"]["c"]


def test_inspect(run: Run, lites: Databases, tmp_path: Path) -> None:
    run("create")
    source = run("inspect", "b").stdout
    assert "class Visit(Base):" in source and "db_name = 'b'" in source
    file = tmp_path / "models.py"
    run("inspect", "b", "--unmanaged", "--output", str(file))
    assert "managed = False" in file.read_text()
    assert "is there already" in run("inspect", "b", "--output", str(file), code=2).output
    assert json.loads(run("inspect", "b", "--json").stdout)["source"] == source
    run("inspect", "z", code=3)
    assert "has no table 'x'" in run("inspect", "b", "--table", "x", code=3).output


def test_without_models_it_says_how_to_name_them(lites: Databases) -> None:
    result = CliRunner().invoke(group_for(lites), ["diff"])
    assert result.exit_code == 3 and "say models" in result.output
