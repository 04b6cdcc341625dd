"""What a shard that fails becomes for the caller, and that a stopped job does nothing."""

from __future__ import annotations

import pickle
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, ScatterNotSupported, ScatterTimeout, ShardFailed, ShardMoved
from peewee_multidb.shards.jobs import Deadline, Job, Stopped, failure


@pytest.mark.parametrize("kind", [peewee.OperationalError, peewee.ProgrammingError, peewee.IntegrityError])
def test_a_failure_names_the_shard_and_is_what_it_was(kind: Any) -> None:
    cause = kind("no such table: item")
    error = failure("eu", cause)
    assert isinstance(error, ShardFailed) and isinstance(error, kind)
    assert error.shard == "eu" and error.__cause__ is cause
    assert "'eu'" in str(error) and "no such table: item" in str(error) and "partial=True" in str(error)
    assert type(error) is type(failure("us", kind("another")))
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, ShardFailed) and copy.shard == "eu" and str(copy) == str(error)


def test_what_is_no_fault_of_a_shard_stays_as_it_is() -> None:
    for error in (ScatterNotSupported("no"), ShardMoved("moved"), KeyboardInterrupt()):
        assert failure("eu", error) is error
    plain = failure("eu", ValueError("what a converter said"))
    assert type(plain) is ShardFailed and isinstance(plain, peewee.DatabaseError)


def test_a_deadline_says_who_is_late() -> None:
    late = Deadline(0.5).missed_by(["eu", "us"])
    assert isinstance(late, ScatterTimeout) and isinstance(late, TimeoutError)
    assert late.shards == ("eu", "us") and "'eu', 'us' within 0.5 s" in str(late)
    assert Deadline(None).left() is None
    assert Deadline(0).left() == 0


def test_a_job_that_was_stopped_does_not_begin() -> None:
    own = Databases({"default": "sqlite:///:memory:"})
    done: list[str] = []
    job = Job("default", own["default"], lambda job: done.append("done"))
    job.stop()
    with pytest.raises(Stopped):
        job.run()
    with pytest.raises(Stopped), job.on(own["default"]):
        done.append("begun")
    assert done == [] and job.stopped
    own.close_all()


@pytest.mark.parametrize(
    ("url", "stays"), [("sqlite:///:memory:", True), ("sqlite:///a.db", False), ("postgresql://u@h/d", False)]
)
def test_only_sqlite_in_memory_has_to_be_read_by_its_own_thread(url: str, stays: bool) -> None:
    own = Databases({"default": url})
    assert Job("default", own["default"], print).must_stay() is stays
