"""The log of decisions: where it is, and what happens when it cannot be written."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import greenlet
import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    Databases,
    PartialCommit,
    TwoPhaseError,
    atomic,
    databases,
    recover,
)
from peewee_multidb.twophase import log as log_module
from peewee_multidb.twophase import log_of
from peewee_multidb.twophase.decisions import Decisions
from peewee_multidb.twophase.log import DEFAULT_LOG
from tests.drivers.test_fork import in_child
from tests.engines import Lite, Maria, Post, counts
from tests.twophase import crashing


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where the log is by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(databases, "transaction_log", None)
    return tmp_path


def both() -> None:
    with atomic("post", "maria", two_phase=True):
        Post.create(n=1)
        Maria.create(n=1)


def test_by_default_it_is_a_file_in_the_working_directory(three: None, folder: Path) -> None:
    both()
    assert counts(Post, Maria) == [1, 1]
    rows = sqlite3.connect(folder / DEFAULT_LOG).execute("SELECT outcome, names FROM multidb_transactions")
    assert rows.fetchall() == [("commit", '["maria", "post"]')]
    assert recover(grace=0).forgotten == 1


def test_it_is_synchronized_at_every_decision(three: None) -> None:
    both()
    log = log_of(databases)
    pragma = log.database.execute_sql
    assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pragma("PRAGMA synchronous").fetchone() == (2,), "FULL"


def test_a_file_or_a_database_can_be_named(three: None, folder: Path) -> None:
    (folder / "logs").mkdir()
    for place, label in (
        ("logs/decisions", f"the file {folder}/logs/decisions"),
        (folder / "d.db", f"the file {folder}/d.db"),
        ("maria", "database 'maria'"),
        ("lite", "database 'lite'"),
    ):
        databases.transaction_log = place
        both()
        assert log_of(databases).label == label
        assert recover(grace=0).is_clean
    assert counts(Post, Maria) == [4, 4]
    assert not (folder / DEFAULT_LOG).exists()


def test_a_misspelt_database_is_not_taken_for_a_file(two: None, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'lite'"):
        recover(log="light")
    assert list(folder.glob("light*")) == []


def test_a_settings_file_and_the_environment_can_name_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.toml").write_text('transaction_log = "x/y.db"\n[databases]\ndefault = "sqlite:///a.db"\n')
    registry = Databases()
    registry.load("a.toml")
    assert registry.transaction_log == "x/y.db"
    (folder / "b.toml").write_text('transaction_log = 7\n[databases]\ndefault = "sqlite:///a.db"\n')
    with pytest.raises(ConfigurationError, match="transaction_log: expected the name"):
        registry.load("b.toml")
    monkeypatch.setenv("TEST_DEFAULT__URL", "sqlite:///a.db")
    monkeypatch.setenv("TEST_TRANSACTION_LOG", "default")
    registry.load_env("TEST_")
    assert registry.transaction_log == "default"


def test_a_read_only_database_and_a_private_one_are_refused(folder: Path) -> None:
    registry = Databases({"memory": "sqlite://", "still": {"url": "sqlite:///a.db", "read_only": True}})
    for name in registry:
        with pytest.raises(ConfigurationError, match="Name another one"):
            recover(registry, name)


# What cannot be written


def test_a_log_in_a_folder_that_is_not_there_stops_the_block_before_it_begins(three: None) -> None:
    databases.transaction_log = "missing/folder/log.db"
    with pytest.raises(Exception, match="unable to open database file"):
        both()
    assert counts() == [0, 0, 0] and not databases["post"].in_transaction()


def test_a_log_that_becomes_read_only_rolls_everything_back_and_says_so(three: None) -> None:
    both()
    log = log_of(databases)
    log.database.execute_sql("PRAGMA query_only = ON")
    with pytest.raises(TwoPhaseError) as info:
        both()
    message = str(info.value)
    assert "Nothing was committed: the decision to commit could not be written in the file" in message
    assert "readonly database" in message and "Everything is rolled back; then repeat the block." in message
    assert info.value.in_doubt == ()
    assert counts(Post, Maria) == [1, 1] and crashing.prepared() == []
    log.database.execute_sql("PRAGMA query_only = OFF")
    both()
    assert counts(Post, Maria) == [2, 2]


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = folder / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "none", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_rolls_everything_back_and_the_log_goes_on_when_there_is_room(
    three: None, small_disk: Path
) -> None:
    databases.transaction_log = small_disk / "log.db"
    both()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    failed = None
    n = 0
    while failed is None and n < 40:  # what is left of the last pages lasts for a few
        try:
            both()
            n += 1
        except TwoPhaseError as error:
            failed = error
    assert failed is not None and "disk is full" in str(failed), n
    assert "Everything is rolled back; then repeat the block." in str(failed)
    rows = counts(Post, Maria)
    assert rows == [n + 1, n + 1] and crashing.prepared() == []
    filler.unlink()
    both()
    assert counts(Post, Maria) == [n + 2, n + 2]
    assert recover(grace=0).is_clean
    log_of(databases).close()


def test_a_file_that_may_not_grow_rolls_everything_back(three: None) -> None:
    """The same without a mount: the kernel refuses to let the file grow."""

    def child() -> tuple[str, list[int], list[str]]:
        both()
        databases.close()
        size = Path(f"{DEFAULT_LOG}-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            both()
        except TwoPhaseError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return str(error), counts(Post, Maria), crashing.prepared()
        return "", [], []

    databases.close()
    message, rows, left = in_child(child)
    assert message.startswith("Nothing was committed: the decision to commit") and rows == [1, 1] and not left


def test_a_commit_of_the_log_whose_answer_is_lost_is_found_out(three: None, monkeypatch: Any) -> None:
    """Whether it was written or not: the log is asked, and holds whoever comes first."""
    both()
    log = log_of(databases)
    commit = type(log.database).commit

    def lost_after() -> None:
        commit(log.database)
        raise OSError("the answer got lost")

    def lost_before() -> None:
        raise OSError("the answer got lost")

    monkeypatch.setattr(log.database, "commit", lost_after, raising=False)
    both()
    assert counts(Post, Maria) == [2, 2]
    monkeypatch.setattr(log.database, "commit", lost_before)
    with pytest.raises(TwoPhaseError, match="did not reach the file"):
        both()
    assert counts(Post, Maria) == [2, 2] and crashing.prepared() == []


def test_a_log_that_cannot_be_asked_leaves_everything_in_doubt(three: None, monkeypatch: Any) -> None:
    both()
    log = log_of(databases)

    def lost() -> None:
        raise OSError("the answer got lost")

    def gone(gid: str) -> Any:
        raise OSError("the log is gone")

    monkeypatch.setattr(log.database, "commit", lost, raising=False)
    monkeypatch.setattr(log, "settle", gone)
    with pytest.raises(PartialCommit, match=r"cannot be asked \(OSError: the log is gone\)") as info:
        both()
    assert set(info.value.unknown) == {"post", "maria"} and not info.value.committed
    assert "multidb recover" in str(info.value)
    assert len(crashing.prepared()) == 2
    monkeypatch.undo()
    assert not databases["maria"].in_transaction()
    assert counts(Maria) == [1], "its connection does not hold what is in doubt"
    os.chdir(Path(log.database.database).parent)
    databases.close()
    assert recover(log=log.database.database, grace=0).is_clean
    assert counts(Post, Maria) == [1, 1] and crashing.prepared() == []


def test_a_forked_child_writes_decisions_of_its_own(three: None) -> None:
    both()

    def child() -> list[int]:
        both()
        return counts(Post, Maria)

    databases.close()
    assert in_child(child) == [2, 2]
    both()
    assert counts(Post, Maria) == [3, 3]


def test_threads_write_decisions_at_the_same_time(three: None) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(n: int) -> None:
        try:
            for _ in range(5):
                both()
        finally:
            databases.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert counts(Post, Maria) == [20, 20]
    assert recover(grace=0).forgotten == 20


def test_decisions_do_not_pile_up_while_a_program_runs(three: None) -> None:
    for _ in range(70):
        both()
    kept = log_of(databases).every()
    assert len(kept) == 70 - 64


def test_nor_do_they_in_the_last_resource(three: None) -> None:
    for n in range(70):
        with atomic("lite", "post", "maria", two_phase=True):
            Lite.create(n=n)
            Post.create(n=n)
            Maria.create(n=n)
    assert len(Decisions(databases["lite"]).every()) == len(log_of(databases).every()) == 6


def test_a_block_that_commits_alone_writes_nothing(two: None) -> None:
    with atomic("lite", two_phase=True):
        Lite.create(n=1)
    assert log_of(databases).every() == []


# In this process, with files alone


def test_a_log_in_a_database_object_of_the_user_begins_outside_of_his_transaction(folder: Path) -> None:
    own = peewee.SqliteDatabase(folder / "own.db")
    registry = Databases({"own": own})
    log = log_of(registry, "own")
    with own.atomic(), pytest.raises(ConfigurationError, match="'own', the transaction log, has a trans"):
        log.id  # noqa: B018
    assert log.id == log_of(registry, "own").id and not log.is_file and log.exists
    registry.close_all()


def test_a_file_that_holds_no_log_cannot_say_what_holds(folder: Path) -> None:
    log = log_of(Databases(), folder / "log.db")
    assert not log.exists
    with pytest.raises(peewee.OperationalError, match="no such table"):
        log.settle("g1", tries=2)
    assert log.id and log.exists and log.settle("g1").outcome == "rollback"
    log.close()


def test_after_a_fork_a_lock_that_a_thread_held_holds_nobody_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(Databases(), folder / "log.db")
    assert log.id
    log.close()
    monkeypatch.setattr(log_module, "_logs", weakref.WeakSet([log]))
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with log._lock:
            held.set()
            go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(30)
        assert not log._lock.acquire(blocking=False)
        log_module._after_fork_in_child()
        assert log._lock.acquire(blocking=False)
        log._lock.release()
        assert log.every() == []
    finally:
        go.set()
        holder.join()
    log.close()


def test_a_greenlet_without_an_event_loop_asks_the_log_in_its_own_thread(folder: Path) -> None:
    log = log_of(Databases(), folder / "log.db")
    thread = greenlet.greenlet(lambda: log.run(threading.get_ident)).switch()
    assert thread == threading.get_ident()
