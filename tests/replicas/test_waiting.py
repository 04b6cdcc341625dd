"""Nobody reads what is older than his own writes, by the positions of PostgreSQL and MariaDB themselves."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_multidb import propagate, unit_of_work, use_replica
from tests.replicas.watch import PRIMARY, Watched
from tests.scale import scaled

Open = Callable[..., Watched]


def latest(watched: Watched) -> Any:
    return watched.Note.select(peewee.fn.MAX(watched.Note.number)).scalar()


def in_new_thread(action: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]


def test_a_paused_replica_is_not_asked_by_who_has_written_and_by_others_it_is(
    replicated: Watched, cluster: Any
) -> None:
    replicated.Note.create(number=1)
    replicated.settle()
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()
    replicated.Note.create(number=2)
    assert latest(replicated) == 2
    # A replica may have been asked together with its position; its rows were not used then.
    assert replicated.selects()[PRIMARY] == 1
    assert in_new_thread(lambda: latest(replicated)) == 1


def test_the_replica_that_is_in_step_is_asked_instead(replicated: Watched, cluster: Any) -> None:
    replicated.settle()
    cluster.replicas[0].pause()
    for number in range(1, 11):
        replicated.Note.create(number=number)
        assert latest(replicated) == number
    # More than that when it was asked together with its position, just before it was there.
    assert replicated.selects()["replica 2"] >= 10
    assert PRIMARY not in replicated.selects()


def test_a_replica_that_catches_up_within_the_wait_answers(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open
) -> None:
    watched = watch(cluster_settings, wait_ms=20_000, check_interval=60)
    watched.settle()
    for replica in cluster.replicas:
        replica.pause()
    watched.Note.create(number=5)
    resumed = threading.Event()

    def resume(event: Any) -> None:
        # The first question about the position has been asked by then.
        if ("lsn" in event.sql or "GTID" in event.sql) and not resumed.is_set():
            resumed.set()

    for server in watched.entry.replicas:
        server.database.query_hooks.append(resume)
    # MariaDB waits on the server, so its hook comes too late to start with.
    resumer = threading.Thread(
        target=lambda: (resumed.wait(0.5), [replica.resume() for replica in cluster.replicas])
    )
    resumer.start()
    assert latest(watched) == 5
    resumer.join()
    assert PRIMARY not in watched.selects()


def test_a_write_that_nobody_reads_after_costs_no_round_trip(replicated: Watched) -> None:
    replicated.settle()
    for number in range(10):
        replicated.Note.create(number=number)
    assert replicated.questions() == []
    latest(replicated)
    # MariaDB has told it with the answer to the write.
    asked = 1 if isinstance(replicated.database, peewee.PostgresqlDatabase) else 0
    assert len([name for name, _ in replicated.questions() if name == PRIMARY]) == asked


def test_what_is_known_to_be_replayed_is_not_asked_again(replicated: Watched) -> None:
    replicated.settle()
    replicated.Note.create(number=1)
    with use_replica():
        latest(replicated)
        replicated.clear()
        for _ in range(5):
            latest(replicated)
    assert replicated.questions() == []
    assert sum(replicated.selects().values()) == len(replicated.log) == 5


WRITES: dict[str, Callable[[Watched], Any]] = {
    "create": lambda watched: watched.Note.create(number=9),
    "insert_many": lambda watched: watched.Note.insert_many([{"number": 9}]).execute(),
    "raw": lambda watched: watched.Note.raw("INSERT INTO note (text, number) VALUES ('', 9)").execute(),
    "execute_sql": lambda watched: watched.database.execute_sql(
        "INSERT INTO note (text, number) VALUES ('', 9)"
    ),
    "atomic": lambda watched: _in_atomic(watched),
    "a rolled back savepoint before": lambda watched: _after_savepoint(watched),
    "a statement of a plain model": lambda watched: _by_plain_model(watched),
}


def _in_atomic(watched: Watched) -> None:
    with watched.database.atomic():
        watched.Note.create(number=8)
        latest(watched)
        watched.Note.create(number=9)


def _after_savepoint(watched: Watched) -> None:
    with watched.database.atomic():
        with watched.database.atomic() as savepoint:
            watched.Note.create(number=7)
            savepoint.rollback()
        watched.Note.create(number=9)


def _by_plain_model(watched: Watched) -> None:
    class Plain(peewee.Model):
        text = peewee.CharField()
        number = peewee.IntegerField()

        class Meta:
            database = watched.database
            table_name = "note"

    Plain.create(text="", number=9)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_way_of_writing_is_noticed(
    replicated: Watched, cluster: Any, write: Callable[[Watched], Any]
) -> None:
    replicated.settle()
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()
    write(replicated)
    assert latest(replicated) == 9


def test_a_table_that_was_just_made_is_read_where_it_is(replicated: Watched, cluster: Any) -> None:
    replicated.settle()
    for replica in cluster.replicas:
        replica.pause()
    replicated.Note.drop_table()
    replicated.Note.create_table()
    assert replicated.Note.select().count() == 0


def test_a_position_taken_while_a_transaction_is_open_does_not_cover_its_commit(
    replicated: Watched, cluster: Any
) -> None:
    """Another thread that shares the unit of work asks for the position between a write and its commit."""
    note = replicated.Note
    replicated.settle()
    with unit_of_work():
        shared = contextvars.copy_context()
        with replicated.database.atomic():
            note.create(number=4)
            in_new_thread(lambda: shared.run(lambda: latest(replicated)))
            cluster.wait_in_step()
            for replica in cluster.replicas:
                replica.pause()
        assert latest(replicated) == 4


def test_a_thread_does_not_wait_for_what_others_have_written(replicated: Watched) -> None:
    replicated.Note.create(number=1)
    replicated.settle()
    in_new_thread(lambda: replicated.Note.create(number=2))
    replicated.clear()
    latest(replicated)
    assert replicated.questions() == []


def test_a_unit_of_work_goes_on_with_what_the_thread_has_written(replicated: Watched, cluster: Any) -> None:
    replicated.settle()
    for replica in cluster.replicas:
        replica.pause()
    replicated.Note.create(number=1)
    with unit_of_work():
        assert latest(replicated) == 1
        replicated.Note.create(number=2)
    assert latest(replicated) == 2


def test_a_thread_that_serves_requests_starts_each_afresh(replicated: Watched, cluster: Any) -> None:
    note = replicated.Note
    note.create(number=1)
    replicated.settle()
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()

    def requests() -> list[Any]:
        answers = []
        for number in (2, 3):
            with unit_of_work():
                answers.append(latest(replicated))
                note.create(number=number)
                answers.append(latest(replicated))
        return answers

    # The second request's own user has not written yet, so a replica may answer him.
    assert in_new_thread(requests) == [1, 2, 1, 3]


def test_tasks_of_a_unit_see_each_others_writes(replicated: Watched, cluster: Any) -> None:
    replicated.settle()
    for replica in cluster.replicas:
        replica.pause()

    async def request() -> Any:
        with unit_of_work():
            await asyncio.gather(asyncio.to_thread(lambda: replicated.Note.create(number=6)))
            return latest(replicated)

    assert asyncio.run(request()) == 6


def test_a_propagated_function_runs_in_the_block_but_writes_for_its_own_thread(replicated: Watched) -> None:
    replicated.settle()
    with use_replica():
        seen = in_new_thread(propagate(lambda: latest(replicated)))
    assert seen is None
    assert set(replicated.selects()) <= {"replica 1", "replica 2"}


def pairs(watched: Watched, thread: int, count: int, stale: list[Any]) -> None:
    """Write and read back, again and again."""
    note = watched.Note
    for number in range(count):
        row = note.create(text=f"{thread}", number=number)
        found = note.get_or_none(note.id == row.id)
        if found is None or found.number != number:
            stale.append(row.id)
    watched.registry.close()


@pytest.mark.parametrize("state", ["in step", "one paused", "both paused", "delayed"])
def test_eight_threads_that_write_and_read_back_never_read_too_old(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open, state: str
) -> None:
    watched = watch(cluster_settings)
    watched.settle()
    if state == "delayed":
        for replica in cluster.replicas:
            replica.delay(1)
    for replica in cluster.replicas[: {"one paused": 1, "both paused": 2}.get(state, 0)]:
        replica.pause()
    stale: list[Any] = []
    count = scaled(60)
    threads = [threading.Thread(target=pairs, args=(watched, n, count, stale)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stale == []
    served = watched.selects()
    assert sum(served.values()) >= 8 * count
    if state == "one paused":
        assert served["replica 2"] > 0
