"""`for_each_database`: each database once, in threads, and whatever happens the report is true."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField

from peewee_multidb import ConfigurationError, Databases, Model, current_db, use_db
from peewee_multidb.causality import current_unit
from peewee_multidb.errors import ForEachFailed
from peewee_multidb.foreach import Interrupted, Report, for_each_database
from peewee_multidb.foreach.run import _Run
from peewee_multidb.scope import current
from tests.conftest import NewUrl

NAMES = tuple(f"t{number}" for number in range(20))
own = Databases()


class Note(Model):
    text = CharField()

    class Meta:
        registry = own
        db_name = None


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Path]:
    own.configure({name: f"sqlite:///{tmp_path}/{name}.db" for name in NAMES})
    yield tmp_path
    own.close_all()
    own.configure({})


def create(name: str) -> str:
    Note.create_table()
    Note.create(text=name)
    return name.upper()


def texts(name: str) -> list[str]:
    with use_db(name):
        return [note.text for note in Note.select()]


def test_the_report_is_in_the_order_of_the_names_whoever_is_done_first(tenants: Path) -> None:
    done = {name: threading.Event() for name in NAMES[:4]}
    after = dict(itertools.pairwise(NAMES[:4]))

    def backwards(name: str) -> str:
        if name in after:
            assert done[after[name]].wait(30)
        done[name].set()
        if name in NAMES[:2]:
            raise ValueError
        return name

    report = for_each_database(backwards, NAMES[:4], registry=own, workers=4)
    assert (list(report.failed), list(report.results)) == (list(NAMES[:2]), list(NAMES[2:4]))
    assert list(report.seconds) == list(NAMES[:4])


def test_each_database_is_visited_once_and_its_row_lies_there(tenants: Path) -> None:
    report = for_each_database(create, registry=own, workers=4)
    assert report.ok and report.results == {name: name.upper() for name in NAMES}
    assert {name: texts(name) for name in NAMES} == {name: [name] for name in NAMES}
    assert report.seconds.keys() == set(NAMES)
    report.raise_for_failures()


def test_no_more_threads_than_workers_are_at_work(tenants: Path) -> None:
    three, lock, now, most = threading.Barrier(3, timeout=60), threading.Lock(), [0], [0]

    def work(name: str) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most)
            most[0] = max(most[0], now[0])
        three.wait()
        with lock:
            now[0] -= 1
        return threading.get_ident()

    report = for_each_database(work, NAMES[:18], registry=own, workers=3)
    assert report.ok and most[0] == 3 and len(set(report.results.values())) == 3


def test_the_scope_of_the_caller_holds_and_nothing_passes_from_one_call_to_the_next(tenants: Path) -> None:
    def work(name: str) -> Any:
        unit, scope = current_unit(), current()
        assert unit is not None and not unit.pins and scope is not None
        role = scope.parent and scope.parent.entry.role
        use_db("t0").__enter__()  # left open
        return name, current_db(Note), role

    with use_db(role="primary"):
        report = for_each_database(work, registry=own, workers=1)
        assert [name for name, _, _ in report.results.values()] == list(NAMES)
        assert {role for _, _, role in report.results.values()} == {"primary"}
    again = for_each_database(lambda name: current_db(Note), registry=own, workers=1)
    assert again.results == {name: name for name in NAMES}
    assert current() is None


def test_connections_are_given_back_after_each(new_postgres_url: NewUrl) -> None:
    pool = {"max_connections": 1, "timeout": 30}
    registry = Databases({name: {"url": new_postgres_url(), "pool": pool} for name in ("a", "b")})
    open_at_a_time: list[int] = []

    def work(name: str) -> Any:
        registry[name].execute_sql("SELECT 1")
        open_at_a_time.append(sum(not registry[one].is_closed() for one in ("a", "b")))

    try:
        # With one thread, so that what it kept of the first would be open in the second.
        assert for_each_database(work, registry=registry, workers=1).ok
        assert open_at_a_time == [1, 1]
        assert [len(registry[name]._in_use) for name in ("a", "b")] == [0, 0]  # type: ignore[attr-defined]
    finally:
        registry.close_all()


def test_a_transaction_left_open_is_a_failure_and_rolled_back(new_postgres_url: NewUrl) -> None:
    registry = Databases({"a": {"url": new_postgres_url(), "pool": {"max_connections": 1, "timeout": 30}}})
    database: Any = registry["a"]
    database.execute_sql("CREATE TABLE t (n INT)")
    registry.close()

    def work(name: str) -> None:
        database.atomic().__enter__()
        database.execute_sql("INSERT INTO t VALUES (1)")

    try:
        report = for_each_database(work, registry=registry, workers=1)
        assert isinstance(report.failed["a"], peewee.OperationalError)
        assert "work returned with a transaction open on 'a', which is rolled back" in str(report.failed["a"])
        assert database.execute_sql("SELECT count(*) FROM t").fetchone() == (0,)
    finally:
        registry.close_all()


def refuse_odd(name: str) -> str:
    if int(name[1:]) % 2:
        raise ValueError(f"{name} is odd")
    return name


def test_failures_are_reported_and_the_others_go_on(tenants: Path) -> None:
    report = for_each_database(refuse_odd, registry=own)
    assert not report.ok and set(report.failed) == set(NAMES[1::2]) and set(report.results) == set(NAMES[::2])
    with pytest.raises(
        ForEachFailed, match=r"10 of 20 databases are done; failed: 't\d+' \(ValueError: t\d"
    ) as e:
        report.raise_for_failures()
    assert e.value.report is report and isinstance(e.value.__cause__, ValueError)


def test_stop_starts_nothing_after_the_first_failure(tenants: Path) -> None:
    report = for_each_database(refuse_odd, registry=own, workers=1, on_error="stop")
    assert (list(report.results), list(report.failed)) == (["t0"], ["t1"])
    assert report.not_started == list(NAMES[2:])
    with pytest.raises(ForEachFailed, match=r"not started: 't2', .* and 13 others"):
        report.raise_for_failures()


def test_an_unknown_name_fails_alone(tenants: Path) -> None:
    report = for_each_database(create, ["t0", "nobody"], registry=own)
    assert list(report.results) == ["t0"] and "nobody" in str(report.failed["nobody"])


@pytest.mark.parametrize(
    "names",
    [("t1", "t2", "t1"), lambda: ["t1", "t2"], iter(["t1", "t2"]), lambda: (n for n in ("t1", "t2"))],
    ids=["repeated", "function", "iterator", "generator"],
)
def test_names_come_from_anything_that_has_some(tenants: Path, names: Any) -> None:
    assert sorted(for_each_database(refuse_even_less, names, registry=own).results) == ["t1", "t2"]


def refuse_even_less(name: str) -> str:
    return name


def test_names_may_come_from_the_control_database(tenants: Path) -> None:
    with use_db("t0"):
        Note.create_table()
        Note.insert_many([{"text": "t3"}, {"text": "t4"}]).execute()

    def registered() -> Iterator[str]:
        with use_db("t0"):
            names = [note.text for note in Note.select()]
        yield from names

    assert sorted(for_each_database(create, registered, registry=own).results) == ["t3", "t4"]


async def coroutine(name: str) -> None:
    pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": "t1"}, r"give a list of database names, \['t1'\] for one"),
        ({"names": [1]}, "1 is not a database name"),
        ({"names": [""]}, "'' is not a database name"),
        ({"names": 5}, "give database names, or a function"),
        ({"workers": 0}, "workers=0: at least 1"),
        ({"on_error": "ignore"}, "'continue' or 'stop'"),
        ({"progress": "yes"}, "True, False or a function"),
        ({"run": "x"}, "give resume=PATH as well"),
        ({"fn": coroutine}, "a coroutine function: use afor_each_database"),
        ({"fn": 5}, "calls a function with each name, not 5"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tenants: Path, arguments: Any, message: str) -> None:
    arguments = {"fn": create, "registry": own, **arguments}
    with pytest.raises(ConfigurationError, match=message):
        for_each_database(**arguments)


def test_progress_is_told_of_each_in_the_calling_thread(tenants: Path) -> None:
    told: list[Any] = []

    def progress(done: int, total: int, name: str, error: Exception | None) -> None:
        told.append((done, total, threading.current_thread() is threading.main_thread()))
        assert (error is None) is not bool(int(name[1:]) % 2)

    for_each_database(refuse_odd, registry=own, progress=progress)
    assert told == [(done, 20, True) for done in range(1, 21)]


def test_trouble_in_the_progress_function_ends_the_run_when_what_is_under_way_is_done(tenants: Path) -> None:
    def progress(*_: Any) -> None:
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        for_each_database(create, registry=own, workers=2, progress=progress)
    assert not [
        one for one in threading.enumerate() if one.name.startswith("multidb-each") and one.is_alive()
    ]


def test_an_exit_in_a_call_ends_the_program_and_not_just_its_thread(tenants: Path) -> None:
    def work(name: str) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        for_each_database(work, registry=own, workers=1)
    assert caught.value.code == 3


def noticed(wind_up: Any, event: threading.Event) -> Any:
    def wrapper(run: Any) -> None:
        run.stopped.set()
        event.set()
        wind_up(run)

    return wrapper


def test_ctrl_c_lets_what_runs_finish_and_reports(tenants: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)
    waiting, go_on = threading.Event(), threading.Event()

    def work(name: str) -> str:
        if both.wait() == 0:
            os.kill(os.getpid(), signal.SIGINT)
        assert go_on.wait(60)
        return name

    def heard(*_: Any) -> None:
        raise AssertionError("nothing is told after the interrupt")

    before = signal.getsignal(signal.SIGINT)

    def on_signal(number: int, frame: Any) -> None:
        # What goes on when the run has noticed: it then waits for the threads, which wait for this.
        threading.Thread(target=lambda: (waiting.wait(60), go_on.set())).start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_signal)
    monkeypatch.setattr(_Run, "_wind_up", noticed(_Run._wind_up, waiting))
    try:
        with pytest.raises(Interrupted, match="interrupted: 2 done, 18 not started") as caught:
            for_each_database(work, registry=own, workers=2, progress=heard)
    finally:
        signal.signal(signal.SIGINT, before)
    report = caught.value.report
    assert isinstance(caught.value, KeyboardInterrupt)
    assert len(report.results) == 2 and len(report.not_started) == 18 and not report.unfinished


def test_a_second_ctrl_c_does_not_wait_for_a_call_that_hangs(tmp_path: Path) -> None:
    """In a process of its own, which has to end although a thread never does."""
    code = """
import os, signal, sys, threading
from peewee_multidb import Databases
from peewee_multidb.foreach import for_each_database, Interrupted
def work(name):
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()
count = [0]
def twice(number, frame):
    count[0] += 1
    if count[0] == 1:
        os.kill(os.getpid(), signal.SIGINT)
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, twice)
registry = Databases({"a": "sqlite://", "b": "sqlite://"})
try:
    for_each_database(work, registry=registry, workers=1)
except Interrupted as interrupted:
    print(interrupted.report.as_dict()["unfinished"], interrupted.report.not_started)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("['a'] ['b']\n", "")


def test_the_report_prints_as_a_table() -> None:
    report = Report(results={"a": None, "b": 3}, failed={"c": ValueError("no\nway")}, not_started=["d"])
    report.seconds = {"a": 0.5, "b": 12.25, "c": 0}
    assert str(report).splitlines() == [
        "database  outcome      seconds",
        "a         done            0.50",
        "b         done           12.25  3",
        "c         failed          0.00  ValueError: no way",
        "d         not started",
        "2 done, 1 failed, 1 not started",
    ]
    assert report.as_dict()["failed"] == {"c": "ValueError: no way"}
    assert str(Report()) == "no databases"


def test_the_table_of_thousands_shows_those_that_need_attention() -> None:
    report = Report(results=dict.fromkeys(map(str, range(5000))), failed={"x": ValueError("no")})
    lines = str(report).splitlines()
    assert lines[1].startswith("x ") and lines[2:] == ["... and 5000 more", "5000 done, 1 failed"]
