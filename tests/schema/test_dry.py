"""A dry run tells the SQL that would be run, in each database's dialect, and touches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peewee import CharField, IntegerField

from peewee_multidb import Databases, errors
from peewee_multidb.schema import Migrations
from peewee_multidb.schema.runner import changes
from tests.schema.conftest import ENGINES, FIRST, Write, base_of

MORE = """
    def up(migrator, db):
        migrator.migrate(
            migrator.add_column("marker", "size", CharField(10, default="x", index=True)),
            migrator.rename_column("marker", "name", "label"),
        )

    def down(migrator, db):
        migrator.migrate(
            migrator.drop_index("marker", "marker_size"),
            migrator.drop_column("marker", "size"),
            migrator.rename_column("marker", "label", "name"),
        )
"""


def everything(own: Databases) -> dict[str, Any]:
    found = {}
    for name in own:
        tables = own[name].get_tables()
        found[name] = {
            table: ([tuple(c) for c in own[name].get_columns(table)], own[name].get_indexes(table))
            for table in tables
        }
    return found


def run_for_real(own: Databases, migrations: Migrations) -> dict[str, list[str]]:
    """Run what is pending, and return what was sent that changes something."""
    sent: dict[str, list[str]] = {name: [] for name in own}
    hooks = {}
    for name in own:

        def hook(event: Any, name: str = name) -> None:
            text = " ".join(event.sql.split()).rstrip(";")
            own_words = ("applock", "schema_migration", "advisory", "_LOCK")
            if changes(text) and not any(word in text for word in own_words):
                sent[name].append(text)

        own[name].query_hooks.append(hook)
        hooks[name] = hook
    migrations.up().raise_for_failures()
    for name in own:
        own[name].query_hooks.remove(hooks[name])
    return sent


def test_it_tells_exactly_what_is_run_then_and_touches_nothing(engines: Databases, write: Write) -> None:
    folder = write("0001_first", FIRST).parent
    migrations = Migrations(folder, engines)
    for number, text in ((1, FIRST), (2, MORE)):
        write(f"000{number}_step", text) if number > 1 else None
        before = everything(engines)
        told = migrations.dry_run()
        assert not told.failed, told
        assert everything(engines) == before
        shown = {
            name: [sql.partition("  /* ")[0] for step in steps for sql in step.statements]
            for name, steps in told.steps.items()
        }
        assert all(step.note is None for steps in told.steps.values() for step in steps), str(told)
        sent = run_for_real(engines, migrations)
        for name in ENGINES:
            assert [sql.lower() for sql in shown[name]] == [sql.lower() for sql in sent[name]], name
    before = everything(engines)
    told = migrations.dry_run(direction="down")
    assert [step.migration for step in told.steps["pg"]] == ["0002_step"]
    assert all(step.note is None for steps in told.steps.values() for step in steps), str(told)
    assert everything(engines) == before
    assert 'DROP COLUMN "size"' in str(told)


def test_databases_with_the_same_sql_are_shown_together(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    migrations.up(["c"])
    text = str(migrations.dry_run(target="0001"))
    columns = '"id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL'
    assert text.splitlines()[:3] == [
        "-- a, b, d",
        "-- 0001_first",
        f'CREATE TABLE IF NOT EXISTS "marker" ({columns});',
    ]
    assert text.splitlines()[3:] == ["-- c: nothing to do"]
    assert migrations.dry_run(["c"]).as_dict()["steps"] == {"c": []}


@pytest.mark.parametrize("name", ENGINES)
def test_models_of_the_application_go_into_the_rehearsal_too(
    engines: Databases, write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thing(base_of(engines, db_name=name)):
        n = IntegerField()
        label = CharField(null=True)

    monkeypatch.setattr("tests.schema.test_dry.THING", Thing)
    path = write(
        "0001_thing",
        """
        from tests.schema import test_dry

        def up(migrator, db):
            test_dry.THING.create_table()
            with db.atomic():
                test_dry.THING.insert(n=5).execute()
        """,
    )
    told = Migrations(path.parent, engines).dry_run([name])
    (step,) = told.steps[name]
    assert step.note is None, step
    assert len(step.statements) == 2 and "INSERT INTO" in step.statements[1], step
    assert step.statements[1].endswith("/* [5] */") or "[5, null]" in step.statements[1]
    assert engines[name].get_tables() == []
    Migrations(path.parent, engines).up([name]).raise_for_failures()
    assert Thing.select().count() == 1


THING: Any = None


def test_what_cannot_be_told_without_running_it_is_said(engines: Databases, write: Write) -> None:
    path = write(
        "0001_ask",
        """
        def up(migrator, db):
            db.execute_sql("CREATE TABLE one (n INTEGER)")
            if db.execute_sql("SELECT COUNT(*) FROM one").fetchone()[0] == 0:
                db.execute_sql("CREATE TABLE two (n INTEGER)")
        """,
    )
    told = Migrations(path.parent, engines).dry_run(["lite", "pg"])
    assert told.steps["lite"][0].note is None and len(told.steps["lite"][0].statements) == 2
    (step,) = told.steps["pg"]
    assert step.statements == ("CREATE TABLE one (n INTEGER)",)
    assert step.note is not None and "cannot be told without running this (ProgrammingError" in step.note
    assert engines["pg"].get_tables() == [] and engines["pg"].execute_sql("SELECT 1").fetchone()[0] == 1


def test_virtual_tables_and_views_are_in_the_copy(lites: Databases, write: Write) -> None:
    lites["a"].execute_sql("CREATE VIRTUAL TABLE texts USING fts5(body)")
    lites["a"].execute_sql("CREATE TABLE marker (id INTEGER PRIMARY KEY, name TEXT)")
    lites["a"].execute_sql("CREATE VIEW seen AS SELECT * FROM marker")
    path = write("0001_x", "def up(migrator, db):\n    db.execute_sql('ALTER TABLE marker ADD COLUMN x')\n")
    told = Migrations(path.parent, lites).dry_run(["a"])
    assert told.steps["a"][0].statements == ("ALTER TABLE marker ADD COLUMN x",)


def test_a_database_that_does_not_answer_is_said(lites: Databases, three: Path, mariadb_url: str) -> None:
    lites.add("gone", mariadb_url.rsplit("/", 1)[0] + "/missing")
    told = Migrations(three, lites).dry_run()
    assert list(told.failed) == ["gone"] and "-- gone: OperationalError" in str(told)
    assert "gone" in Migrations(three, lites).status().failed
    with pytest.raises(errors.MigrationError):
        Migrations(three, lites).up().raise_for_failures()
