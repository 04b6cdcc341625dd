"""The file of the log is removed, replaced by a copy, or takes no writes, while a program uses it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from pathlib import Path

import peewee
import pytest

from peewee_multidb import TwoPhaseError, atomic, databases, recover
from peewee_multidb.twophase import log_of, new_gid
from tests.engines import Maria, Post, counts
from tests.twophase import crashing


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(databases, "transaction_log", "decisions.db")
    return tmp_path


def remove() -> None:
    for file in Path().glob("decisions.db*"):
        file.unlink()


def restore() -> None:
    """Put a copy of the log in its place, as from a backup."""
    with sqlite3.connect("decisions.db") as live, sqlite3.connect("backup.db") as copy:
        live.backup(copy)
    remove()
    Path("backup.db").rename("decisions.db")


def work(n: int) -> None:
    with atomic("post", "maria", two_phase=True):
        Post.create(n=n)
        Maria.create(n=n)


@pytest.mark.parametrize("harm", [remove, restore])
def test_no_decision_is_written_to_a_file_that_nobody_would_find(three: None, harm: object) -> None:
    work(1)
    with pytest.raises(TwoPhaseError, match="was removed or replaced since the block began"):
        with atomic("post", "maria", two_phase=True):
            Post.create(n=2)
            Maria.create(n=2)
            harm()  # type: ignore[operator]
    assert counts(Post, Maria) == [1, 1] and crashing.prepared() == []
    work(3)
    assert counts(Post, Maria) == [2, 2]
    harm()  # type: ignore[operator]
    work(4)
    assert counts(Post, Maria) == [3, 3]
    with sqlite3.connect("decisions.db") as now:
        assert now.execute("SELECT COUNT(*) FROM multidb_transactions").fetchone()[0] >= 1
    log_of(databases).close()


def test_recover_decides_against_nobody_who_lives_in_a_log_that_it_cannot_write(three: None) -> None:
    """The program would write its decision to commit, and not find that of `recover`."""
    log = log_of(databases)
    gid = new_gid(log.id)
    post = databases["post"]
    for sql in ("BEGIN", "INSERT INTO post (n) VALUES (7)", f"PREPARE TRANSACTION '{gid.branch(0)}'"):
        post.execute_sql(sql)
    log.close()
    databases.close()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            try:
                recover(grace=0)
            except peewee.DatabaseError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0, "it says that it cannot write"
    assert crashing.prepared() == [gid.branch(0)]
    recover(grace=0)
    assert crashing.prepared() == []
