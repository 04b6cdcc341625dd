"""`resume`: a second run repeats nothing and does the rest, however the first one ended."""

from __future__ import annotations

import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.foreach import for_each_database
from peewee_multidb.foreach.journal import Journal
from tests.scale import scaled

NAMES = [f"t{number}" for number in range(12)]
registry = Databases({name: "sqlite://" for name in NAMES})
called: list[str] = []


def work(name: str) -> None:
    called.append(name)
    if name in broken:
        raise ValueError(name)


broken: set[str] = set()


@pytest.fixture(autouse=True)
def journal(tmp_path: Path) -> Path:
    called.clear()
    broken.clear()
    return tmp_path / "journal.db"


def run(path: Path, **options: Any) -> Any:
    return for_each_database(work, registry=registry, resume=path, workers=3, **options)


def test_what_is_done_is_not_done_again_and_what_failed_is(journal: Path) -> None:
    broken.update({"t3", "t5"})
    first = run(journal)
    assert set(first.failed) == broken and first.run == "tests.foreach.test_journal:work"
    called.clear()
    broken.discard("t3")
    second = run(journal)
    assert sorted(called) == ["t3", "t5"] and set(second.skipped) == set(NAMES) - {"t3", "t5"}
    assert list(second.results) == ["t3"] and list(second.failed) == ["t5"] and len(second) == len(NAMES)
    broken.clear()
    run(journal)
    called.clear()
    last = run(journal)
    assert called == [] and last.ok and last.skipped == NAMES and last.results == {}


def test_runs_of_another_label_know_nothing_of_each_other(journal: Path) -> None:
    run(journal, run="monday")
    called.clear()
    assert run(journal, run="tuesday").skipped == [] and sorted(called) == sorted(NAMES)


def test_new_names_join_a_run_that_was_complete(journal: Path) -> None:
    run(journal, names=NAMES[:3])
    called.clear()
    run(journal, names=NAMES[:5])
    assert sorted(called) == NAMES[3:5]


def test_the_row_is_on_disk_when_the_progress_function_hears_of_it(journal: Path, tmp_path: Path) -> None:
    """Past the package: the file and SQLite's own journal are copied and read by another connection."""

    def heard(done: int, total: int, name: str, error: Any) -> None:
        copy = tmp_path / "copy.db"
        copy.write_bytes(journal.read_bytes())
        with sqlite3.connect(copy) as other:
            rows = other.execute("SELECT state FROM step WHERE name = ?", (name,)).fetchall()
        other.close()
        assert rows == [("done",)]

    for_each_database(work, registry=registry, resume=journal, workers=1, progress=heard)
    assert len(called) == 12


def test_a_function_without_a_name_needs_a_label(journal: Path) -> None:
    for function in (lambda name: None, functools.partial(work)):
        with pytest.raises(ConfigurationError, match="give run=TEXT"):
            for_each_database(function, registry=registry, resume=journal)
        assert for_each_database(function, registry=registry, resume=journal, run="x").ok


def test_two_processes_cannot_work_by_one_journal(journal: Path) -> None:
    with Journal(journal, "x"):
        code = "import sys; from peewee_multidb.foreach.journal import Journal; Journal(sys.argv[1], 'x')"
        done = subprocess.run([sys.executable, "-c", code, journal], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "another process is using this journal" in done.stderr
    Journal(journal, "x").__exit__(None, None, None)


def test_a_file_that_is_something_else_is_refused_and_left_as_it_was(journal: Path) -> None:
    with sqlite3.connect(journal) as other:
        other.execute("CREATE TABLE precious (n)")
    other.close()
    before = journal.read_bytes()
    with pytest.raises(ConfigurationError, match="another program"):
        run(journal)
    assert journal.read_bytes() == before
    text = journal.with_name("notes.txt")
    text.write_text("no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(ConfigurationError, match="cannot be used as a journal"):
        run(text)
    with pytest.raises(ConfigurationError, match="cannot be used as a journal"):
        run(journal.with_name("no") / "such" / "folder.db")


KILLED = """
import os, sys
from pathlib import Path
from peewee_multidb import Databases
from peewee_multidb.foreach import for_each_database
folder = Path(sys.argv[1])
names = [f"t{number}" for number in range(40)]
registry = Databases({name: "sqlite://" for name in names})
def work(name):
    # One system call: a line is there whole or not at all.
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, (name + "\\n").encode())
    os.close(log)
def told(done, total, name, error):
    print(name, flush=True)
report = for_each_database(work, names, registry=registry, workers=3, resume=folder / "journal.db", progress=told)
print("repeated:", *report.repeated, flush=True)
print("complete", flush=True)
"""


@pytest.mark.parametrize("seed", range(scaled(2)))
def test_killed_at_any_moment_it_repeats_no_more_than_what_was_under_way(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    told: list[str] = []
    for _ in range(60):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        heard = []
        for _ in range(chosen.randrange(1, 9)):
            line = process.stdout.readline().strip()
            heard.append(line)
            if line in ("complete", ""):
                break
        if "complete" not in heard:
            os.kill(process.pid, signal.SIGKILL)
        heard += [line.strip() for line in process.stdout]
        process.stdout.close()
        process.wait()
        told += [line for line in heard if line.startswith("t")]
        if "complete" in heard:
            break
    else:
        raise AssertionError("it never came to an end")
    assert len(told) == len(set(told)), "what was told of as done was done again"
    log = (tmp_path / "log").read_text().split()
    assert set(log) == {f"t{number}" for number in range(40)}
    with sqlite3.connect(tmp_path / "journal.db") as file:
        assert file.execute("SELECT count(*) FROM step WHERE state = 'done'").fetchone() == (40,)
    file.close()
