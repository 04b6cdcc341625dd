"""A migration that fails half-way, is killed, or meets another runner: what is left is known and said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases, errors
from peewee_multidb.schema import Migrations
from peewee_multidb.schema.locks import held
from tests.schema.conftest import ENGINES, FIRST, MARKED, Write, marks

ROOT = Path(__file__).resolve().parent.parent.parent

HALF = """
    def up(migrator, db):
        db.execute_sql("CREATE TABLE one (n INTEGER)")
        db.execute_sql("INSERT INTO one (n) VALUES (1)")
        db.execute_sql("CREATE TABLE two (n INTEGER, n INTEGER)")

    def down(migrator, db):
        db.execute_sql("DROP TABLE one")
        db.execute_sql("DROP TABLE missing")
"""


@pytest.fixture
def maria(mariadb_url: str) -> Any:
    own = Databases({"shop": mariadb_url})
    yield own
    own.close_all()


def test_half_of_a_migration_is_refused_until_somebody_says_what_is_there(
    maria: Databases, write: Write
) -> None:
    path = write("0001_half", HALF)
    migrations = Migrations(path.parent, maria)
    error = migrations.up().failed["shop"]
    assert isinstance(error, errors.MigrationHalfDone) and error.migration == "0001_half"
    said = str(error)
    for part in (
        "database 'shop': up of 0001_half failed (OperationalError",
        "done: CREATE TABLE one (n INTEGER)",
        "done: INSERT INTO one (n) VALUES (1)",
        "failed: CREATE TABLE two (n INTEGER, n INTEGER)",
        "multidb migrate --mark-done 0001_half --db shop",
        "multidb migrate --mark-undone 0001_half --db shop",
    ):
        assert part in said
    assert migrations.status().states["shop"] == {"0001_half": "half done"}
    again = migrations.up().failed["shop"]
    assert isinstance(again, errors.MigrationHalfDone) and "was begun (up) and did not finish" in str(again)
    assert maria["shop"].execute_sql("SELECT COUNT(*) FROM one").fetchone()[0] == 1, "nothing was repeated"

    maria["shop"].execute_sql("DROP TABLE one")
    migrations.mark_undone("0001_half", ["shop"])
    path.write_text(path.read_text().replace("n INTEGER, n", "n INTEGER, m"))
    assert migrations.up().done == {"shop": ["0001_half"]}


def test_down_that_fails_half_way_is_as_half_done(maria: Databases, write: Write) -> None:
    path = write("0001_half", HALF.replace("n INTEGER, n", "n INTEGER, m"))
    migrations = Migrations(path.parent, maria)
    migrations.up().raise_for_failures()
    error = migrations.down().failed["shop"]
    assert isinstance(error, errors.MigrationHalfDone) and "done: DROP TABLE one" in str(error)
    assert migrations.status().states["shop"] == {"0001_half": "half done"}
    assert isinstance(migrations.up().failed["shop"], errors.MigrationHalfDone)
    migrations.mark_done("0001_half", ["shop"])
    assert migrations.status().complete
    migrations.mark_undone("0001_half", ["shop"])
    assert migrations.status().names("pending") == {"shop": ["0001_half"]}


def test_a_migration_whose_first_statement_fails_is_not_half_done(maria: Databases, write: Write) -> None:
    path = write("0001_bad", "def up(migrator, db):\n    db.execute_sql('CREATE TABLE t (n NONSENSE)')\n")
    migrations = Migrations(path.parent, maria)
    error = migrations.up().failed["shop"]
    assert type(error) is errors.MigrationError
    assert "Nothing of it was done" in str(error)
    assert migrations.status().states["shop"] == {"0001_bad": "pending"}
    path.write_text("def up(migrator, db):\n    db.execute_sql('CREATE TABLE t (n INTEGER)')\n")
    assert migrations.up().done == {"shop": ["0001_bad"]}


def test_a_connection_that_is_lost_on_the_way_leaves_it_half_done(maria: Databases, write: Write) -> None:
    path = write(
        "0001_cut",
        "def up(migrator, db):\n    db.execute_sql('KILL CONNECTION_ID()')\n",
    )
    migrations = Migrations(path.parent, maria)
    assert isinstance(migrations.up().failed["shop"], errors.MigrationHalfDone)
    assert migrations.status().states["shop"] == {"0001_cut": "half done"}


def test_a_file_without_a_transaction_of_its_own_is_run_in_steps_on_every_engine(
    engines: Databases, write: Write
) -> None:
    path = write(
        "0001_steps",
        """
        atomic = False

        def up(migrator, db):
            db.execute_sql("CREATE TABLE one (n INTEGER)")
            raise ValueError("half")
        """,
    )
    migrations = Migrations(path.parent, engines)
    report = migrations.up()
    assert all(isinstance(report.failed[name], errors.MigrationHalfDone) for name in ENGINES), report
    assert all("one" in engines[name].get_tables() for name in ENGINES)
    states = migrations.status().states
    assert {name: list(states[name].values()) for name in ENGINES} == {
        name: ["half done"] for name in ENGINES
    }


@pytest.mark.parametrize("name", ["lite", "pg", "ms"])
def test_a_transaction_undoes_a_failed_migration_whole(engines: Databases, write: Write, name: str) -> None:
    path = write("0001_half", HALF)
    report = Migrations(path.parent, engines).up([name])
    assert type(report.failed[name]) is errors.MigrationError
    assert not {"one", "two"} & set(engines[name].get_tables())


@pytest.mark.parametrize("name", ENGINES)
def test_the_lock_leaves_the_counting_of_changed_rows_as_it_was(engines: Databases, name: str) -> None:
    database = engines[name]
    database.execute_sql("CREATE TABLE counted (n INTEGER)").close()
    database.execute_sql("INSERT INTO counted (n) VALUES (1)").close()
    with held(database, name):
        cursor = database.execute_sql("UPDATE counted SET n = 2")
        assert cursor.rowcount == 1
    if name == "ms":
        asked: list[Any] = []
        database.query_hooks.append(lambda event: asked.append(event.sql))
        with held(database, name):
            assert asked[0].startswith("SET NOCOUNT ON") and asked[0].endswith("SET NOCOUNT OFF")


@pytest.mark.parametrize("name", ENGINES)
def test_two_runners_never_work_on_one_database(engines: Databases, three: Path, name: str) -> None:
    holding, over = threading.Event(), threading.Event()

    def hold() -> None:
        with engines[name].connection_context(), held(engines[name], name):
            holding.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(30)
        error = Migrations(three, engines).up([name]).failed[name]
        assert isinstance(error, errors.MigrationLocked)
        assert f"database {name!r} is being migrated by another process or thread" in str(error)
        assert marks(engines, name) == []
        waiting = Migrations(three, engines, wait=60)
        threading.Timer(0.2, over.set).start()
        assert waiting.up([name]).ok
    finally:
        over.set()
        thread.join()
    assert marks(engines, name) == ["two", "three"]
    assert Migrations(three, engines).down([name], target="0001").ok, "the lock is free again"


def test_many_runners_at_once_apply_each_migration_once(engines: Databases, three: Path) -> None:
    names = ["lite", "pg", "maria"]
    reports = []

    def run() -> None:
        reports.append(Migrations(three, engines, wait=60).up(names))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(report.ok for report in reports), [str(report) for report in reports]
    for name in names:
        assert marks(engines, name) == ["two", "three"]
        done = sorted(one for report in reports for one in report.done[name])
        assert done == ["0001_first", "0002_two", "0003_three"]


CHILD = """
import json, os, signal, sys, threading
from peewee_multidb import Databases
from peewee_multidb.schema import Migrations

urls, folder, moment = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
own, lock, sent = Databases(urls), threading.Lock(), 0

def count(event):
    global sent
    with lock:
        sent += 1
        if sent == moment:
            os.kill(os.getpid(), signal.SIGKILL)

for name in own:
    own[name].query_hooks.append(count)
report = Migrations(folder, own).up(workers=4)
print(report if not report.ok else "ok")
"""


@pytest.mark.parametrize("moment", [40, 150, 260, 371])
def test_after_a_kill_a_second_run_finishes_the_rest_and_repeats_nothing(
    tmp_path: Path, write: Write, new_postgres_url: Callable[[], str], moment: int
) -> None:
    write("0001_first", FIRST)
    write("0002_two", MARKED.format("two"))
    path = write("0003_three", MARKED.format("three"))
    urls = {f"lite{n}": f"sqlite:///{tmp_path}/{n}.db?synchronous=0" for n in range(12)}
    urls.update({f"pg{n}": new_postgres_url() for n in range(3)})
    command = [sys.executable, "-c", CHILD, json.dumps(urls), str(path.parent), str(moment)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert child.returncode == -signal.SIGKILL, child.stdout + child.stderr
    own = Databases(urls)
    migrations = Migrations(path.parent, own, wait=30)
    before = migrations.status()
    assert not before.complete, "the kill came in the middle"
    report = migrations.up()
    assert report.ok, report
    names = ["0001_first", "0002_two", "0003_three"]
    for name in own:
        assert marks(own, name) == ["two", "three"], "each once, and in order"
        applied = before.names("applied").get(name, [])
        assert report.done[name] == names[len(applied) :], "exactly the rest"
    assert migrations.status().complete
    own.close_all()


def test_where_ddl_is_no_transaction_a_kill_leaves_a_mark_and_never_a_repetition(
    write: Write, new_mariadb_url: Callable[[], str]
) -> None:
    write("0001_first", FIRST)
    path = write("0002_two", MARKED.format("two"))
    urls = {f"maria{n}": new_mariadb_url() for n in range(4)}
    own = Databases(urls)
    migrations = Migrations(path.parent, own, wait=30)
    for moment in (50, 90):
        command = [sys.executable, "-c", CHILD, json.dumps(urls), str(path.parent), str(moment)]
        child = subprocess.run(command, cwd=ROOT, capture_output=True)
        assert child.returncode == -signal.SIGKILL
        status = migrations.status()
        report = migrations.up()
        half = status.names("half done")
        assert report.failed.keys() == half.keys(), "exactly what was cut off is refused"
        assert all(isinstance(error, errors.MigrationHalfDone) for error in report.failed.values())
        for name, (migration,) in half.items():
            columns = [c.name for c in own[name].get_columns("marker")] if marker_in(own, name) else []
            left = {"0001_first": marker_in(own, name), "0002_two": "two" in columns}[migration]
            if left:
                migrations.mark_done(migration, [name])
            else:
                if marker_in(own, name):
                    own[name].execute_sql("DELETE FROM marker")
                migrations.mark_undone(migration, [name])
        assert migrations.up().ok
        for name in own:
            assert marks(own, name) == ["two"]
        migrations.down(target="0001").raise_for_failures()
    own.close_all()


def marker_in(own: Databases, name: str) -> bool:
    return "marker" in own[name].get_tables()
