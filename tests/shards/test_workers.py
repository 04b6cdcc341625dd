"""Threads that wait for databases: one for each, used again, and gone when nobody needs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers import connections
from peewee_multidb.shards import workers
from peewee_multidb.shards.jobs import Job

mine: ContextVar[str] = ContextVar("mine", default="nothing")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Databases]:
    found = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")})
    found.add("pooled", f"sqlite:///{tmp_path}/c.db", pool={"max_connections": 1})
    yield found
    found.close_all()


def done(name: str, database: Any, work: Any) -> Any:
    """Have a worker do something, and return what it returned, or raise what it raised."""
    event, outcome = threading.Event(), []

    def tell(result: Any, error: BaseException | None) -> None:
        outcome.append((result, error))
        event.set()

    workers.submit(Job(name, database, work), tell)
    assert event.wait(20)
    ((result, error),) = outcome
    if error is not None:
        raise error
    return result


def connection_of(job: Job) -> Any:
    with job.on(job.database):
        return threading.get_ident(), job.database.connection()


def test_a_worker_is_used_again_and_keeps_its_connection(own: Databases) -> None:
    first = done("a", own["a"], connection_of)
    assert first[0] != threading.get_ident()
    assert done("a", own["a"], connection_of) == first
    assert done("b", own["b"], connection_of)[0] != first[0]


def test_a_pooled_connection_goes_back_to_its_pool(own: Databases) -> None:
    done("pooled", own["pooled"], connection_of)
    # The only one there may be.
    assert own["pooled"].execute_sql("SELECT 1").fetchone() == (1,)


def test_work_is_done_in_the_callers_context(own: Databases) -> None:
    token = mine.set("the caller's")
    assert done("a", own["a"], lambda job: mine.get()) == "the caller's"
    mine.reset(token)
    assert done("a", own["a"], lambda job: mine.get()) == "nothing"


def test_a_worker_survives_what_fails_and_drops_its_connection(own: Databases) -> None:
    before = done("a", own["a"], connection_of)

    def fail(job: Job) -> None:
        with job.on(job.database):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        done("a", own["a"], fail)
    after = done("a", own["a"], connection_of)
    assert after[0] == before[0] and after[1] is not before[1]


def test_a_worker_that_nobody_needs_closes_its_connections_and_ends(
    own: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = threading.Event()
    drop = connections.drop

    def tell(database: Any) -> None:
        drop(database)
        dropped.set()

    monkeypatch.setattr(workers, "IDLE", 0.01)
    monkeypatch.setattr(connections, "drop", tell)
    ident, _ = done("a", own["a"], connection_of)
    assert dropped.wait(20)
    thread = next((one for one in threading.enumerate() if one.ident == ident), None)
    if thread is not None:
        thread.join(20)
        assert not thread.is_alive()
    assert id(own["a"]) not in workers._idle
