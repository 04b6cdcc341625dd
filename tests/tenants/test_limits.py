"""max_open, max_databases: never more, whoever asks, and what was given back counts no more."""

from __future__ import annotations

import gc
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    Databases,
    Model,
    TooManyConnections,
    atomic,
    database_of,
    databases,
    use_db,
    use_tenant,
)
from tests.scale import scaled


class Note(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


class Counted(sqlite3.Connection):
    """The driver's own connection, counted from before it is open until after it is closed."""

    lock = threading.Lock()
    open = most = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with self.lock:
            Counted.open += 1
            Counted.most = max(Counted.most, Counted.open)
        self.is_open = True
        super().__init__(*args, **kwargs)

    def close(self) -> None:
        super().close()
        self.__del__()

    def __del__(self) -> None:
        with self.lock:
            Counted.open -= self.is_open
            self.is_open = False


NAMES = [f"t{number:02d}" for number in range(20)]


@pytest.fixture(params=[None, 3], ids=["plain", "pooled"])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    gc.collect()
    Counted.open = Counted.most = 0
    databases.max_open, databases.wait_open = 4, 30
    more = {} if request.param is None else {"pool": request.param}
    databases.configure(
        {
            name: {"url": f"sqlite:///{tmp_path / name}.db", "options": {"factory": Counted}, **more}
            for name in NAMES
        }
    )
    for name in NAMES:
        with use_db(name):
            Note.create_table()
        databases.close()
    yield
    databases.max_open = databases.max_databases = None
    databases.wait_open = 10
    databases.close_all()
    databases.configure({})


def is_open_everywhere() -> int:
    assert databases._governor is not None
    return databases._governor.open


def test_threads_that_visit_everything_never_have_more_open(limited: None) -> None:
    def visit(seed: int) -> None:
        for turn in range(scaled(40)):
            name = NAMES[(seed * 7 + turn * 3) % len(NAMES)]
            with use_tenant(name), atomic(name):
                Note.create(text=name)
                assert {note.text for note in Note.select()} == {name}
            databases.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(8)))
    assert Counted.most <= 4
    assert is_open_everywhere() == Counted.open <= 4


def test_who_holds_all_gets_a_clear_error_after_the_wait(limited: None) -> None:
    databases.wait_open = 0.05
    for name in NAMES[:4]:
        databases[name].connection()  # type: ignore[no-untyped-call]
    with use_db(NAMES[5]), pytest.raises(TooManyConnections) as info:
        Note.select().count()
    message = str(info.value)
    assert "'t05'" in message and "max_open" in message and "wait_open" in message
    assert "t00: 1" in message and "databases.close()" in message
    databases.close()
    with use_db(NAMES[5]):
        assert Note.select().count() == 0


def test_who_waits_is_woken_by_what_is_given_back(limited: None) -> None:
    databases.wait_open = 60
    for name in NAMES[:4]:
        databases[name].connection()  # type: ignore[no-untyped-call]
    started = threading.Event()

    def wait() -> int:
        started.set()
        with use_db(NAMES[9]):
            found = int(Note.select().count())
        databases.close()
        return found

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert started.wait(30)
        databases[NAMES[2]].close()
        assert waiting.result(30) == 0
    assert Counted.most <= 4


def test_a_thread_that_ends_gives_back_what_it_had(limited: None) -> None:
    def leave(name: str, is_in_transaction: bool) -> None:
        with use_db(name):
            Note.create(text="stays")
            if is_in_transaction:
                databases[name].begin()
                Note.create(text="was never committed")

    for number, name in enumerate(NAMES[:6]):
        thread = threading.Thread(target=leave, args=(name, number % 2))
        thread.start()
        thread.join()
        del thread
        gc.collect()
        assert Counted.open <= 4
    for name in NAMES[:6]:
        with use_db(name):
            assert [note.text for note in Note.select()] == ["stays"]
        databases.close()
    assert is_open_everywhere() == Counted.open


def test_a_connection_that_is_held_is_nobodys_to_take_from_a_thread_that_lives(limited: None) -> None:
    held, go = threading.Barrier(5, timeout=30), threading.Event()
    databases.wait_open = 1.5

    def hold(name: str) -> int:
        with use_db(name), atomic(name):
            Note.create(text="held")
            held.wait()
            assert go.wait(30)
            found = Note.select().count()
        databases.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        holding = [pool.submit(hold, name) for name in NAMES[:4]]
        held.wait()
        with use_db(NAMES[5]), pytest.raises(TooManyConnections):
            Note.select().count()
        go.set()
        assert [one.result() for one in holding] == [1, 1, 1, 1]


def test_a_connection_that_could_not_be_opened_does_not_count(limited: None, tmp_path: Path) -> None:
    databases.add("broken", f"sqlite:///{tmp_path / 'no' / 'such' / 'folder'}.db")
    try:
        for _ in range(10):
            with use_db("broken"), pytest.raises(peewee.OperationalError):
                Note.select().count()
        assert is_open_everywhere() <= 4
        with use_db("t00"):
            assert Note.select().count() == 0
    finally:
        databases.remove("broken")


def test_close_all_and_remove_give_everything_back(limited: None) -> None:
    for name in NAMES[:4]:
        databases[name].connection()  # type: ignore[no-untyped-call]
    databases.remove(NAMES[0])
    databases.close_all()
    assert is_open_everywhere() == Counted.open == 0


def test_the_limit_may_change_while_connections_are_open(limited: None) -> None:
    databases.wait_open = 0.05
    for name in NAMES[:3]:
        databases[name].connection()  # type: ignore[no-untyped-call]
    databases.max_open = 2
    databases[NAMES[0]].close()
    with use_db(NAMES[7]), pytest.raises(TooManyConnections):
        Note.select().count()
    databases.max_open = 5
    with use_db(NAMES[7]):
        assert Note.select().count() == 0


def test_a_forked_child_begins_with_nothing_open(limited: None) -> None:
    for name in NAMES[:4]:
        databases[name].connection()  # type: ignore[no-untyped-call]

    def child(found: Any) -> None:
        counts = [is_open_everywhere()]
        for name in NAMES[4:8]:
            with use_db(name):
                Note.select().count()
        counts.append(is_open_everywhere())
        found.put(counts)

    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    process = context.Process(target=child, args=(found,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert found.get() == [0, 4]
    assert is_open_everywhere() == 4


def test_database_objects_give_way_to_others_and_rows_find_home_by_name(limited: None) -> None:
    databases.max_databases = 3
    with use_db("t00"):
        row = Note.create(text="x")
    databases.close()
    before = databases["t00"]
    for name in NAMES[1:]:
        with use_db(name):
            Note.select().count()
        databases.close()
        assert len(databases.live) <= 3
    assert "t00" not in databases.live
    row.text = "changed"
    row.save()
    assert database_of(row) == "t00" and row.refresh().text == "changed"
    assert databases["t00"] is not before
    assert databases.name_of(before) == "t00", "whoever still has it finds its name"
    assert [note.text for note in Note.select().bind(before)] == ["changed"]
    with pytest.raises(peewee.OperationalError, match="was evicted"):
        before.begin()  # type: ignore[no-untyped-call]
    before.close()


def test_a_database_object_that_is_used_again_is_the_names_own_again(limited: None) -> None:
    databases.max_databases = 2
    before = databases["t00"]
    for name in NAMES[1:4]:
        databases[name]
    assert "t00" not in databases.live
    with before.atomic():  # type: ignore[no-untyped-call]
        assert databases["t00"] is before
        with use_db("t00"):
            Note.create(text="in the transaction")
            assert before.in_transaction()  # type: ignore[no-untyped-call]


def test_nothing_that_is_in_use_is_evicted(limited: None) -> None:
    databases.max_databases, databases.wait_open = 2, 0.05
    with atomic("t00", "t01"):
        with pytest.raises(TooManyConnections, match="max_databases"):
            databases["t02"]
        with use_db("t00"):
            Note.create(text="x")
    databases.close()
    with use_db("t02"):
        assert Note.select().count() == 0


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
@pytest.mark.parametrize("key", ["max_open", "max_databases"])
def test_a_limit_is_a_whole_number(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key):
        setattr(Databases(), key, value)


def test_a_database_that_the_user_made_counts_too(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    mine.connect()  # type: ignore[no-untyped-call]
    registry = Databases({"mine": mine, "other": f"sqlite:///{tmp_path / 'other.db'}"})
    registry.max_open, registry.wait_open = 1, 0.01
    with pytest.raises(TooManyConnections, match="mine: 1"):
        registry["other"].connection()  # type: ignore[no-untyped-call]
    mine.close()  # type: ignore[no-untyped-call]
    registry["other"].connection()  # type: ignore[no-untyped-call]
    registry.close_all()


def test_fewer_database_objects_than_are_in_use_leave_those_in_use(tmp_path: Path) -> None:
    registry = Databases({name: f"sqlite:///{tmp_path / name}.db" for name in ("a", "b", "c")})
    evicted: list[str] = []
    registry.on_evict.append(lambda entry: evicted.append(entry.name))
    with registry["a"].atomic(), registry["b"].atomic():  # type: ignore[no-untyped-call]
        registry["c"].connect()  # type: ignore[no-untyped-call]
        registry["c"].close()  # type: ignore[no-untyped-call]
        registry.max_databases = 1
        assert sorted(registry.live) == ["a", "b"] and evicted == ["c"]
    registry.close_all()


def test_a_wait_alone_limits_nothing(tmp_path: Path) -> None:
    registry = Databases({"a": f"sqlite:///{tmp_path / 'a'}.db"})
    registry.wait_open = 2
    assert registry.wait_open == 2.0 and registry.max_open is None
    assert not hasattr(registry["a"], "governor"), "nobody counts its connections"
    registry.close_all()


@pytest.mark.parametrize("value", [-1, True, None, "3", float("nan")])
@pytest.mark.parametrize("key", ["wait_open", "resolved_ttl", "unknown_ttl"])
def test_a_time_is_a_number_of_seconds(key: str, value: Any) -> None:
    registry = Databases()
    before = getattr(registry, key)
    with pytest.raises(ConfigurationError, match=f"'{key}' must be a number of seconds"):
        setattr(registry, key, value)
    assert getattr(registry, key) == before
