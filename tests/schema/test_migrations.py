"""Migrations of many databases: each applied once, in order, wherever it belongs, with an exact report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peewee import CharField
from playhouse.migrations import Runner

from peewee_multidb import Databases, ReadOnlyDatabase, UnknownDatabase, errors
from peewee_multidb.schema import Migrations
from tests.schema.conftest import ENGINES, FIRST, Write, base_of, marks

NAMES = ["0001_first", "0002_two", "0003_three"]


def test_every_engine_is_brought_up_and_down_again(engines: Databases, three: Path) -> None:
    migrations = Migrations(three, engines)
    report = migrations.up()
    assert report.ok, report
    assert report.done == dict.fromkeys(ENGINES, NAMES)
    for name in ENGINES:
        assert marks(engines, name) == ["two", "three"]
        columns = [column.name for column in engines[name].get_columns("marker")]
        assert columns == ["id", "name", "two", "three"]
    again = migrations.up()
    assert again.ok and again.done == {name: [] for name in ENGINES}
    down = migrations.down(target="0002")
    assert down.ok and down.done == {name: ["0003_three", "0002_two"] for name in ENGINES}
    assert [marks(engines, name) for name in ENGINES] == [[]] * 4
    assert migrations.down().done == {name: ["0001_first"] for name in ENGINES}
    assert all("marker" not in engines[name].get_tables() for name in ENGINES)
    assert migrations.down().done == {name: [] for name in ENGINES}


def test_a_target_stops_there_and_the_rest_comes_later(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    assert migrations.up(["a"], target="0002_two").done == {"a": NAMES[:2]}
    assert migrations.up(["a", "b"]).done == {"a": NAMES[2:], "b": NAMES}
    status = migrations.status()
    assert status.names("pending") == {"c": NAMES, "d": NAMES}
    assert status.names("applied") == {"a": NAMES, "b": NAMES}
    assert not status.complete
    # One that never had the target has nothing to undo.
    assert migrations.down(target="0003_three").done == {"a": NAMES[2:], "b": NAMES[2:], "c": [], "d": []}


def test_down_without_a_target_undoes_one_migration_wherever_it_is(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    migrations.up(["a"])
    migrations.up(["b"], target="0002")
    assert migrations.down().done == {"a": ["0003_three"], "b": [], "c": [], "d": []}


def test_fake_only_notes(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    assert migrations.fake(["a"], target="0001_first").done == {"a": ["0001_first"]}
    assert "marker" not in lites["a"].get_tables()
    assert migrations.status(["a"]).names("pending") == {"a": NAMES[1:]}


def test_peewees_own_runner_understands_the_history(lites: Databases, three: Path) -> None:
    Migrations(three, lites).up(["a"], target="0002")
    assert list(Runner(lites["a"], str(three)).applied()) == NAMES[:2]
    assert Runner(lites["a"], str(three)).up() == NAMES[2:]
    assert Migrations(three, lites).status(["a"]).complete
    Runner(lites["b"], str(three)).up()
    assert Migrations(three, lites).up(["b"]).done == {"b": []}


def test_a_failure_leaves_its_database_as_before_and_the_others_go_on(lites: Databases, write: Write) -> None:
    write("0001_first", FIRST)
    path = write(
        "0002_two",
        """
        def up(migrator, db):
            db.execute_sql("INSERT INTO marker (name) VALUES ('two')")
            if "b.db" in db.database:
                db.execute_sql("INSERT INTO nowhere VALUES (1)")
        """,
    )
    migrations = Migrations(path.parent, lites)
    report = migrations.up(workers=2)
    assert not report.ok
    assert report.done == {name: NAMES[:2] if name != "b" else NAMES[:1] for name in "abcd"}
    error = report.failed["b"]
    assert isinstance(error, errors.MigrationError)
    assert "database 'b': up of 0002_two failed" in str(error)
    assert "the database is as before 0002_two" in str(error)
    assert marks(lites, "b") == []
    assert migrations.status().names("pending") == {"b": ["0002_two"]}
    with pytest.raises(errors.MigrationError, match=r"1 database\(s\) failed"):
        report.raise_for_failures()
    path.write_text(path.read_text().replace("nowhere", "marker (id)").replace("VALUES (1)", "VALUES (7)"))
    assert "failed" in str(report)


def test_stop_starts_nothing_new_after_a_failure(lites: Databases, write: Write) -> None:
    path = write("0001_bad", "def up(migrator, db):\n    db.execute_sql('NONSENSE')\n")
    report = Migrations(path.parent, lites).up(workers=1, on_error="stop")
    assert list(report.failed) == ["a"]
    assert report.not_started == ["b", "c", "d"]
    assert not report.ok and "b         not started" in str(report)


def test_read_only_databases_are_passed_over_and_refused_when_named(tmp_path: Path, three: Path) -> None:
    own = Databases(
        {"a": f"sqlite:///{tmp_path}/a.db", "erp": {"url": f"sqlite:///{tmp_path}/e.db", "read_only": True}}
    )
    migrations = Migrations(three, own)
    report = migrations.up()
    assert report.passed_over == {"erp": "it is configured read_only"} and report.done == {"a": NAMES}
    assert "erp       passed over" in str(report)
    for act in (migrations.up, migrations.down, migrations.status, migrations.dry_run):
        with pytest.raises(ReadOnlyDatabase, match="'erp' is configured read_only"):
            act(["a", "erp"])
    assert not (tmp_path / "e.db").exists() or own["erp"].get_tables() == []
    own.close_all()


def test_names_that_nobody_knows_are_refused_before_anything_is_done(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    with pytest.raises(UnknownDatabase, match="did you mean 'a'"):
        migrations.up(["aa"])
    with pytest.raises(errors.MigrationError, match="did you mean '0001_first'"):
        migrations.up(target="0001_frist")
    with pytest.raises(errors.MigrationError, match="may be any of"):
        migrations.up(target="000")
    assert all(lites[name].get_tables() == [] for name in lites)


def test_a_file_that_cannot_be_loaded_stops_everything_beforehand(lites: Databases, write: Write) -> None:
    write("0001_first", FIRST)
    path = write("0002_bad", "def up(migrator, db:\n")
    with pytest.raises(errors.MigrationError, match=r"0002_bad.py cannot be loaded \(SyntaxError"):
        Migrations(path.parent, lites).up()
    assert all(lites[name].get_tables() == [] for name in lites)


def test_a_migration_says_which_databases_and_models_it_concerns(lites: Databases, write: Write) -> None:
    class Visit(base_of(lites, db_name=lambda key: key, shard_key="key", shards=("b", "c"))):
        key = CharField()

    write("0001_names", "databases = ('a', 'b')\ndef up(migrator, db): pass\n")
    write("0002_function", "databases = lambda name: name > 'b'\ndef up(migrator, db): pass\n")
    write("0003_models", "models = 'Visit'\ndef up(migrator, db): pass\n")
    path = write("0004_engine", "engines = 'mysql'\ndef up(migrator, db): pass\n")
    migrations = Migrations(path.parent, lites, models=[Visit])
    assert migrations.up().done == {
        "a": ["0001_names"],
        "b": ["0001_names", "0003_models"],
        "c": ["0002_function", "0003_models"],
        "d": ["0002_function"],
    }
    status = migrations.status()
    assert status.complete
    assert status.states["a"] == {
        "0001_names": "applied",
        "0002_function": "-",
        "0003_models": "-",
        "0004_engine": "-",
    }
    with pytest.raises(errors.MigrationError, match="names 'Visit'"):
        Migrations(path.parent, lites).up().raise_for_failures()


def test_a_migration_has_a_branch_for_an_engine(engines: Databases, write: Write) -> None:
    path = write(
        "0001_branch",
        """
        def up(migrator, db):
            db.execute_sql("CREATE TABLE usual (n INTEGER)")

        def up_mysql(migrator, db):
            db.execute_sql("CREATE TABLE of_mysql (n INTEGER)")
        """,
    )
    Migrations(path.parent, engines).up().raise_for_failures()
    own = {name: {"usual", "of_mysql"} & set(engines[name].get_tables()) for name in ENGINES}
    assert own == {"lite": {"usual"}, "pg": {"usual"}, "maria": {"of_mysql"}, "ms": {"usual"}}
    report = Migrations(path.parent, engines).down()
    assert "defines neither down" in str(report.failed["pg"])


def test_a_file_that_was_changed_after_it_was_applied_is_warned_of(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    migrations.up(["a", "b"])
    file = three / "0002_two.py"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert migrations.up(["a"]).warnings == [], "line endings are no change"
    file.write_text(file.read_text() + "# more\n")
    report = migrations.up()
    assert len(report.warnings) == 1 and "0002_two was changed after it was applied to a, b" in str(report)
    assert migrations.status(["a"]).states["a"]["0002_two"] == "changed"


def test_a_file_that_is_gone_is_shown_and_cannot_be_undone(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    migrations.up(["a"])
    (three / "0003_three.py").unlink()
    status = migrations.status(["a"])
    assert status.states["a"] == {**dict.fromkeys(NAMES[:2], "applied"), "0003_three": "file gone"}
    report = migrations.down(["a"], target="0002")
    assert "0003_three is applied, but its file is gone" in str(report.failed["a"])
    migrations.mark_undone("0003_three", ["a"])
    assert migrations.down(["a"], target="0002").ok


def test_progress_tells_of_each_database(lites: Databases, three: Path) -> None:
    seen: list[Any] = []
    Migrations(three, lites).up(progress=lambda done, total, name, error: seen.append((done, total, name)))
    assert sorted(name for *_, name in seen) == ["a", "b", "c", "d"]
    assert [one[:2] for one in seen] == [(n, 4) for n in range(1, 5)]


def test_databases_that_no_migration_concerns_get_no_tables(lites: Databases, write: Write) -> None:
    path = write("0001_names", "databases = 'a'\ndef up(migrator, db): pass\n")
    Migrations(path.parent, lites).up().raise_for_failures()
    assert lites["b"].get_tables() == []
    assert lites["a"].get_tables() == ["schema_migration", "schema_migration_mark"]


def test_the_tables_of_the_history_take_no_name_from_an_application(engines: Databases, three: Path) -> None:
    Migrations(three, engines).up(target="0001").raise_for_failures()
    for name in ENGINES:
        for table in ("schema_migration", "schema_migration_mark"):
            unique = [index for index in engines[name].get_indexes(table) if index.columns == ["name"]]
            assert [(index.name, index.unique) for index in unique] == [(f"{table}_name", True)]


def test_a_skeleton_is_numbered_next(lites: Databases, three: Path, tmp_path: Path) -> None:
    path = Path(Migrations(three, lites).create("Add the karma"))
    assert path.name == "0004_add_the_karma.py"
    assert Migrations(three, lites).up(["a"]).done == {"a": [*NAMES, "0004_add_the_karma"]}
    first = Path(Migrations(tmp_path / "new", lites).create("x"))
    assert first.name == "0001_x.py"


def test_the_report_and_the_status_are_plain_values_too(lites: Databases, three: Path) -> None:
    migrations = Migrations(three, lites)
    report = migrations.up(["a"]).as_dict()
    assert report["ok"] and report["done"] == {"a": NAMES} and report["action"] == "up"
    status = migrations.status(["a", "b"]).as_dict()
    assert status["states"]["b"] == dict.fromkeys(NAMES, "pending") and not status["complete"]
